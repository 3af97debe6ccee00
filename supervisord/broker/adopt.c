/*
 * What a broker that was killed had given out. Rows that are running in the
 * store are in memory from the start; one whose claim was not stored yet is
 * queued there and is read by its id, while its place in the table keeps it
 * from being given to anybody else.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

static void
give_back(struct task *t)
{
	task_move(t, TASK_QUEUED);
	t->unsure = false;
	t->ready_mono = t->pool->broker->core->mono;
	put_update(t);
	window_push(t);
}

static void
adopt(struct hand *h, struct task *t, uint32_t attempt)
{
	struct pool *p = t->pool;

	if (t->row.state != TASK_RUNNING) {
		task_move(t, TASK_RUNNING);
		t->row.started_ms = p->broker->core->wall_ms;
	}
	t->unsure = true;
	t->row.attempts = MAX_OF(t->row.attempts, attempt);
	task_place(t, h);
	t->sent_mono = p->broker->core->mono;
	t->alone = row_is_suspect(&t->row);
	key_take(t);
	if (t->hand == NULL)
		hand_take(h, t);
	else
		hand_is_alone(h, t);
	if (!t->claimed)
		put_claim(t);
}

/* What became of it was stored: only that it is with the hand no more was not
 * written down. */
static bool
is_over(const struct task_row *row, uint32_t attempt)
{
	if (id_shared(row->id) || row->state == TASK_RUNNING)
		return row->state > TASK_RUNNING;
	return row->state != TASK_QUEUED || row->attempts >= attempt;
}

/* It is unknown, or has ended. */
static void
forget(struct task *t)
{
	struct hand *h = t->hand;

	t->reading = false;
	task_leave(t);
	h->answered = 0;
	task_forget(t);
}

void
adopt_row(struct task *t, struct task_row *row)
{
	struct pool *p = t->pool;
	struct broker *b = p->broker;
	struct hand *h = t->hand;
	uint64_t id = t->row.id;
	uint32_t attempt = t->row.attempts;

	p->adopting--;
	pool_touch(p);
	if (row == NULL || is_over(row, attempt)) {
		forget(t);
		t = NULL;
		/* A refill meanwhile took it for one that is in memory. */
		if (row != NULL && row->state == TASK_QUEUED)
			window_row(p, row);
	} else {
		t->row = *row;
		*row = (struct task_row){ .id = id };
		t->reading = false;
		adopt(h, t, attempt);
	}
	hands_adopted(b, h, id, t);
}

static void
row_read(struct store_op *op)
{
	struct task *t = op->arg;
	struct broker *b = t->pool->broker;

	core_clocks(b->core);
	if (op->error == QERR_STORE || op->error == QERR_NO_MEMORY) {
		/* Till it is known nothing is read from the hand. */
		put_keep(b->core, op);
		return;
	}
	b->core->reading--;
	adopt_row(
	    t, op->error == QERR_NONE && op->count > 0 ? &op->rows[0] : NULL);
	store_op_free(op);
}

/* Keeps the id for the hand, and has its row read. That of a shared task is
 * told with all that is claimed (mine.c). */
static bool
read_row(struct broker *b, struct hand *h, uint64_t id, uint32_t attempt)
{
	struct pool *p = pool_get(b->core, h->worker);
	struct task *t = p != NULL ? task_new(p) : NULL;
	bool shared = id_shared(id) && b->shared != NULL;
	struct store_op *op =
	    t != NULL && !shared ? store_op_new(STORE_TASK) : NULL;

	if (t == NULL || (op == NULL && !shared)) {
		if (t != NULL)
			task_forget(t);
		return false;
	}
	t->row.id = id;
	t->row.attempts = attempt;
	task_add(t);
	t->reading = t->unsure = true;
	hand_take(h, t);
	p->adopting++;
	if (shared)
		return true;
	op->change.id = id;
	op->done = row_read;
	op->arg = t;
	b->core->reading++;
	stores_add(b, op);
	return true;
}

void
core_adopt(struct broker *b, struct hand *h, uint64_t id, uint32_t attempt)
{
	struct task *t = core_find(b, id);

	core_clocks(b->core);
	if (t == NULL && read_row(b, h, id, attempt))
		return;
	if (t != NULL && t->hand == NULL && !t->ending) {
		window_remove(t);
		adopt(h, t, attempt);
		hands_adopted(b, h, id, t);
		return;
	}
	hands_adopted(b, h, id, NULL);
}

static void
instances(struct pool *p)
{
	/* As many as an autoscaling before this broker has made. */
	if (p->config.autoscale && p->hands > 0)
		p->wanted = p->hands;
	pool_touch(p);
}

void
core_adopted(struct broker *b)
{
	struct core *c = b->core;
	struct idlink *l, *tmp;
	struct pool *p, *pnext;

	core_clocks(c);
	c->adopted = true;
	pools_touch(c);
	IDMAP_FOREACH(l, tmp, &c->tasks) {
		struct task *t = IDMAP_ENTRY(l, struct task, by_id);

		if (t->unsure && t->hand == NULL)
			give_back(t);
	}
	HASH_ITER(hh, c->pools, p, pnext)
	{
		instances(p);
	}
}
