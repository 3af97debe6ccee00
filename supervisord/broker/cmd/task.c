/* task: all about one. */

#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/taskjson.h"

static void
found(void *arg, enum queue_error e, const struct task_row *row,
    const struct task *live)
{
	struct call *c = arg;
	struct buf b;

	if (e != QERR_NONE || row == NULL) {
		call_fail(c, e,
		    e == QERR_NO_TASK ? "there is no task %lld, or "
					"its result has expired"
				      : NULL,
		    (long long)json_integer_value(
			json_object_get(c->params, "id")));
		return;
	}
	buf_init(&b);
	task_put(&b, c->b, row, live, true);
	call_reply(c, &b);
}

static void
run(struct call *c)
{
	uint64_t id;
	bool wait;

	if (!call_id(c, &id) || !call_bool(c, "wait", &wait))
		return;
	if (wait)
		call_wait(c, id);
	else
		core_task(c->b, id, found, c);
}

const struct method method_task = { "task", true, run };
