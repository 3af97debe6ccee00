#include "supervisord/broker/start_shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/redis_url.h"
#include "supervisord/broker/core.h"
#include "supervisord/broker/flights.h"
#include "supervisord/broker/redis/shared.h"

/* How it was opened. */
struct shared_as {
	enum durability durability;
	int64_t lease_ms;
	char url[];
};

_Static_assert(FLIGHTS_ID == SHARED_ID_BYTES, "one identity");

/* --- what it tells -------------------------------------------------------- */

static void
health(void *arg, bool well, const char *words)
{
	struct broker *b = arg;
	bool same =
	    well == b->shared_well && strcmp(words, b->shared_words) == 0;
	char text[512];

	if (same)
		return;
	b->shared_well = well;
	snprintf(b->shared_words, sizeof b->shared_words, "%s", words);
	snprintf(text, sizeof text, "the shared store %s%s%s", b->shared_name,
	    words[0] != '\0' ? ": " : " is well", words);
	broker_health_news(b, words[0] == '\0', text);
}

static void
joined(void *arg)
{
	core_shared_joined(arg);
}

static void
ready(void *arg, const char *worker)
{
	core_shared_ready(arg, worker);
}

static void
due(void *arg, const char *worker, int64_t in_ms)
{
	core_shared_due(arg, worker, in_ms);
}

static void
ended(void *arg, uint64_t id)
{
	core_shared_ended(arg, id);
}

static void
cancel(void *arg, uint64_t id)
{
	core_shared_cancel(arg, id);
}

static void
paused(void *arg, const char *worker, bool on, int64_t until_ms)
{
	core_shared_paused(arg, worker, on, until_ms);
}

/* --- open ----------------------------------------------------------------- */

/* As safe as the one of its workers that asks for most. */
static enum durability
strictest(const struct broker *b)
{
	enum durability d = DURABLE_NONE;

	for (size_t i = 0; i < b->pools_count; i++) {
		if (b->pools[i].shared && b->pools[i].durability < d)
			d = b->pools[i].durability;
	}
	return d;
}

static int
remember(struct broker *b)
{
	size_t size = strlen(b->shared_url) + 1;
	struct redis_url url;
	char why[256];

	if (redis_url_parse(b->shared_url, &url, why, sizeof why) < 0) {
		log_error("the shared store's URL can't be used: %s", why);
		return -EINVAL;
	}
	redis_url_show(&url, b->shared_name, sizeof b->shared_name);
	b->shared_as = malloc(sizeof *b->shared_as + size);
	if (b->shared_as == NULL)
		return -ENOMEM;
	b->shared_as->durability = strictest(b);
	b->shared_as->lease_ms = b->lease_ms;
	memcpy(b->shared_as->url, b->shared_url, size);
	return 0;
}

static int
begin(struct broker *b)
{
	struct shared_options options = {
		.lease_ms = b->lease_ms,
		.arg = b,
		.complete = core_complete,
		.health = health,
		.joined = joined,
		.ready = ready,
		.due = due,
		.ended = ended,
		.cancel = cancel,
		.paused = paused,
	};
	char host[128] = "";
	int r = remember(b);

	if (r < 0)
		return r;
	(void)gethostname(host, sizeof host - 1);
	snprintf(b->shared_host, sizeof b->shared_host, "%s:%d", host,
	    (int)getpid());
	options.name = b->shared_host;
	options.url = b->shared_as->url;
	options.durability = b->shared_as->durability;
	if (!flights_id(b->flights, options.id))
		return -EIO;
	snprintf(b->shared_words, sizeof b->shared_words, "not connected yet");
	return shared_start(b->loop, &options, &b->shared);
}

int
start_shared(struct broker *b)
{
	int r = 0;

	if (b->shared_url == NULL)
		return 0; /* one that is open goes on with what it has */
	if (b->shared == NULL) {
		r = begin(b);
		if (r < 0)
			log_error(
			    "can't start the shared store: %s", strerror(-r));
	} else if (strcmp(b->shared_url, b->shared_as->url) != 0) {
		log_info("the shared store is another one now: what is claimed "
			 "of %s is given back",
		    b->shared_name);
		b->shared_leave = true;
		ev_break(b->loop, EVBREAK_ALL);
	} else if (strictest(b) != b->shared_as->durability ||
		   b->lease_ms != b->shared_as->lease_ms) {
		log_info("the shared store's settings have changed: starting "
			 "anew with them");
		ev_break(b->loop, EVBREAK_ALL);
	}
	if (r < 0 && b->running)
		ev_break(b->loop, EVBREAK_ALL);
	return r;
}

void
start_shared_end(struct broker *b)
{
	struct shared *s = b->shared;

	if (s != NULL)
		shared_stop(s, b->finishing || b->shared_leave);
	b->shared = NULL;
	free(b->shared_as);
	b->shared_as = NULL;
}
