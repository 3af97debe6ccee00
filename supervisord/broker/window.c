/* What of a pool's queue is in memory: see core_int.h. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

bool
window_beyond(const struct pool *p, int64_t rank, uint64_t id)
{
	return p->more &&
	       (rank != p->edge_rank ? rank > p->edge_rank : id > p->edge_id);
}

void
window_lower(struct pool *p, int64_t rank, uint64_t id)
{
	bool inside = !window_beyond(p, rank, id);

	p->more = p->lowered = true;
	if (inside) {
		p->edge_rank = rank;
		p->edge_id = id - 1;
	}
	core_wake(p->broker->core, p->broker->core->mono + SICK_MOST);
}

/* Nothing of it is on the way, so the store's row says what this one says. */
static bool
droppable(const struct task *t)
{
	return !t->fleeting && t->pending == 0 && !t->alone && !t->released &&
	       !id_shared(t->row.id);
}

/* Gives the far end of the window up. */
static void
compact(struct pool *p, uint32_t keep)
{
	struct heap *q = &p->queue;
	uint32_t count;

	heap_sort(q);
	count = q->count;
	p->more = p->lowered = true;
	p->edge_rank = q->at[keep - 1].a;
	p->edge_id = q->at[keep - 1].b;
	/* From the end: a sorted array stays sorted when its last goes. What
	 * has to stay is put in order again by heap_drop_at. */
	for (uint32_t i = count; i > keep; i--) {
		struct task *t = q->at[i - 1].item;

		if (droppable(t))
			task_forget(t);
	}
	p->compact_at = MAX_OF(
	    2 * core_sizes.window_keep, q->count + core_sizes.window_keep);
}

void
window_push(struct task *t)
{
	struct pool *p = t->pool;

	if (!heap_push(&p->queue, t->row.rank, t->row.id, t)) {
		log_error("%s: out of memory: task %llu waits in the store",
		    p->config.name, (unsigned long long)t->row.id);
		if (droppable(t)) {
			window_lower(p, t->row.rank, t->row.id);
			task_forget(t);
		} else if (id_shared(t->row.id)) {
			t->again = true;
			put_release(t);
		}
		return;
	}
	t->place = PLACE_QUEUE;
	p->bytes += task_bytes(t);
	if (p->compact_at == 0)
		p->compact_at = 2 * core_sizes.window_keep;
	if (p->queue.count > p->compact_at)
		compact(p, core_sizes.window_keep);
	else if (p->bytes > 2 * (uint64_t)WINDOW_BYTES && p->queue.count > 16)
		compact(p, p->queue.count / 2);
	pool_touch(p);
}

void
window_remove(struct task *t)
{
	struct pool *p = t->pool;

	switch ((enum task_place)t->place) {
	case PLACE_QUEUE:
		heap_remove(&p->queue, t);
		p->bytes -= task_bytes(t);
		break;
	case PLACE_PARKED:
		key_unparked(t);
		break;
	case PLACE_ALONE:
		list_remove(&t->link);
		p->loners_count--;
		break;
	case PLACE_DUE:
		heap_remove(&p->broker->core->fleeting, t);
		p->later -= task_bytes(t);
		break;
	case PLACE_NOWHERE:
	case PLACE_HAND:
		return;
	}
	t->place = PLACE_NOWHERE;
	if (t->released)
		key_leave(t);
}

void
window_enter(struct task *t)
{
	struct pool *p = t->pool;

	if (!t->fleeting &&
	    (window_beyond(p, t->row.rank, t->row.id) || cancel_skips(t))) {
		task_forget(t);
		pool_touch(p);
		return;
	}
	task_add(t);
	window_push(t);
}

void
window_row(struct pool *p, struct task_row *row)
{
	struct task *t = core_find(p->broker, row->id);
	struct core *c;
	int64_t ready;

	if (t != NULL) {
		/* Given out before its claim was stored, or on its way back. */
		task_row_done(row);
		return;
	}
	t = window_beyond(p, row->rank, row->id) ? NULL : task_new(p);
	if (t == NULL) {
		if (!window_beyond(p, row->rank, row->id))
			window_lower(p, row->rank, row->id);
		task_row_done(row);
		pool_touch(p);
		return;
	}
	t->row = *row;
	*row = (struct task_row){ .id = t->row.id };
	t->alone = row_is_suspect(&t->row);
	c = p->broker->core;
	ready = MAX_OF(t->row.created_ms, t->row.due_ms);
	ready = MAX_OF(c->wall_ms - ready, 0);
	t->ready_mono = c->mono - ready * NS_PER_MS;
	window_enter(t);
}

/* Rows in order, all beyond the old edge. */
static void
refilled(struct store_op *op)
{
	struct pool *p = op->arg;
	struct core *c = p->broker->core;

	core_clocks(c);
	p->refilling = false;
	if (op->error != QERR_NONE) {
		put_sick(c, false);
		store_op_free(op);
		pool_touch(p);
		return;
	}
	if (p->lowered) {
		/* What is read begins beyond a gap: it is read again. */
	} else if (op->more && op->count > 0) {
		p->edge_rank = op->rows[op->count - 1].rank;
		p->edge_id = op->rows[op->count - 1].id;
	} else {
		p->more = false;
		p->edge_rank = INT64_MAX;
		p->edge_id = UINT64_MAX;
	}
	for (size_t i = 0; i < op->count; i++)
		window_row(p, &op->rows[i]);
	store_op_free(op);
	pool_touch(p);
}

/* All that is in memory comes after something that is not. */
static bool
starved(const struct pool *p)
{
	const struct heap *q = &p->queue;

	return q->count > 0 && window_beyond(p, q->at[0].a, q->at[0].b);
}

void
window_look(struct pool *p)
{
	struct core *c = p->broker->core;
	struct store_op *op;

	if (!p->configured || !p->more || p->refilling)
		return;
	if (!starved(p) &&
	    (p->queue.count >= core_sizes.window_low ||
		p->parked >= PARKED_MAX || p->aside >= ASIDE_BYTES ||
		p->bytes >= WINDOW_BYTES))
		return;
	if (!put_well(c, false)) {
		core_wake(c, c->sick[0].until);
		return;
	}
	op = store_op_new(STORE_REFILL);
	if (op == NULL) {
		core_wake(c, c->mono + SICK_MOST);
		return;
	}
	memcpy(op->worker, p->config.name, sizeof(op->worker));
	op->relaxed = true;
	op->after_rank = p->edge_rank;
	op->after_id = p->edge_id;
	op->limit = core_sizes.window_chunk;
	op->done = refilled;
	op->arg = p;
	p->refilling = true;
	p->lowered = false;
	stores_add(p->broker, op);
}
