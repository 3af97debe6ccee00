/* submit: a task is accepted, and on request its end is waited for. */

#include <stdlib.h>

#include "supervisord/base/json.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/submission.h"

/* Kept for the words of a refusal. */
static const char *
text_of(const struct call *c, const char *name)
{
	const char *s = json_string_value(json_object_get(c->params, name));

	return s != NULL ? s : "";
}

static void
refuse(struct call *c, enum queue_error e)
{
	if (e == QERR_NO_WORKER || e == QERR_NO_FUNC || e == QERR_NO_THEN)
		call_fail(c, e, "%s", core_refusal(c->b));
	else if (e == QERR_FULL)
		call_fail(c, e,
		    "the queue of %.64s is full (tasks.max_queue): try again "
		    "later",
		    text_of(c, "worker"));
	else
		call_fail(c, e, NULL);
}

static void
submitted(void *arg, enum queue_error e, uint64_t id, bool existed)
{
	struct call *c = arg;
	struct buf b;

	if (e != QERR_NONE) {
		refuse(c, e);
	} else if (json_is_true(json_object_get(c->params, "wait"))) {
		call_wait(c, id);
	} else {
		buf_init(&b);
		jw_object(&b);
		jw_kv_int(&b, "id", (int64_t)id);
		jw_kv_bool(&b, "existed", existed);
		jw_object_end(&b);
		call_reply(c, &b);
	}
}

static void
run(struct call *c)
{
	struct submission *s;
	char why[256];
	bool wait;
	int e;

	if (!call_bool(c, "wait", &wait))
		return;
	e = submission_from_json(c->params, true, &s, why, sizeof why);
	if (e != 0) {
		call_fail(c, (enum queue_error)e, "%s", why);
	} else {
		call_doubt(c, s->worker);
		core_submit(c->b, s, submitted, c);
	}
}

const struct method method_submit = { "submit", false, run };
