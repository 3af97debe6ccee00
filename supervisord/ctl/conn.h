#ifndef CTL_CONN_H
#define CTL_CONN_H

/*
 * The connection to supervisord: JSON-RPC 2.0, one message a line. Requests are
 * queued and go out in one write, so that two cost one round trip; messages
 * come back one at a time and are borrowed until the next is asked for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/buf.h"
#include "supervisord/ctl/scan.h"

struct ctl_conn {
	int fd;         /* -1: not connected */
	struct buf out; /* queued requests */
	struct buf in;
	size_t taken; /* bytes of `in` that have been handed out */
	size_t seen;  /* bytes of `in` known to hold no newline */
	int64_t last_id;
};

enum ctl_msg_kind {
	CTL_MSG_RESULT,
	CTL_MSG_ERROR,
	CTL_MSG_NOTIFY
};

struct ctl_msg {
	enum ctl_msg_kind kind;
	int64_t id;             /* 0 for a notification */
	struct ctl_span method; /* of a notification */
	struct ctl_span body;   /* the result, the error or the params */
};

void ctl_conn_init(struct ctl_conn *c);
void ctl_conn_close(struct ctl_conn *c); /* may be opened again */
void ctl_conn_done(struct ctl_conn *c);

/*
 * Connects to the socket at path, waiting at most timeout_ms for a place in a
 * full backlog. 0 or -errno (-ENOENT, -ECONNREFUSED: nobody there; -EAGAIN:
 * no place in time).
 */
int ctl_conn_open(struct ctl_conn *c, const char *path, int timeout_ms);

/*
 * Queues a request; params is a whole JSON object. Returns its id, or -ENOMEM
 * or -E2BIG (no request may be longer than 1 MiB).
 */
int64_t ctl_conn_queue(
    struct ctl_conn *c, const char *method, const char *params);

/* Sends what is queued. 0 or -errno. */
int ctl_conn_flush(struct ctl_conn *c, int quiet_ms);

/*
 * The next message. quiet_ms: how long the other side may say nothing at all
 * (-1: for ever). 0, -ETIMEDOUT, -EPIPE (the connection has ended), -EBADMSG
 * (what came is no message), -EINTR (ctl_interrupted()) or -errno.
 */
int ctl_conn_next(struct ctl_conn *c, int quiet_ms, struct ctl_msg *ret);

/* True if ctl_conn_next would return without waiting. */
bool ctl_conn_has_line(struct ctl_conn *c);

/* Reads one line of text into its parts: 0 or -EBADMSG. */
int ctl_msg_parse(const char *line, size_t size, struct ctl_msg *ret);

#endif
