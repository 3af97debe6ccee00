/* cancel: a task that waits or runs is to end. */

#include "supervisord/base/log.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/cmd/show.h"

static void
cancelled(void *arg, enum queue_error e)
{
	struct call *c = arg;
	int64_t id = json_integer_value(json_object_get(c->params, "id"));

	if (e == QERR_STATE) {
		call_fail(c, e, "task %lld has ended already", (long long)id);
		return;
	}
	if (e != QERR_NONE) {
		call_fail_task(c, e);
		return;
	}
	log_info("task %lld: cancelled by uid %d (pid %d)", (long long)id,
	    (int)c->uid, (int)c->pid);
	call_show_task(c);
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_cancel(c->b, id, cancelled, c);
}

const struct method method_cancel = { "cancel", false, run };
