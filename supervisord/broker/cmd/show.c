#include "supervisord/broker/cmd/show.h"

#include "supervisord/base/log.h"
#include "supervisord/broker/taskjson.h"

static int64_t
id_of(const struct call *c)
{
	return json_integer_value(json_object_get(c->params, "id"));
}

/* An error that names the task. */
static void
fail(struct call *c, enum queue_error e)
{
	if (e == QERR_NO_TASK)
		call_fail(c, e,
		    "there is no task %lld, or its result has expired",
		    (long long)id_of(c));
	else
		call_fail(c, e, NULL);
}

static void
found(void *arg, enum queue_error e, const struct task_row *row,
    const struct task *live)
{
	struct call *c = arg;
	struct buf b;

	if (e != QERR_NONE || row == NULL) {
		fail(c, e);
		return;
	}
	buf_init(&b);
	task_put(&b, c->b, row, live, true);
	call_reply(c, &b);
}

void
call_show_task(struct call *c)
{
	core_task(c->b, (uint64_t)id_of(c), found, c);
}

void
call_changed(
    struct call *c, enum queue_error e, const char *what, const char *why_not)
{
	if (e == QERR_STATE) {
		call_fail(c, e, "task %lld %s", (long long)id_of(c), why_not);
	} else if (e != QERR_NONE) {
		fail(c, e);
	} else {
		log_info("task %lld: %s by uid %d (pid %d)",
		    (long long)id_of(c), what, (int)c->uid, (int)c->pid);
		call_show_task(c);
	}
}
