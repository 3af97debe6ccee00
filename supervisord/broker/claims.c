/*
 * A pool whose queue is shared. It claims as many tasks as it has threads for,
 * and a few more where they are short; what it can't run, for a pause or for
 * want of threads, it gives back to the others.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

/* Tasks that wait here so long, and none of them begins, are given back. */
#define WAITS_MOST NS_PER_SEC
/* Those whose limit_key is at its cap wait here; behind so many nothing more is
 * claimed. */
#define CLAIMS_PARKED 1000
/* How often the counts are asked for that autoscaling goes by. */
#define STATS_EVERY NS_PER_SEC

/* --- what can be run ------------------------------------------------------ */

struct room {
	uint32_t threads, idle, ahead;
};

static void
add_hand(struct hand *h, void *arg)
{
	struct room *room = arg;
	uint32_t most = h->threads + h->prefetch;

	if (h->closed)
		return;
	room->threads += h->threads;
	if (h->held < h->threads)
		room->idle += h->threads - h->held;
	if (h->held < most)
		room->ahead += most - MAX_OF(h->held, h->threads);
}

static uint32_t
waiting(const struct pool *p)
{
	return p->queue.count + p->loners_count;
}

/* How many more there is work for. */
static uint32_t
wanted(const struct pool *p, const struct room *room)
{
	uint32_t most = room->idle;

	/* While short ones are asked for, others can be run. */
	if (p->run_us >= 0 && p->run_us < PREFETCH_US && !p->slow)
		most += room->ahead + room->threads;
	if (p->parked >= CLAIMS_PARKED || waiting(p) >= most)
		return 0;
	return most - waiting(p);
}

/* --- claimed -------------------------------------------------------------- */

void
claims_told(struct pool *p, const struct store_op *op)
{
	if (op->shared && op->counted)
		memcpy(p->told, op->counts, sizeof(p->told));
}

void
claims_row(struct pool *p, struct task_row *row)
{
	struct core *c = p->broker->core;
	struct task *t = core_find(p->broker, row->id);
	int64_t ready;

	if (t != NULL) {
		/* Lost, and on its way out: looked up again then. */
		t->again = true;
		task_row_done(row);
		return;
	}
	t = task_new(p);
	if (t == NULL) {
		log_error("%s: out of memory: task %" PRIu64 " has to wait",
		    p->config.name, row->id);
		c->mine_again = true;
		core_wake(c, c->mono + SICK_MOST);
		task_row_done(row);
		return;
	}
	t->row = *row;
	*row = (struct task_row){ .id = t->row.id };
	t->alone = row_is_suspect(&t->row);
	ready = MAX_OF(t->row.created_ms, t->row.due_ms);
	t->ready_mono = c->mono - MAX_OF(c->wall_ms - ready, 0) * NS_PER_MS;
	task_add(t);
	if (t->row.state == TASK_RUNNING) {
		/* Nobody here has it: how far it had come is not known. */
		task_move(t, TASK_QUEUED);
		put_update(t);
	}
	window_push(t);
	if (mine_early(c, t->row.id))
		core_cancel(p->broker, t->row.id, NULL, NULL);
}

static void
claimed(struct store_op *op)
{
	struct pool *p = op->arg;
	struct core *c = p->broker->core;

	core_clocks(c);
	p->claiming = false;
	claims_told(p, op);
	if (op->error != QERR_NONE) {
		p->hungry = true;
		put_sick(c, true);
	}
	if (op->more || (op->count > 0 && op->count == op->limit))
		p->hungry = true;
	for (size_t i = 0; i < op->count; i++)
		claims_row(p, &op->rows[i]);
	store_op_free(op);
	pool_touch(p);
}

static struct store_op *
claims_op(struct pool *p, enum store_kind kind, void (*done)(struct store_op *))
{
	struct store_op *op = store_op_new(kind);

	if (op == NULL) {
		core_wake(p->broker->core, p->broker->core->mono + SICK_MOST);
		return NULL;
	}
	memcpy(op->worker, p->config.name, sizeof(op->worker));
	op->shared = op->relaxed = true;
	op->done = done;
	op->arg = p;
	return op;
}

static void
claim(struct pool *p, uint32_t many)
{
	struct store_op *op = claims_op(p, STORE_REFILL, claimed);

	if (op == NULL)
		return;
	op->limit = MIN_OF(many, core_sizes.window_chunk);
	op->key_concurrency = p->config.key_concurrency;
	op->key_rate = p->config.key_rate;
	p->hungry = false;
	p->claiming = true;
	stores_add(p->broker, op);
}

/* --- given back ----------------------------------------------------------- */

void
claims_release(struct task *t)
{
	if (t->place == PLACE_NOWHERE)
		return; /* it is on its way */
	window_remove(t);
	if (!put_release(t))
		window_push(t);
}

static void
release_all(struct pool *p)
{
	struct heap *q = &p->queue;
	uint32_t before;

	if (p->claims == 0)
		return;
	if (p->parked > 0)
		keys_release(p);
	while (!list_empty(&p->loners)) {
		struct task *t = LIST_ENTRY(p->loners.next, struct task, link);

		window_remove(t);
		window_push(t);
	}
	/* What takes the place of one that goes may come from before it. */
	do {
		before = q->count;
		for (uint32_t i = q->count; i > 0; i--) {
			struct task *t =
			    i <= q->count ? q->at[i - 1].item : NULL;

			if (t != NULL && id_shared(t->row.id))
				claims_release(t);
		}
	} while (q->count < before);
}

void
claims_lost(struct task *t, const char *words)
{
	struct core *c = t->pool->broker->core;
	uint64_t id = t->row.id;
	bool lost = t->lost;

	if (!lost)
		log_warn("%s: task %" PRIu64 " is %s", t->pool->config.name, id,
		    words);
	t->lost = true;
	if (t->hand == NULL) {
		task_forget(t);
	} else if (!lost) {
		t->cancelling = true;
		hands_cancel(t);
	}
	/* Who waits for it here hears no more of it from us. */
	if (!lost)
		waits_look(c, id);
}

/* --- the turn ------------------------------------------------------------- */

/* What short tasks were claimed for is taken up by long ones: those that wait
 * behind them may find a thread elsewhere. */
static bool
stuck(struct pool *p, const struct room *room)
{
	struct core *c = p->broker->core;
	uint64_t ends = p->completed + p->failed + p->crashed;

	if (waiting(p) == 0 || room->idle > 0) {
		p->waits_at = 0;
		return false;
	}
	if (p->waits_at == 0 || p->waits_ends != ends) {
		p->waits_at = c->mono;
		p->waits_ends = ends;
	}
	core_wake(c, p->waits_at + WAITS_MOST);
	return p->waits_at + WAITS_MOST <= c->mono;
}

/* News of what is due comes by other ways than answers, and may be ahead of
 * them: what is told of first counts, asking too often costs little. */
static void
due_by(struct pool *p, int64_t at)
{
	if (p->due_at == 0 || at < p->due_at)
		p->due_at = at;
}

static void
due_done(struct store_op *op)
{
	struct pool *p = op->arg;
	struct core *c = p->broker->core;

	core_clocks(c);
	p->due_asked = false;
	claims_told(p, op);
	if (op->error != QERR_NONE) {
		put_sick(c, true);
		due_by(p, c->mono);
	} else {
		p->hungry = true;
		if (op->more)
			due_by(p, c->mono);
		else if (op->next_due_ms > 0)
			due_by(p, c->mono + op->next_due_ms * NS_PER_MS);
	}
	store_op_free(op);
	pool_touch(p);
}

static void
due_ask(struct pool *p)
{
	struct core *c = p->broker->core;
	struct store_op *op;

	if (p->due_at == 0 || p->due_asked)
		return;
	if (p->due_at > c->mono) {
		core_wake(c, p->due_at);
		return;
	}
	op = claims_op(p, STORE_DUE, due_done);
	if (op == NULL)
		return;
	op->limit = core_sizes.due_chunk;
	op->key_concurrency = p->config.key_concurrency;
	op->key_rate = p->config.key_rate;
	p->due_asked = true;
	p->due_at = 0;
	stores_add(p->broker, op);
}

/* Whether the shared store is to know of us as one who serves it. */
static bool
serve(struct pool *p)
{
	bool wanted_here = p->configured && p->config.shared;

	if (p->broker->shared == NULL)
		return false;
	if (wanted_here && !p->served) {
		shared_worker(p->broker->shared, p->config.name, true);
		p->served = p->hungry = true;
		p->due_at = p->broker->core->mono;
		if (p->broker->shared_well)
			core_refresh(p->broker, p->config.name, NULL, NULL);
	} else if (!wanted_here && p->served && p->claims == 0 &&
		   !p->claiming) {
		shared_worker(p->broker->shared, p->config.name, false);
		p->served = false;
		p->due_at = 0;
		memset(p->told, 0, sizeof(p->told));
	}
	return wanted_here;
}

void
claims_look(struct pool *p)
{
	struct core *c = p->broker->core;
	struct room room = { 0 };
	bool ours;
	uint32_t many;

	if (!p->config.shared && !p->served && p->claims == 0)
		return;
	ours = serve(p);
	if (!p->broker->shared_well || !c->mine_known)
		return;
	if (!put_well(c, true)) {
		core_wake(c, c->sick[1].until);
		return;
	}
	rack_each(p, add_hand, &room);
	if (!ours || !pool_open(p) || room.threads == 0) {
		release_all(p);
	} else if (stuck(p, &room)) {
		p->slow = true;
		release_all(p);
	}
	if (ours)
		due_ask(p);
	many = wanted(p, &room);
	if (ours && pool_open(p) && p->hungry && !p->claiming && many > 0 &&
	    p->adopting == 0)
		claim(p, many);
}

void
claims_new(struct pool *p, const struct task_row *row)
{
	struct core *c = p->broker->core;
	int64_t at;

	if (row->state != TASK_SCHEDULED) {
		p->hungry = true;
	} else {
		at = c->mono + MAX_OF(row->due_ms - c->wall_ms, 0) * NS_PER_MS;
		due_by(p, at);
		core_wake(c, p->due_at);
	}
	pool_touch(p);
}

/* --- counts --------------------------------------------------------------- */

static void
counted(struct store_op *op)
{
	struct pool *p = op->arg;

	core_clocks(p->broker->core);
	p->stats_asked = false;
	if (op->error == QERR_NONE) {
		claims_told(p, op);
		core_shared_paused(
		    p->broker, p->config.name, op->paused, op->paused_until_ms);
	}
	store_op_free(op);
	pool_touch(p);
}

void
claims_tick(struct pool *p)
{
	struct core *c = p->broker->core;
	struct store_op *op;

	if (!p->served)
		return;
	pool_touch(p);
	if (!p->config.autoscale || !p->broker->shared_well || p->stats_asked)
		return;
	if (p->stats_at > c->mono) {
		core_wake(c, p->stats_at);
		return;
	}
	p->stats_at = c->mono + STATS_EVERY;
	op = claims_op(p, STORE_STATS, counted);
	if (op == NULL)
		return;
	p->stats_asked = true;
	stores_add(p->broker, op);
}

struct refresh {
	struct broker *broker;
	core_done_fn *done;
	void *arg;
	uint32_t asked;
	enum queue_error error;
};

static void
answer(struct refresh *r)
{
	if (--r->asked > 0)
		return;
	if (r->done != NULL)
		r->done(r->arg, r->error);
	free(r);
}

static void
refreshed(struct store_op *op)
{
	struct refresh *r = op->arg;
	struct pool *p = pool_find(r->broker->core, op->worker);

	core_clocks(r->broker->core);
	if (op->error != QERR_NONE) {
		r->error = op->error;
	} else if (p != NULL) {
		claims_told(p, op);
		core_shared_paused(
		    r->broker, op->worker, op->paused, op->paused_until_ms);
	}
	store_op_free(op);
	answer(r);
}

void
core_refresh(
    struct broker *b, const char *worker, core_done_fn *done, void *arg)
{
	struct refresh *r = calloc(1, sizeof(*r));
	struct pool *p, *next;

	if (r == NULL) {
		if (done != NULL)
			done(arg, QERR_NO_MEMORY);
		return;
	}
	*r = (struct refresh){ b, done, arg, 1, QERR_NONE };
	HASH_ITER(hh, b->core->pools, p, next)
	{
		struct store_op *op;

		if (!p->served || !b->shared_well ||
		    (worker != NULL && strcmp(worker, p->config.name) != 0))
			continue;
		op = claims_op(p, STORE_STATS, refreshed);
		if (op == NULL)
			continue;
		op->arg = r;
		r->asked++;
		stores_add(b, op);
	}
	answer(r);
}

/* --- told ----------------------------------------------------------------- */

void
core_shared_ready(struct broker *b, const char *worker)
{
	struct pool *p = pool_find(b->core, worker);

	core_clocks(b->core);
	if (p == NULL || !p->served)
		return;
	p->hungry = true;
	pool_touch(p);
}

void
core_shared_due(struct broker *b, const char *worker, int64_t in_ms)
{
	struct pool *p = pool_find(b->core, worker);
	struct core *c = b->core;

	core_clocks(c);
	if (p == NULL || !p->served)
		return;
	if (in_ms > 0)
		due_by(p, c->mono + in_ms * NS_PER_MS);
	pool_touch(p);
}
