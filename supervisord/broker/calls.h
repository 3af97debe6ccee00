#ifndef BROKER_CALLS_H
#define BROKER_CALLS_H

/* JSON-RPC 2.0: from a request to a method's function, and its answer back. */

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/broker/core.h"
#include "supervisord/rpc/message.h"

struct client;
struct method;

/*
 * A request in progress. It is answered exactly once, by call_reply or
 * call_fail, at once or later; that frees it. A client that goes away first
 * does not change that: the answer is thrown away then.
 */
struct call {
	struct list link; /* in its client's calls */
	struct broker *b;
	struct client *client; /* NULL: gone */
	bool framed;           /* it came in a frame CALL with this tag */
	uint64_t tag;
	json_t *id;     /* NULL: a notification, no answer wanted */
	json_t *params; /* an object */
	const struct method *method;
	uid_t uid; /* on whose behalf */
	pid_t pid;
	/* A method that waits for a task: waiter.ended is set meanwhile, and
	 * the call ends with its client. */
	struct waiter waiter;
	void *own; /* the method's, freed with free() when it is over */
	ev_timer doubt;
};

/* Answers; result is emptied (buf_done). */
void call_reply(struct call *c, struct buf *result);
/* fmt NULL: the error's own words. */
void call_fail(struct call *c, enum queue_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void call_fail_params(struct call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void call_notify(struct call *c, const char *method, const struct buf *params);

/* It is answered in a while if the shared store of that worker has not answered
 * by then. What becomes of it is thrown away. */
void call_doubt(struct call *c, const char *worker);

/* Answers with the task when it has ended, and tells of its progress. */
void call_wait(struct call *c, uint64_t id);

/* Parameters; false: refused already, the call is gone. */
bool call_bool(struct call *c, const char *name, bool *ret);
bool call_int(struct call *c, const char *name, int64_t fallback, int64_t min,
    int64_t max, int64_t *ret);
/* A task's number; it has to be there. */
bool call_id(struct call *c, uint64_t *ret);
bool call_text(
    struct call *c, const char *name, bool required, const char **ret);
/* A worker that takes tasks; not required: NULL where none is named. */
bool call_worker(struct call *c, bool required, const char **ret);

#endif
