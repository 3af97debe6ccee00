#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "workers/runtime/link_int.h"

/* How long the lead may lie, and an answer wait for company. */
#define TICK_MS 1
/* With tasks no longer than this (ns) the lead may lie so long: several of
 * them are over before. */
#define SHORT_TASK  (2 * NS_PER_MS)
#define PATIENCE_MS 8

/* When the process is to end, a connection younger than this may yet be asked
 * for something: its client has heard of no end. */
#define YOUNG (2 * NS_PER_SEC)

static volatile sig_atomic_t terminated;

void
link_terminate(void)
{
	uint64_t one = 1;
	int saved = errno;

	terminated = 1;
	(void)!write(the_link.kick_fd, &one, sizeof one);
	errno = saved;
}

static bool
over_locked(void)
{
	return the_link.draining && the_link.first == NULL &&
	       the_link.running == 0 && the_link.serving == 0 &&
	       (the_link.lost || outbox_empty(&the_link.out)) &&
	       !the_link.flushing;
}

static void
end_locked(void)
{
	uint64_t one = 1;

	the_link.ending = true;
	(void)!write(the_link.stop_fd, &one, sizeof one);
	pthread_cond_broadcast(&the_link.idle);
}

/* Takes up a lead that has lain since the last look, or has it taken up. */
static void
mind_lead_locked(uint64_t *seen)
{
	if (the_link.leader == LEAD_WATCHER && the_link.lead_wanted) {
		the_link.leader = LEAD_NOBODY;
		the_link.leads++;
		pthread_cond_signal(&the_link.idle);
	}
	the_link.lead_wanted = false;
	if (the_link.leader != LEAD_NOBODY)
		return;
	if (*seen == the_link.leads) {
		if (the_link.waiting > 0)
			pthread_cond_signal(&the_link.idle);
		else
			the_link.leader = LEAD_WATCHER;
	}
	*seen = the_link.leads;
}

/*
 * How long the lead may lie on, in ms: with no idle thread to take it up and
 * tasks so short, one of the busy ones is back soon and reads for itself, which
 * costs no change of threads.
 */
static int
patience_locked(void)
{
	bool soon = the_link.waiting == 0 && the_link.serving == 0 &&
		    the_link.mean < SHORT_TASK && outbox_empty(&the_link.out);

	return soon ? PATIENCE_MS : TICK_MS;
}

/* Does what is due; how long to wait then, in ms, -1: until woken. */
static int
look_locked(uint64_t *seen)
{
	bool quiet;

	if (terminated)
		link_drain_locked(true);
	if (the_link.fd < 0 || the_link.lost) {
		the_link.watcher_asleep = true;
		return -1;
	}
	mind_lead_locked(seen);
	if (!outbox_empty(&the_link.out) &&
	    (the_link.draining ||
		clock_mono() - the_link.out_since > TICK_MS * NS_PER_MS))
		io_flush_locked();
	quiet = the_link.leader != LEAD_NOBODY &&
		(outbox_empty(&the_link.out) || the_link.blocked);
	the_link.watcher_asleep = quiet;
	return quiet ? -1 : patience_locked();
}

/* Ends the reading of connections that are old enough; how long until the next
 * one is, in ms, or -1. */
static int
hush_locked(void)
{
	int64_t now = clock_mono(), next = -1;

	for (unsigned i = 0; i < the_link.count; i++) {
		struct thread *t = &the_link.threads[i];
		int64_t left = t->began + YOUNG - now;

		if (t->connection < 0 || t->hushed)
			continue;
		if (left > 0) {
			next = next < 0 || left < next ? left : next;
			continue;
		}
		t->hushed = true;
		shutdown(t->connection, SHUT_RD);
	}
	return next < 0 ? -1 : (int)(next / NS_PER_MS) + 1;
}

static void
wait_and_read(int timeout, bool leads, bool blocked)
{
	struct pollfd p[2] = {
		{ .fd = the_link.kick_fd, .events = POLLIN },
		{ .fd = leads ? the_link.fd : -1,
		    .events = (short)(POLLIN | (blocked ? POLLOUT : 0)) },
	};
	uint64_t n;

	if (poll(p, 2, timeout) <= 0)
		return;
	if ((p[0].revents & POLLNVAL) != 0)
		link_closed(the_link.kick_fd, "what wakes the watcher");
	if (p[0].revents != 0)
		(void)!read(the_link.kick_fd, &n, sizeof n);
	if ((p[1].revents & POLLOUT) != 0)
		io_writable();
	if ((p[1].revents & ~POLLOUT) != 0)
		io_read();
}

void
link_watch(void)
{
	uint64_t seen = UINT64_MAX;

	for (;;) {
		bool leads, blocked;
		int timeout, hush;

		pthread_mutex_lock(&the_link.mutex);
		timeout = look_locked(&seen);
		if (over_locked())
			break;
		hush = the_link.draining ? hush_locked() : -1;
		if (hush >= 0 && (timeout < 0 || hush < timeout))
			timeout = hush;
		leads = the_link.leader == LEAD_WATCHER && !the_link.lost;
		blocked = the_link.blocked;
		pthread_mutex_unlock(&the_link.mutex);
		wait_and_read(timeout, leads, blocked);
	}
	end_locked();
	pthread_mutex_unlock(&the_link.mutex);
}
