#ifndef MASTER_RPC_H
#define MASTER_RPC_H

/* JSON-RPC 2.0: from a line to a command's function, and its answer back. */

#include <jansson.h>
#include <stdbool.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/master/master.h"
#include "supervisord/rpc/message.h"

struct client;
struct conn;
struct job;

/* Exit statuses of supervisorctl, which are our error codes beside those of
 * JSON-RPC (rpc/message.h). */
enum rpc_code {
	RPC_FAILED = 1,
	RPC_USAGE = 2,
	RPC_NOT_RUNNING = 3,
	RPC_NO_TARGET = 4
};

/*
 * A request in progress. It is answered exactly once, by request_reply or
 * request_fail, at once or later; that frees it. A client that goes away
 * first does not change that: the answer is thrown away then.
 */
struct request {
	struct list link; /* in its client's requests */
	struct master *m;
	struct client *client; /* NULL: gone */
	json_t *id;            /* NULL: a notification, no answer wanted */
	json_t *params;        /* an object */
	struct actor actor;
	char command[256];
	struct job *job; /* what it waits for, cancelled with the client */
	const struct command *method;
	void *own; /* the command's, freed with free() */
};

/* One line of a client. */
void rpc_line(struct conn *conn, const char *text, size_t size);

/* The client is gone. */
void request_abandon(struct request *r);

/* Answers; result is emptied (buf_done). */
void request_reply(struct request *r, struct buf *result);
void request_fail(struct request *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with {"errors":[...]} or the like as data. */
void request_fail_data(struct request *r, int code, const char *data,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void request_notify(
    struct request *r, const char *method, const struct buf *params);

bool request_wants_progress(const struct request *r);
void request_set_job(struct request *r, struct job *job);

/* Parameters; false: refused already, the request is gone. */
bool param_bool(struct request *r, const char *name, bool fallback, bool *ret);
bool param_int(struct request *r, const char *name, int64_t fallback,
    int64_t min, int64_t max, int64_t *ret);
bool param_string(
    struct request *r, const char *name, bool required, const char **ret);

#endif
