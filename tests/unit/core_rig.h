#ifndef CORE_RIG_H
#define CORE_RIG_H

/*
 * The broker's core over a store, hands and clocks that are made up. The store
 * here is a plain array; what was added to it is carried out by rig_commit, all
 * or, while it is broken, nothing. Included by one file per program: what it
 * defines takes the place of the real ones, whose objects are then not linked.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/core_int.h"

/* --- clocks --------------------------------------------------------------- */

static int64_t rig_mono = 1000 * NS_PER_SEC;
static int64_t rig_wall = 1700000000000LL;

int64_t
clock_mono(void)
{
	return rig_mono;
}

int64_t
clock_boot(void)
{
	return rig_mono;
}

int64_t
clock_wall_ms(void)
{
	return rig_wall;
}

char *
clock_format(int64_t wall_ms, char *out, size_t size)
{
	snprintf(out, size, "%lld", (long long)wall_ms);
	return out;
}

/* --- the store ------------------------------------------------------------ */

struct store {
	struct task_row *rows; /* [id]; func NULL: there is none */
	size_t room;
	uint64_t next_id;
	struct list added, applied;
	bool broken;
	unsigned long puts[STORE_KINDS];
	unsigned long in_commit;
	/* looks at what is about to be written */
	void (*watch)(struct store *s, const struct store_op *op);
};

static char *
rig_copy(const char *s)
{
	return s != NULL ? strdup(s) : NULL;
}

static struct task_row
rig_copy_row(const struct task_row *from)
{
	struct task_row row = *from;

	row.func = rig_copy(from->func);
	row.key = rig_copy(from->key);
	row.limit_key = rig_copy(from->limit_key);
	row.then = rig_copy(from->then);
	row.error = rig_copy(from->error);
	row.words = rig_copy(from->words);
	row.payload = body_hold(from->payload);
	row.result = body_hold(from->result);
	return row;
}

static struct task_row *
rig_row(struct store *s, uint64_t id)
{
	return id < s->room && s->rows[id].func != NULL ? &s->rows[id] : NULL;
}

static void
rig_store_row(struct store *s, const struct task_row *row)
{
	while (row->id >= s->room) {
		size_t room = s->room != 0 ? s->room * 2 : 1024;

		s->rows = realloc(s->rows, room * sizeof(*s->rows));
		memset(
		    s->rows + s->room, 0, (room - s->room) * sizeof(*s->rows));
		s->room = room;
	}
	s->rows[row->id] = rig_copy_row(row);
}

void
store_add(struct store *s, struct store_op *op)
{
	s->puts[op->kind]++;
	list_append(&s->added, &op->link);
}

uint64_t
store_new_id(struct store *s)
{
	return s->next_id++;
}

static void
rig_change(struct task_row *row, const struct task_change *ch)
{
	if (ch->fields & CHANGE_STATE)
		row->state = ch->state;
	if (ch->fields & CHANGE_DUE)
		row->due_ms = ch->due_ms;
	if (ch->fields & CHANGE_ATTEMPTS)
		row->attempts = ch->attempts;
	if (ch->fields & CHANGE_FAILURES)
		row->failures = ch->failures;
	if (ch->fields & CHANGE_CRASHES)
		row->crashes = ch->crashes;
	if (ch->fields & CHANGE_VICTIMS)
		row->victims = ch->victims;
	if (ch->fields & CHANGE_STARTED)
		row->started_ms = ch->started_ms;
	if (ch->fields & CHANGE_FINISHED) {
		row->finished_ms = ch->finished_ms;
		row->expires_ms = ch->expires_ms;
	}
	if (ch->fields & CHANGE_INSTANCE)
		memcpy(row->instance, ch->instance, sizeof(row->instance));
	if (ch->fields & CHANGE_ERROR) {
		free(row->error);
		row->error = rig_copy(ch->error);
	}
	if (ch->fields & CHANGE_WORDS) {
		free(row->words);
		row->words = rig_copy(ch->words);
	}
}

static int
rig_order(const void *x, const void *y)
{
	const struct task_row *a = *(struct task_row *const *)x;
	const struct task_row *b = *(struct task_row *const *)y;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* The first `limit` of those that are wanted, in order of rank. */
static void
rig_select(struct store *s, struct store_op *op,
    bool (*wanted)(const struct task_row *row, const struct store_op *op))
{
	struct task_row **found = calloc(s->room + 1, sizeof(*found));
	size_t n = 0;

	for (size_t id = 1; id < s->room; id++)
		if (s->rows[id].func != NULL && wanted(&s->rows[id], op))
			found[n++] = &s->rows[id];
	if (n > 1)
		qsort(found, n, sizeof(*found), rig_order);
	op->more = n > op->limit;
	if (op->more)
		n = op->limit;
	op->rows = calloc(n + 1, sizeof(*op->rows));
	op->count = n;
	for (size_t i = 0; i < n; i++) {
		if (op->kind == STORE_DUE)
			found[i]->state = TASK_QUEUED;
		op->rows[i] = rig_copy_row(found[i]);
		if (op->kind == STORE_EXPIRE)
			task_row_done(found[i]);
	}
	free(found);
}

static bool
rig_is_next(const struct task_row *row, const struct store_op *op)
{
	return row->state == TASK_QUEUED &&
	       strcmp(row->worker, op->worker) == 0 &&
	       (row->rank != op->after_rank ? row->rank > op->after_rank
					    : row->id > op->after_id);
}

static bool
rig_is_due(const struct task_row *row, const struct store_op *op)
{
	return row->state == TASK_SCHEDULED && row->due_ms <= op->now_ms;
}

static bool
rig_is_expired(const struct task_row *row, const struct store_op *op)
{
	return row->state >= TASK_DONE && row->expires_ms != 0 &&
	       row->expires_ms <= op->now_ms;
}

static int64_t
rig_next_due(const struct store *s)
{
	int64_t next = 0;

	for (size_t id = 1; id < s->room; id++)
		if (s->rows[id].func != NULL &&
		    s->rows[id].state == TASK_SCHEDULED &&
		    (next == 0 || s->rows[id].due_ms < next))
			next = s->rows[id].due_ms;
	return next;
}

static void
rig_submit(struct store *s, struct store_op *op)
{
	for (size_t id = 1; op->row->key != NULL && id < s->room; id++)
		if (s->rows[id].func != NULL && s->rows[id].key != NULL &&
		    strcmp(s->rows[id].key, op->row->key) == 0) {
			op->existing = id;
			return;
		}
	if (op->full)
		op->error = QERR_FULL;
	else
		rig_store_row(s, op->row);
}

static void
rig_give_rows(struct store_op *op, const struct task_row *row)
{
	op->rows = calloc(1, sizeof(*op->rows));
	op->rows[0] = rig_copy_row(row);
	op->count = 1;
}

/* `then` is the name of the function of what follows. */
static void
rig_finish(struct store *s, struct store_op *op, struct task_row *row)
{
	struct task_row next = { .id = s->next_id, .rank = rig_wall };

	rig_change(row, &op->change);
	row->result = body_hold(op->result);
	row->result_json = op->result_json;
	if (row->then == NULL || row->state != TASK_DONE)
		return;
	s->next_id++;
	memcpy(next.worker, row->worker, sizeof(next.worker));
	next.func = row->then;
	next.created_ms = rig_wall;
	next.parent = row->id;
	rig_store_row(s, &next);
	op->follow = calloc(1, sizeof(*op->follow));
	op->follow[0] = rig_copy_row(&next);
	op->follow_count = 1;
}

static void
rig_apply_task(struct store *s, struct store_op *op)
{
	struct task_row *row = rig_row(s, op->change.id);

	if (op->kind == STORE_UPDATE && op->change.id == 0)
		return;
	if (row == NULL) {
		op->error = QERR_NO_TASK;
		return;
	}
	switch (op->kind) {
	case STORE_UPDATE:
		rig_change(row, &op->change);
		return;
	case STORE_FINISH:
		rig_finish(s, op, row);
		return;
	case STORE_CANCEL:
		if (row->state > TASK_SCHEDULED) {
			op->error = QERR_STATE;
			return;
		}
		rig_give_rows(op, row);
		rig_change(row, &op->change);
		return;
	case STORE_REVIVE:
		if (row->state < TASK_FAILED) {
			op->error = QERR_STATE;
			return;
		}
		op->states = row->state;
		row->state = TASK_QUEUED;
		row->due_ms = op->change.due_ms;
		row->failures = row->crashes = 0;
		rig_give_rows(op, row);
		return;
	default:
		rig_give_rows(op, row);
		return;
	}
}

static void
rig_apply(struct store *s, struct store_op *op)
{
	op->error = QERR_NONE;
	if (s->watch != NULL)
		s->watch(s, op);
	switch (op->kind) {
	case STORE_SUBMIT:
		rig_submit(s, op);
		return;
	case STORE_REFILL:
		rig_select(s, op, rig_is_next);
		return;
	case STORE_DUE:
		rig_select(s, op, rig_is_due);
		op->next_due_ms = rig_next_due(s);
		return;
	case STORE_EXPIRE:
		rig_select(s, op, rig_is_expired);
		return;
	case STORE_GROUP:
		for (size_t i = 0; i < op->count; i++)
			rig_store_row(s, &op->rows[i]);
		return;
	case STORE_UPDATE:
	case STORE_FINISH:
	case STORE_CANCEL:
	case STORE_REVIVE:
	case STORE_TASK:
		rig_apply_task(s, op);
		return;
	default:
		return;
	}
}

/* The two halves of a commit: it is written; it is told. */
static void
rig_write(struct store *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->added) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (s->broken)
			op->error = QERR_STORE;
		else
			rig_apply(s, op);
		list_append(&s->applied, l);
	}
}

static void
rig_tell(struct store *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->applied) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (op->done != NULL)
			op->done(op);
		else
			store_op_free(op);
	}
}

/* --- hands, and the rest of the broker ------------------------------------ */

#define RIG_HANDS 16

struct rig {
	struct broker b;
	struct store store;
	struct pool_config pools[4];
	struct hand hands[RIG_HANDS];
	char event[512];
	unsigned events, gives, cancels, recalls, scaled, adopted_none;
	uint64_t last_given;
	bool no_memory; /* hands give every task back */
};

static struct rig *rig;
/* Called with what is given, if set. */
static void (*rig_given)(struct hand *h, struct task *t);

const struct pool_config *
broker_pool(const struct broker *b, const char *worker)
{
	for (size_t i = 0; i < b->pools_count; i++)
		if (strcmp(b->pools[i].name, worker) == 0)
			return &b->pools[i];
	return NULL;
}

void
broker_event(
    struct broker *b, const char *name, const char *kind, const char *fmt, ...)
{
	va_list ap;

	(void)b;
	(void)name;
	(void)kind;
	va_start(ap, fmt);
	vsnprintf(rig->event, sizeof(rig->event), fmt, ap);
	va_end(ap);
	rig->events++;
}

void
broker_scale(
    struct broker *b, const char *worker, uint32_t instances, const char *why)
{
	(void)b;
	(void)worker;
	(void)why;
	rig->scaled = instances;
}

/* A program that has the real hands defines RIG_REAL_HANDS. */
#ifndef RIG_REAL_HANDS
bool
hands_give(struct hand *h, struct task *t)
{
	rig->gives++;
	rig->last_given = t->row.id;
	if (rig->no_memory) {
		core_returned(&rig->b, t);
		return false;
	}
	if (rig_given != NULL)
		rig_given(h, t);
	return true;
}

void
hands_cancel(struct task *t)
{
	(void)t;
	rig->cancels++;
}

void
hands_recall(struct task *t)
{
	(void)t;
	rig->recalls++;
}

void
hands_adopted(struct broker *b, struct hand *h, uint64_t id, struct task *t)
{
	(void)b;
	(void)h;
	(void)id;
	rig->adopted_none += t == NULL;
}

#endif

static struct pool_config
rig_config(const char *name)
{
	struct pool_config c = { .threads = 1,
		.grace_ms = 2000,
		.backoff_initial_ms = 1000,
		.backoff_max_ms = 3600000,
		.backoff_factor = 2.0,
		.result_ttl_ms = 86400000,
		.aging_ms = 30000,
		.max_crashes = 3,
		.instances = 1 };

	snprintf(c.name, sizeof(c.name), "%s", name);
	return c;
}

static void
rig_store_init(struct store *s)
{
	*s = (struct store){ .next_id = 1 };
	list_init(&s->added);
	list_init(&s->applied);
}

/* A broker's core over what the store has: a first start, or one after a kill.
 */
static void
rig_boot(struct rig *r)
{
	struct store_found found = { .next_id = r->store.next_id };
	struct store *s = &r->store;

	found.pools = calloc(4, sizeof(*found.pools));
	found.running = calloc(s->room + 1, sizeof(*found.running));
	for (size_t i = 0; i < r->b.pools_count; i++)
		memcpy(found.pools[found.pools_count++].worker,
		    r->pools[i].name, sizeof(r->pools[i].name));
	for (size_t id = 1; id < s->room; id++) {
		struct task_row *row = rig_row(s, id);

		for (size_t i = 0; row != NULL && i < found.pools_count; i++)
			if (strcmp(found.pools[i].worker, row->worker) == 0)
				found.pools[i].counts[row->state]++;
		if (row != NULL && row->state == TASK_RUNNING)
			found.running[found.running_count++] =
			    rig_copy_row(row);
	}
	found.next_due_ms = rig_next_due(s);
	r->b.store = s;
	r->b.store_well = true;
	r->b.pools = r->pools;
	if (core_new(&r->b, &found) != 0)
		abort();
	store_found_done(&found);
}

static struct rig *
rig_new(unsigned pools)
{
	static const char *const names[] = { "w", "v", "u", "x" };
	struct rig *r = calloc(1, sizeof(*r));

	rig = r;
	rig_given = NULL;
	rig_store_init(&r->store);
	for (unsigned i = 0; i < pools; i++)
		r->pools[i] = rig_config(names[i]);
	r->b.pools_count = pools;
	return r;
}

static void
rig_ops_free(struct list *ops)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, ops) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (op->kind == STORE_SUBMIT)
			op->row = NULL;
		store_op_free(op);
	}
}

static inline void
rig_free(struct rig *r)
{
	rig_write(&r->store);
	rig_tell(&r->store);
	core_free(&r->b);
	rig_ops_free(&r->store.added);
	for (size_t id = 0; id < r->store.room; id++)
		task_row_done(&r->store.rows[id]);
	free(r->store.rows);
	free(r);
}

/* The broker is killed: what was on its way is told to nobody. */
static inline void
rig_kill(struct rig *r)
{
	struct list *l, *tmp;
	bool broken = r->store.broken;

	r->store.broken = true;
	LIST_FOREACH(l, tmp, &r->store.applied) {
		LIST_ENTRY(l, struct store_op, link)->error = QERR_STORE;
	}
	rig_write(&r->store);
	rig_tell(&r->store);
	core_free(&r->b);
	rig_ops_free(&r->store.added);
	r->store.broken = broken;
	rig_boot(r);
}

static inline struct hand *
rig_hand(struct rig *r, unsigned i, const char *worker, uint32_t threads)
{
	struct hand *h = &r->hands[i];

	*h = (struct hand){ .broker = &r->b, .threads = threads, .up = true };
	snprintf(h->name, sizeof(h->name), "%s:%u", worker, i);
	snprintf(h->worker, sizeof(h->worker), "%s", worker);
	list_init(&h->tasks);
	list_init(&h->pool_link);
	core_hand_up(&r->b, h);
	return h;
}

static inline void
rig_turn(struct rig *r)
{
	core_turn(&r->b);
}

static inline void
rig_commit(struct rig *r)
{
	rig_write(&r->store);
	rig_tell(&r->store);
}

/* Until nothing is on the way any more. */
static inline void
rig_settle(struct rig *r)
{
	do {
		rig_turn(r);
		rig_commit(r);
	} while (
	    !list_empty(&r->store.added) || !list_empty(&r->b.core->dirty));
}

/* Both clocks go on, and what is due by then is looked at. */
static inline void
rig_pass(struct rig *r, int64_t ms)
{
	rig_mono += ms * NS_PER_MS;
	rig_wall += ms;
	core_tick(&r->b);
	rig_settle(r);
}

#endif
