#ifndef BROKER_STORE_H
#define BROKER_STORE_H

/*
 * Where tasks are on disk. One thread writes. What the loop puts is collected
 * while a commit is under way and is the next transaction: group commit without
 * a timer. An operation's `done` is called on the loop's thread, in the order
 * of store_add, after the commit it was part of; the operation is the caller's
 * again then. With QERR_STORE or QERR_NO_MEMORY nothing of its transaction has
 * happened, with another error nothing of this operation.
 *
 * Operations that read (REFILL, DUE, REVIVE, CANCEL...) run in the same order
 * in the same thread, so that what the loop knows and what they find fit
 * together. TASK and LIST, which people ask, go to a thread and connection of
 * their own: a long list delays no commit, and their `done` keeps no order with
 * the others'.
 *
 * While the store is not well (health), operations fail at once with
 * QERR_STORE.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/broker/task.h"

struct store;

enum store_kind {
	STORE_SUBMIT, /* row -> stored; existing != 0: its key is that task's;
		       * full: nothing is stored, QERR_FULL unless it is */
	STORE_UPDATE, /* change; id 0: nothing, done comes in its turn */
	STORE_FINISH, /* change, result; its `then` and group: follow. The one
		       * way for a task to end, whatever its end */
	STORE_CANCEL, /* change, if queued or scheduled: rows[0] as it was,
		       * follow of its group; else QERR_STATE. It is kept for
		       * its own result_ttl_ms (in the shared store: as long
		       * as the change says) */
	STORE_REVIVE, /* change.id, if dead, failed or cancelled: queued again,
		       * without crashes and failures, due since change.due_ms
		       * (in the shared store: now), with change.rank if meant:
		       * rows[0] as it is now, with payload; states: the state
		       * it was in, 0: not told */
	STORE_REFILL, /* worker, after_rank, after_id, limit: queued rows in
		       * order of (rank, id), with payload */
	STORE_DUE,    /* now_ms, limit: scheduled rows whose time has come, now
		       * queued, with payload; next_due_ms: of the rest, 0 none */
	STORE_GROUP,  /* many members and a `then` (text): rows in, group and
		       * ids given before; a member whose key is taken gets
		       * that task's id and state and is no member */
	STORE_POOL,   /* worker: paused, paused_until_ms */
	STORE_FIRE,   /* a schedule's run and its next time, in one: row, or no
		       * row to only move on (existing given: the run is in
		       * the shared store); existing != 0: ran before;
		       * now_ms != 0: the schedule's new anchor */
	STORE_EXPIRE, /* now_ms, limit: deletes (rows: id, worker, state);
		       * next_due_ms: the next to expire */
	STORE_TASK,   /* change.id: rows[0] with payload, result, words */
	STORE_LIST,   /* worker or "", states (bits, 0: all), after_id (0: from
		       * the newest), limit: newest first, without payload and
		       * result. Shared: QERR_NO_TASK where after_id is gone */
	STORE_SCHEDULE, /* store_schedule_id's own */
	STORE_MINE,     /* of a shared store alone: redis/shared.h */
	STORE_STATS,    /* the same */
	STORE_KINDS
};

/* Which fields of a change are meant. */
enum change_fields {
	CHANGE_STATE = 1 << 0,
	CHANGE_RANK = 1 << 1,
	CHANGE_DUE = 1 << 2,
	CHANGE_ATTEMPTS = 1 << 3,
	CHANGE_FAILURES = 1 << 4,
	CHANGE_CRASHES = 1 << 5,
	CHANGE_VICTIMS = 1 << 6,
	CHANGE_STARTED = 1 << 7,
	CHANGE_FINISHED = 1 << 8, /* and expires_ms */
	CHANGE_INSTANCE = 1 << 9,
	CHANGE_ERROR = 1 << 10,
	CHANGE_WORDS = 1 << 11
};

/* Strings are the operation's: store_op_free frees them. */
struct task_change {
	uint64_t id;
	uint32_t fields;
	uint8_t state;
	uint32_t attempts, failures, crashes, victims;
	int64_t rank, due_ms, started_ms, finished_ms, expires_ms;
	char instance[PROTO_NAME];
	char *error, *words;
};

/* The most tasks that may wait of a worker. */
struct queue_limit {
	char worker[WORKER_NAME_MAX + 1];
	uint32_t most;
};

struct store_op {
	enum store_kind kind;
	struct list link; /* the store's while it has the operation */
	void (*done)(struct store_op *op); /* may be NULL: it is freed then */
	void *arg;                         /* the caller's */
	enum queue_error error;            /* set before done */
	bool relaxed; /* a power cut may undo it, a kill may not */
	bool shared;  /* is for the shared store (redis/shared.h) */
	bool release; /* UPDATE, shared: others may have it */
	bool full;    /* SUBMIT, not shared: its queue is */
	bool counted; /* shared: counts are told */
	uint64_t counts[TASK_STATES];

	struct task_change change;
	struct task_row *row; /* SUBMIT, FIRE; owned */
	struct body *result;  /* FINISH; owned reference */
	bool result_json;
	uint64_t existing; /* SUBMIT, FIRE */

	char worker[WORKER_NAME_MAX + 1];
	int64_t after_rank;
	uint64_t after_id;
	uint32_t limit, states;
	uint32_t key_concurrency; /* shared REFILL, DUE: the worker's limits */
	double key_rate;
	int64_t now_ms, next_due_ms;
	bool more; /* REFILL, DUE, EXPIRE: stopped at limit, or at about 8 MiB
		    * of payload; there may be more */
	bool paused;
	int64_t paused_until_ms;
	uint32_t schedule;
	int64_t fire_ms, next_fire_ms;
	int64_t since_ms; /* FIRE, shared: the last run that is known of */
	uint32_t ran;     /* and how many others have made behind it */
	char *text;       /* GROUP: the `then`; owned */
	uint64_t group;
	struct queue_limit *limits; /* GROUP, shared: of its workers; owned */
	size_t limits_count;

	struct task_row *rows; /* what was found, or GROUP's members; owned */
	size_t count;
	struct task_row
	    *follow; /* FINISH: tasks that came to be by it; owned */
	size_t follow_count;
	uint64_t *ids; /* the store's: GROUP's, as they were given */

	/* The shared store's own, while it has the operation. */
	struct {
		uint64_t seq; /* its number; 0: not sent, or not carried out */
		uint64_t group; /* that is over by it */
		uint32_t bytes; /* on the way */
		uint8_t stage, step;
		bool again;  /* carried out, only the answer got lost */
		bool follow; /* the row is what follows */
	} flight;
};

struct store_op *store_op_new(enum store_kind kind); /* NULL: no memory */
void store_op_free(struct store_op *op);

/* What is known when a store is opened, besides the tasks themselves. */
struct store_pool {
	char worker[WORKER_NAME_MAX + 1];
	uint64_t counts[TASK_STATES];
	bool paused;
	int64_t paused_until_ms;
};

struct store_schedule {
	uint32_t id;
	char name[WORKER_NAME_MAX + 1];
	int64_t anchor_ms, next_ms; /* 0: never fired or planned */
	uint64_t last_task;         /* for overlap */
};

struct store_found {
	struct store_pool *pools; /* owned by the caller: store_found_done */
	size_t pools_count;
	struct store_schedule *schedules;
	size_t schedules_count;
	struct task_row *running; /* RUNNING when it was closed, with payload */
	size_t running_count;
	int64_t next_due_ms, next_expiry_ms; /* 0: none */
	uint64_t next_id;
	/* The file could not be opened: what is in it is not known. When health
	 * says well, the broker is to begin anew. */
	bool unread;
};

void store_found_done(struct store_found *found);

struct store_options {
	const char *path; /* of tasks.db; NULL: in memory */
	/* Follow-ups need defaults of their worker: rows that store_add never
	 * saw are completed by this, on the store's thread. The id is set
	 * already. false: it can't be submitted (no such worker). */
	bool (*complete)(struct submission *s, struct task_row *row, void *arg);
	void *arg;
	/* On the loop's thread, never from within a call of this header:
	 * degraded, or well again; words for people, "" if there is nothing to
	 * say. Called after store_start only when something is to be said. */
	void (*health)(void *arg, bool well, const char *words);
};

/*
 * Opens or makes the store. A file that is damaged or of a newer version is set
 * aside (its new name is in the words of health). 0 or -errno. *ret_found is
 * filled as far as there is anything.
 */
int store_start(struct ev_loop *loop, const struct store_options *options,
    struct store **ret, struct store_found *ret_found);

/* Takes the operation. Nothing happens before store_flush. */
void store_add(struct store *s, struct store_op *op);

/* At the end of a turn of the loop: what was added is the next transaction, or
 * part of it where one is under way. */
void store_flush(struct store *s);

/* A new id, never given before, not even by a store that was killed. 0: there
 * is none to be had, the store is not well. */
uint64_t store_new_id(struct store *s);

/* The id of the schedule of that name, made if there is none, and its last
 * task, 0: none. Blocks; at start and reload only. 0: the store is not well. */
uint32_t store_schedule_id(
    struct store *s, const char *name, uint64_t *ret_last);

/* Operations that are not committed yet: new submits wait in line behind so
 * many. */
size_t store_backlog(const struct store *s);

/* The file was replaced by another while it was in use (damaged and set aside,
 * deleted): what the caller knows of its tasks is no longer in it, the broker
 * is to begin anew. */
bool store_stale(struct store *s);

/* Commits what was added, calls every `done`, closes. */
void store_stop(struct store *s);

#endif
