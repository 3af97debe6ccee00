/* A task that does nothing and has no result: what is measured is its way. */
#include <supervisor/worker.h>

static void
noop(struct sv_task *task)
{
	(void)task;
}

static const struct sv_handler handlers[] = {
	{ "noop", SV_BYTES, noop },
	{ NULL, SV_BYTES, NULL },
};

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "noop",
	.handlers = handlers,
};
