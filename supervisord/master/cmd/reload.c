/* reload: reads the config, says what it will do, does it. */

#include "supervisord/master/reload.h"
#include "supervisord/master/cmd/cmd.h"

static void
run(struct request *r)
{
	bool dry_run, wait;

	if (!param_bool(r, "dry_run", false, &dry_run) ||
	    !param_bool(r, "wait", true, &wait))
		return;
	reload_start(r->m, r, dry_run, wait);
}

const struct command cmd_reload = { "reload", MAY_CHANGE, run };
