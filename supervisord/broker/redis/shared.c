/*
 * The loop's side of the shared store: starting, handing over what was added,
 * hearing what came of it. Only shared_stop and, when ids have run out,
 * shared_new_id wait for anything.
 */

#ifdef WITH_HIREDIS

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/thread.h"
#include "supervisord/broker/redis/shared_int.h"

#define STACK_BYTES ((size_t)512 << 10)
#define STOP_ROUNDS 10000
#define STOP_NS     (10 * NS_PER_SEC) /* for what is on the way, at the end */
#define ID_NS       (2 * NS_PER_SEC)

bool
shared_built(void)
{
	return true;
}

static void
splice(struct list *from, struct list *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

/* --- news ----------------------------------------------------------------- */

static void
hear_note(struct shared *s, const struct store_op *n)
{
	const struct shared_options *o = &s->options;

	switch ((enum note)n->states) {
	case NOTE_HEALTH:
		if (o->health != NULL)
			o->health(
			    o->arg, n->paused, n->text != NULL ? n->text : "");
		break;
	case NOTE_JOINED:
		if (o->joined != NULL)
			o->joined(o->arg);
		break;
	case NOTE_READY:
		if (o->ready != NULL)
			o->ready(o->arg, n->worker);
		break;
	case NOTE_DUE:
		if (o->due != NULL)
			o->due(o->arg, n->worker, n->next_due_ms);
		break;
	case NOTE_ENDED:
		if (o->ended != NULL)
			o->ended(o->arg, n->change.id);
		break;
	case NOTE_CANCEL:
		if (o->cancel != NULL)
			o->cancel(o->arg, n->change.id);
		break;
	case NOTE_PAUSED:
		if (o->paused != NULL)
			o->paused(
			    o->arg, n->worker, n->paused, n->paused_until_ms);
		break;
	case NOTE_WORKER:
	case NOTE_WATCH:
	case NOTE_GROUP:
		break;
	}
}

/* Calls each done, and tells the news, in the order they came. */
static void
hear(struct shared *s)
{
	struct list heard, *l, *tmp;
	bool dropped;

	list_init(&heard);
	pthread_mutex_lock(&s->lock);
	splice(&s->answered, &heard);
	dropped = s->dropped;
	s->dropped = false;
	pthread_mutex_unlock(&s->lock);
	LIST_FOREACH(l, tmp, &heard) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (op->kind == STORE_KINDS) {
			hear_note(s, op);
			store_op_free(op);
			continue;
		}
		s->backlog--;
		if (op->done != NULL)
			op->done(op);
		else
			store_op_free(op);
	}
	if (dropped && s->options.joined != NULL)
		s->options.joined(s->options.arg);
}

static void
on_answer(struct ev_loop *loop, ev_async *w, int revents)
{
	(void)loop;
	(void)revents;
	hear(w->data);
}

/* --- handing over --------------------------------------------------------- */

void
shared_add(struct shared *s, struct store_op *op)
{
	s->backlog++;
	memset(&op->flight, 0, sizeof op->flight);
	list_append(&s->added, &op->link);
}

void
shared_flush(struct shared *s)
{
	if (list_empty(&s->added))
		return;
	pthread_mutex_lock(&s->lock);
	splice(&s->added, &s->waiting);
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->own, &s->wake);
}

bool
shared_leased(const struct shared *s)
{
	return clock_boot() <
	       __atomic_load_n(&s->lease_until, __ATOMIC_RELAXED);
}

size_t
shared_backlog(const struct shared *s)
{
	return s->backlog;
}

/* To the thread, in its turn among the operations. */
static void
command(struct shared *s, struct store_op *op)
{
	if (op == NULL) {
		log_error("the shared store: out of memory");
		return;
	}
	list_append(&s->added, &op->link);
}

void
shared_worker(struct shared *s, const char *worker, bool on)
{
	struct store_op *op = shared_note(NOTE_WORKER);

	if (op != NULL) {
		snprintf(op->worker, sizeof op->worker, "%s", worker);
		op->paused = on;
	}
	command(s, op);
}

void
shared_watch(struct shared *s, uint64_t id, bool on)
{
	struct store_op *op = shared_note(NOTE_WATCH);

	if (op != NULL) {
		op->change.id = id;
		op->paused = on;
	}
	command(s, op);
}

static void
until(int64_t ns, struct timespec *ret)
{
	ns += clock_mono();
	ret->tv_sec = ns / NS_PER_SEC;
	ret->tv_nsec = ns % NS_PER_SEC;
}

uint64_t
shared_new_id(struct shared *s)
{
	struct timespec deadline;
	uint64_t id = 0;
	int r = 0;

	until(ID_NS, &deadline);
	pthread_mutex_lock(&s->lock);
	/* Seldom more than a look: ids are reserved ahead. */
	while (s->next_id >= s->reserved && s->well && !s->refuses &&
	       !s->ids_late && !s->closing && r == 0) {
		s->ids_wanted = true;
		ev_async_send(s->own, &s->wake);
		r = pthread_cond_timedwait(&s->told, &s->lock, &deadline);
	}
	s->ids_late = s->ids_late || r != 0;
	if (s->well && !s->refuses && s->next_id < s->reserved)
		id = s->next_id++;
	if (s->reserved - s->next_id == 1000)
		ev_async_send(s->own, &s->wake);
	pthread_mutex_unlock(&s->lock);
	return id;
}

/* --- start and end -------------------------------------------------------- */

static void
free_all(struct list *list)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, list) {
		list_remove(l);
		store_op_free(LIST_ENTRY(l, struct store_op, link));
	}
}

static void
shared_free(struct shared *s)
{
	free_all(&s->added);
	free_all(&s->waiting);
	free_all(&s->answered);
	if (s->own != NULL)
		ev_loop_destroy(s->own);
	pthread_cond_destroy(&s->told);
	pthread_mutex_destroy(&s->lock);
	free(s->name);
	free(s);
}

static int
set_up(struct shared *s, const struct shared_options *options)
{
	char why[256];
	int r = redis_url_parse(options->url, &s->url, why, sizeof why);

	if (r < 0) {
		log_error("the shared store: %s", why);
		return r;
	}
	redis_url_show(&s->url, s->where, sizeof s->where);
	for (size_t i = 0; i < SHARED_ID_BYTES; i++)
		snprintf(s->me + 2 * i, 3, "%02x", options->id[i]);
	snprintf(s->channels, sizeof s->channels, "supervisord@%d:", s->url.db);
	s->options = *options;
	s->options.url = NULL;
	s->name = strdup(options->name);
	s->own = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	return s->name != NULL && s->own != NULL ? 0 : -ENOMEM;
}

static struct shared *
shared_new(struct ev_loop *loop)
{
	struct shared *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (s == NULL)
		return NULL;
	s->loop = loop;
	list_init(&s->added);
	list_init(&s->waiting);
	list_init(&s->answered);
	list_init(&s->flying);
	list_init(&s->reads);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->told, &attr);
	pthread_condattr_destroy(&attr);
	ev_async_init(&s->answer, on_answer);
	s->answer.data = s;
	return s;
}

int
shared_start(struct ev_loop *loop, const struct shared_options *options,
    struct shared **ret)
{
	struct shared *s = shared_new(loop);
	int r;

	*ret = NULL;
	if (s == NULL)
		return -ENOMEM;
	r = set_up(s, options);
	if (r == 0) {
		shared_wake_init(s);
		link_start(s);
		ev_async_start(loop, &s->answer);
		r = thread_start(&s->thread, STACK_BYTES, shared_thread, s);
		if (r < 0)
			ev_async_stop(loop, &s->answer);
	}
	if (r < 0) {
		shared_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* Waits until something is answered; false: not in time. */
static bool
await(struct shared *s, const struct timespec *deadline)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (list_empty(&s->answered) && r == 0)
		r = pthread_cond_timedwait(&s->told, &s->lock, deadline);
	pthread_mutex_unlock(&s->lock);
	return r == 0;
}

void
shared_stop(struct shared *s, bool leave)
{
	struct timespec deadline;

	if (s == NULL)
		return;
	until(STOP_NS, &deadline);
	/* A done may add more, which is done, too, within reason. */
	for (int i = 0; s->backlog > 0 && i < STOP_ROUNDS; i++) {
		shared_flush(s);
		if (!await(s, &deadline)) {
			pthread_mutex_lock(&s->lock);
			s->give_up = true;
			pthread_mutex_unlock(&s->lock);
			ev_async_send(s->own, &s->wake);
			until(STOP_NS, &deadline);
		}
		hear(s);
	}
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	s->leave = leave;
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->own, &s->wake);
	pthread_join(s->thread, NULL);
	ev_async_stop(s->loop, &s->answer);
	hear(s);
	shared_free(s);
}

#endif
