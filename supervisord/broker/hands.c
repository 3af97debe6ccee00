#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

/* So many sockets are served before the loop looks at anybody else. */
#define EVENTS 64

#define MASTER_WORDS (300 * NS_PER_MS)

/* --- the table ------------------------------------------------------------ */

struct hand *
hand_of(struct broker *b, uint32_t slot, uint32_t gen)
{
	const struct {
		uint32_t slot, gen;
	} key = { slot, gen };
	struct hand *h;

	/* NOLINTNEXTLINE(clang-analyzer-core.*): it loses sight of the bytes */
	HASH_FIND(hh, b->hands->table, &key, sizeof key, h);
	return h;
}

_Static_assert(offsetof(struct hand, gen) ==
		   offsetof(struct hand, slot) + sizeof(uint32_t),
    "slot and gen are one key");

static struct hand *
hand_new(struct broker *b, const struct msg_channel *m, int fd)
{
	struct hand *h = calloc(1, sizeof *h);
	struct conn_in *in = calloc(1, sizeof *in);
	size_t name;

	if (h == NULL || in == NULL)
		goto failed;
	h->broker = b;
	h->in = in;
	h->slot = m->slot;
	h->gen = m->gen;
	h->pid = m->pid;
	h->started_mono = m->started_mono;
	h->threads = MAX_OF(m->threads, 1U);
	snprintf(h->name, sizeof h->name, "%s", m->name);
	name = MIN_OF(strcspn(h->name, ":"), sizeof h->worker - 1);
	memcpy(h->worker, h->name, name);
	list_init(&h->pool_link);
	list_init(&h->tasks);
	in->hand = h;
	in->fd = fd;
	list_init(&in->unread);
	list_init(&in->unsent);
	buf_init(&in->in);
	buf_init(&in->out);
	HASH_ADD(hh, b->hands->table, slot, sizeof(uint32_t) * 2, h);
	if (h->hh.tbl != NULL)
		return h;
failed:
	free(h);
	free(in);
	return NULL;
}

void
hand_free(struct hand *h)
{
	struct conn_in *in = h->in;
	struct limits *limits = h->broker->limits;

	hand_poll(h, false);
	limit_clear(limits, &in->partial);
	limit_clear(limits, &in->limit);
	limit_clear(limits, &in->judgment);
	list_remove(&in->unread);
	list_remove(&in->unsent);
	HASH_DEL(h->broker->hands->table, h);
	for (char **f = h->functions; f != NULL && *f != NULL; f++)
		free(*f);
	free(h->functions);
	free(h->functions_json);
	if (h->slots != NULL)
		munmap(h->slots, in->slots_size);
	buf_done(&in->in);
	buf_done(&in->out);
	close(in->fd);
	free(in->words);
	free(in);
	free(h);
}

struct hand *
hands_find(struct broker *b, const char *instance)
{
	struct hand *h, *tmp;

	HASH_ITER(hh, b->hands->table, h, tmp)
	{
		if (h->up && !h->in->exited && strcmp(h->name, instance) == 0)
			return h;
	}
	return NULL;
}

void
hands_each(struct broker *b, void (*each)(struct hand *h, void *arg), void *arg)
{
	struct hand *h, *tmp;

	HASH_ITER(hh, b->hands->table, h, tmp)
	{
		if (h->up && !h->in->exited)
			each(h, arg);
	}
}

/* --- what a hand is asked for, and if it may be given anything ------------ */

void
hand_update(struct hand *h)
{
	const struct conn_in *in = h->in;
	bool closed = h->stopping || in->finishing || in->draining ||
		      in->broken || in->shut || in->exited || in->asked != 0 ||
		      in->doomed > 0;

	if (!h->up || closed == h->closed || in->judged)
		return;
	h->closed = closed;
	core_hand_closed(h->broker, h, closed);
}

static void
send_replace(const struct hand *h, enum replace_how how, const char *why)
{
	struct msg_replace m = { h->slot, h->gen, (uint32_t)how, 0 };

	peer_send(
	    &h->broker->master, MSG_REPLACE, &m, why, strlen(why) + 1, -1);
}

static void
send_ask(const struct hand *h)
{
	send_replace(
	    h, (enum replace_how)((uint32_t)h->in->asked - 1), h->in->why);
}

void
hand_ask_recycle(const struct hand *h)
{
	char why[128];

	/* It goes on with tasks until the master says STOPPING. */
	snprintf(why, sizeof why, "it has done %llu tasks (recycle.max_tasks)",
	    (unsigned long long)h->served);
	send_replace(h, REPLACE_DRAIN, why);
}

void
hand_ask_relief(const struct hand *h)
{
	send_replace(h, h->in->relieved ? REPLACE_SOON : REPLACE_NOT, "");
}

void
hand_tell_up(const struct hand *h)
{
	struct msg_slot slot = { h->slot, h->gen };

	peer_send(&h->broker->master, MSG_HAND_UP, &slot, NULL, 0, -1);
}

void
hand_ask(struct hand *h, enum replace_how how, const char *fmt, ...)
{
	struct conn_in *in = h->in;
	va_list ap;

	if (in->exited || in->asked > (uint8_t)how)
		return;
	va_start(ap, fmt);
	vsnprintf(in->why, sizeof in->why, fmt, ap);
	va_end(ap);
	in->asked = (uint8_t)(1 + how);
	log_info("%s: %s: %s", h->name,
	    how == REPLACE_DRAIN ? "to be replaced" : "to be killed", in->why);
	send_ask(h);
	hand_update(h);
}

void
hand_broke(struct hand *h, const char *fmt, ...)
{
	struct conn_in *in = h->in;
	char words[200];
	va_list ap;

	if (in->broken)
		return;
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	in->broken = true;
	hand_poll(h, false);
	list_remove(&in->unread);
	list_remove(&in->unsent);
	buf_done(&in->out);
	in->out_at = 0;
	broker_event(h->broker, h->name, "task",
	    "it broke the worker protocol (%s): it is killed", words);
	hand_ask(h, REPLACE_BROKEN, "it broke the worker protocol: %s", words);
	hand_update(h);
}

void
hands_master_up(struct broker *b)
{
	struct hand *h, *tmp;

	HASH_ITER(hh, b->hands->table, h, tmp)
	{
		if (h->up && !h->in->exited)
			hand_tell_up(h);
		if ((h->in->relief_said || h->in->adopted) && !h->in->exited)
			hand_ask_relief(h);
		if (h->in->asked != 0 && !h->in->exited)
			send_ask(h);
		else if (h->in->recycling && !h->in->exited)
			hand_ask_recycle(h);
		/* It says first who is being stopped. */
		if (limit_is_set(&h->in->judgment))
			hand_wait_for_words(h, MASTER_WORDS);
	}
}

/* --- the poller ----------------------------------------------------------- */

void
hand_poll(struct hand *h, bool on)
{
	/* Not for writing before it is full: each time the worker has read
	 * something would wake this process. */
	struct epoll_event e = { .events = EPOLLIN | EPOLLET,
		.data.u64 = hand_key(h->slot, h->gen) };

	if (on == h->in->polled)
		return;
	if (on && h->in->full)
		e.events |= EPOLLOUT;
	if (epoll_ctl(h->broker->hands->poller,
		on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, h->in->fd, &e) < 0) {
		log_error("can't watch %s: %s", h->name, strerror(errno));
		return;
	}
	h->in->polled = on;
}

void
hand_poll_room(struct hand *h, bool full)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET,
		.data.u64 = hand_key(h->slot, h->gen) };

	if (full == h->in->full)
		return;
	h->in->full = full;
	if (full)
		e.events |= EPOLLOUT;
	if (h->in->polled && epoll_ctl(h->broker->hands->poller, EPOLL_CTL_MOD,
				 h->in->fd, &e) < 0)
		log_error("can't watch %s: %s", h->name, strerror(errno));
}

static void
some_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct hands *all = CONTAINER_OF(io, struct hands, io);
	struct epoll_event ready[EVENTS];
	int n = epoll_wait(all->poller, ready, EVENTS, 0);

	(void)loop;
	(void)events;
	for (int i = 0; i < n; i++) {
		uint64_t key = ready[i].data.u64;
		struct hand *h =
		    hand_of(all->broker, (uint32_t)(key >> 32), (uint32_t)key);

		if (h == NULL)
			continue;
		if (h->in->full && (ready[i].events & EPOLLOUT))
			hand_flush(h);
		hand_read(h);
	}
}

static void
read_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct hands *all = CONTAINER_OF(timer, struct hands, again);
	struct list now, *l;

	(void)loop;
	(void)events;
	list_init(&now);
	while (!list_empty(&all->unread)) {
		l = all->unread.next;
		list_remove(l);
		list_append(&now, l);
	}
	while (!list_empty(&now)) {
		l = now.next;
		list_remove(l);
		hand_read(LIST_ENTRY(l, struct conn_in, unread)->hand);
	}
}

int
hands_new(struct broker *b)
{
	struct hands *all = calloc(1, sizeof *all);
	int r;

	if (all == NULL)
		return -ENOMEM;
	all->broker = b;
	list_init(&all->unread);
	list_init(&all->unsent);
	list_init(&all->ended);
	list_init(&all->retried);
	list_init(&all->deaths);
	all->poller = epoll_create1(EPOLL_CLOEXEC);
	if (all->poller < 0) {
		r = -errno;
		free(all);
		return r;
	}
	ev_io_init(&all->io, some_ready, all->poller, EV_READ);
	ev_io_start(b->loop, &all->io);
	ev_timer_init(&all->again, read_again, 0., 0.);
	b->hands = all;
	return 0;
}

void
hands_free(struct broker *b)
{
	struct hands *all = b->hands;
	struct hand *h, *tmp;

	if (all == NULL)
		return;
	HASH_ITER(hh, all->table, h, tmp)
	hand_free(h);
	hands_forget_deaths(all);
	limit_clear(b->limits, &all->retry);
	ev_io_stop(b->loop, &all->io);
	ev_timer_stop(b->loop, &all->again);
	close(all->poller);
	free(all);
	b->hands = NULL;
}

/* --- from the guardian and the master ------------------------------------- */

void
hands_channel(struct broker *b, const struct msg_channel *m, int fd)
{
	struct hand *h = hand_of(b, m->slot, m->gen);
	int flags = fcntl(fd, F_GETFL);

	if (h != NULL || flags < 0) {
		log_error("%s: its task socket came twice", m->name);
		close(fd);
		return;
	}
	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	h = hand_new(b, m, fd);
	if (h == NULL) {
		log_error("%s: no memory for it", m->name);
		close(fd);
		return;
	}
	if (b->running && !b->hands->telling)
		hand_begin(h);
}

/* Its size can't be changed and is what its head says, so that reading it
 * faults nobody. */
static bool
slots_well(int fd, size_t *ret_size)
{
	struct wire_slots head;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) < 0 ||
	    pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
	    head.magic != WIRE_SLOTS_MAGIC || head.threads < 1 ||
	    head.threads > WIRE_THREADS_MAX)
		return false;
	*ret_size = wire_slots_size(head.threads);
	return st.st_size >= (off_t)*ret_size;
}

void
hands_slots(struct broker *b, uint32_t slot, uint32_t gen, int fd)
{
	struct hand *h = hand_of(b, slot, gen);
	size_t size;
	void *p;

	if (h == NULL || h->slots != NULL)
		goto out;
	if (!slots_well(fd, &size)) {
		log_error("%s: its slots are not what they should be", h->name);
		goto out;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		log_error(
		    "%s: can't map its slots: %s", h->name, strerror(errno));
		goto out;
	}
	h->slots = p;
	h->in->slots_size = size;
out:
	close(fd);
}

/* Of one this broker has not heard of, or whose end it has settled: there is
 * nothing to be finished. */
static void
unknown(struct broker *b, const struct msg_stopping *m)
{
	struct msg_slot slot = { m->slot, m->gen };

	if (m->stopping == STOPPING_WHEN_DONE)
		peer_send(&b->master, MSG_HAND_IDLE, &slot, NULL, 0, -1);
}

void
hands_stopping(struct broker *b, const struct msg_stopping *m)
{
	struct hand *h = hand_of(b, m->slot, m->gen);

	if (h == NULL) {
		unknown(b, m);
		return;
	}
	h->stopping = m->stopping == STOPPING_NOW;
	h->in->finishing = m->stopping == STOPPING_WHEN_DONE;
	if (h->in->kept != NULL)
		h->in->kept->stopping = (uint8_t)m->stopping;
	if (h->stopping && h->up && !h->in->drained && !h->in->exited) {
		h->in->drained = true;
		if (h->in->kept != NULL)
			h->in->kept->drained = 1;
		hand_say(h, WIRE_DRAIN, 0);
	}
	hand_update(h);
	/* It may have been up before the master knew of it. */
	if (m->stopping == STOPPING_NOT && h->up && !h->in->exited)
		hand_tell_up(h);
	if (h->in->finishing)
		hand_finish(h);
	if (limit_is_set(&h->in->judgment))
		hand_exited(h);
}

/* --- from the core -------------------------------------------------------- */

bool
hands_give(struct hand *h, struct task *t)
{
	struct broker *b = h->broker;
	struct flight *f;

	f = flights_add(b->flights, t->row.id, t->row.attempts, h->slot, h->gen,
	    t->sent_mono);
	if (f == NULL) {
		log_error("%s: no memory to give it task %llu", h->name,
		    (unsigned long long)t->row.id);
		core_returned(b, t);
		return false;
	}
	f->hand = h;
	f->task = t;
	h->in->flights++;
	hand_flight_begins(f);
	hand_say_task(h, t);
	return true;
}

void
hands_recall(struct task *t)
{
	if (t->hand != NULL)
		hand_say(t->hand, WIRE_RECALL, t->row.id);
}

void
hands_turn(struct broker *b)
{
	struct hands *all = b->hands;
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->unsent) {
		struct conn_in *in = LIST_ENTRY(l, struct conn_in, unsent);

		if (!in->full)
			hand_flush(in->hand);
	}
	hands_settle(all);
}
