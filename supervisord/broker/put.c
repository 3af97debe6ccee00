/*
 * What is put to the store for a task, and what becomes of it when the store
 * can't be written: a task's end waits until it is well and is told to nobody
 * before; other changes are made anew from what the task is by then.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/base/slab.h"
#include "supervisord/broker/core_int.h"

static struct slab tasks = SLAB(struct task, 4096);

struct task *
task_new(struct pool *p)
{
	struct task *t = slab_take(&tasks);

	if (t == NULL)
		return NULL;
	t->pool = p;
	t->heap = HEAP_NONE;
	t->share = WIRE_NO_SHARE;
	list_init(&t->link);
	list_init(&t->claim);
	return t;
}

void
task_add(struct task *t)
{
	idmap_add(&t->pool->broker->core->tasks, &t->by_id, t->row.id);
	if (id_shared(t->row.id))
		t->pool->claims++;
}

void
task_forget(struct task *t)
{
	struct core *c = t->pool->broker->core;

	if (t->hand != NULL)
		task_leave(t);
	window_remove(t);
	if (t->pending > 0)
		return; /* the last of them comes back here */
	if (t->by_id.id != 0 && id_shared(t->row.id)) {
		t->pool->claims--;
		c->mine_again = c->mine_again || t->again;
		pool_touch(t->pool);
	}
	idmap_remove(&c->tasks, &t->by_id);
	list_remove(&t->claim);
	task_row_done(&t->row);
	free(t->progress);
	slab_give(&tasks, t);
}

bool
pool_relaxed(const struct pool *p)
{
	return p->config.durability != DURABLE_FULL;
}

/* --- when the store is not well ------------------------------------------- */

bool
put_well(const struct core *c, bool shared)
{
	return c->sick[shared].until <= c->mono;
}

void
put_sick(struct core *c, bool shared)
{
	struct sickness *s = &c->sick[shared];

	core_clocks(c);
	if (s->until <= c->mono) {
		/* Not one of many that failed together: longer than before. */
		s->pause = s->pause == 0 ? SICK_FIRST
					 : MIN_OF(s->pause * 2, SICK_MOST);
		s->until = c->mono + s->pause;
	}
	core_wake(c, s->until);
}

void
put_keep(struct core *c, struct store_op *op)
{
	list_append(&c->kept, &op->link);
	c->sick[op->shared].kept++;
	put_sick(c, op->shared);
}

static void fill_update(struct task *t, struct store_op *op);

void
put_again(struct core *c)
{
	struct list *l, *tmp;
	bool some = false;

	for (int i = 0; i < 2; i++) {
		if (c->sick[i].kept == 0)
			continue;
		if (put_well(c, i))
			some = true;
		else
			core_wake(c, c->sick[i].until);
	}
	if (!some)
		return;
	LIST_FOREACH(l, tmp, &c->kept) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);
		struct task *t = op->arg;

		if (!put_well(c, op->shared))
			continue;
		list_remove(l);
		c->sick[op->shared].kept--;
		op->error = QERR_NONE;
		if (op->kind == STORE_UPDATE) {
			t->dirty = false;
			if (t->ending || t->lost) {
				/* Its end says all that this would have. */
				op->done(op);
				continue;
			}
			fill_update(t, op);
		}
		stores_add(c->broker, op);
	}
	pools_touch(c);
}

/* --- changes -------------------------------------------------------------- */

static char *
copied(const char *s)
{
	return s != NULL ? strdup(s) : NULL;
}

/* A shared task that is ours no more, whatever the store says of it. */
static bool
op_lost(const struct store_op *op)
{
	return op->error != QERR_NONE && op->error != QERR_STORE &&
	       op->error != QERR_NO_MEMORY;
}

static const char *
lost_words(enum queue_error e)
{
	return e == QERR_NO_TASK ? "not in the shared store any more"
				 : "another supervisord's by now";
}

static void
updated(struct store_op *op)
{
	struct task *t = op->arg;
	struct core *c = t->pool->broker->core;
	enum queue_error e = op->error;
	bool lost = op->shared && op_lost(op);

	if (op->error == QERR_STORE || op->error == QERR_NO_MEMORY) {
		if (!t->ending && !t->dirty && !t->lost) {
			t->dirty = true;
			put_keep(c, op);
			return;
		}
	} else {
		c->sick[op->shared].pause = 0;
	}
	store_op_free(op);
	t->pending--;
	if (lost || t->lost) {
		claims_lost(t, lost_words(e));
		return;
	}
	if (t->pending > 0 || t->dirty)
		return;
	/* What is due later, or has ended meanwhile, is the store's alone. */
	if (!t->ended && (t->place != PLACE_NOWHERE || t->ending))
		return;
	if (id_shared(t->row.id))
		claims_new(t->pool, &t->row);
	else if (t->row.state == TASK_SCHEDULED)
		due_note(c, t->row.due_ms);
	task_forget(t);
}

static void
fill_claim(struct task *t, struct store_op *op)
{
	struct task_change *ch = &op->change;

	ch->id = t->row.id;
	ch->fields =
	    CHANGE_STATE | CHANGE_ATTEMPTS | CHANGE_STARTED | CHANGE_INSTANCE;
	ch->state = t->row.state;
	ch->attempts = t->row.attempts;
	ch->started_ms = t->row.started_ms;
	memcpy(ch->instance, t->row.instance, sizeof(ch->instance));
}

static void
fill_all(struct task *t, struct store_op *op)
{
	struct task_change *ch = &op->change;

	fill_claim(t, op);
	ch->fields |= CHANGE_FAILURES | CHANGE_CRASHES | CHANGE_VICTIMS |
		      CHANGE_ERROR | CHANGE_WORDS;
	ch->failures = t->row.failures;
	ch->crashes = t->row.crashes;
	ch->victims = t->row.victims;
	free(ch->error);
	free(ch->words);
	ch->error = copied(t->row.error);
	ch->words = copied(t->row.words);
}

static void
fill_update(struct task *t, struct store_op *op)
{
	fill_all(t, op);
	op->change.fields |= CHANGE_DUE;
	op->change.due_ms = t->row.due_ms;
}

static struct store_op *
update_op(struct task *t)
{
	struct store_op *op;

	if (t->fleeting)
		return NULL;
	op = store_op_new(STORE_UPDATE);
	if (op == NULL) {
		log_error("%s: out of memory: what became of task %llu is not "
			  "stored yet",
		    t->pool->config.name, (unsigned long long)t->row.id);
		return NULL;
	}
	op->done = updated;
	op->arg = t;
	op->shared = id_shared(t->row.id);
	t->pending++;
	return op;
}

void
put_claim(struct task *t)
{
	struct store_op *op = update_op(t);

	if (op == NULL)
		return;
	/* Losing it costs nothing: the task would only run again. */
	op->relaxed = true;
	fill_claim(t, op);
	t->claimed = true;
	stores_add(t->pool->broker, op);
}

bool
put_update(struct task *t)
{
	struct store_op *op = update_op(t);

	if (op == NULL)
		return t->fleeting;
	op->relaxed = pool_relaxed(t->pool);
	fill_update(t, op);
	t->claimed = t->row.state == TASK_RUNNING;
	stores_add(t->pool->broker, op);
	return true;
}

bool
put_release(struct task *t)
{
	struct store_op *op = update_op(t);

	if (op == NULL)
		return false;
	op->relaxed = op->release = true;
	fill_update(t, op);
	t->claimed = false;
	stores_add(t->pool->broker, op);
	return true;
}

/* --- the end -------------------------------------------------------------- */

void
core_follow(struct broker *b, struct store_op *op)
{
	for (size_t i = 0; i < op->follow_count; i++)
		core_accept(b, &op->follow[i]);
}

static void
count_end(struct pool *p, const struct task *t, enum task_state state)
{
	count_one(p, t->row.id, t->row.state, -1);
	if (!t->fleeting)
		count_one(p, t->row.id, state, 1);
	p->completed += state == TASK_DONE;
	p->failed += state == TASK_FAILED;
	meter_out(&p->meter, p->broker->core->mono);
}

/* It is committed: told to who waits for it. */
static void
ended(struct task *t, const struct task_change *ch, struct body *result,
    bool json)
{
	struct core *c = t->pool->broker->core;

	count_end(t->pool, t, ch->state);
	t->row.state = ch->state;
	t->row.finished_ms = ch->finished_ms;
	t->row.expires_ms = ch->expires_ms;
	t->row.result = body_hold(result);
	t->row.result_json = json;
	t->ended = true;
	if (!t->fleeting && !id_shared(t->row.id))
		expiry_note(c, ch->expires_ms);
	waits_end(c, t->row.id, QERR_NONE, &t->row);
	task_forget(t);
}

static void
finished(struct store_op *op)
{
	struct task *t = op->arg;
	struct core *c = t->pool->broker->core;

	core_clocks(c);
	if (op->error == QERR_STORE || op->error == QERR_NO_MEMORY) {
		put_keep(c, op);
		return;
	}
	c->sick[op->shared].pause = 0;
	t->pending--;
	if (op->shared && op_lost(op)) {
		claims_lost(t, lost_words(op->error));
		store_op_free(op);
		return;
	}
	core_follow(c->broker, op);
	ended(t, &op->change, op->result, op->result_json);
	store_op_free(op);
}

static void
fill_end(struct task *t, struct task_change *ch, enum task_state state)
{
	int64_t now = t->pool->broker->core->wall_ms;

	ch->fields |= CHANGE_FINISHED;
	ch->state = (uint8_t)state;
	ch->finished_ms = now;
	/* A dead one is kept until somebody has looked at it. */
	ch->expires_ms = state == TASK_DEAD ? 0 : now + t->row.result_ttl_ms;
}

void
put_end(struct task *t, enum task_state state, struct body *result, bool json)
{
	struct broker *b = t->pool->broker;
	struct store_op *op;

	core_clocks(b->core);
	window_remove(t);
	if (t->lost) {
		/* What came out of it is nobody's. */
		task_forget(t);
		return;
	}
	t->ending = true;
	if (t->fleeting) {
		struct task_change ch = { .id = t->row.id };

		fill_end(t, &ch, state);
		ended(t, &ch, result, json);
		return;
	}
	op = store_op_new(STORE_FINISH);
	if (op == NULL) {
		/* Not stored, so it has not happened: it is run again. */
		log_error("%s: out of memory: task %llu has to run again",
		    t->pool->config.name, (unsigned long long)t->row.id);
		t->ending = false;
		if (t->row.state == TASK_RUNNING)
			task_move(t, TASK_QUEUED);
		window_push(t);
		return;
	}
	op->done = finished;
	op->arg = t;
	op->relaxed = pool_relaxed(t->pool);
	op->shared = id_shared(t->row.id);
	fill_all(t, op);
	fill_end(t, &op->change, state);
	op->result = body_hold(result);
	op->result_json = json;
	t->pending++;
	stores_add(b, op);
}
