#ifndef BROKER_TASK_H
#define BROKER_TASK_H

/*
 * Tasks as the broker knows them. A task's row is in the store; a struct task
 * is in memory only while it is near its turn, running, or due soon.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/proto/messages.h"

/* The numbers are in the database and in WIRE_RESULT. */
enum task_state {
	TASK_QUEUED = 0,
	TASK_SCHEDULED =
	    1, /* due later: a delay, or the pause before a retry */
	TASK_RUNNING = 2,
	TASK_DONE = 3,
	TASK_FAILED = 4, /* its handler said so or it overran, no try is left */
	TASK_CANCELLED = 5,
	TASK_DEAD = 6, /* it crashed its process too often; kept apart */
	TASK_STATES
};

extern const char *const task_state_names[TASK_STATES];

enum task_priority {
	PRIORITY_HIGH,
	PRIORITY_MIDDLE,
	PRIORITY_LOW,
	PRIORITIES
};

extern const char *const task_priority_names[PRIORITIES];

enum queue_error {
#define QERR(NAME, name, code, words) QERR_##NAME,
#include "supervisord/broker/errors.def"
#undef QERR
	QERRS
};

const char *queue_error_name(enum queue_error e);
const char *queue_error_words(enum queue_error e);
int queue_error_code(enum queue_error e);

/* Bytes that are shared and never changed; counted references. Both threads of
 * the broker hold them: the count is atomic. */
struct body {
	uint32_t refs;
	uint32_t size;
	char data[]; /* a NUL behind them */
};

struct body *body_new(const void *data, size_t size); /* NULL: no memory */
struct body *body_hold(struct body *b);               /* NULL is fine */
void body_release(struct body *b);                    /* NULL is fine */

/* Of submission.retries: -1 is taken there. */
#define SUBMIT_NO_LIMIT (-2)

/*
 * A task as it is asked for. Strings are owned; submission_free frees them and
 * it. Times are relative to when it is accepted.
 */
struct submission {
	char worker[WORKER_NAME_MAX + 1];
	char *func;
	struct body *payload; /* NULL: none */
	bool json;            /* the payload is JSON, checked */
	uint8_t priority;
	int64_t delay_ms;      /* 0: now */
	int64_t due_ms;        /* wall clock; 0: delay_ms counts */
	int64_t timeout_ms;    /* -1: the worker's; 0: none */
	int64_t result_ttl_ms; /* -1: the worker's */
	int retries;           /* -1: the worker's, or SUBMIT_NO_LIMIT */
	char *key;             /* makes a second submit return the first's id */
	char *limit_key;       /* what caps and rates are counted by */
	char *then; /* JSON of what is submitted with the result of this one,
		     * in the same transaction (submission_parse reads it) */
	uint64_t parent;   /* the task whose `then` it is; 0 */
	uint64_t group;    /* the group it is a member of; 0 */
	uint32_t schedule; /* id of the schedule it is a run of; 0 */
	int64_t fire_ms;   /* and the time it was due by that */
	uint32_t missed;   /* runs left out before this one */
};

struct submission *submission_new(void);
void submission_free(struct submission *s);

/* One row of the store, without payload and result unless asked for. */
struct task_row {
	uint64_t id;
	char worker[WORKER_NAME_MAX + 1];
	char *func, *key, *limit_key, *then;
	struct body *payload; /* NULL: none, or not loaded */
	bool json;
	uint8_t state, priority;
	int64_t rank; /* its place in the queue: see queue_rank */
	int64_t due_ms;
	int64_t created_ms, started_ms,
	    finished_ms;    /* wall clock; 0: not yet */
	int64_t expires_ms; /* 0: never */
	int64_t timeout_ms, result_ttl_ms;
	int32_t retries; /* most further tries after the first; -1: no limit */
	uint32_t attempts; /* begun so far */
	uint32_t failures; /* that were charged: handler's errors, overruns */
	uint32_t crashes;  /* processes it crashed while it was executed */
	uint32_t victims;  /* processes that died under it, not by its fault */
	uint64_t parent, group;
	uint32_t schedule;
	uint32_t missed; /* due times before fire_ms that it stands for, too */
	int64_t fire_ms;
	char instance[PROTO_NAME]; /* that executes it or did last; "" */
	char *host;          /* shared: of which supervisord; NULL: not known */
	struct body *result; /* DONE: bytes or JSON; NULL */
	bool result_json;
	char *error; /* why it is not DONE, or why the last try failed */
	char *words; /* how its process died, and its last lines; NULL */
};

void task_row_done(struct task_row *row); /* frees what it points to */
/* One more, empty, in a list that grows; NULL: no memory. */
struct task_row *task_rows_add(struct task_row **rows, size_t *count);

/*
 * Smallest rank first. A level is an offset in time, so that at equal age the
 * order is strict, and a task that waited `aging` ms longer overtakes the level
 * above: rank = ready + offset, offsets 0, aging, 2 * aging for high, middle,
 * low. aging 0: strict for ever. Pure.
 */
int64_t queue_rank(int64_t ready_ms, uint8_t priority, int64_t aging_ms);

#endif
