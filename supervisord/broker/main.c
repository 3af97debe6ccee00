/*
 * The broker: the task queue, on one libev loop and the store's threads. It may
 * be killed at any moment: what was accepted is in the store, what is under way
 * is in memory the guardian keeps, together with the workers' sockets and the
 * one that clients connect to. Its channel to the guardian is descriptor 3.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/process.h"
#include "supervisord/broker/broker.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/limits.h"
#include "supervisord/broker/link.h"
#include "supervisord/broker/start.h"
#include "supervisord/proto/ev_memory.h"

#define CHANNEL_FD 3

static int
begin(struct broker *b)
{
	process_setup();
	ev_memory_setup();
	srand48(time(NULL) ^ getpid());
	b->listen_fd = b->flights_fd = -1;
	buf_init(&b->events);
	b->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (b->loop == NULL) {
		log_error("can't start: %s", strerror(errno));
		return 1;
	}
	if (link_init(b, CHANNEL_FD) < 0) {
		fprintf(stderr, "broker: this program is started by "
				"supervisord, not by hand\n");
		return 2;
	}
	b->limits = limits_new(b->loop);
	if (b->limits == NULL || hands_new(b) < 0) {
		log_error("can't start: %s", strerror(ENOMEM));
		return 1;
	}
	return 0;
}

/* Until all that was kept has come, and a config to run by. */
static int
take_handover(struct broker *b)
{
	while (!b->finishing && (!b->told || !b->configured)) {
		struct msg msg;
		int r = peer_wait(&b->guardian, &msg);

		if (r == 1)
			link_guardian(b, &msg);
		else if (r != -EMFILE)
			return r < 0 ? r : -EPIPE;
	}
	return 0;
}

int
main(void)
{
	static struct broker b;
	int r;

	log_init("broker");
	r = begin(&b);
	if (r != 0)
		return r;
	r = take_handover(&b);
	if (r < 0) {
		log_error("the guardian's handover failed: %s", strerror(-r));
		return 1;
	}
	if (!b.finishing)
		r = start_run(&b);
	if (r == 0 && !b.finishing)
		ev_run(b.loop, 0);
	start_end(&b);
	ev_loop_destroy(b.loop);
	return r == 0 && b.finishing ? 0 : 1;
}
