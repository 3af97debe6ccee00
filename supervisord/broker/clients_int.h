#ifndef BROKER_CLIENTS_INT_H
#define BROKER_CLIENTS_INT_H

/*
 * A client's connection, shared by clients.c (who may connect), client.c (bytes
 * in and out), frames.c and rpc.c (what they mean).
 */

#include <ev.h>
#include <sys/types.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/broker/core.h"
#include "supervisord/proto/wire.h"

#define CLIENT_LINE  (1U << 20)   /* a request as a line, at most */
#define CLIENT_CHUNK (256U << 10) /* read at once */
/* Unsent bytes beyond which it is not read from, and beyond which it is closed:
 * results it has asked for come whether it reads or not. */
#define CLIENT_UNREAD (1U << 20)
#define CLIENT_DROP   (64U << 20)
/* Requests under way beyond which it is not read from. */
#define CLIENT_REQUESTS 65536U

enum framing {
	FRAMING_NONE, /* nothing has come yet */
	FRAMING_LINES,
	FRAMING_FRAMES
};

struct clients {
	struct broker *b;
	int fd;
	int spare; /* given up to accept and close when descriptors run out */
	ev_io io;
	ev_idle resume;    /* keeps the loop awake for what waits in `hungry` */
	struct list all;   /* the longest idle first */
	struct list dirty; /* to be flushed or closed when the turn ends */
	struct list hungry; /* may go on with what they have sent before */
	unsigned count;
	char *chunk; /* CLIENT_CHUNK bytes, read into */
};

struct client {
	struct clients *of;
	struct list link, dirty, hungry;
	int fd;
	ev_io io;
	enum framing framing;
	struct buf in, out;
	size_t out_at;       /* sent so far */
	size_t scanned;      /* of in: no newline before this */
	struct list calls;   /* struct call.link */
	struct list pending; /* struct pending.link */
	struct list series;  /* struct series.link: bodies in pieces */
	unsigned series_count;
	unsigned requests; /* in calls and pending */
	ev_tstamp heard;   /* when something last came from it */
	uid_t uid;
	pid_t pid;
	bool may_look, may_change;
	bool trusted;   /* it may say on whose behalf it asks */
	bool greeted;   /* HELLO has come */
	bool held;      /* not read from, for its requests or unread answers */
	bool finishing; /* to be closed when out is empty */
	bool broken;    /* to be closed when the turn ends */
	bool shut;      /* it sends nothing more */
};

/* --- clients.c ------------------------------------------------------------ */

/* Asks the socket who it is; again when the settings have changed. */
void client_identify(struct client *c);

/* --- client.c ------------------------------------------------------------- */

struct client *client_new(struct clients *of, int fd); /* takes fd */
/* At once: only where nobody is inside it. */
void client_close(struct client *c);
/* Its socket or its protocol is broken: closed when the turn ends. */
void client_break(struct client *c);
/* The same once it has been sent what is in `out`; nothing more is read. */
void client_finish(struct client *c);
/* Its `out` has something: goes out when the turn ends. */
void client_touch(struct client *c);
/* Sends what it takes; closes it if that is due. End of a turn. */
void client_flush(struct client *c);
/* One of its requests has come, or is over. */
void client_began(struct client *c);
void client_answered(struct client *c);
/* Reads on in what it has sent before. */
void client_resume(struct client *c);

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
