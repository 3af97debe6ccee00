/*
 * The loop's side: starting, handing over what was added, hearing what came of
 * it. Nothing here but store_start, store_schedule_id and store_stop waits for
 * a disk.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/thread.h"
#include "supervisord/broker/sqlite/store_int.h"

#define STACK_BYTES ((size_t)512 << 10)
#define STOP_ROUNDS 10000

static bool
for_reader(const struct store *s, const struct store_op *op)
{
	return s->reads && (op->kind == STORE_TASK || op->kind == STORE_LIST);
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

void
store_add(struct store *s, struct store_op *op)
{
	s->backlog++;
	list_append(for_reader(s, op) ? &s->asked : &s->added, &op->link);
}

void
store_flush(struct store *s)
{
	if (list_empty(&s->added) && list_empty(&s->asked))
		return;
	pthread_mutex_lock(&s->lock);
	if (!list_empty(&s->added)) {
		splice(&s->added, &s->waiting);
		pthread_cond_signal(&s->wake);
	}
	if (!list_empty(&s->asked)) {
		splice(&s->asked, &s->asking);
		pthread_cond_signal(&s->read_wake);
	}
	pthread_mutex_unlock(&s->lock);
}

size_t
store_backlog(const struct store *s)
{
	return s->backlog;
}

bool
store_stale(struct store *s)
{
	bool stale;

	pthread_mutex_lock(&s->lock);
	stale = s->stale;
	pthread_mutex_unlock(&s->lock);
	return stale;
}

static void
tell_health(struct store *s)
{
	char words[sizeof s->words];
	bool well, news;

	pthread_mutex_lock(&s->lock);
	news = s->health_news;
	s->health_news = false;
	well = s->well;
	memcpy(words, s->words, sizeof words);
	pthread_mutex_unlock(&s->lock);
	if (news && s->options.health != NULL)
		s->options.health(s->options.arg, well, words);
}

/* Calls each done of what is answered by now. */
static void
hear(struct store *s)
{
	struct list heard, *l, *tmp;

	list_init(&heard);
	pthread_mutex_lock(&s->lock);
	splice(&s->answered, &heard);
	pthread_mutex_unlock(&s->lock);
	LIST_FOREACH(l, tmp, &heard) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		s->backlog--;
		if (op->done != NULL)
			op->done(op);
		else
			store_op_free(op);
	}
}

static void
on_answer(struct ev_loop *loop, ev_async *w, int revents)
{
	struct store *s = w->data;

	(void)loop;
	(void)revents;
	tell_health(s);
	hear(s);
}

uint64_t
store_new_id(struct store *s)
{
	uint64_t id = ids_take(s);

	/* Seldom: ids are reserved ahead. */
	if (id != 0)
		return id;
	pthread_mutex_lock(&s->lock);
	while ((id = ids_take(s)) == 0 && s->well && !s->closing) {
		s->ids_wanted = true;
		pthread_cond_signal(&s->wake);
		pthread_cond_wait(&s->told, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return id;
}

uint32_t
store_schedule_id(struct store *s, const char *name, uint64_t *ret_last)
{
	struct store_op *op = store_op_new(STORE_SCHEDULE);
	bool answered = false;
	uint32_t id = 0;

	*ret_last = 0;
	if (op == NULL || strlen(name) >= sizeof op->worker) {
		store_op_free(op);
		return 0;
	}
	memcpy(op->worker, name, strlen(name));
	op->arg = &answered;
	store_flush(s);
	pthread_mutex_lock(&s->lock);
	list_append(&s->waiting, &op->link);
	pthread_cond_signal(&s->wake);
	while (!answered)
		pthread_cond_wait(&s->told, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (op->error == QERR_NONE) {
		id = op->schedule;
		*ret_last = op->existing;
	}
	store_op_free(op);
	return id;
}

/* --- start and end -------------------------------------------------------- */

static void
store_free(struct store *s)
{
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->read_wake);
	pthread_cond_destroy(&s->told);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

static struct store *
store_new(struct ev_loop *loop, const struct store_options *options)
{
	struct store *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (s == NULL)
		return NULL;
	if (options->path != NULL &&
	    (s->path = strdup(options->path)) == NULL) {
		free(s);
		return NULL;
	}
	s->loop = loop;
	s->options = *options;
	s->options.path = s->path;
	s->block = ID_BLOCK;
	s->next_id = s->reserved = 0;
	list_init(&s->added);
	list_init(&s->asked);
	list_init(&s->waiting);
	list_init(&s->asking);
	list_init(&s->answered);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, &attr);
	pthread_cond_init(&s->read_wake, &attr);
	pthread_cond_init(&s->told, &attr);
	pthread_condattr_destroy(&attr);
	ev_async_init(&s->answer, on_answer);
	s->answer.data = s;
	return s;
}

static int
start_threads(struct store *s)
{
	int r = thread_start(&s->writer, STACK_BYTES, store_writer, s);

	if (r < 0)
		return r;
	/* A database in memory has one connection. */
	if (s->path == NULL)
		return 0;
	s->reads = thread_start(&s->reader, STACK_BYTES, store_reader, s) == 0;
	if (!s->reads)
		log_warn("no thread to read tasks by: asking delays commits");
	return 0;
}

int
store_start(struct ev_loop *loop, const struct store_options *options,
    struct store **ret, struct store_found *ret_found)
{
	struct store *s = store_new(loop, options);
	int r;

	*ret = NULL;
	*ret_found = (struct store_found){ 0 };
	if (s == NULL)
		return -ENOMEM;
	/* Before the first use of the library; later it says no, and is right:
	 * what it would count nobody asks for. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	ret_found->unread = writer_open(s, ret_found) != SQLITE_OK;
	ret_found->next_id = s->next_id;
	/* What there is to say waits for the loop to run. */
	ev_async_start(loop, &s->answer);
	if (s->health_news)
		ev_async_send(loop, &s->answer);
	r = start_threads(s);
	if (r < 0) {
		ev_async_stop(loop, &s->answer);
		db_close(&s->db, true);
		store_found_done(ret_found);
		store_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* Waits until something is answered. */
static void
await(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	while (list_empty(&s->answered))
		pthread_cond_wait(&s->told, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void
store_stop(struct store *s)
{
	if (s == NULL)
		return;
	/* A done may add more, which is done, too, within reason. */
	for (int i = 0; s->backlog > 0 && i < STOP_ROUNDS; i++) {
		store_flush(s);
		await(s);
		hear(s);
	}
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_signal(&s->wake);
	pthread_cond_signal(&s->read_wake);
	pthread_mutex_unlock(&s->lock);
	if (s->reads)
		pthread_join(s->reader, NULL);
	pthread_join(s->writer, NULL);
	ev_async_stop(s->loop, &s->answer);
	tell_health(s);
	hear(s);
	store_free(s);
}
