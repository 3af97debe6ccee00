/*
 * What the wall clock brings: tasks whose time has come, results whose time is
 * over. Both are read in chunks, one operation at a time, so that a million at
 * once hold up nobody.
 */

#include "supervisord/broker/core_int.h"

/* Results that expire are not worth more than one commit a second. */
#define EXPIRE_PAUSE 1000

void
due_note(struct core *c, int64_t due_ms)
{
	if (due_ms == 0)
		return;
	if (c->next_due_ms == 0 || due_ms < c->next_due_ms)
		c->next_due_ms = due_ms;
	core_wake_wall(c, c->next_due_ms);
}

/* A queued task, as the store has made it. */
static void
came_due(struct core *c, struct task_row *row)
{
	struct pool *p = pool_get(c, row->worker);

	/* In memory, it has a change to be put again, and comes due by that. */
	if (p == NULL || core_find(c->broker, row->id) != NULL) {
		task_row_done(row);
		return;
	}
	count_move(p, row->id, TASK_SCHEDULED, TASK_QUEUED);
	window_row(p, row);
}

static void
due_done(struct store_op *op)
{
	struct core *c = op->arg;

	core_clocks(c);
	c->due_asked = false;
	if (op->error != QERR_NONE) {
		put_sick(c, false);
		store_op_free(op);
		return;
	}
	for (size_t i = 0; i < op->count; i++)
		came_due(c, &op->rows[i]);
	c->next_due_ms = op->more ? c->wall_ms : op->next_due_ms;
	if (c->next_due_ms != 0)
		core_wake_wall(c, c->next_due_ms);
	store_op_free(op);
}

bool
due_fleeting(struct task *t)
{
	struct core *c = t->pool->broker->core;

	if (!heap_push(&c->fleeting, t->row.due_ms, t->row.id, t))
		return false;
	t->place = PLACE_DUE;
	t->pool->later += task_bytes(t);
	core_wake_wall(c, t->row.due_ms);
	return true;
}

static void
fleeting_due(struct core *c)
{
	while (c->fleeting.count > 0 && c->fleeting.at[0].a <= c->wall_ms) {
		struct task *t = heap_pop(&c->fleeting);

		t->place = PLACE_NOWHERE;
		t->pool->later -= task_bytes(t);
		task_move(t, TASK_QUEUED);
		t->ready_mono = c->mono;
		window_push(t);
	}
	if (c->fleeting.count > 0)
		core_wake_wall(c, c->fleeting.at[0].a);
}

void
due_look(struct core *c)
{
	struct store_op *op;

	if (c->fleeting.count > 0)
		fleeting_due(c);
	/* What is being adopted is not changed under who reads it. */
	if (c->next_due_ms == 0 || c->due_asked || c->reading > 0)
		return;
	if (c->next_due_ms > c->wall_ms) {
		core_wake_wall(c, c->next_due_ms);
		return;
	}
	if (!put_well(c, false)) {
		core_wake(c, c->sick[0].until);
		return;
	}
	op = store_op_new(STORE_DUE);
	if (op == NULL) {
		core_wake(c, c->mono + SICK_MOST);
		return;
	}
	op->now_ms = c->wall_ms;
	op->limit = core_sizes.due_chunk;
	op->relaxed = true;
	op->done = due_done;
	op->arg = c;
	c->due_asked = true;
	stores_add(c->broker, op);
}

void
expiry_note(struct core *c, int64_t expires_ms)
{
	if (expires_ms == 0)
		return;
	if (c->next_expiry_ms != 0 && expires_ms >= c->next_expiry_ms)
		return;
	/* Later ones of the same second go with it. */
	c->next_expiry_ms = MAX_OF(expires_ms, c->wall_ms + EXPIRE_PAUSE);
	core_wake_wall(c, c->next_expiry_ms);
}

static void
expired(struct store_op *op)
{
	struct core *c = op->arg;

	core_clocks(c);
	c->expiry_asked = false;
	if (op->error != QERR_NONE) {
		put_sick(c, false);
		store_op_free(op);
		return;
	}
	for (size_t i = 0; i < op->count; i++) {
		struct pool *p = pool_find(c, op->rows[i].worker);

		if (p != NULL && op->rows[i].state < TASK_STATES &&
		    p->counts[op->rows[i].state] > 0)
			count_one(p, op->rows[i].id, op->rows[i].state, -1);
	}
	c->next_expiry_ms = 0;
	if (op->more)
		c->next_expiry_ms = c->wall_ms;
	else
		expiry_note(c, op->next_due_ms);
	if (c->next_expiry_ms != 0)
		core_wake_wall(c, c->next_expiry_ms);
	store_op_free(op);
}

void
expiry_look(struct core *c)
{
	struct store_op *op;

	if (c->next_expiry_ms == 0 || c->expiry_asked)
		return;
	if (c->next_expiry_ms > c->wall_ms) {
		core_wake_wall(c, c->next_expiry_ms);
		return;
	}
	if (!put_well(c, false)) {
		core_wake(c, c->sick[0].until);
		return;
	}
	op = store_op_new(STORE_EXPIRE);
	if (op == NULL) {
		core_wake(c, c->mono + SICK_MOST);
		return;
	}
	op->now_ms = c->wall_ms;
	op->limit = core_sizes.expire_chunk;
	op->relaxed = true;
	op->done = expired;
	op->arg = c;
	c->expiry_asked = true;
	stores_add(c->broker, op);
}
