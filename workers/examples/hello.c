/* The smallest module: one function, that greets who it is called for. */
#include <supervisor/worker.h>

static void
hello(struct sv_task *task)
{
	if (task->size == 0)
		sv_result_json(task, "\"hello\"");
	else
		sv_result(task, task->payload, task->size);
}

static const struct sv_handler handlers[] = {
	{ "hello", SV_BYTES, hello },
	{ NULL, SV_BYTES, NULL },
};

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "hello",
	.handlers = handlers,
};
