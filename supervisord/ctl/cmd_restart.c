/* restart: stop and start instances, and wait until they are ready. */

#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/outcome.h"

static int
run_restart(struct ctl *ctl, const struct ctl_args *args)
{
	return ctl_outcome_ask(ctl, args, "restart", "restarted");
}

const struct ctl_cmd ctl_cmd_restart = {
	.name = "restart",
	.usage = "[--no-wait] TARGET...",
	.help = "stop and start instances, and wait until they are ready",
	.more = "Exit status: 1 if one of them failed; it says why.",
	.opts = { { CTL_OPT_NO_WAIT, "no-wait", NULL,
	    "do not wait for the outcome", false },
	    { CTL_OPT_ROLLING, "rolling", NULL,
	        "replace them one after the other", true },
	},
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_restart,
};
