/*
 * What this broker has claimed is what the shared store says it has. That is
 * looked up whenever the store was out of reach, and at the start: what a
 * broker before this one had claimed is this one's.
 */

#include <stdlib.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

/* A task that was to be cancelled before it was here: told by another channel
 * than what is claimed. */
struct early {
	uint64_t id;
	UT_hash_handle hh;
};

void
mine_free(struct core *c)
{
	struct early *e, *next;

	HASH_ITER(hh, c->early, e, next)
	{
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links */
		HASH_DEL(c->early, e);
		free(e);
	}
}

bool
mine_early(struct core *c, uint64_t id)
{
	struct early *e;

	if (c->early == NULL)
		return false;
	HASH_FIND(hh, c->early, &id, sizeof(id), e);
	if (e == NULL)
		return false;
	HASH_DEL(c->early, e);
	free(e);
	return true;
}

static void
take(struct core *c, struct task_row *row)
{
	struct task *t = core_find(c->broker, row->id);
	struct pool *p;

	if (t == NULL) {
		p = pool_get(c, row->worker);
		if (p != NULL && row->state <= TASK_RUNNING)
			claims_row(p, row);
		t = core_find(c->broker, row->id);
	} else if (t->reading) {
		t->mine = c->mine_round;
		adopt_row(t, row);
		return;
	}
	if (t == NULL)
		return;
	t->mine = c->mine_round;
	/* Lost, and ours again: it comes in anew when this one has gone. */
	t->again = t->again || t->lost;
}

/* What is in memory and was not among them. */
static void
drop_others(struct core *c)
{
	uint64_t *ids = calloc(c->tasks.count + 1, sizeof(*ids));
	struct idlink *l, *tmp;
	struct task *t;
	size_t n = 0;

	if (ids == NULL) {
		c->mine_again = true;
		put_sick(c, true);
		return;
	}
	IDMAP_FOREACH(l, tmp, &c->tasks) {
		if (id_shared(l->id) &&
		    IDMAP_ENTRY(l, struct task, by_id)->mine != c->mine_round)
			ids[n++] = l->id;
	}
	/* By their ids: one that goes may take others with it. */
	for (size_t i = 0; i < n; i++) {
		t = core_find(c->broker, ids[i]);
		if (t != NULL && t->reading)
			adopt_row(t, NULL);
		else if (t != NULL)
			claims_lost(t,
			    "ours no more: another supervisord has it, "
			    "or the store has lost it");
	}
	free(ids);
}

static void
told(struct store_op *op)
{
	struct core *c = op->arg;

	core_clocks(c);
	c->mine_asked = false;
	if (op->error != QERR_NONE) {
		c->mine_again = true;
		put_sick(c, true);
		store_op_free(op);
		return;
	}
	c->mine_known = true;
	c->mine_round++;
	for (size_t i = 0; i < op->count; i++)
		take(c, &op->rows[i]);
	drop_others(c);
	mine_free(c); /* what has not come by now is not ours */
	store_op_free(op);
	pools_touch(c);
}

void
mine_ask(struct core *c)
{
	struct store_op *op;

	c->mine_again = true;
	if (c->mine_asked || !c->broker->shared_well)
		return;
	op = store_op_new(STORE_MINE);
	if (op == NULL) {
		core_wake(c, c->mono + SICK_MOST);
		return;
	}
	op->shared = op->relaxed = true;
	op->done = told;
	op->arg = c;
	c->mine_asked = true;
	c->mine_again = false;
	stores_add(c->broker, op);
}

void
mine_look(struct core *c)
{
	if (!c->mine_again)
		return;
	if (put_well(c, true))
		mine_ask(c);
	else
		core_wake(c, c->sick[1].until);
}

/* --- told by the shared store --------------------------------------------- */

void
core_shared_joined(struct broker *b)
{
	struct core *c = b->core;
	struct pool *p, *next;

	core_clocks(c);
	c->sick[1].until = 0;
	mine_ask(c);
	HASH_ITER(hh, c->pools, p, next)
	{
		if (!p->served)
			continue;
		p->hungry = true;
		p->due_at = c->mono;
		pool_touch(p);
	}
	/* Pauses and ends may have been told while we could not hear it. */
	core_refresh(b, NULL, NULL, NULL);
	waits_look_all(c);
}

void
core_shared_ended(struct broker *b, uint64_t id)
{
	core_clocks(b->core);
	waits_look(b->core, id);
}

void
core_shared_cancel(struct broker *b, uint64_t id)
{
	struct core *c = b->core;
	struct task *t = core_find(b, id);
	struct early *e;

	core_clocks(c);
	if (t != NULL && !t->lost) {
		core_cancel(b, id, NULL, NULL);
		return;
	}
	HASH_FIND(hh, c->early, &id, sizeof(id), e);
	if (e != NULL)
		return;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return;
	e->id = id;
	HASH_ADD(hh, c->early, id, sizeof(id), e);
	if (e->hh.tbl == NULL)
		free(e);
	else
		mine_ask(c);
}
