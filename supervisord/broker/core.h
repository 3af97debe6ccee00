#ifndef BROKER_CORE_H
#define BROKER_CORE_H

/*
 * The queues: one pool a worker. The core decides which task goes to which
 * thread and when, and is the only one to change a task's state; what it
 * decides is put to the store in the same turn. It knows neither sockets nor
 * SQL: clients.c and schedule.c call it from one side, hands.c carries its
 * tasks to the workers on the other.
 */

#include "supervisord/base/idmap.h"
#include "supervisord/broker/broker.h"
#include "supervisord/broker/store.h"

struct hand;
struct limit_key;
struct pool;

/* Where a task in memory is. */
enum task_place {
	PLACE_NOWHERE, /* its last change is being committed */
	PLACE_QUEUE,   /* in its pool's heap */
	PLACE_PARKED,  /* its limit_key is at its cap, or has no token yet */
	PLACE_ALONE,   /* waits for a process of its own */
	PLACE_DUE,     /* fleeting and due later */
	PLACE_HAND     /* with task->hand */
};

/*
 * A task in memory: near its turn, or running. The core's to change, but for
 * what hands keep in it (deadline, overrun).
 */
struct task {
	struct task_row row; /* payload loaded */
	struct pool *pool;
	struct idlink by_id; /* core->tasks */
	struct list link;    /* hand's tasks, or the pool's loners */
	struct list claim;   /* given, and the store does not know it yet */
	uint32_t heap;       /* its index in the heap it is in */
	uint8_t place;       /* enum task_place */
	struct limit_key *key;
	struct hand *hand; /* that has it; NULL: queued */
	uint16_t thread;   /* where it runs, once begun */
	bool begun;        /* its handler was entered, as far as known */
	bool unsure;       /* sent by a broker that was killed: SYNC tells */
	bool claimed;      /* the store knows that it runs */
	bool cancelling;
	bool recalled;
	bool released;      /* by its key: first in line for what it has free */
	bool alone;         /* goes to an idle process and nothing beside it */
	bool ending;        /* its FINISH is on the way to the store */
	bool fleeting;      /* is not in the store at all */
	bool ended;         /* it is committed */
	bool dirty;         /* the store could not take what it has become */
	bool reading;       /* adopted, its row is not known yet */
	bool lost;          /* shared, and another's by now */
	bool again;         /* and ours again since, as another task */
	bool behind;        /* was given to a hand with no idle thread */
	uint32_t pending;   /* operations for it that are on the way */
	uint32_t mine;      /* shared: seen when claims were looked up last */
	int64_t ready_mono; /* ns, when its turn could have come */
	int64_t sent_mono;  /* ns */
	int64_t deadline;   /* mono ns: cancel flag, then kill; 0 none */
	bool overrun;       /* the deadline has passed once: asked to end */
	uint32_t share;     /* progress per mille, or WIRE_NO_SHARE */
	char *progress;     /* its text */
};

/* --- for main.c ----------------------------------------------------------- */

int core_new(struct broker *b, const struct store_found *found);
/* The settings have changed: pools come, change, go (a pool with tasks stays as
 * long as it has any, its tasks wait). */
void core_configure(struct broker *b);
/* End of a turn: hands out what can be handed out. Before store_flush. */
void core_turn(struct broker *b);
void core_free(struct broker *b);
/*
 * Fills a row from a submission and its worker's settings, as accepted now;
 * moves the strings out of it. All but the id. false: no such worker. Any
 * thread; arg is not looked at (the store's options.complete).
 */
bool core_complete(struct submission *s, struct task_row *row, void *arg);

/* --- for clients.c, schedule.c -------------------------------------------- */

typedef void core_submitted_fn(
    void *arg, enum queue_error error, uint64_t id, bool existed);

/*
 * Takes the submission. `done` is called once, when it is committed or refused,
 * maybe before this returns. Checks worker, function, size, max_queue.
 */
void core_submit(
    struct broker *b, struct submission *s, core_submitted_fn *done, void *arg);

/*
 * Many at once, all or none, with a `then` that gets the list of their results
 * when the last is done (NULL: none). ids are given to done in an array.
 */
typedef void core_group_fn(void *arg, enum queue_error error, uint64_t group,
    const uint64_t *ids, size_t count);
void core_submit_group(struct broker *b, struct submission **s, size_t count,
    char *then, core_group_fn *done, void *arg);

/* Checks a submission as core_submit does, without taking it. */
enum queue_error core_check(struct broker *b, const struct submission *s);
/* A row that somebody else's operation (FIRE) has stored: queues it. Takes what
 * it points to and leaves it empty. */
void core_accept(struct broker *b, struct task_row *row);

typedef void core_done_fn(void *arg, enum queue_error error);
/* Queued: at once. Running: asked, then killed after its grace; done (may be
 * NULL) is called when that has begun. */
void core_cancel(struct broker *b, uint64_t id, core_done_fn *done, void *arg);
void core_requeue(struct broker *b, uint64_t id, core_done_fn *done, void *arg);
/* until_ms: wall clock, 0 for ever */
void core_pause(struct broker *b, const char *worker, bool paused,
    int64_t until_ms, core_done_fn *done, void *arg);

/* Looks a task up, in memory first, else in the store. row is borrowed; NULL
 * with an error. */
typedef void core_task_fn(void *arg, enum queue_error error,
    const struct task_row *row, const struct task *live);
void core_task(struct broker *b, uint64_t id, core_task_fn *done, void *arg);

/* Told of progress and of the end. ended is called once (with NO_TASK for an
 * unknown id; maybe before core_wait returns), then the waiter is out of every
 * list; core_unwait before it goes away on its own. All zero but for the last
 * three it is one that waits for nothing. */
struct waiter {
	struct list link;    /* while it is being told */
	struct idlink by_id; /* of the task, in core->waits */
	struct core *core;
	void (*progress)(struct waiter *w, const struct task *t);
	void (*ended)(struct waiter *w, enum queue_error error,
	    const struct task_row *row);
	void *arg;
};

void core_wait(struct broker *b, uint64_t id, struct waiter *w);
void core_unwait(struct waiter *w);

/* Which worker or function core_check, core_submit or core_submit_group has
 * refused just now, in words; "": no more is to be said. */
const char *core_refusal(const struct broker *b);

struct pool_stats {
	const char *worker;
	bool configured; /* else its tasks wait until it comes back */
	uint64_t counts[TASK_STATES];
	bool paused;
	int64_t paused_until_ms;
	char paused_words[160];            /* why, when it paused itself */
	uint32_t instances, threads, busy; /* connected ones */
	uint64_t submitted, completed, failed, crashed; /* since this start */
	double in_per_s, out_per_s;       /* over the last minute */
	int64_t wait_p50_us, wait_p99_us; /* ready to begun, last minute */
	int64_t run_p50_us, run_p99_us;
	int64_t oldest_ms;     /* age of the oldest queued one in memory; 0 */
	bool shared;           /* counts and pauses are of the shared store */
	uint32_t here;         /* shared: queued ones that are claimed by us */
	uint32_t parked;       /* held back by their limit_key */
	uint32_t alone;        /* that wait to run alone */
	const char *kept_free; /* the instance that runs empty for one; NULL */
	const char *const *functions; /* NULL-terminated; NULL: not known yet */
};

/* Asks the shared store for the counts of these queues (NULL: all); `done` (may
 * be NULL) when they are known, or can't be known now. */
void core_refresh(
    struct broker *b, const char *worker, core_done_fn *done, void *arg);

/* A worker of the config, or one that has left it and has tasks yet. */
bool core_knows(struct broker *b, const char *worker);

/* Each pool's; worker NULL: all. */
void core_stats(struct broker *b, const char *worker,
    void (*each)(const struct pool_stats *stats, void *arg), void *arg);

/* --- for hands.c ---------------------------------------------------------- */

/*
 * An instance said HELLO, or a broker that was killed had it already. The core
 * keeps h->pool, tasks, held, alone and pool_link, and each task's hand and
 * link: they are set before hands_give and taken back within core_done,
 * _failed, _returned and _lost.
 */
void core_hand_up(struct broker *b, struct hand *h);
/*
 * A broker that was killed had given this task to h, which is up or dead. It is
 * made h's, unsure, and the core calls hands_adopted, maybe at once: with NULL
 * if it has ended or is unknown. Before the first core_turn.
 */
void core_adopt(
    struct broker *b, struct hand *h, uint64_t id, uint32_t attempt);
/* There are no more of these: what else was running is queued again, and tasks
 * are handed out from now on. */
void core_adopted(struct broker *b);
/* It takes nothing more (DRAINING, STOPPING), or does again. */
void core_hand_closed(struct broker *b, struct hand *h, bool closed);
/* A thread is free again or a task was given back: hands out at core_turn. The
 * result is borrowed, and the task not the hand's any more (maybe freed). */
void core_done(
    struct broker *b, struct task *t, struct body *result, bool json);
void core_failed(
    struct broker *b, struct task *t, const char *why, bool for_good);
void core_begun(struct broker *b, struct task *t, uint16_t thread);
void core_progress(
    struct broker *b, struct task *t, uint32_t share, const char *text);
void core_returned(struct broker *b, struct task *t);

/* Why an instance's tasks come back without an answer. */
enum lost {
	LOST_UNBEGUN,  /* never begun: not charged, no attempt */
	LOST_STOPPED,  /* it was stopped or recycled on purpose: not charged */
	LOST_VICTIM,   /* a sibling thread killed it: not charged */
	LOST_SUSPECT,  /* one of several that may have crashed it: next alone */
	LOST_GUILTY,   /* it crashed it: a crash is charged */
	LOST_OVERRUN,  /* killed for its time limit: a failure is charged */
	LOST_CANCELLED /* killed since it was cancelled and did not end */
};

/* words: how the process ended; may be NULL. */
void core_lost(
    struct broker *b, struct task *t, enum lost why, const char *words);
/* The hand is gone, it has no tasks any more. */
void core_hand_down(struct broker *b, struct hand *h);

/* --- for start.c: what the shared store tells (redis/shared.h) ------------ */

void core_shared_joined(struct broker *b);
void core_shared_ready(struct broker *b, const char *worker);
void core_shared_due(struct broker *b, const char *worker, int64_t in_ms);
void core_shared_ended(struct broker *b, uint64_t id);
void core_shared_cancel(struct broker *b, uint64_t id);
void core_shared_paused(
    struct broker *b, const char *worker, bool paused, int64_t until_ms);

/* A task in memory, or NULL. */
struct task *core_find(struct broker *b, uint64_t id);

#endif
