/* tasks: a list, newest first. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/stores.h"
#include "supervisord/broker/taskjson.h"

#define MOST 10000

static void
put_rows(struct buf *b, struct call *c, const struct store_op *op)
{
	for (size_t i = 0; i < op->count; i++) {
		const struct task *t = core_find(c->b, op->rows[i].id);

		/* What is in memory is ahead of the store. */
		if (t == NULL || t->pool == NULL || t->reading || t->lost)
			task_put(b, c->b, &op->rows[i], NULL, false);
		else if (op->states == 0 ||
			 (op->states & 1U << t->row.state) != 0)
			task_put(b, c->b, &t->row, t, false);
	}
}

/* A list of both stores is the shared one's first, whose ids are higher, then
 * the local one's. */
struct listing {
	struct buf b;
	char worker[WORKER_NAME_MAX + 1];
	uint32_t states, left;
	uint64_t after;
	bool must; /* what the shared store has can't be left out */
};

static void
end(struct call *c, enum queue_error e)
{
	struct listing *l = c->own;
	struct buf b = l->b;

	free(l);
	c->own = NULL;
	if (e == QERR_NONE) {
		jw_array_end(&b);
		call_reply(c, &b);
	} else {
		buf_done(&b);
		call_fail(c, e, NULL);
	}
}

static void ask(struct call *c, bool shared);

static void
listed(struct store_op *op)
{
	struct call *c = op->arg;
	struct listing *l = c->own;
	bool shared = op->shared;
	enum queue_error e = op->error;

	if (e == QERR_NONE) {
		put_rows(&l->b, c, op);
		l->left -= (uint32_t)MIN_OF(op->count, (size_t)l->left);
	}
	store_op_free(op);
	if (e != QERR_NONE && (!shared || l->must || e == QERR_NO_TASK))
		end(c, e);
	else if (shared && l->left > 0)
		ask(c, false);
	else
		end(c, QERR_NONE);
}

static void
ask(struct call *c, bool shared)
{
	struct listing *l = c->own;
	struct store_op *op = store_op_new(STORE_LIST);

	if (op == NULL) {
		end(c, QERR_NO_MEMORY);
		return;
	}
	memcpy(op->worker, l->worker, sizeof op->worker);
	op->shared = shared;
	op->states = l->states;
	op->limit = l->left;
	if (shared == id_shared(l->after))
		op->after_id = l->after;
	op->done = listed;
	op->arg = c;
	stores_add(c->b, op);
}

/* "state": one, or a list of them. false: refused. */
static bool
take_states(struct call *c, uint32_t *ret)
{
	const json_t *v = json_object_get(c->params, "state");
	size_t n = json_is_array(v) ? json_array_size(v) : 1;

	*ret = 0;
	if (v == NULL || json_is_null(v))
		return true;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(
		    json_is_array(v) ? json_array_get(v, i) : v);
		int state = name != NULL ? task_state_of(name) : -1;

		if (state < 0) {
			call_fail_params(c, "\"state\" must be queued, "
					    "scheduled, running, done, failed, "
					    "cancelled or dead");
			return false;
		}
		*ret |= 1U << state;
	}
	return true;
}

static void
run(struct call *c)
{
	int64_t limit, after;
	const struct pool_config *pool;
	const char *worker;
	struct listing *l;
	uint32_t states;

	if (!call_worker(c, false, &worker) || !take_states(c, &states) ||
	    !call_int(c, "limit", 100, 1, MOST, &limit) ||
	    !call_int(c, "after", 0, 0, INT64_MAX, &after))
		return;
	l = calloc(1, sizeof *l);
	if (l == NULL) {
		call_fail(c, QERR_NO_MEMORY, NULL);
		return;
	}
	if (worker != NULL)
		memcpy(l->worker, worker, strlen(worker) + 1);
	pool = worker != NULL ? broker_pool(c->b, worker) : NULL;
	l->must = pool != NULL && pool->shared;
	l->states = states;
	l->left = (uint32_t)limit;
	l->after = (uint64_t)after;
	buf_init(&l->b);
	jw_array(&l->b);
	c->own = l;
	ask(c, c->b->shared != NULL && (pool == NULL || pool->shared) &&
		   (after == 0 || id_shared(l->after)));
}

const struct method method_tasks = { "tasks", true, run };
