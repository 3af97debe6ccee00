#include "supervisord/broker/broker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"

/* Of events that wait for a master; more are only logged. */
#define EVENTS_MAX (256U << 10)

struct waiting {
	struct msg_event event;
	uint32_t size;
	char words[512];
};

static int
by_name(const void *name, const void *pool)
{
	return strcmp(name, ((const struct pool_config *)pool)->name);
}

const struct pool_config *
broker_pool(const struct broker *b, const char *worker)
{
	if (b->pools_count == 0)
		return NULL;
	return bsearch(
	    worker, b->pools, b->pools_count, sizeof *b->pools, by_name);
}

/* For the history, by way of the master; the size is set here. */
static void
tell_event(struct broker *b, struct waiting *w)
{
	w->size = (uint32_t)strlen(w->words) + 1;
	if (b->master.fd >= 0)
		peer_send(&b->master, MSG_QUEUE_EVENT, &w->event, w->words,
		    w->size, -1);
	else if (b->events.size + sizeof *w <= EVENTS_MAX &&
		 buf_reserve(&b->events, sizeof *w))
		buf_add(&b->events, w, sizeof *w);
}

void
broker_event(
    struct broker *b, const char *name, const char *kind, const char *fmt, ...)
{
	struct waiting w = { 0 };
	va_list ap;

	snprintf(w.event.name, sizeof w.event.name, "%s", name);
	snprintf(w.event.kind, sizeof w.event.kind, "%s", kind);
	va_start(ap, fmt);
	vsnprintf(w.words, sizeof w.words, fmt, ap);
	va_end(ap);
	log_info("%s%s%s", name, name[0] != '\0' ? ": " : "", w.words);
	tell_event(b, &w);
}

/* --- the stores' health --------------------------------------------------- */

static void
tell_health(struct broker *b)
{
	char words[512];

	broker_health(b, words, sizeof words);
	if (b->master.fd >= 0)
		peer_send(&b->master, MSG_QUEUE_HEALTH, NULL, words,
		    strlen(words) + 1, -1);
}

void
broker_health_news(struct broker *b, bool well, const char *words)
{
	struct waiting w = { .event.kind = "queue" };

	tell_health(b);
	if (words[0] == '\0')
		return;
	snprintf(w.words, sizeof w.words, "%s", words);
	if (well)
		log_info("%s", words);
	else
		log_error("%s", words);
	tell_event(b, &w);
}

void
broker_master_up(struct broker *b)
{
	struct waiting w;

	for (size_t at = 0; at + sizeof w <= b->events.size; at += sizeof w) {
		memcpy(&w, b->events.data + at, sizeof w);
		peer_send(
		    &b->master, MSG_QUEUE_EVENT, &w.event, w.words, w.size, -1);
	}
	buf_done(&b->events);
	tell_health(b);
}

void
broker_scale(
    struct broker *b, const char *worker, uint32_t instances, const char *why)
{
	struct msg_scale m = { .instances = instances };
	char words[256];

	snprintf(m.name, sizeof m.name, "%s", worker);
	snprintf(words, sizeof words, "%s", why);
	peer_send(&b->master, MSG_SCALE, &m, words, strlen(words) + 1, -1);
}
