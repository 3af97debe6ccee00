#include "workers/runtime/link.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "workers/runtime/connection.h"
#include "workers/runtime/link_int.h"

/* 20 messages a second, and as many at once. */
#define PROGRESS_PRICE (NS_PER_SEC / 20)
#define PROGRESS_BURST NS_PER_SEC

struct link the_link = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.idle = PTHREAD_COND_INITIALIZER,
	.fd = -1,
	.poller = -1,
	.kick_fd = -1,
	.stop_fd = -1,
};

/* One byte that the kernel clears in every child: who reads 0 is one. */
static const char *own_mark;

bool
link_in_child(void)
{
	return own_mark != NULL && *own_mark == 0;
}

/* The child of a handler's fork has no part in the protocol. */
static void
in_child(void)
{
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	if (the_link.fd >= 0)
		close(the_link.fd);
	close(the_link.poller);
	close(the_link.kick_fd);
	close(the_link.stop_fd);
	slots_disown(&the_link.slots);
}

static int
mark_own(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*p = 1;
	if (madvise(p, 4096, MADV_WIPEONFORK) < 0)
		return -errno;
	own_mark = p;
	return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : -ENOMEM;
}

static int
poll_for(int fd, uint32_t what)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(the_link.poller, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno
								     : 0;
}

static int
open_socket(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		log_error("descriptor %d (%s) is no socket", fd, WIRE_ENV_FD);
		return EXIT_SOCKET;
	}
	the_link.fd = fd;
	the_link.fd_dev = st.st_dev;
	the_link.fd_ino = st.st_ino;
	return poll_for(fd, WATCHED_SOCKET) < 0 ? EXIT_SOCKET : 0;
}

int
link_open(const struct engine *engine, unsigned threads, int fd, int slots_fd)
{
	the_link.engine = engine;
	the_link.count = threads;
	the_link.mean = NS_PER_MS;
	the_link.threads = calloc(threads, sizeof *the_link.threads);
	the_link.poller = epoll_create1(EPOLL_CLOEXEC);
	the_link.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	the_link.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (the_link.threads == NULL || the_link.poller < 0 ||
	    the_link.kick_fd < 0 || the_link.stop_fd < 0 || mark_own() < 0 ||
	    frames_init(&the_link.in) < 0 ||
	    slots_open(&the_link.slots, slots_fd, threads) < 0 ||
	    poll_for(the_link.stop_fd, WATCHED_STOP) < 0) {
		log_error("cannot start: %s", strerror(errno));
		return EXIT_MEMORY;
	}
	for (unsigned i = 0; i < threads; i++) {
		struct thread *t = &the_link.threads[i];

		t->index = i;
		t->engine = engine;
		t->connection = -1;
		t->slot = &the_link.slots.slot[i];
		/* Who reads HELLO shall see that the slots are written. */
		slot_hello(t->slot);
	}
	return fd >= 0 ? open_socket(fd) : 0;
}

void
link_close(void)
{
	frames_done(&the_link.in);
	outbox_done(&the_link.out);
	free(the_link.threads);
	the_link.threads = NULL;
	the_link.count = 0;
}

void
link_die(int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("%s", text);
	/* Who did it is among those whose answers can't be given any more:
	 * they are found by the broker as if they still ran. Unlocked, as
	 * nothing can be made worse. */
	for (unsigned i = 0; status == EXIT_CLOSED && i < the_link.count; i++) {
		struct thread *t = &the_link.threads[i];

		if (t->last != 0 && t->last_end > the_link.out.sent &&
		    __atomic_load_n(&t->slot->task, __ATOMIC_RELAXED) == 0)
			slot_task(t->slot, t->last, 0, clock_mono());
	}
	_exit(status);
}

void
link_closed(int fd, const char *what)
{
	link_die(EXIT_CLOSED,
	    "descriptor %d, %s, was closed by a handler: a module may close "
	    "only what it opened",
	    fd, what);
}

void
link_kick_locked(void)
{
	uint64_t one = 1;

	the_link.watcher_asleep = false;
	(void)!write(the_link.kick_fd, &one, sizeof one);
}

bool
link_draining(void)
{
	return __atomic_load_n(&the_link.draining, __ATOMIC_RELAXED);
}

bool
link_crowded(void)
{
	bool taken, tasks;

	/* In a child the mutex may be locked for ever. */
	if (link_in_child())
		return false;
	pthread_mutex_lock(&the_link.mutex);
	taken = the_link.waiting == 0 && the_link.leader != LEAD_THREAD;
	tasks = the_link.first != NULL;
	pthread_mutex_unlock(&the_link.mutex);
	return taken && (tasks || connection_waits());
}

void
link_hello(const char *json, size_t size)
{
	pthread_mutex_lock(&the_link.mutex);
	link_answer_locked(WIRE_HELLO, 0, 0, json, size);
	io_flush_locked();
	pthread_mutex_unlock(&the_link.mutex);
}

void
link_answer_locked(
    uint8_t type, uint16_t slot, uint64_t id, const void *body, size_t size)
{
	if (the_link.lost || the_link.fd < 0)
		return;
	if (outbox_empty(&the_link.out))
		the_link.out_since = clock_mono();
	if (!outbox_frame(&the_link.out, type, 0, slot, id, body, size))
		link_die(EXIT_MEMORY, "no memory for an answer");
}

/* --- the queue --- */

void
link_take_locked(struct job *first, struct job *last, unsigned count)
{
	if (first == NULL)
		return;
	if (the_link.last != NULL)
		the_link.last->next = first;
	else
		the_link.first = first;
	the_link.last = last;
	the_link.queued += count;
	if (!the_link.draining)
		return;
	while ((first = the_link.first) != NULL) {
		the_link.first = first->next;
		link_answer_locked(WIRE_RETURNED, 0, first->id, NULL, 0);
		free(first);
	}
	the_link.last = NULL;
	the_link.queued = 0;
}

struct job *
link_unqueue_locked(uint64_t id)
{
	struct job *before = NULL, *j = the_link.first;

	while (j != NULL && j->id != id) {
		before = j;
		j = j->next;
	}
	if (j == NULL)
		return NULL;
	if (before != NULL)
		before->next = j->next;
	else
		the_link.first = j->next;
	if (the_link.last == j)
		the_link.last = before;
	the_link.queued--;
	j->next = NULL;
	return j;
}

void
link_drain_locked(bool say)
{
	struct job *first = the_link.first, *last = the_link.last;
	unsigned count = the_link.queued;

	if (the_link.draining)
		return;
	__atomic_store_n(&the_link.draining, true, __ATOMIC_RELAXED);
	if (say)
		link_answer_locked(WIRE_DRAINING, 0, 0, NULL, 0);
	the_link.first = the_link.last = NULL;
	the_link.queued = 0;
	link_take_locked(first, last, count);
	connection_refuse(the_link.poller);
	link_kick_locked();
}

void
link_lost_locked(void)
{
	if (the_link.lost)
		return;
	the_link.lost = true;
	(void)epoll_ctl(the_link.poller, EPOLL_CTL_DEL, the_link.fd, NULL);
	if (!the_link.flushing)
		outbox_clear(&the_link.out);
	the_link.draining = false;
	link_drain_locked(false);
}

/* --- a thread's next --- */

static void
begin_locked(struct thread *t, struct work *ret)
{
	struct job *j = the_link.first;

	the_link.first = j->next;
	if (j->next == NULL)
		the_link.last = NULL;
	the_link.queued--;
	the_link.running++;
	t->job = j;
	t->began = clock_mono();
	t->told_at = t->began;
	t->told_tokens = PROGRESS_BURST;
	__atomic_store_n(&t->cancelled, false, __ATOMIC_RELAXED);
	slot_task(t->slot, j->id, j->attempt, t->began);
	if (!the_link.slots.shared) {
		link_answer_locked(
		    WIRE_START, (uint16_t)t->index, j->id, NULL, 0);
		io_flush_locked();
	}
	if (the_link.watcher_asleep &&
	    (the_link.leader == LEAD_NOBODY || !outbox_empty(&the_link.out)))
		link_kick_locked();
	ret->job = j;
}

/*
 * The lead has been laid down. How many to wake: as many as there is work for,
 * counted in what a wake-up costs, and one to lead if the work in hand looks
 * long.
 */
static unsigned
hand_over_locked(bool busy)
{
	unsigned mine = busy ? 0 : 1, wake = 0;
	unsigned more = the_link.queued > mine ? the_link.queued - mine : 0;

	if (!busy && the_link.queued == 0)
		return 0;
	if (the_link.waiting > 0) {
		int64_t worth = more * the_link.mean * 2 / LINK_LONG;

		wake = worth < more ? (unsigned)worth : more;
		if (busy && more > 0 && wake == 0)
			wake = 1;
		if (busy || the_link.mean > LINK_LONG)
			wake++;
	}
	wake = MIN_OF(wake, the_link.waiting);
	/* Who wakes takes the lead up, or begins a task and sees to it. */
	if (wake == 0 && the_link.watcher_asleep && the_link.fd >= 0)
		link_kick_locked();
	return wake;
}

/* Waits for what comes first; without the mutex. */
static void
lead(struct work *ret)
{
	struct epoll_event e[4];
	int n = epoll_wait(the_link.poller, e, N_ELEMENTS(e), -1);

	if (n < 0 && errno != EINTR)
		link_closed(the_link.poller, "what threads wait with");
	for (int i = 0; i < n; i++) {
		uint32_t what = e[i].data.u32;

		if (what == WATCHED_SOCKET) {
			if ((e[i].events & EPOLLOUT) != 0)
				io_writable();
			if ((e[i].events & ~(uint32_t)EPOLLOUT) != 0)
				io_read();
		} else if (what >= WATCHED_LISTENER && ret->connection < 0) {
			ret->listener = (int)(what - WATCHED_LISTENER);
			ret->connection = connection_accept(ret->listener);
		}
	}
}

static void
wake_idle(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pthread_cond_signal(&the_link.idle);
}

/* True: ret has a connection. */
static bool
lead_locked(struct thread *t, struct work *ret)
{
	the_link.leader = LEAD_THREAD;
	pthread_mutex_unlock(&the_link.mutex);
	lead(ret);
	pthread_mutex_lock(&the_link.mutex);
	the_link.leader = LEAD_NOBODY;
	the_link.leads++;
	if (ret->connection >= 0) {
		t->connection = ret->connection;
		t->began = clock_mono();
		t->hushed = false;
		the_link.serving++;
		if (the_link.draining)
			link_kick_locked();
	}
	ret->wake = hand_over_locked(ret->connection >= 0);
	return ret->connection >= 0;
}

static bool
next_locked(struct thread *t, struct work *ret)
{
	for (;;) {
		if (the_link.first != NULL) {
			begin_locked(t, ret);
			return true;
		}
		if (!outbox_empty(&the_link.out) && !the_link.flushing &&
		    !the_link.blocked) {
			io_flush_locked();
			continue;
		}
		if (the_link.ending)
			return false;
		if (the_link.draining)
			link_kick_locked();
		if (the_link.leader == LEAD_NOBODY) {
			if (lead_locked(t, ret))
				return true;
			wake_idle(ret->wake);
			ret->wake = 0;
			continue;
		}
		if (the_link.leader == LEAD_WATCHER && !the_link.lead_wanted) {
			the_link.lead_wanted = true;
			link_kick_locked();
		}
		the_link.waiting++;
		pthread_cond_wait(&the_link.idle, &the_link.mutex);
		the_link.waiting--;
	}
}

bool
link_next(struct thread *t, struct work *ret)
{
	bool more;

	*ret = (struct work){ .job = NULL, .listener = -1, .connection = -1 };
	pthread_mutex_lock(&the_link.mutex);
	more = next_locked(t, ret);
	pthread_mutex_unlock(&the_link.mutex);
	/* Only now: who wakes needs the mutex. */
	wake_idle(ret->wake);
	return more;
}

/* --- what a thread has done --- */

static void
put_answer_locked(struct thread *t, int64_t now)
{
	if (the_link.lost || the_link.fd < 0) {
		free(t->letter);
		t->letter = NULL;
		return;
	}
	if (outbox_empty(&the_link.out))
		the_link.out_since = now;
	if (t->letter != NULL)
		outbox_add(&the_link.out, t->letter);
	else if (!outbox_frame(&the_link.out, t->answer, t->answer_flags,
		     (uint16_t)t->index, t->job->id, t->small, t->small_size))
		link_die(EXIT_MEMORY, "no memory for an answer");
	t->letter = NULL;
	t->last = t->job->id;
	t->last_end = the_link.out.added;
}

void
link_finish(struct thread *t)
{
	int64_t now = clock_mono();
	struct job *j;

	pthread_mutex_lock(&the_link.mutex);
	/* No longer to blame for anything, then answered: the other way round
	 * a crash in between would be held against a task that is done. */
	slot_idle(t->slot, now);
	put_answer_locked(t, now);
	j = t->job;
	t->job = NULL;
	the_link.running--;
	the_link.mean += (now - t->began - the_link.mean) / 8;
	/* Soon there will be more to go with it; but not for long. */
	if (the_link.first != NULL &&
	    (the_link.mean > LINK_LONG || now - the_link.out_since > LINK_LONG))
		io_flush_locked();
	pthread_mutex_unlock(&the_link.mutex);
	free(j);
}

void
link_served(struct thread *t)
{
	int fd;

	pthread_mutex_lock(&the_link.mutex);
	fd = t->connection;
	t->connection = -1;
	the_link.serving--;
	slot_idle(t->slot, clock_mono());
	pthread_mutex_unlock(&the_link.mutex);
	close(fd);
}

/* A handler that tells each step of a million is heard now and then. */
static bool
may_tell_locked(struct thread *t)
{
	int64_t now = clock_mono(), gained = now - t->told_at;

	t->told_at = now;
	t->told_tokens = MIN_OF(t->told_tokens + gained, PROGRESS_BURST);
	if (t->told_tokens < PROGRESS_PRICE)
		return false;
	t->told_tokens -= PROGRESS_PRICE;
	return true;
}

void
link_progress(struct thread *t, uint32_t share, const char *text, size_t size)
{
	uint8_t body[sizeof share + 1024];

	size = MIN_OF(size, sizeof body - sizeof share);
	for (int i = 0; i < 4; i++)
		body[i] = (uint8_t)(share >> (8 * i));
	if (size > 0)
		memcpy(body + sizeof share, text, size);
	pthread_mutex_lock(&the_link.mutex);
	if (t->job != NULL && !the_link.blocked && may_tell_locked(t)) {
		link_answer_locked(WIRE_PROGRESS, (uint16_t)t->index,
		    t->job->id, body, sizeof share + size);
		io_flush_locked();
	}
	pthread_mutex_unlock(&the_link.mutex);
}
