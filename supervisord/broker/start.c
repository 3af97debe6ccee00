#include "supervisord/broker/start.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/clients.h"
#include "supervisord/broker/config.h"
#include "supervisord/broker/core.h"
#include "supervisord/broker/flights.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/limits.h"
#include "supervisord/broker/schedule.h"
#include "supervisord/broker/start_shared.h"
#include "supervisord/broker/stores.h"

void
start_configure(struct broker *b, int fd)
{
	struct broker next = { 0 };
	struct buf why;

	buf_init(&why);
	if (config_read(fd, &next, &why) < 0) {
		log_error("the broker's config can't be used, the one before "
			  "stays: %s",
		    buf_text(&why));
		buf_done(&why);
		return;
	}
	buf_done(&why);
	config_swap(b, &next);
	log_setup((enum log_level)b->log_level, b->log_json, -1);
	if (b->running) {
		start_shared(b);
		core_configure(b);
		hands_configure(b);
		clients_configure(b);
		schedules_configure(b);
	}
	config_done(&next);
}

/* --- the store ------------------------------------------------------------ */

static void
health(void *arg, bool well, const char *words)
{
	struct broker *b = arg;

	if (words[0] == '\0' && well && b->store_words[0] != '\0')
		words = "the task store is well again";
	b->store_well = well;
	snprintf(
	    b->store_words, sizeof b->store_words, "%s", well ? "" : words);
	broker_health_news(b, well, words);
	/* What it holds is not what this broker knows: the next one reads it.
	 */
	if (well && (b->store_unread || store_stale(b->store))) {
		log_warn("the task store is another one now: starting anew");
		ev_break(b->loop, EVBREAK_ALL);
	}
}

static int
open_store(struct broker *b, struct store_found *found)
{
	struct store_options options = {
		.path = b->store_path[0] != '\0' ? b->store_path : NULL,
		.complete = core_complete,
		.arg = b,
		.health = health,
	};
	int r;

	b->store_well = true;
	r = store_start(b->loop, &options, &b->store, found);
	if (r < 0)
		log_error("can't start the task store: %s", strerror(-r));
	b->store_unread = r == 0 && found->unread;
	return r;
}

static int
open_flights(struct broker *b)
{
	static const struct msg_name name = { "broker/flights" };
	bool fresh;
	int fd;

	b->flights = flights_open(b->flights_fd, &fd, &fresh);
	if (b->flights_fd >= 0)
		close(b->flights_fd);
	b->flights_fd = -1;
	if (fd >= 0) {
		peer_send(&b->guardian, MSG_BROKER_KEEP, &name, NULL, 0, fd);
		close(fd);
	}
	/* Workers that have said HELLO to a broker whose memory is lost can't
	 * be understood any more. */
	b->strangers = fresh && b->listen_fd >= 0;
	if (b->flights == NULL)
		log_error("no memory for what is under way");
	return b->flights == NULL ? -ENOMEM : 0;
}

/* --- once a turn, before the loop sleeps ---------------------------------- */

static void
turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct broker *b = w->data;

	(void)loop;
	(void)events;
	core_turn(b);
	hands_turn(b);
	store_flush(b->store);
	if (b->shared != NULL)
		shared_flush(b->shared);
	clients_turn(b);
}

static int
open_parts(struct broker *b, const struct store_found *found)
{
	int r = core_new(b, found), listen_fd = b->listen_fd;

	if (r < 0 || (r = open_flights(b)) < 0)
		return r;
	r = start_shared(b);
	if (r < 0)
		return r;
	b->running = true;
	hands_told(b);
	r = schedules_new(b, found);
	if (r < 0)
		return r;
	schedules_configure(b);
	b->listen_fd = -1;
	r = clients_new(b, listen_fd);
	if (r < 0)
		log_error(
		    "can't listen on %s: %s", b->tasks_path, strerror(-r));
	return r;
}

int
start_run(struct broker *b)
{
	struct store_found found = { 0 };
	int r = open_store(b, &found);

	if (r == 0)
		r = open_parts(b, &found);
	store_found_done(&found);
	if (r < 0)
		return r;
	if (b->master.fd >= 0) {
		broker_master_up(b);
		hands_master_up(b);
	}
	ev_prepare_init(&b->turn, turn_ends);
	b->turn.data = b;
	ev_prepare_start(b->loop, &b->turn);
	return 0;
}

void
start_end(struct broker *b)
{
	ev_prepare_stop(b->loop, &b->turn);
	if (b->clients != NULL)
		clients_free(b);
	if (b->store != NULL) {
		if (b->flights != NULL)
			hands_turn(b);
		start_shared_end(b);
		store_stop(b->store);
		b->store = NULL;
	}
	if (b->schedules != NULL)
		schedules_free(b);
	if (b->core != NULL)
		core_free(b);
	hands_free(b);
	limits_free(b->limits); /* before what has one */
	flights_free(b->flights);
	config_done(b);
	buf_done(&b->events);
	peer_close(&b->master);
	peer_close(&b->guardian);
}
