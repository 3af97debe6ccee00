/* requeue: a task that is dead, failed or cancelled gets another chance. */

#include "supervisord/base/log.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/cmd/show.h"

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
		call_fail_task(c, e);
		return;
	}
	log_info("task %lld: queued again by uid %d (pid %d)", (long long)id,
	    (int)c->uid, (int)c->pid);
	call_show_task(c);
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_requeue(c->b, id, requeued, c);
}

const struct method method_requeue = { "requeue", false, run };
