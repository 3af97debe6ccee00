/* schedules: what each submits, when next, and its last task. */

#include "supervisord/broker/schedule.h"

#include "supervisord/broker/cmd/cmd.h"

static void
run(struct call *c)
{
	struct buf b;

	buf_init(&b);
	schedules_put(c->b, &b);
	call_reply(c, &b);
}

const struct method method_schedules = { "schedules", true, run };
