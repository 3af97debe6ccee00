/* scale: how many instances of a worker, until the next reload. */

#include <stdio.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/outcome.h"
#include "supervisord/ctl/term.h"

static int
print_scaled(struct ctl *ctl, const json_t *tree, bool wait)
{
	if (!ctl->json)
		ctl_put_line(stdout, "%s: %.0f -> %.0f instances",
		    ctl_text(tree, "worker"), ctl_number(tree, "from", 0),
		    ctl_number(tree, "to", 0));
	if (json_object_get(tree, "instances") == NULL)
		return CTL_DONE;
	return ctl_outcome_print(ctl, json_object_get(tree, "instances"),
	    ctl_number(tree, "to", 0) < ctl_number(tree, "from", 0) ? "stopped"
								    : "started",
	    wait);
}

static int
run_scale(struct ctl *ctl, const struct ctl_args *args)
{
	bool wait = ctl_option(args, CTL_OPT_NO_WAIT) == NULL;
	struct buf params;
	json_t *tree;
	long count;
	int r;

	if (ctl_count(args->words[1], &count) < 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "\"%s\" is no number of instances", args->words[1]);
	ctl_params(ctl, &params);
	jw_kv_string(&params, "worker", args->words[0]);
	jw_kv_int(&params, "count", count);
	jw_kv_bool(&params, "wait", wait);
	r = ctl_do_tree(
	    ctl, "scale", &params, wait ? CTL_LONG : CTL_ACT, &tree);
	if (tree == NULL)
		return r;
	r = print_scaled(ctl, tree, wait);
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_scale = {
	.name = "scale",
	.usage = "[--no-wait] WORKER N",
	.help = "run N instances of a worker until the next reload",
	.opts = { { CTL_OPT_NO_WAIT, "no-wait", NULL,
	    "do not wait for the outcome", false } },
	.min = 2,
	.max = 2,
	.words = CTL_WORDS_TARGETS,
	.run = run_scale,
};
