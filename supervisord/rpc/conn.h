#ifndef RPC_CONN_H
#define RPC_CONN_H

/*
 * The connections of a Unix socket: who they are, bytes in, bytes out. What the
 * bytes mean is their server's business. A peer that is slow, hostile or gone
 * costs only itself: what it does not read stops its being read, and beyond a
 * limit ends it.
 *
 * What is to be sent goes out when a turn of the loop ends, a send for many
 * answers, and nothing is closed before: a server may be inside a connection
 * that breaks.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/rpc/access.h"

#define CONN_LINE  (1U << 20)   /* a request as a line, at most */
#define CONN_CHUNK (256U << 10) /* read at once */
/* Unsent bytes beyond which it is not read from, and beyond which it is closed:
 * results it has asked for come whether it reads or not. */
#define CONN_UNREAD (1U << 20)
#define CONN_DROP   (64U << 20)
/* Requests under way beyond which it is not read from. */
#define CONN_REQUESTS 65536U

struct conn;
struct conns;

/* What a server is to its connections. */
struct conn_server {
	const char *name; /* in the log */
	size_t size;      /* of a structure that begins with a struct conn */
	unsigned most;    /* connections */
	/* The rest of a new connection, which is zeroed. */
	void (*init)(struct conn *c);
	/* Takes what is there whole; how many bytes that was. Where
	 * conn_is_full it leaves the rest, and says conn_hold. */
	size_t (*take)(struct conn *c, const char *data, size_t size);
	/* It is closed: its requests are to be answered into the void. */
	void (*abandon)(struct conn *c);
	/* Who may what, now; NULL: nobody but root and who we are. */
	const struct access *(*access)(struct conns *of);
};

struct conns {
	const struct conn_server *server;
	struct ev_loop *loop;
	int fd;    /* listening; -1: not (any more) */
	int spare; /* given up to accept and close when descriptors run out */
	ev_io io;
	ev_timer again;    /* listens again, when descriptors had run out */
	ev_idle resume;    /* keeps the loop awake for what waits in `hungry` */
	struct list all;   /* the longest idle first */
	struct list dirty; /* to be flushed or closed when the turn ends */
	struct list hungry; /* may go on with what they have sent before */
	unsigned count;
	char *chunk; /* CONN_CHUNK bytes, read into */
};

struct conn {
	struct conns *of;
	struct list link, dirty, hungry;
	int fd;
	ev_io io;
	struct buf in, out;
	size_t out_at;     /* sent so far */
	size_t scanned;    /* of in: no newline before this */
	unsigned requests; /* under way */
	ev_tstamp heard;   /* when something last came from it */
	struct who who;
	bool listens; /* it is told things: not idle, though it asks nothing */
	bool held;    /* not read from, for its requests or unread answers */
	bool finishing; /* to be closed when out is empty */
	bool broken;    /* to be closed when the turn ends */
	bool shut;      /* it sends nothing more */
};

/* 0 or -ENOMEM. */
int conns_init(
    struct conns *of, const struct conn_server *server, struct ev_loop *loop);
/* Accepts from fd (taken over), and no longer from the one before. */
void conns_listen(struct conns *of, int fd);
/* Who may what has changed. */
void conns_identify(struct conns *of);
/* End of a turn: what was answered in it goes out; who broke is closed. */
void conns_turn(struct conns *of);
/* Sends what goes at once, and closes all. */
void conns_done(struct conns *of);

/* Takes each line that is there whole, but for blank ones: what a server's
 * `take` is where lines are all it speaks. */
size_t conn_take_lines(struct conn *c, const char *data, size_t size,
    void (*line)(struct conn *c, const char *text, size_t size));

/* Whether it has more under way than it may have. What it has sent waits then
 * (conn_hold) until it has read, or been answered. */
bool conn_is_full(const struct conn *c);
void conn_hold(struct conn *c);
size_t conn_unread(const struct conn *c);

/* One line: takes the text as it is, adds the newline. */
void conn_put_line(struct conn *c, const struct buf *text);
/* Its `out` has something, or its state has changed. */
void conn_touch(struct conn *c);
/* Sends now what it takes. */
void conn_push(struct conn *c);
/* Its socket or its protocol is broken: closed when the turn ends. */
void conn_break(struct conn *c);
/* The same once it has been sent what is in `out`; nothing more is read. */
void conn_finish(struct conn *c);
/* One of its requests has come, or is over. */
void conn_began(struct conn *c);
void conn_answered(struct conn *c);

#endif
