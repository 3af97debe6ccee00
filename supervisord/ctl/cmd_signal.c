/* signal: sends one to the instances' processes. */

#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/outcome.h"

static int
run_signal(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree;
	int r;

	if (units_signal(args->words[0]) < 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "\"%s\" is no signal; kill -l lists them", args->words[0]);
	ctl_params(ctl, &params);
	jw_kv_string(&params, "signal", args->words[0]);
	ctl_params_targets(&params, args, 1);
	r = ctl_do_tree(ctl, "signal", &params, CTL_ACT, &tree);
	if (tree == NULL)
		return r;
	r = ctl_outcome_print(ctl, tree, "signalled", true);
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_signal = {
	.name = "signal",
	.usage = "SIGNAL TARGET...",
	.help = "send a signal to instances",
	.more = "SIGNAL is a name (HUP, SIGHUP) or a number.",
	.min = 2,
	.max = -1,
	.words = CTL_WORDS_SIGNAL,
	.run = run_signal,
};
