/* cancel: a task that waits or runs is to end. */

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/cmd/cmd.h"

static void
cancelled(void *arg, enum queue_error e)
{
	struct call *c = arg;
	int64_t id = json_integer_value(json_object_get(c->params, "id"));
	struct buf b;

	if (e == QERR_STATE) {
		call_fail(c, e, "task %lld has ended already", (long long)id);
		return;
	}
	if (e != QERR_NONE) {
		call_fail(c, e, NULL);
		return;
	}
	log_info("task %lld: cancelled by uid %d (pid %d)", (long long)id,
	    (int)c->uid, (int)c->pid);
	buf_init(&b);
	jw_object(&b);
	jw_kv_int(&b, "id", id);
	jw_object_end(&b);
	call_reply(c, &b);
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_cancel(c->b, id, cancelled, c);
}

const struct method method_cancel = { "cancel", false, run };
