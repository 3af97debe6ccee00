/* tasks: a list, newest first. */

#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/taskjson.h"

#define MOST 10000

static void
listed(struct store_op *op)
{
	struct call *c = op->arg;
	struct buf b;

	if (op->error != QERR_NONE) {
		call_fail(c, op->error, NULL);
		store_op_free(op);
		return;
	}
	buf_init(&b);
	jw_array(&b);
	for (size_t i = 0; i < op->count; i++) {
		const struct task *t = core_find(c->b, op->rows[i].id);

		/* What is in memory is ahead of the store. */
		if (t == NULL || t->pool == NULL)
			task_put(&b, c->b, &op->rows[i], NULL, false);
		else if (op->states == 0 ||
			 (op->states & 1U << t->row.state) != 0)
			task_put(&b, c->b, &t->row, t, false);
	}
	jw_array_end(&b);
	store_op_free(op);
	call_reply(c, &b);
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
	const char *worker;
	struct store_op *op;
	uint32_t states;

	if (!call_worker(c, false, &worker) || !take_states(c, &states) ||
	    !call_int(c, "limit", 100, 1, MOST, &limit) ||
	    !call_int(c, "after", 0, 0, INT64_MAX, &after))
		return;
	op = store_op_new(STORE_LIST);
	if (op == NULL) {
		call_fail(c, QERR_NO_MEMORY, NULL);
		return;
	}
	if (worker != NULL)
		memcpy(op->worker, worker, strlen(worker) + 1);
	op->states = states;
	op->limit = (uint32_t)limit;
	op->after_id = (uint64_t)after;
	op->done = listed;
	op->arg = c;
	store_add(c->b->store, op);
}

const struct method method_tasks = { "tasks", true, run };
