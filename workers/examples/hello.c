/*
 * The smallest module: one function, that greets. Built by
 *
 *     cc -shared -fPIC $(pkg-config --cflags supervisor) -o hello.so hello.c
 */
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
