#ifndef BROKER_REDIS_SHARED_H
#define BROKER_REDIS_SHARED_H

/*
 * The queue that several supervisords share, in a Redis. It takes the
 * operations of store.h under the same rules (`done` on the loop's thread, in
 * the order of shared_add, the operation the caller's again then); QERR_STORE
 * means that nothing of the operation has happened, or ever will.
 *
 * What is different: a task is run by who has claimed it. REFILL claims, for
 * this broker alone, and what is claimed stays its own, whatever its state,
 * until it ends, is put off (SCHEDULED) or is given back (`release`). All that
 * a broker has claimed hangs on one lease of the broker, renewed while it
 * lives: the cost of it does not grow with the tasks. When the lease has run
 * out the others queue its tasks again, and what it says of them after that is
 * refused with QERR_LOST: the fence. The lease is of the identity `id`, which
 * the guardian keeps in memory, so a broker that is killed and started again
 * goes on with what it had.
 *
 *     SUBMIT    limit: most queued and scheduled tasks (QERR_FULL), 0: any
 *               number; existing as there
 *     GROUP     limits: the same of its workers, for all of them or none
 *     UPDATE, FINISH   of a task that is claimed by this broker; else
 * QERR_LOST. UPDATE to SCHEDULED gives it back to the `due`; to QUEUED it stays
 * claimed, but with `release` others may have it CANCEL    queued by nobody:
 * rows[0] as it was. Claimed: who has it is told (the `cancel` of its options),
 * count is 0 REVIVE    rows[0] as it is now; claimed by nobody REFILL worker,
 * limit: claims; rows with payload, in order; more DUE       worker: queues
 * what is due by the Redis' clock, no rows; next_due_ms: in so many ms from now
 * the next is due, 0: none MINE      all that is claimed by this broker: rows
 * with payload STATS     worker: counts, paused FIRE      text: the schedule's
 * name; existing as there GROUP, POOL, TASK, LIST   as there EXPIRE    not
 * taken: it expires results by itself
 *
 * Every reply of SUBMIT, REFILL, DUE, STATS tells the worker's counts. STATS is
 * as TASK and LIST: it keeps no order, and when the connection breaks it fails
 * at once, where what changes something waits until it is back.
 */

#include "supervisord/broker/broker.h"
#include "supervisord/broker/store.h"

/* Ids of shared tasks begin here, so that no id is of two stores; below 2^53,
 * for readers of JSON. */
#define SHARED_ID_FIRST UINT64_C(1000000000000000)

#define SHARED_ID_BYTES 16

struct shared;

/* Callbacks are on the loop's thread, never from within a call of this header.
 */
struct shared_options {
	const char *url;             /* checked by redis_url_parse before */
	uint8_t id[SHARED_ID_BYTES]; /* random, kept by the guardian */
	const char *name;            /* for people: host and pid */
	enum durability durability;  /* the strictest of its workers */
	int64_t lease_ms;
	void *arg;
	/* As store_options.complete: a `then` needs defaults of its worker. */
	bool (*complete)(struct submission *s, struct task_row *row, void *arg);
	/* Connected and fit to be used, or not: why, for people, who know
	 * which store it is. Well, with words: it has become unsafe or is full,
	 * and new tasks are refused. */
	void (*health)(void *arg, bool well, const char *words);
	/* Connected, for the first time or again, or the lease was lost: what
	 * is claimed has to be looked up (MINE). After health(true). */
	void (*joined)(void *arg);
	/* There may be tasks to claim. */
	void (*ready)(void *arg, const char *worker);
	/* Its next scheduled task is due in so many ms; 0: there is none. */
	void (*due)(void *arg, const char *worker, int64_t in_ms);
	void (*ended)(void *arg, uint64_t id);  /* one of shared_watch */
	void (*cancel)(void *arg, uint64_t id); /* one that is claimed here */
	void (*paused)(
	    void *arg, const char *worker, bool paused, int64_t until_ms);
};

/* Built with hiredis. Without it shared_start gives -ENOTSUP. */
bool shared_built(void);

/* Starts the thread; nothing blocks, a Redis that is away is waited for.
 * 0 or -errno. */
int shared_start(struct ev_loop *loop, const struct shared_options *options,
    struct shared **ret);

/* A worker whose queue this broker serves; what is claimed of one that is no
 * longer is to be given back first. */
void shared_worker(struct shared *s, const char *worker, bool on);

/* `ended` is called for this id, maybe at once, maybe never if it has ended
 * before: look it up after this (TASK). */
void shared_watch(struct shared *s, uint64_t id, bool on);

void shared_add(struct shared *s, struct store_op *op);
void shared_flush(struct shared *s);
uint64_t shared_new_id(struct shared *s); /* 0: not well, none to be had */
/* What is claimed is still ours: it may be begun. A broker that was stopped for
 * a while does not know better. */
bool shared_leased(const struct shared *s);
size_t shared_backlog(const struct shared *s);

/* Carries out what was added as far as it can be, calls every `done`, closes.
 * leave: the supervisord ends for good, so all that is claimed is given back
 * and the lease with it; else the next broker goes on with it. */
void shared_stop(struct shared *s, bool leave);

#endif
