#ifndef TESTS_FAR_RIG_H
#define TESTS_FAR_RIG_H

/*
 * A shared store that is made up, beside the local one of core_rig.h: rows with
 * who has claimed them. What was added is carried out by far_commit. What
 * others do there is done to the rows by the test. Behind core_calls.h.
 */

#include "supervisord/broker/redis/shared.h"

#define FAR_ROWS 64

enum far_holder {
	FAR_NOBODY,
	FAR_US,
	FAR_OTHER
};

struct far_row {
	struct task_row row;
	enum far_holder holder;
};

struct shared {
	struct far_row rows[FAR_ROWS];
	unsigned count;
	struct list added, applied;
	unsigned puts[STORE_KINDS];
	bool away;
	bool late; /* its lease is over, and nobody has noticed */
	bool paused;
	bool serves;
	uint64_t watched, told_to_cancel;
	unsigned watches;
};

static struct shared far;

void
shared_add(struct shared *s, struct store_op *op)
{
	s->puts[op->kind]++;
	assert_true(op->shared);
	list_append(&s->added, &op->link);
}

uint64_t
shared_new_id(struct shared *s)
{
	static uint64_t next = SHARED_ID_FIRST;

	return s->away ? 0 : next++;
}

bool
shared_leased(const struct shared *s)
{
	return !s->late;
}

void
shared_worker(struct shared *s, const char *worker, bool on)
{
	(void)worker;
	s->serves = on;
}

void
shared_watch(struct shared *s, uint64_t id, bool on)
{
	s->watched = id;
	s->watches += on ? 1U : -1U;
}

static struct far_row *
far_find(uint64_t id)
{
	for (unsigned i = 0; i < far.count; i++)
		if (far.rows[i].row.id == id)
			return &far.rows[i];
	return NULL;
}

/* A task that somebody has submitted elsewhere. */
static inline uint64_t
far_put(const char *worker)
{
	struct far_row *f = &far.rows[far.count++];

	f->row = (struct task_row){ .id = shared_new_id(&far),
		.func = strdup("f"),
		.created_ms = rig_wall,
		.rank = rig_wall };
	snprintf(f->row.worker, sizeof(f->row.worker), "%s", worker);
	return f->row.id;
}

static void
far_count(struct store_op *op, const char *worker)
{
	op->counted = true;
	for (unsigned i = 0; i < far.count; i++)
		if (strcmp(far.rows[i].row.worker, worker) == 0)
			op->counts[far.rows[i].row.state]++;
	op->paused = op->kind == STORE_STATS ? far.paused : op->paused;
}

static void
far_give(struct store_op *op, const struct far_row *f)
{
	op->rows = realloc(op->rows, (op->count + 1) * sizeof(*op->rows));
	op->rows[op->count++] = rig_copy_row(&f->row);
}

static void
far_refill(struct store_op *op)
{
	for (unsigned i = 0; i < far.count; i++) {
		struct far_row *f = &far.rows[i];

		if (f->row.state != TASK_QUEUED || f->holder != FAR_NOBODY ||
		    strcmp(f->row.worker, op->worker) != 0)
			continue;
		if (op->count == op->limit) {
			op->more = true;
			break;
		}
		f->holder = FAR_US;
		far_give(op, f);
	}
}

static void
far_submit(struct store_op *op)
{
	uint64_t waiting = 0;

	for (unsigned i = 0; i < far.count; i++)
		waiting += far.rows[i].row.state <= TASK_SCHEDULED;
	if (op->limit != 0 && waiting >= op->limit)
		op->error = QERR_FULL;
	else
		far.rows[far.count++].row = rig_copy_row(op->row);
}

static void
far_group(struct store_op *op)
{
	uint64_t waiting = op->count;

	for (unsigned i = 0; i < far.count; i++)
		waiting += far.rows[i].row.state <= TASK_SCHEDULED;
	if (op->limits_count > 0 && waiting > op->limits[0].most) {
		op->error = QERR_FULL;
		return;
	}
	for (size_t i = 0; i < op->count; i++)
		far.rows[far.count++].row = rig_copy_row(&op->rows[i]);
}

static void
far_change(struct store_op *op)
{
	struct far_row *f = far_find(op->change.id);

	if (op->change.id == 0)
		return;
	if (f == NULL || f->holder != FAR_US || f->row.state >= TASK_DONE) {
		op->error = QERR_LOST;
		return;
	}
	rig_change(&f->row, &op->change);
	if (op->kind == STORE_FINISH) {
		f->row.result = body_hold(op->result);
		f->row.result_json = op->result_json;
	}
	if (f->row.state >= TASK_DONE || f->row.state == TASK_SCHEDULED ||
	    op->release)
		f->holder = FAR_NOBODY;
}

static void
far_cancel(struct store_op *op)
{
	struct far_row *f = far_find(op->change.id);

	if (f == NULL) {
		op->error = QERR_NO_TASK;
	} else if (f->row.state >= TASK_DONE) {
		op->error = QERR_STATE;
	} else if (f->holder != FAR_NOBODY) {
		far.told_to_cancel = f->row.id;
	} else {
		far_give(op, f);
		rig_change(&f->row, &op->change);
	}
}

static void
far_apply(struct store_op *op)
{
	struct far_row *f;

	op->error = far.away ? QERR_STORE : QERR_NONE;
	if (far.away)
		return;
	switch (op->kind) {
	case STORE_SUBMIT:
		far_submit(op);
		far_count(op, op->row->worker);
		return;
	case STORE_GROUP:
		far_group(op);
		return;
	case STORE_UPDATE:
	case STORE_FINISH:
		far_change(op);
		return;
	case STORE_CANCEL:
		far_cancel(op);
		return;
	case STORE_REFILL:
		far_refill(op);
		far_count(op, op->worker);
		return;
	case STORE_MINE:
		for (unsigned i = 0; i < far.count; i++)
			if (far.rows[i].holder == FAR_US)
				far_give(op, &far.rows[i]);
		return;
	case STORE_TASK:
		f = far_find(op->change.id);
		if (f != NULL)
			far_give(op, f);
		return;
	case STORE_POOL:
		far.paused = op->paused;
		return;
	default: /* DUE, STATS */
		far_count(op, op->worker);
		return;
	}
}

static inline void
far_commit(void)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &far.added) {
		list_remove(l);
		far_apply(LIST_ENTRY(l, struct store_op, link));
		list_append(&far.applied, l);
	}
	LIST_FOREACH(l, tmp, &far.applied) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (op->done != NULL)
			op->done(op);
		else
			store_op_free(op);
	}
}

/* Until nothing is on the way, here or there. */
static inline void
far_settle(struct rig *r)
{
	do {
		rig_settle(r);
		far_commit();
	} while (!list_empty(&far.added) || !list_empty(&r->store.added) ||
		 !list_empty(&r->b.core->dirty));
}

static inline void
far_pass(struct rig *r, int64_t ms)
{
	rig_pass(r, ms);
	far_settle(r);
}

static inline void
far_well(struct rig *r, bool well)
{
	far.away = !well;
	r->b.shared_well = well;
	if (well)
		core_shared_joined(&r->b);
	far_settle(r);
}

/* "w" is shared, "v" is not. */
static inline struct rig *
far_rig(void)
{
	struct rig *r = rig_new(2);

	memset(&far, 0, sizeof(far));
	list_init(&far.added);
	list_init(&far.applied);
	r->pools[0].shared = true;
	r->b.shared = &far;
	rig_boot(r);
	core_adopted(&r->b);
	far_well(r, true);
	return r;
}

static inline void
far_free(struct rig *r)
{
	far.away = false;
	far_commit();
	rig_free(r);
	for (unsigned i = 0; i < far.count; i++)
		task_row_done(&far.rows[i].row);
}

#endif
