/* version: of the supervisord that runs. */

#include <stdio.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

static int
run_version(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree;
	int r;

	(void)args;
	ctl_params(ctl, &params);
	r = ctl_ask_tree(ctl, "version", &params, &tree);
	if (tree == NULL)
		return r;
	ctl_put_line(stdout, "%s", ctl_text(tree, "version"));
	json_decref(tree);
	return CTL_DONE;
}

const struct ctl_cmd ctl_cmd_version = {
	.name = "version",
	.usage = "",
	.help = "the version of the supervisord that runs",
	.more = "supervisorctl's own: supervisorctl --version.",
	.run = run_version,
};
