/* pause, resume: whether a worker is given tasks. It goes on accepting them. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/cmd/cmd.h"

#define LONGEST (3660. * 86400.) /* seconds */

static void
answer(struct call *c, enum queue_error e, bool paused)
{
	const char *worker =
	    json_string_value(json_object_get(c->params, "worker"));
	struct buf b;

	if (e != QERR_NONE) {
		call_fail(c, e, NULL);
		return;
	}
	log_info("%s: queue %s by uid %d (pid %d)", worker,
	    paused ? "paused" : "resumed", (int)c->uid, (int)c->pid);
	buf_init(&b);
	jw_object(&b);
	jw_kv_string(&b, "worker", worker);
	jw_kv_bool(&b, "paused", paused);
	if (c->own != NULL) /* only for a while */
		jw_kv_time(&b, "until", *(int64_t *)c->own);
	jw_object_end(&b);
	call_reply(c, &b);
}

static void
paused(void *arg, enum queue_error e)
{
	answer(arg, e, true);
}

static void
resumed(void *arg, enum queue_error e)
{
	answer(arg, e, false);
}

static void
run_pause(struct call *c)
{
	const json_t *v = json_object_get(c->params, "for");
	double seconds = json_number_value(v);
	const char *worker;
	int64_t until = 0;

	if (!call_worker(c, true, &worker))
		return;
	if (v != NULL && !json_is_null(v)) {
		if (!json_is_number(v) || !(seconds > 0) || seconds > LONGEST) {
			call_fail_params(
			    c, "\"for\" must be a number of seconds");
			return;
		}
		until = clock_wall_ms() + (int64_t)(seconds * 1000.) + 1;
		c->own = malloc(sizeof until);
		if (c->own != NULL)
			memcpy(c->own, &until, sizeof until);
	}
	core_pause(c->b, worker, true, until, paused, c);
}

static void
run_resume(struct call *c)
{
	const char *worker;

	if (call_worker(c, true, &worker))
		core_pause(c->b, worker, false, 0, resumed, c);
}

const struct method method_pause = { "pause", false, run_pause };
const struct method method_resume = { "resume", false, run_resume };
