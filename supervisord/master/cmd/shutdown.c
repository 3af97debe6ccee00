/* shutdown: in order, or at once. */

#include "supervisord/master/shutdown.h"
#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/control.h"

static void
run(struct request *r)
{
	struct master *m = r->m;
	struct actor by = r->actor;
	char command[sizeof r->command];
	struct buf b;
	bool now;

	if (!param_bool(r, "now", false, &now))
		return;
	memcpy(command, r->command, sizeof command);
	by.command = command;
	buf_init(&b);
	jw_object(&b);
	jw_kv_bool(&b, "stopping", true);
	jw_object_end(&b);
	request_reply(r, &b);
	shutdown_begin(m, 0, now, &by);
}

const struct command cmd_shutdown = { "shutdown", MAY_CHANGE, run };
