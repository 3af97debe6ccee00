/* What people ask of tasks and queues: cancel, requeue, pause, look. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/core_int.h"

/* A day, for one whose worker's result_ttl is not at hand. */
#define CANCELLED_KEPT (24 * 3600 * 1000LL)

struct asked {
	struct broker *broker;
	core_done_fn *done;
	core_task_fn *task;
	void *arg;
};

static struct store_op *
ask(struct broker *b, enum store_kind kind, void (*answer)(struct store_op *op),
    struct asked asked)
{
	struct asked *a = malloc(sizeof(*a));
	struct store_op *op = a != NULL ? store_op_new(kind) : NULL;

	if (op == NULL) {
		free(a);
		return NULL;
	}
	asked.broker = b;
	*a = asked;
	op->done = answer;
	op->arg = a;
	core_clocks(b->core);
	return op;
}

/* Who asked is told, and the operation is over. */
static void
answer(struct store_op *op)
{
	struct asked *a = op->arg;

	if (a->done != NULL)
		a->done(a->arg, op->error);
	free(a);
	store_op_free(op);
}

static void
ignore(void *arg, enum queue_error error)
{
	(void)arg;
	(void)error;
}

/* --- cancel --------------------------------------------------------------- */

static void
cancel_task(struct task *t)
{
	if (t->hand != NULL) {
		t->cancelling = true;
		hands_cancel(t);
		return;
	}
	free(t->row.error);
	t->row.error = strdup("cancelled before it began");
	put_end(t, TASK_CANCELLED, NULL, false);
}

bool
cancel_skips(struct task *t)
{
	struct core *c = t->pool->broker->core;
	struct cancelling *k;

	if (c->cancels == NULL)
		return false;
	HASH_FIND(hh, c->cancels, &t->row.id, sizeof(t->row.id), k);
	if (k == NULL)
		return false;
	k->skipped = t->pool;
	k->rank = t->row.rank;
	return true;
}

static bool
cancel_begins(struct core *c, uint64_t id)
{
	struct cancelling *k;

	HASH_FIND(hh, c->cancels, &id, sizeof(id), k);
	if (k == NULL) {
		k = calloc(1, sizeof(*k));
		if (k == NULL)
			return false;
		k->id = id;
		HASH_ADD(hh, c->cancels, id, sizeof(id), k);
		if (k->hh.tbl == NULL) {
			free(k);
			return false;
		}
	}
	k->asked++;
	return true;
}

static void
cancel_ends(struct core *c, uint64_t id, bool done)
{
	struct cancelling *k;

	HASH_FIND(hh, c->cancels, &id, sizeof(id), k);
	if (k == NULL)
		return;
	if (done)
		k->skipped = NULL;
	if (--k->asked > 0)
		return;
	HASH_DEL(c->cancels, k);
	/* It lives on: the window is to find it again. */
	if (k->skipped != NULL)
		window_lower(k->skipped, k->rank, id);
	free(k);
}

void
cancels_free(struct core *c)
{
	struct cancelling *k, *next;

	HASH_ITER(hh, c->cancels, k, next)
	{
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links */
		HASH_DEL(c->cancels, k);
		free(k);
	}
}

static void
cancelled(struct store_op *op)
{
	struct asked *a = op->arg;
	struct core *c = a->broker->core;
	struct task_row *row = op->rows;

	core_clocks(c);
	cancel_ends(c, op->change.id, op->error == QERR_NONE);
	if (op->error == QERR_NONE && op->count > 0) {
		struct pool *p = pool_find(c, row->worker);

		if (p != NULL)
			count_move(p, row->id, row->state, TASK_CANCELLED);
		row->state = TASK_CANCELLED;
		row->finished_ms = op->change.finished_ms;
		row->expires_ms = op->change.expires_ms;
		if (!op->shared)
			expiry_note(c, row->expires_ms);
		core_follow(a->broker, op);
		waits_end(c, row->id, QERR_NONE, row);
	}
	answer(op);
}

void
core_cancel(struct broker *b, uint64_t id, core_done_fn *done, void *arg)
{
	struct task *t = core_find(b, id);
	struct store_op *op;

	core_clocks(b->core);
	if (done == NULL)
		done = ignore;
	if (t != NULL &&
	    (t->reading || t->ending || (t->unsure && t->hand == NULL))) {
		done(arg, QERR_STATE);
		return;
	}
	if (t != NULL && t->lost) {
		t = NULL;
	} else if (t != NULL && id_shared(id) && t->hand == NULL) {
		/* First back to the others', then cancelled as one of them. */
		claims_release(t);
		t = NULL;
	}
	if (t != NULL) {
		if (t->fleeting || t->hand != NULL) {
			cancel_task(t);
			done(arg, QERR_NONE);
			return;
		}
		/* Told when it is committed: by the order of operations that is
		 * when a look at the row behind it comes back. */
		cancel_task(t);
		op = ask(b, STORE_UPDATE, answer,
		    (struct asked){ .done = done, .arg = arg });
		if (op != NULL)
			stores_add(b, op);
		else
			done(arg, QERR_NONE);
		return;
	}
	op = ask(b, STORE_CANCEL, cancelled,
	    (struct asked){ .done = done, .arg = arg });
	if (op == NULL || !cancel_begins(b->core, id)) {
		if (op != NULL)
			free(op->arg);
		store_op_free(op);
		done(arg, QERR_NO_MEMORY);
		return;
	}
	op->shared = id_shared(id);
	op->change.id = id;
	op->change.fields = CHANGE_STATE | CHANGE_FINISHED | CHANGE_ERROR;
	op->change.state = TASK_CANCELLED;
	op->change.finished_ms = b->core->wall_ms;
	op->change.expires_ms = b->core->wall_ms + CANCELLED_KEPT;
	op->change.error = strdup("cancelled before it began");
	stores_add(b, op);
}

/* --- requeue -------------------------------------------------------------- */

static void
revived(struct store_op *op)
{
	struct asked *a = op->arg;
	struct core *c = a->broker->core;

	core_clocks(c);
	if (op->error == QERR_NONE && op->count > 0) {
		struct pool *p = pool_get(c, op->rows[0].worker);

		if (p != NULL && op->shared) {
			claims_new(p, &op->rows[0]);
		} else if (p != NULL) {
			if (op->states != 0 && p->counts[op->states] > 0)
				p->counts[op->states]--;
			p->counts[TASK_QUEUED]++;
			window_row(p, &op->rows[0]);
		}
	}
	answer(op);
}

void
core_requeue(struct broker *b, uint64_t id, core_done_fn *done, void *arg)
{
	struct task *t = core_find(b, id);
	struct store_op *op;

	if (t != NULL && !t->lost) {
		done(arg, QERR_STATE);
		return;
	}
	op = ask(b, STORE_REVIVE, revived,
	    (struct asked){ .done = done, .arg = arg });
	if (op == NULL) {
		done(arg, QERR_NO_MEMORY);
		return;
	}
	core_clocks(b->core);
	op->shared = id_shared(id);
	op->change.id = id;
	op->change.due_ms = b->core->wall_ms;
	stores_add(b, op);
}

/* --- pause ---------------------------------------------------------------- */

static void
pause_pool(struct pool *p, bool paused, int64_t until_ms)
{
	p->paused = paused;
	p->paused_until_ms = paused ? until_ms : 0;
	p->paused_words[0] = '\0';
	if (!paused)
		p->storm_until = 0;
	else if (until_ms != 0)
		core_wake_wall(p->broker->core, until_ms);
	pool_touch(p);
}

static void
pause_taken(struct store_op *op)
{
	struct asked *a = op->arg;

	if (op->error == QERR_NONE)
		core_shared_paused(
		    a->broker, op->worker, op->paused, op->paused_until_ms);
	answer(op);
}

void
core_shared_paused(
    struct broker *b, const char *worker, bool paused, int64_t until_ms)
{
	struct pool *p = pool_find(b->core, worker);

	core_clocks(b->core);
	if (p == NULL || !p->config.shared)
		return;
	/* One that is over is over for all, by each one's clock. */
	if (paused && until_ms != 0 && until_ms <= b->core->wall_ms)
		paused = false;
	if (p->paused != paused || p->paused_until_ms != until_ms)
		pause_pool(p, paused, until_ms);
}

void
core_pause(struct broker *b, const char *worker, bool paused, int64_t until_ms,
    core_done_fn *done, void *arg)
{
	struct pool *p = pool_find(b->core, worker);
	struct store_op *op;

	if (done == NULL)
		done = ignore;
	if (p == NULL) {
		done(arg, QERR_NO_WORKER);
		return;
	}
	core_clocks(b->core);
	op = ask(b, STORE_POOL, p->config.shared ? pause_taken : answer,
	    (struct asked){ .done = done, .arg = arg });
	/* At once; that it outlives a restart is what the answer waits for.
	 * One that is for all who share it is not taken by one alone. */
	if (!p->config.shared)
		pause_pool(p, paused, until_ms);
	if (op == NULL) {
		done(arg, QERR_NO_MEMORY);
		return;
	}
	op->shared = p->config.shared;
	memcpy(op->worker, p->config.name, sizeof(op->worker));
	op->paused = paused;
	op->paused_until_ms = paused ? until_ms : 0;
	stores_add(b, op);
}

/* --- look ----------------------------------------------------------------- */

static void
task_read(struct store_op *op)
{
	struct asked *a = op->arg;
	enum queue_error e = op->error;
	uint64_t id = op->change.id;
	struct task *t = core_find(a->broker, id);

	core_clocks(a->broker->core);
	if (e == QERR_NONE && op->count == 0)
		e = QERR_NO_TASK;
	/* Come into memory meanwhile, it is newer there. */
	if (t != NULL && !t->reading && !t->lost)
		a->task(a->arg, QERR_NONE, &t->row, t);
	else
		a->task(a->arg, e, e == QERR_NONE ? &op->rows[0] : NULL, NULL);
	free(a);
	store_op_free(op);
}

void
core_task(struct broker *b, uint64_t id, core_task_fn *done, void *arg)
{
	struct task *t = core_find(b, id);
	struct store_op *op;

	if (t != NULL && !t->reading && !t->lost) {
		done(arg, QERR_NONE, &t->row, t);
		return;
	}
	op = ask(b, STORE_TASK, task_read,
	    (struct asked){ .task = done, .arg = arg });
	if (op == NULL) {
		done(arg, QERR_NO_MEMORY, NULL, NULL);
		return;
	}
	op->shared = id_shared(id);
	op->change.id = id;
	stores_add(b, op);
}
