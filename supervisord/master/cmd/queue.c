/* The methods that are about tasks: the broker's, reached by way of us. */

#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/forward.h"

#define FORWARD(name, method, permission)                                      \
	const struct command cmd_##name = { method, permission,                \
		forward_request }

FORWARD(submit, "submit", MAY_CHANGE);
FORWARD(submit_group, "submit.group", MAY_CHANGE);
FORWARD(task, "task", MAY_LOOK);
FORWARD(tasks, "tasks", MAY_LOOK);
FORWARD(cancel, "cancel", MAY_CHANGE);
FORWARD(requeue, "requeue", MAY_CHANGE);
FORWARD(pause, "pause", MAY_CHANGE);
FORWARD(resume, "resume", MAY_CHANGE);
FORWARD(queue, "queue", MAY_LOOK);
FORWARD(threads, "threads", MAY_LOOK);
FORWARD(schedules, "schedules", MAY_LOOK);
