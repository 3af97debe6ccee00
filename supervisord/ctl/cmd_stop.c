/* stop: stop instances and wait until they have ended. */

#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/outcome.h"

static int
run_stop(struct ctl *ctl, const struct ctl_args *args)
{
	return ctl_outcome_ask(ctl, args, "stop", "stopped");
}

const struct ctl_cmd ctl_cmd_stop = {
	.name = "stop",
	.usage = "[--no-wait] TARGET...",
	.help = "stop instances and wait until they have ended",
	.more = "Exit status: 1 if one of them failed; it says why.",
	.opts = { { CTL_OPT_NO_WAIT, "no-wait", NULL,
	    "do not wait for the outcome", false },
	},
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_stop,
};
