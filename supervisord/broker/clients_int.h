#ifndef BROKER_CLIENTS_INT_H
#define BROKER_CLIENTS_INT_H

/*
 * A client of tasks.sock (rpc/conn.h), shared by clients.c (who may connect),
 * frames.c and calls.c (what its bytes mean).
 */

#include "supervisord/base/list.h"
#include "supervisord/broker/core.h"
#include "supervisord/proto/wire.h"
#include "supervisord/rpc/conn.h"

enum framing {
	FRAMING_NONE, /* nothing has come yet */
	FRAMING_LINES,
	FRAMING_FRAMES
};

struct clients {
	struct conns conns;
	struct broker *b;
};

struct client {
	struct conn conn; /* its requests: those in calls and pending */
	struct broker *b;
	enum framing framing;
	struct list calls;   /* struct call.link */
	struct list pending; /* struct pending.link */
	struct list series;  /* struct series.link: bodies in pieces */
	unsigned series_count;
	bool greeted; /* HELLO has come */
};

/* --- frames.c ------------------------------------------------------------- */

/* Takes the frames that are there whole; how many bytes that was. */
size_t frames_take(struct client *c, const char *data, size_t size);
/* One message, in pieces if it has to be. The body is of two parts. */
void frames_put(struct client *c, enum wire_type type, uint8_t flags,
    uint64_t id, const void *part, size_t part_size, const void *body,
    size_t size);
void frames_refuse(
    struct client *c, uint64_t tag, enum queue_error e, const char *words);
/* The client goes away: its submits and waits. */
void frames_abandon(struct client *c);

/* --- rpc.c ---------------------------------------------------------------- */

/* One request. framed: it came in CALL, tag is its. */
void calls_take(
    struct client *c, const char *text, size_t size, bool framed, uint64_t tag);
void calls_abandon(struct client *c);

#endif
