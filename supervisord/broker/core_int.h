#ifndef BROKER_CORE_INT_H
#define BROKER_CORE_INT_H

/*
 * What the core's files share.
 *
 * A pool holds in memory a window of its queue: everything the store has queued
 * up to its edge, a (rank, id), is in memory or with a hand; what lies beyond
 * the edge is in the store alone and is read when the window runs low
 * (window.c). What the store tells comes in the order in which it was asked, so
 * a task that is accepted while the window is refilled is either in what is
 * read, or is judged by the new edge.
 *
 * A task stays in the core's table until the last change put for it is
 * committed, so whatever the store finds meanwhile is known to be stale.
 *
 * A pool whose queue is shared has no window: it claims as many tasks as it has
 * room for, which are its own then, and gives back what it can't run
 * (claims.c). What it has claimed is what the shared store says it has
 * (mine.c). Tasks of both stores may be in one pool, when its setting has
 * changed: what is left of them in the local one is run from there.
 */

#include "supervisord/base/clock.h"
#include "supervisord/broker/autoscale.h"
#include "supervisord/broker/core.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/heap.h"
#include "supervisord/broker/meter.h"
#include "supervisord/broker/rates.h"
#include "supervisord/broker/retry.h"
#include "supervisord/broker/stores.h"

#define WINDOW_BYTES (32U << 20)
#define PARKED_MAX   50000 /* behind so many nothing more is read */
#define ASIDE_BYTES  (2 * WINDOW_BYTES) /* nor behind so many bytes of them */
/* A task that is back within this needs no commit to say that it runs. */
#define CLAIM_AFTER (10 * NS_PER_MS)
/* Prefetching pays for tasks shorter than this. */
#define PREFETCH_US 5000
/* With so many completions that could not be stored nothing more is begun. */
#define KEPT_MAX 1024
/* How long after an error the store is asked again. */
#define SICK_FIRST (100 * NS_PER_MS)
#define SICK_MOST  (2 * NS_PER_SEC)

/* How much is in memory and how much is read at a time. A simulation makes them
 * small, to live at their edges. */
struct core_sizes {
	uint32_t window_keep;  /* above twice this the far end is given up */
	uint32_t window_low;   /* refilled below this... */
	uint32_t window_chunk; /* by so many */
	uint32_t due_chunk, expire_chunk;
};

extern struct core_sizes core_sizes;

/* Hands by how much room they have: bits tell which buckets may hold any. */
#define RACK_BUCKETS 64

struct rack {
	uint64_t bits;
	struct list bucket[RACK_BUCKETS];
};

/* One value of limit_key of one pool, while it has tasks or owes tokens. */
struct limit_key {
	UT_hash_handle hh; /* pool->keys, by name */
	struct pool *pool;
	struct heap parked;
	struct tokens tokens;
	uint32_t running;
	uint32_t released; /* unparked, and not begun yet */
	uint32_t timed;    /* its index in core->timed */
	char name[];
};

struct pool {
	UT_hash_handle hh; /* core->pools, by config.name */
	struct broker *broker;
	struct pool_config config;
	bool configured; /* else it is gone from the config */

	struct list dirty; /* core->dirty: there may be something to hand out */
	struct heap queue;
	struct list loners; /* tasks that wait for a process of their own */
	uint32_t parked, loners_count;
	uint64_t bytes; /* of payloads in queue */
	uint64_t aside; /* of those parked */
	uint64_t later; /* of those due later that are in no store */
	uint32_t compact_at;

	bool more; /* the store has queued tasks beyond the edge */
	bool refilling;
	bool lowered; /* the edge was, since the refill was asked for */
	int64_t edge_rank;
	uint64_t edge_id;

	struct rack idle; /* hands with idle threads, by their number */
	struct rack room; /* without, but with room for prefetching */
	struct list full, closed;
	struct hand *reserved; /* runs empty for a loner */
	uint32_t hands;

	struct limit_key *keys;

	bool paused;
	int64_t paused_until_ms; /* wall; 0: for ever */
	struct storm storm;
	int64_t storm_until; /* mono; 0: none */
	char paused_words[160];

	/* Of a queue that is shared. */
	bool served;    /* the shared store knows that we serve it */
	bool hungry;    /* there may be tasks to claim */
	bool claiming;  /* some are being claimed */
	bool due_asked; /* what is due is being queued there */
	bool slow;      /* what waited here was given back: no reserve */
	bool stats_asked;
	int64_t due_at;   /* mono: the next is due then; 0: none */
	int64_t stats_at; /* mono: when its counts are asked for again */
	int64_t waits_at; /* mono: since when none of what waits here began */
	uint64_t waits_ends; /* how many had ended by then */
	uint32_t claims;     /* of its tasks in memory, those of that store */
	uint64_t told[TASK_STATES]; /* what that store counts */

	uint32_t adopting; /* tasks whose rows are being read */

	char **functions; /* NULL: not known, or anything goes */
	bool *functions_json;

	uint64_t counts[TASK_STATES];
	uint64_t submitting; /* accepted, not committed yet */
	uint64_t submitted, completed, failed, crashed;
	double run_us; /* moving average; below 0: not known */
	struct meter meter;

	struct autoscale_state scale;
	uint32_t wanted;  /* instances */
	int64_t scale_at; /* mono; 0: at rest */
};

/* A task that is being cancelled in the store: what is read of it meanwhile is
 * not to be run. */
struct cancelling {
	uint64_t id;
	UT_hash_handle hh;
	unsigned asked;
	struct pool *skipped; /* in which it would have come into memory */
	int64_t rank;
};

/* What a store's errors have led to. */
struct sickness {
	bool was_well;
	int64_t pause, until; /* mono: not asked before */
	uint32_t kept;        /* operations to be put again */
};

struct core {
	struct broker *broker;
	struct idmap tasks;
	struct pool *pools;
	struct pool *recent; /* that was asked for last; or NULL */
	struct idmap waits;  /* struct waiter.by_id */
	struct cancelling *cancels;
	struct list dirty;       /* pools */
	struct list unclaimed;   /* task.claim, oldest first */
	struct list kept;        /* operations to be put again */
	struct sickness sick[2]; /* the local store's, the shared one's */

	bool mine_asked; /* what is claimed is being looked up */
	bool mine_again; /* and is to be once more */
	bool mine_known; /* it was, since this start */
	uint32_t mine_round;
	struct early *early; /* to be cancelled when they have come */

	struct heap timed;    /* keys that wait for a token, by mono ns */
	struct heap fleeting; /* tasks of no store, by due_ms */

	bool adopted;     /* tasks may be handed out */
	uint32_t reading; /* rows that are being read for adoption */

	int64_t next_due_ms, next_expiry_ms; /* wall; 0: none */
	bool due_asked, expiry_asked;

	/* The next time something is to be done without a cause from outside */
	int64_t wake_mono, wake_wall;   /* 0: none */
	int64_t armed_mono, armed_wall; /* what the watchers are set to */
	ev_timer timer;
	ev_periodic periodic;

	char refusal[256]; /* core_refusal */

	/* One reading of the clocks a turn. */
	bool clocks_read;
	int64_t mono, wall_ms;
	uint64_t random;
};

/* All counts of states go through these. Those of shared tasks are told by
 * their store, which others change, too. */
static inline void
count_one(struct pool *p, uint64_t id, unsigned state, int by)
{
	if (!id_shared(id))
		p->counts[state] += (uint64_t)by;
}

static inline void
count_move(struct pool *p, uint64_t id, unsigned from, unsigned to)
{
	if (!id_shared(id)) {
		p->counts[from]--;
		p->counts[to]++;
	}
}

static inline void
task_move(struct task *t, enum task_state to)
{
	count_move(t->pool, t->row.id, t->row.state, to);
	t->row.state = (uint8_t)to;
}

static inline uint32_t
task_bytes(const struct task *t)
{
	return t->row.payload != NULL ? t->row.payload->size : 0;
}

/* It has crashed a process, or was there too often when one died. */
static inline bool
row_is_suspect(const struct task_row *row)
{
	return row->crashes > 0 || row->victims >= 2;
}

/* core.c */
void core_clocks(struct core *c);
void core_wake(struct core *c, int64_t mono);
void core_wake_wall(struct core *c, int64_t wall_ms);
/* What time alone brings about. The watchers call it; a test may. */
void core_tick(struct broker *b);
uint64_t core_random(struct core *c);

/* pool.c */
struct pool *pool_find(struct core *c, const char *worker);
/* Made if it is not there; NULL: no memory. */
struct pool *pool_get(struct core *c, const char *worker);
void pool_configure(struct pool *p, const struct pool_config *config);
void pool_drop(struct pool *p);       /* gone from the config */
bool pool_idle(const struct pool *p); /* not configured, and holds nothing */
void pool_free(struct pool *p);
void pools_touch(struct core *c);
void pool_touch(struct pool *p); /* dispatch looks at it at the turn's end */
bool pool_open(const struct pool *p); /* not paused in any way */
void pool_tick(struct pool *p);

/* window.c. The task is queued in the store (or fleeting); it is taken: maybe
 * freed, when it lies beyond the window. */
void window_enter(struct task *t);
/* As before, from a row, which is left empty. */
void window_row(struct pool *p, struct task_row *row);
void window_push(struct task *t);   /* in memory, whatever the edge */
void window_remove(struct task *t); /* from queue, loners, parked, due */
void window_look(struct pool *p);   /* refills if it runs low */
bool window_beyond(const struct pool *p, int64_t rank, uint64_t id);
/* The task is not in memory though it should be: the edge goes before it. */
void window_lower(struct pool *p, int64_t rank, uint64_t id);

/* racks.c */
void rack_init(struct rack *r);
void rack_place(struct pool *p, struct hand *h);
struct hand *rack_first(struct rack *r); /* most room; NULL */
void rack_each(
    struct pool *p, void (*each)(struct hand *h, void *arg), void *arg);

/* dispatch.c */
void pool_dispatch(struct pool *p);
void dispatch_claims(struct core *c); /* those that are not back in time */
/* Out of its hand, its key, its claim. */
void task_leave(struct task *t);
void hand_take(struct hand *h, struct task *t);
void hand_is_alone(struct hand *h, const struct task *t); /* if it is */
/* Where it runs now: for people. */
void task_place(struct task *t, const struct hand *h);

/* keys.c */
bool key_blocked(struct task *t); /* parked then, or can't be */
void key_take(struct task *t);
void key_leave(struct task *t);    /* it runs no more, or is not going to */
void key_unparked(struct task *t); /* taken out of its park */
void keys_tick(struct core *c);
void keys_release(struct pool *p); /* limits changed: all are looked at again */

/* put.c */
struct task *task_new(struct pool *p);
/* Out of every place; freed when nothing put for it is on the way. */
void task_forget(struct task *t);
void task_add(struct task *t); /* to the table */
void put_claim(struct task *t);
bool put_update(struct task *t);  /* all that may have changed; false: it could
				   * not be put, for lack of memory */
bool put_release(struct task *t); /* shared, queued: others may have it; the
				   * same */
void put_end(
    struct task *t, enum task_state state, struct body *result, bool json);
void put_again(struct core *c); /* what the store could not take */
/* It failed: not before a while. Of the shared store, or the local one. */
void put_sick(struct core *c, bool shared);
bool put_well(const struct core *c, bool shared);
/* Kept until it is well. */
void put_keep(struct core *c, struct store_op *op);
bool pool_relaxed(const struct pool *p);
void core_follow(struct broker *b, struct store_op *op);

/* ask.c */
void cancels_free(struct core *c);
bool cancel_skips(struct task *t); /* it is not to come into memory */

/* due.c */
/* One of no store waits in memory until it is due; false: no memory. */
bool due_fleeting(struct task *t);
void due_look(struct core *c);
void due_note(struct core *c, int64_t due_ms);
void expiry_look(struct core *c);
void expiry_note(struct core *c, int64_t expires_ms);

/* claims.c */
void claims_look(struct pool *p); /* claims, gives back */
void claims_tick(struct pool *p);
void claims_told(struct pool *p, const struct store_op *op);
/* One of them has been submitted, or is due at a time of the wall clock. */
void claims_new(struct pool *p, const struct task_row *row);
/* Back to those who share its queue. */
void claims_release(struct task *t);
/* It is ours no more, "task N is ...": ended here if it runs, and forgotten. */
void claims_lost(struct task *t, const char *words);
/* A task, from a row that is claimed; the row is left empty. */
void claims_row(struct pool *p, struct task_row *row);

/* mine.c */
void mine_ask(struct core *c);
void mine_look(struct core *c);
void mine_free(struct core *c);
/* It was to be cancelled before it was here. */
bool mine_early(struct core *c, uint64_t id);

/* adopt.c */
void adopt_row(struct task *t, struct task_row *row); /* NULL: not ours */

/* waits.c */
void waits_look(struct core *c, uint64_t id); /* it may have ended elsewhere */
void waits_look_all(struct core *c);
void waits_progress(struct task *t);
void waits_end(
    struct core *c, uint64_t id, enum queue_error e, const struct task_row *r);
void waits_free(struct core *c);

/* scale.c */
void scale_look(struct pool *p);
void scale_tick(struct pool *p);

#endif
