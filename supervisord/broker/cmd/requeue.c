/* requeue: a task that is dead, failed or cancelled gets another chance. */

#include "supervisord/base/log.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/taskjson.h"

static void
found(void *arg, enum queue_error e, const struct task_row *row,
    const struct task *live)
{
	struct call *c = arg;
	struct buf b;

	if (e != QERR_NONE || row == NULL) {
		call_fail(c, e, NULL);
		return;
	}
	buf_init(&b);
	task_put(&b, c->b, row, live, true);
	call_reply(c, &b);
}

static void
requeued(void *arg, enum queue_error e)
{
	struct call *c = arg;
	int64_t id = json_integer_value(json_object_get(c->params, "id"));

	if (e == QERR_STATE) {
		call_fail(c, e,
		    "task %lld is not dead, failed or cancelled: there is "
		    "nothing to do again",
		    (long long)id);
		return;
	}
	if (e != QERR_NONE) {
		call_fail(c, e, NULL);
		return;
	}
	log_info("task %lld: queued again by uid %d (pid %d)", (long long)id,
	    (int)c->uid, (int)c->pid);
	core_task(c->b, (uint64_t)id, found, c);
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_requeue(c->b, id, requeued, c);
}

const struct method method_requeue = { "requeue", false, run };
