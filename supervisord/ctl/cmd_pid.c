/* pid: supervisord's, or those of instances. */

#include <stdio.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

/* One instance: its number alone, for scripts; several: with their names. */
static int
print_pids(const json_t *list)
{
	bool alone = json_array_size(list) == 1;
	int status = CTL_DONE;
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		double pid = ctl_number(one, "pid", 0);

		if (pid <= 0)
			status = CTL_NOT_RUNNING;
		if (!alone)
			ctl_put_line(
			    stdout, "%s %.0f", ctl_text(one, "name"), pid);
		else if (pid > 0)
			ctl_put_line(stdout, "%.0f", pid);
		else
			ctl_put_line(
			    stderr, "%s is not running", ctl_text(one, "name"));
	}
	return status;
}

static int
run_pid(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree;
	int r;

	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	r = ctl_ask_tree(ctl, "pid", &params, &tree);
	if (tree == NULL)
		return r;
	if (json_is_array(tree))
		r = print_pids(tree);
	else
		ctl_put_line(stdout, "%.0f", ctl_number(tree, "pid", 0));
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_pid = {
	.name = "pid",
	.usage = "[TARGET...]",
	.help = "the process id of supervisord, or of instances",
	.more = "Exit status: 3 if one of the instances has no process.",
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_pid,
};
