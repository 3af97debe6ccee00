/* start: start instances and wait until they are ready. */

#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/outcome.h"

static int
run_start(struct ctl *ctl, const struct ctl_args *args)
{
	return ctl_outcome_ask(ctl, args, "start", "started");
}

const struct ctl_cmd ctl_cmd_start = {
	.name = "start",
	.usage = "[--no-wait] TARGET...",
	.help = "start instances and wait until they are ready",
	.more = "Exit status: 1 if one of them failed; it says why.",
	.opts = { { CTL_OPT_NO_WAIT, "no-wait", NULL,
	    "do not wait for the outcome", false },
	},
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_start,
};
