/* submit.group: many tasks, all or none, and maybe one when all have ended. */

#include <stdio.h>
#include <stdlib.h>

#include "supervisord/base/json.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/follow.h"
#include "supervisord/broker/submission.h"

static void
submitted(void *arg, enum queue_error e, uint64_t group, const uint64_t *ids,
    size_t count)
{
	struct call *c = arg;
	struct buf b;

	if (e == QERR_NO_FUNC || e == QERR_NO_THEN) {
		call_fail(c, e, "%s", core_refusal(c->b));
		return;
	}
	if (e != QERR_NONE) {
		call_fail(c, e,
		    e == QERR_FULL ? "the group does not fit into a worker's "
				     "queue (tasks.max_queue): nothing of it "
				     "was accepted"
				   : NULL);
		return;
	}
	buf_init(&b);
	jw_object(&b);
	jw_kv_int(&b, "group", (int64_t)group);
	jw_key(&b, "ids");
	jw_array(&b);
	for (size_t i = 0; i < count; i++)
		jw_int(&b, (int64_t)ids[i]);
	jw_array_end(&b);
	jw_object_end(&b);
	call_reply(c, &b);
}

/* How many are read; fewer than there are: *ret says why. */
static size_t
read_all(struct call *c, json_t *tasks, struct submission **to, int *ret,
    char *why, size_t size)
{
	size_t n = json_array_size(tasks), i;

	for (i = 0; i < n; i++) {
		*ret = submission_from_json(
		    json_array_get(tasks, i), false, &to[i], why, size);
		if (*ret != 0)
			break;
		*ret = (int)core_check(c->b, to[i]);
		if (*ret != 0) {
			snprintf(why, size, "%s",
			    core_refusal(c->b)[0] != '\0'
				? core_refusal(c->b)
				: queue_error_words((enum queue_error) * ret));
			submission_free(to[i]);
			break;
		}
	}
	return i;
}

static void
run(struct call *c)
{
	json_t *tasks = json_object_get(c->params, "tasks");
	json_t *then = json_object_get(c->params, "then");
	size_t n = json_array_size(tasks), got = 0;
	struct submission **all;
	char why[256], *text = NULL;
	int e = 0;

	if (n == 0) {
		call_fail_params(c, "\"tasks\" must be a list of tasks");
		return;
	}
	all = calloc(n, sizeof all[0]);
	if (all == NULL) {
		call_fail(c, QERR_NO_MEMORY, NULL);
		return;
	}
	if (then != NULL && !json_is_null(then)) {
		e = submission_then(then, &text, why, sizeof why);
		if (e == 0 && !follow_fits(text, n)) {
			e = QERR_TOO_LARGE;
			snprintf(why, sizeof why,
			    "what \"then\" is told of %zu tasks does not fit "
			    "into a task's arguments: make the group smaller",
			    n);
		}
		if (e != 0)
			call_fail(c, (enum queue_error)e, "%s", why);
	}
	if (e == 0) {
		got = read_all(c, tasks, all, &e, why, sizeof why);
		if (e != 0)
			call_fail(
			    c, (enum queue_error)e, "task %zu: %s", got, why);
	}
	if (e == 0) {
		call_doubt(c, all[0]->worker);
		core_submit_group(c->b, all, n, text, submitted, c);
	} else {
		while (got > 0)
			submission_free(all[--got]);
		free(text);
	}
	free(all);
}

const struct method method_submit_group = { "submit.group", false, run };
