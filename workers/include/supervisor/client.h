#ifndef SUPERVISOR_CLIENT_H
#define SUPERVISOR_CLIENT_H

/*
 * The task queue's client in C: link with -lsupervisor (libsupervisor.a).
 * share/doc/supervisord/client/README.md has examples.
 *
 * A client is a connection to tasks.sock. It belongs to one thread at a time;
 * there is no state outside of it, so each thread may have its own. Modules
 * (worker.h) may use it, too: to submit what follows, say.
 *
 * When supervisord's broker is restarted the client connects again and asks for
 * what it still waits for. A submit that was not answered by then is sent again
 * if it has a key, which makes that safe; without a key it fails with
 * -ECONNRESET: the task may have been accepted or not.
 *
 * Functions return 0 or a negative errno. -EREMOTEIO: supervisord refused, and
 * sv_error has its code, name and words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define SV_CLIENT_VERSION 1

struct sv_client;

/* As in supervisorctl: the state's name is sv_state_name. */
enum sv_state {
	SV_DONE = 3,
	SV_FAILED = 4, /* its function said so, or it overran */
	SV_CANCELLED = 5,
	SV_DEAD = 6 /* it crashed its process too often */
};

enum sv_priority {
	SV_HIGH,
	SV_MIDDLE,
	SV_LOW
};

/* What is to be done. Begin with SV_TASK(worker, func), then set what differs.
 * All is borrowed until the call returns. */
struct sv_job {
	const char *worker, *func;
	const void *data; /* the arguments: bytes, or JSON text */
	size_t size;
	bool json; /* data is JSON; no data and json: null */
	enum sv_priority priority;
	int retries;       /* -1: as the worker's config has it */
	int timeout_ms;    /* -1: as the worker's config has it; 0: none */
	uint64_t delay_ms; /* 0: now */
	const char *key;   /* a second submit with it returns the first's id */
	const char *limit_key;
};

#define SV_TASK(worker, func)                                                  \
	{                                                                      \
		(worker), (func), NULL, 0, true, SV_MIDDLE, -1, -1, 0, NULL,   \
		    NULL                                                       \
	}

/* How a task has ended. data belongs to the one who got it: sv_result_done. */
struct sv_result {
	uint64_t id;
	enum sv_state state;
	unsigned attempts;
	bool json;  /* SV_DONE: data is JSON */
	char *data; /* SV_DONE: the result, else why; a NUL behind it */
	size_t size;
};

/* What supervisord had to say against a request, or what failed here. */
struct sv_error {
	int code;      /* errors.def's; 0: not supervisord's */
	char name[32]; /* "queue-full" */
	char words[256];
};

/*
 * path NULL: $SUPERVISOR_TASKS (set in every worker), else the socket of the
 * supervisord of this user or of the system. Connects; -ENOENT, -ECONNREFUSED:
 * no supervisord with a task queue is there.
 */
int sv_client_new(const char *path, struct sv_client **ret);
void sv_client_free(struct sv_client *c);

/* For how long it tries to connect again before all requests fail with
 * -ECONNRESET; default 10 s. */
void sv_client_patience(struct sv_client *c, int ms);

/* Of the last call that failed. Borrowed until the next one. */
const struct sv_error *sv_client_error(const struct sv_client *c);

const char *sv_state_name(enum sv_state state); /* "done" */

/* --- one after the other -------------------------------------------------- */

/* The task is on disk when this returns (as durable as its worker has it). */
int sv_submit(struct sv_client *c, const struct sv_job *task, uint64_t *ret_id);

/* Many at once, as fast as they can be sent. ids[i] is 0 where one was refused;
 * the call returns the first failure then. */
int sv_submit_many(struct sv_client *c, const struct sv_job *tasks,
    size_t count, uint64_t *ids);

/* Until the task has ended; timeout_ms -1: for ever. -ETIMEDOUT. */
int sv_wait(
    struct sv_client *c, uint64_t id, int timeout_ms, struct sv_result *ret);

/* Submits and waits. */
int sv_run(struct sv_client *c, const struct sv_job *task, int timeout_ms,
    struct sv_result *ret);

void sv_result_done(struct sv_result *r);

/* Queued: at once. Running: it is asked to end, then killed. */
int sv_cancel(struct sv_client *c, uint64_t id);

/*
 * Any method of the protocol ("task", "tasks", "queue", "pause"...); params:
 * JSON of an object, or NULL. *ret_json (may be NULL) is the result's JSON, to
 * be freed.
 */
int sv_call(struct sv_client *c, const char *method, const char *params,
    char **ret_json);

/* --- many at the same time ------------------------------------------------ */

/*
 * Callbacks come from sv_client_dispatch (and from the calls above while they
 * wait). error 0: accepted, id is the task's. Within a callback sv_start may be
 * called, the calls above may not (-EDEADLK).
 */
typedef void sv_accepted_fn(
    void *arg, int error, const struct sv_error *why, uint64_t id);
/* error 0: result is there, and borrowed; take data by setting it to NULL. */
typedef void sv_ended_fn(
    void *arg, int error, const struct sv_error *why, struct sv_result *result);

/* Either callback may be NULL. With an error from the call itself neither is
 * called; after accepted with an error ended is not. */
int sv_start(struct sv_client *c, const struct sv_job *task,
    sv_accepted_fn *accepted, sv_ended_fn *ended, void *arg);
/* Waits for a task that has been submitted before. */
int sv_watch(struct sv_client *c, uint64_t id, sv_ended_fn *ended, void *arg);

/* One descriptor for the whole life of the client, for poll or select: readable
 * when sv_client_dispatch has something to do. */
int sv_client_fd(const struct sv_client *c);

/* Sends what waits, reads what is there, calls callbacks; waits for that as
 * long as timeout_ms (0: not at all, -1: for ever). How many callbacks were
 * called, or an error: all that was under way has failed with it. */
int sv_client_dispatch(struct sv_client *c, int timeout_ms);

/* Requests that are not answered, and tasks that are waited for. */
size_t sv_client_pending(const struct sv_client *c);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
