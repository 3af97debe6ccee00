/* requeue: a task that is dead, failed or cancelled gets another chance. */

#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/cmd/show.h"

static void
requeued(void *arg, enum queue_error e)
{
	call_changed(arg, e, "queued again",
	    "is not dead, failed or cancelled: there is nothing to do again");
}

static void
run(struct call *c)
{
	uint64_t id;

	if (call_id(c, &id))
		core_requeue(c->b, id, requeued, c);
}

const struct method method_requeue = { "requeue", false, run };
