/*
 * The logger: moves what workers write into files. Started by the guardian
 * with its channel as descriptor 3; see proto/messages.def for what it is told.
 *
 * It wakes late: a pipe that gets bytes starts a short wait, in which only
 * the channels are watched; then every pipe that has bytes is emptied. A busy
 * pipe is not waited for by its edge but looked at again when it should be
 * half full. Idle, nothing wakes it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/logger/flow.h"
#include "supervisord/logger/orphan.h"
#include "supervisord/logger/pack.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/peers.h"
#include "supervisord/logger/sink.h"
#include "supervisord/logger/stream.h"
#include "supervisord/logger/syslog.h"

#define GUARDIAN    3
#define BATCH_MIN   (50 * 1000LL)
#define BATCH_MAX   (3 * NS_PER_MS)
#define FINISH_TIME (3 * NS_PER_SEC)

/* When the pipes have their next turn; INT64_MAX: when one says so. */
static int64_t turn_at = INT64_MAX;
/* How long after its edge: less while pipes are filled faster than that. */
static int64_t batch = BATCH_MAX;

enum watched {
	GUARDIAN_FD,
	MASTER_FD,
	ORPHAN_FD,
	PACK_FD,
	ROOM_FD,
	PIPES_FD
};

static int
start(void)
{
	/* Sent to a group or a cgroup as a whole; the logger is the last who
	 * may go, and goes by FINISH. */
	static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM,
		SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ, SIGTSTP, SIGTTOU };
	int r;

	log_init("logger");
	for (size_t i = 0; i < N_ELEMENTS(ignored); i++)
		signal(ignored[i], SIG_IGN);
	r = peers_init(GUARDIAN);
	if (r < 0) {
		fprintf(stderr,
		    "logger: started by supervisord, not by hand: no channel "
		    "as descriptor 3 (%s)\n",
		    strerror(-r));
		return 2;
	}
	if ((r = sinks_init()) < 0 || (r = stream_init()) < 0 ||
	    (r = peek_init()) < 0 ||
	    (r = flow_init(getenv("SUPERVISORD_DEV_LOG"))) < 0) {
		log_error("can't start: %s", strerror(-r));
		return 1;
	}
	return 0;
}

static void
until(struct timespec *ts, int64_t when)
{
	int64_t left = when - clock_mono();

	if (left < 0)
		left = 0;
	ts->tv_sec = left / NS_PER_SEC;
	ts->tv_nsec = left % NS_PER_SEC;
}

static void
watch(struct pollfd f[PIPES_FD + 1])
{
	f[GUARDIAN_FD] = (struct pollfd){ peers_guardian(), POLLIN, 0 };
	f[MASTER_FD] =
	    (struct pollfd){ peers_master(), peers_master_events(), 0 };
	f[ORPHAN_FD] = (struct pollfd){ orphan_fd(), orphan_events(), 0 };
	f[PACK_FD] = (struct pollfd){ pack_fd(), POLLIN, 0 };
	f[ROOM_FD] = (struct pollfd){ flow_poller(), POLLIN, 0 };
	/* Not while their turn is set, nor while they are another's. */
	f[PIPES_FD] = (struct pollfd){
		turn_at == INT64_MAX && !orphan_silent() ? stream_poller() : -1,
		POLLIN, 0
	};
}

static void
wait_and_serve(bool busy)
{
	struct pollfd f[PIPES_FD + 1];
	int64_t when = orphan_silent() ? orphan_deadline()
				       : MIN_OF(sinks_next_retry(), turn_at);
	struct timespec ts;

	watch(f);
	until(&ts, busy ? 0 : when);
	if (ppoll(f, N_ELEMENTS(f), busy || when != INT64_MAX ? &ts : NULL,
		NULL) <= 0)
		return;
	if (f[GUARDIAN_FD].revents != 0) {
		peers_read_guardian();
		if (peers_guardian() < 0)
			orphan_begin();
	}
	if (f[MASTER_FD].revents != 0 && f[MASTER_FD].fd == peers_master())
		peers_serve_master();
	if (f[PACK_FD].revents != 0)
		pack_ended();
	if (f[ROOM_FD].revents != 0)
		flow_wake();
	if (f[PIPES_FD].revents != 0)
		turn_at = clock_mono() + batch;
}

static void
turn(void)
{
	int64_t now = clock_mono(), wait;

	if (orphan_silent())
		return;
	sinks_retry(now);
	if (turn_at > now && !stream_ready())
		return;
	stream_collect();
	wait = stream_round();
	if (wait < 0) {
		turn_at = INT64_MAX;
		batch = MIN_OF(batch * 3 / 2, BATCH_MAX);
	} else {
		turn_at = wait == 0 ? now : clock_mono() + wait;
		batch = MAX_OF(wait, BATCH_MIN);
	}
}

int
main(void)
{
	bool busy = false;
	int r = start();

	if (r != 0)
		return r;
	while (!peers_finish() && !orphan_done()) {
		wait_and_serve(busy);
		turn();
		busy = pack_next();
		orphan_serve();
		peers_tell();
	}
	if (peers_finish()) {
		syslog_last_lines();
		stream_drain_all(clock_mono() + FINISH_TIME);
	}
	sinks_finish();
	orphan_end();
	return 0;
}
