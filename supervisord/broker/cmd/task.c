/* task: all about one. */

#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/cmd/show.h"

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
		call_show_task(c);
}

const struct method method_task = { "task", true, run };
