/* cancel: a task that waits or runs is to end. */

#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/cmd/show.h"

static void
cancelled(void *arg, enum queue_error e)
{
	call_changed(arg, e, "cancelled", "has ended already");
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_cancel(c->b, id, cancelled, c);
}

const struct method method_cancel = { "cancel", false, run };
