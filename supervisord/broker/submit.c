/* How tasks come in. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/core_int.h"
#include "supervisord/broker/defaults.h"
#include "supervisord/broker/follow.h"

/* Said to who submits it, by core_refusal. */
static enum queue_error
refuse_worker(struct broker *b, enum queue_error e, const char *worker)
{
	snprintf(b->core->refusal, sizeof(b->core->refusal),
	    "%sthere is no worker \"%.64s\", or it takes no tasks",
	    e == QERR_NO_THEN ? "\"then\": " : "", worker);
	return e;
}

/* As far as its worker has told what it can do. */
static enum queue_error
check_known(const struct pool *p, const char *func, bool bytes, const char *of)
{
	char *words = p->broker->core->refusal;

	if (p->functions == NULL)
		return QERR_NONE;
	for (size_t i = 0; p->functions[i] != NULL; i++) {
		if (strcmp(p->functions[i], func) == 0)
			return p->functions_json[i] && bytes ? QERR_NOT_JSON
							     : QERR_NONE;
	}
	snprintf(words, sizeof(p->broker->core->refusal),
	    "%s%.64s has no function \"%.128s\"", of, p->config.name, func);
	return QERR_NO_FUNC;
}

static enum queue_error
check_function(const struct pool *p, const struct submission *s)
{
	/* A command that is run once per task needs no function's name. */
	if (s->func == NULL || (*s->func == '\0' && !p->config.exec) ||
	    strlen(s->func) > WIRE_FUNC_MAX)
		return QERR_BAD_VALUE;
	return check_known(p, s->func, s->payload != NULL && !s->json, "");
}

static enum queue_error
check_sizes(const struct submission *s)
{
	if (s->payload != NULL && s->payload->size > WIRE_PAYLOAD_MAX)
		return QERR_TOO_LARGE;
	if ((s->key != NULL && strlen(s->key) > WIRE_KEY_MAX) ||
	    (s->limit_key != NULL && strlen(s->limit_key) > WIRE_KEY_MAX))
		return QERR_TOO_LARGE;
	if (s->then != NULL && !follow_fits(s->then, 0))
		return QERR_TOO_LARGE;
	if (s->priority >= PRIORITIES || s->delay_ms < 0 || s->due_ms < 0)
		return QERR_BAD_VALUE;
	return QERR_NONE;
}

/* Of a queue that is shared its store says so. */
static bool
is_full(const struct pool *p)
{
	return p->config.max_queue > 0 && !p->config.shared &&
	       p->counts[TASK_QUEUED] + p->counts[TASK_SCHEDULED] +
		       p->submitting >=
		   p->config.max_queue;
}

static enum queue_error
check_all(struct broker *b, const json_t *then, bool shared)
{
	const char *worker = json_string_value(json_object_get(then, "worker"));
	const char *func = json_string_value(json_object_get(then, "func"));
	const json_t *next = json_object_get(then, "then");
	struct pool *p = worker != NULL ? pool_find(b->core, worker) : NULL;
	enum queue_error e = QERR_NONE;
	json_t *one;
	size_t i;

	if (!json_is_array(then)) {
		if (p == NULL || !p->configured)
			return refuse_worker(
			    b, QERR_NO_THEN, worker != NULL ? worker : "");
		/* It comes to be with the end of the one before, in one. */
		if (p->config.shared != shared)
			return QERR_OTHER_STORE;
		e = check_known(
		    p, func != NULL ? func : "", false, "\"then\": ");
		return e == QERR_NONE && next != NULL
			   ? check_all(b, next, shared)
			   : e;
	}
	json_array_foreach(then, i, one)
	{
		if (e == QERR_NONE)
			e = check_all(b, one, shared);
	}
	return e;
}

/* Said to who submits it: later there is nobody who could be told. */
static enum queue_error
check_then(struct broker *b, const char *text, bool shared)
{
	json_t *then = text != NULL ? json_loads(text, 0, NULL) : NULL;
	enum queue_error e =
	    then != NULL ? check_all(b, then, shared) : QERR_NONE;

	json_decref(then);
	return e;
}

static enum queue_error
check(struct broker *b, const struct submission *s, struct pool **ret)
{
	struct pool *p = pool_find(b->core, s->worker);
	enum queue_error e;

	b->core->refusal[0] = '\0';
	if (b->finishing)
		return QERR_ENDING;
	if (p == NULL || !p->configured)
		return refuse_worker(b, QERR_NO_WORKER, s->worker);
	*ret = p;
	e = check_function(p, s);
	if (e == QERR_NONE)
		e = check_sizes(s);
	return e == QERR_NONE ? check_then(b, s->then, p->config.shared) : e;
}

const char *
core_refusal(const struct broker *b)
{
	return b->core->refusal;
}

enum queue_error
core_check(struct broker *b, const struct submission *s)
{
	struct pool *p = NULL;
	enum queue_error e = check(b, s, &p);

	return e == QERR_NONE && is_full(p) ? QERR_FULL : e;
}

/* Whether it lives in memory alone. What needs the store's help (a key, what
 * follows it) goes there though the worker does not ask for it; so does what
 * memory has no room for. */
static bool
is_fleeting(const struct pool *p, const struct task_row *row)
{
	const uint32_t most = 2 * core_sizes.window_keep;

	return p->config.durability == DURABLE_NONE && !p->config.shared &&
	       row->key == NULL && row->then == NULL && row->group == 0 &&
	       row->schedule == 0 && p->queue.count < most &&
	       p->parked < most && p->broker->core->fleeting.count < most &&
	       p->bytes + p->later < WINDOW_BYTES && p->aside < ASIDE_BYTES;
}

/* A new task is known: it waits for its turn, or for its time. */
static void
arrived(struct task *t)
{
	struct pool *p = t->pool;
	struct core *c = p->broker->core;

	p->submitted++;
	meter_in(&p->meter, c->mono);
	count_one(p, t->row.id, t->row.state, 1);
	if (id_shared(t->row.id)) {
		claims_new(p, &t->row);
		task_forget(t);
	} else if (t->row.state == TASK_QUEUED) {
		t->ready_mono = c->mono;
		window_enter(t);
	} else if (!t->fleeting) {
		due_note(c, t->row.due_ms);
		task_forget(t);
	} else if (due_fleeting(t)) {
		task_add(t);
	} else {
		count_one(p, t->row.id, t->row.state, -1);
		task_forget(t);
	}
}

struct pending {
	struct task *task;
	core_submitted_fn *done;
	void *arg;
};

static void
submitted(struct store_op *op)
{
	struct pending *w = op->arg;
	struct task *t = w->task;
	enum queue_error e = op->error;
	uint64_t id = op->existing != 0 ? op->existing : t->row.id;
	bool existed = op->existing != 0;

	core_clocks(t->pool->broker->core);
	op->row = NULL; /* it is the task's */
	t->pool->submitting--;
	claims_told(t->pool, op);
	if (e == QERR_STORE)
		put_sick(t->pool->broker->core, op->shared);
	store_op_free(op);
	if (e == QERR_NONE && !existed)
		arrived(t);
	else
		task_forget(t);
	w->done(w->arg, e, e == QERR_NONE ? id : 0, existed);
	free(w);
}

static uint32_t
most_that_wait(const struct pool *p)
{
	return (uint32_t)MIN_OF(p->config.max_queue, (uint64_t)UINT32_MAX);
}

/* full: its queue is, and another of its key is all it may be. */
static enum queue_error
put_submit(struct task *t, bool full, core_submitted_fn *done, void *arg)
{
	struct pending *w = malloc(sizeof(*w));
	struct store_op *op = w != NULL ? store_op_new(STORE_SUBMIT) : NULL;

	if (op == NULL) {
		free(w);
		return QERR_NO_MEMORY;
	}
	*w = (struct pending){ t, done, arg };
	op->row = &t->row;
	op->relaxed = pool_relaxed(t->pool);
	op->full = full;
	op->shared = t->pool->config.shared;
	if (op->shared)
		op->limit = most_that_wait(t->pool);
	op->done = submitted;
	op->arg = w;
	t->pool->submitting++;
	stores_add(t->pool->broker, op);
	return QERR_NONE;
}

void
core_submit(
    struct broker *b, struct submission *s, core_submitted_fn *done, void *arg)
{
	struct core *c = b->core;
	struct pool *p = NULL;
	struct task *t = NULL;
	enum queue_error e = check(b, s, &p);
	bool full = e == QERR_NONE && is_full(p);

	core_clocks(c);
	if (full && s->key == NULL)
		e = QERR_FULL;
	if (e == QERR_NONE) {
		t = task_new(p);
		e = t != NULL ? QERR_NONE : QERR_NO_MEMORY;
	}
	if (e == QERR_NONE) {
		defaults_apply(&p->config, s, c->wall_ms, &t->row);
		t->row.id = stores_new_id(b, p->config.shared);
		t->fleeting = is_fleeting(p, &t->row);
		if (t->row.id == 0)
			e = QERR_STORE;
		else if (!t->fleeting)
			e = put_submit(t, full, done, arg);
	}
	submission_free(s);
	if (e != QERR_NONE) {
		if (t != NULL)
			task_forget(t);
		done(arg, e, 0, false);
	} else if (t->fleeting) {
		uint64_t id = t->row.id;

		arrived(t);
		done(arg, QERR_NONE, id, false);
	}
}

void
core_accept(struct broker *b, struct task_row *row)
{
	struct core *c = b->core;
	struct pool *p = pool_get(c, row->worker);
	struct task *t = p != NULL ? task_new(p) : NULL;

	core_clocks(c);
	if (t != NULL) {
		t->row = *row;
		*row = (struct task_row){ .id = t->row.id };
		arrived(t);
		return;
	}
	if (p != NULL && id_shared(row->id)) {
		claims_new(p, row);
	} else if (p != NULL) {
		p->counts[row->state]++;
		window_lower(p, row->rank, row->id);
	}
	if (row->state == TASK_SCHEDULED && !id_shared(row->id))
		due_note(c, row->due_ms);
	task_row_done(row);
}

/* --- groups --------------------------------------------------------------- */

struct group {
	struct broker *broker;
	core_group_fn *done;
	void *arg;
	uint64_t *ids; /* as given, to tell those that existed */
	size_t count;
};

static void
group_free(struct group *g)
{
	if (g != NULL)
		free(g->ids);
	free(g);
}

static void
grouped(struct store_op *op)
{
	struct group *g = op->arg;
	struct core *c = g->broker->core;

	core_clocks(c);
	for (size_t i = 0; i < op->count; i++) {
		struct task_row *row = &op->rows[i];
		struct pool *p = pool_find(c, row->worker);
		bool existed = g->ids[i] != row->id;

		g->ids[i] = row->id;
		if (p != NULL)
			p->submitting--;
		if (op->error == QERR_NONE && !existed)
			core_accept(g->broker, row);
	}
	if (op->error == QERR_NONE)
		core_follow(g->broker, op);
	else if (op->error == QERR_STORE)
		put_sick(c, op->shared);
	g->done(g->arg, op->error, op->error == QERR_NONE ? op->group : 0,
	    g->ids, op->error == QERR_NONE ? g->count : 0);
	group_free(g);
	store_op_free(op);
}

static void
group_uncount(struct broker *b, struct submission **s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pool_find(b->core, s[i]->worker)->submitting--;
}

/* All can be taken, with those of the same worker before them. */
static enum queue_error
group_check(
    struct broker *b, struct submission **s, size_t count, bool *ret_shared)
{
	enum queue_error e = count > 0 ? QERR_NONE : QERR_BAD_VALUE;

	for (size_t i = 0; i < count && e == QERR_NONE; i++) {
		struct pool *p = NULL;

		e = check(b, s[i], &p);
		if (e == QERR_NONE && is_full(p))
			e = QERR_FULL;
		if (e == QERR_NONE && i == 0)
			*ret_shared = p->config.shared;
		if (e == QERR_NONE && p->config.shared != *ret_shared)
			e = QERR_OTHER_STORE;
		if (e == QERR_NONE)
			p->submitting++;
		else
			count = i;
	}
	if (e == QERR_NONE)
		return e;
	group_uncount(b, s, count);
	return e;
}

static bool
group_fill(struct broker *b, struct store_op *op, struct group *g,
    struct submission *s)
{
	struct pool *p = pool_find(b->core, s->worker);
	struct task_row *row = &op->rows[op->count];

	defaults_apply(&p->config, s, b->core->wall_ms, row);
	row->id = stores_new_id(b, op->shared);
	row->group = op->group;
	op->relaxed = op->relaxed && pool_relaxed(p);
	g->ids[op->count++] = row->id;
	return row->id != 0;
}

/* What the shared store is to look at before it takes them: of all workers that
 * are being submitted to. false: no memory. */
static bool
put_limits(struct core *c, struct store_op *op)
{
	struct pool *p, *next;

	op->limits = calloc(HASH_COUNT(c->pools) + 1, sizeof(*op->limits));
	if (op->limits == NULL)
		return false;
	HASH_ITER(hh, c->pools, p, next)
	{
		struct queue_limit *l = &op->limits[op->limits_count];

		if (p->submitting == 0 || p->config.max_queue == 0)
			continue;
		memcpy(l->worker, p->config.name, sizeof(l->worker));
		l->most = most_that_wait(p);
		op->limits_count++;
	}
	return true;
}

static enum queue_error
put_group(struct broker *b, struct submission **s, size_t count, bool shared,
    char **then, struct group *g)
{
	struct store_op *op = store_op_new(STORE_GROUP);
	bool named;

	if (op != NULL)
		op->rows = calloc(count, sizeof(*op->rows));
	if (op == NULL || op->rows == NULL ||
	    (shared && !put_limits(b->core, op))) {
		store_op_free(op);
		return QERR_NO_MEMORY;
	}
	op->relaxed = true;
	op->shared = shared;
	op->group = stores_new_id(b, shared);
	named = op->group != 0;
	for (size_t i = 0; i < count; i++)
		named = group_fill(b, op, g, s[i]) && named;
	if (!named) {
		store_op_free(op);
		return QERR_STORE;
	}
	op->text = *then;
	*then = NULL;
	op->done = grouped;
	op->arg = g;
	stores_add(b, op);
	return QERR_NONE;
}

void
core_submit_group(struct broker *b, struct submission **s, size_t count,
    char *then, core_group_fn *done, void *arg)
{
	struct group *g = NULL;
	bool shared = false;
	enum queue_error e = group_check(b, s, count, &shared);

	core_clocks(b->core);
	if (e == QERR_NONE) {
		e = check_then(b, then, shared);
		if (e == QERR_NONE) {
			g = calloc(1, sizeof(*g));
			e = g != NULL ? QERR_NONE : QERR_NO_MEMORY;
		}
		if (e == QERR_NONE) {
			*g = (struct group){ b, done, arg,
				calloc(count, sizeof(*g->ids)), count };
			e = g->ids != NULL
				? put_group(b, s, count, shared, &then, g)
				: QERR_NO_MEMORY;
		}
		if (e != QERR_NONE)
			group_uncount(b, s, count);
	}
	if (e != QERR_NONE) {
		group_free(g);
		done(arg, e, 0, NULL, 0);
	}
	for (size_t i = 0; i < count; i++)
		submission_free(s[i]);
	free(then);
}
