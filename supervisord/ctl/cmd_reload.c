/* reload: the plan, then what it says; an invalid config changes nothing. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/outcome.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"

static void
add_row(struct ctl_table *table, const json_t *row)
{
	const char *settings = ctl_text(row, "settings");
	double n = ctl_number(row, "instances", 0);
	struct buf last;

	ctl_table_cell(table, ctl_text(row, "action"));
	ctl_table_cell(table, ctl_text(row, "worker"));
	buf_init(&last);
	buf_fmt(&last, "%.0f instance%s%s%s", n, n == 1 ? "" : "s",
	    settings[0] != '\0' ? ": " : "", settings);
	ctl_table_cell(table, last.failed ? "" : buf_text(&last));
	buf_done(&last);
}

/* Kept workers are only counted. Returns the number of the others. */
static size_t
print_plan(const json_t *plan)
{
	struct ctl_table table;
	size_t i, kept = 0, rest = 0;
	json_t *row;

	ctl_table_init(&table, 3);
	json_array_foreach(plan, i, row)
	{
		if (strcmp(ctl_text(row, "action"), "kept") == 0) {
			kept++;
			continue;
		}
		add_row(&table, row);
		rest++;
	}
	ctl_table_print(&table, stdout);
	if (rest > 0 && kept > 0)
		printf("%zu worker%s kept\n", kept, kept == 1 ? "" : "s");
	return rest;
}

/* The queues as they are before the reload, which may be the end of the broker;
 * NULL: there are none. */
static int
ask_queues(struct ctl *ctl, json_t **ret)
{
	int r = ctl_queue_begin(ctl);
	struct ctl_msg msg;
	struct buf params;

	*ret = NULL;
	if (r == 0 && ctl->control_path != NULL) {
		ctl_params(ctl, &params);
		if (ctl_ask(ctl, "queue", &params, CTL_READ, &msg) == 0)
			*ret = ctl_tree(ctl, msg.body);
	}
	ctl_queue_end(ctl);
	return r;
}

/* Whose worker goes: their tasks stay. */
static void
print_left_over(const json_t *plan, const json_t *queues)
{
	json_t *row, *queue;
	size_t i, k;

	json_array_foreach(plan, i, row)
	{
		if (strcmp(ctl_text(row, "action"), "removed") != 0)
			continue;
		json_array_foreach(queues, k, queue)
		{
			if (strcmp(ctl_text(queue, "worker"),
				ctl_text(row, "worker")) == 0)
				ctl_put_waiting(stdout, queue);
		}
	}
}

static void
print_reload(const json_t *tree, const json_t *queues, bool dry)
{
	const char *fixed = ctl_text(tree, "fixed");
	size_t rest;

	rest = print_plan(json_object_get(tree, "plan"));
	print_left_over(json_object_get(tree, "plan"), queues);
	if (rest == 0)
		puts("nothing changed");
	else if (dry)
		puts("nothing done yet: this was a dry run");
	else
		puts(json_is_true(json_object_get(tree, "applied"))
			 ? "reloaded"
			 : "not applied");
	if (fixed[0] != '\0')
		ctl_put_line(stderr,
		    "these settings take effect only when supervisord is started anew: %s",
		    fixed);
}

static int
run_reload(struct ctl *ctl, const struct ctl_args *args)
{
	bool dry = ctl_option(args, CTL_OPT_DRY_RUN) != NULL;
	bool wait = ctl_option(args, CTL_OPT_NO_WAIT) == NULL;
	struct buf params;
	json_t *tree, *outcomes, *queues = NULL;
	int r = ctl->json ? 0 : ask_queues(ctl, &queues);

	if (r != 0)
		return r;
	ctl_params(ctl, &params);
	jw_kv_bool(&params, "dry_run", dry);
	jw_kv_bool(&params, "wait", wait);
	r = ctl_do_tree(ctl, "reload", &params, CTL_LONG, &tree);
	if (tree != NULL && !ctl->json)
		print_reload(tree, queues, dry);
	json_decref(queues);
	if (tree == NULL)
		return r;
	/* What did not come up, with --no-wait perhaps not yet. */
	outcomes = json_object_get(tree, "instances");
	r = outcomes != NULL ? ctl_outcome_print(ctl, outcomes, NULL, wait)
			     : CTL_DONE;
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_reload = {
	.name = "reload",
	.usage = "[--dry-run] [--no-wait]",
	.help = "read the config again and do what changed",
	.more = "Prints the plan; instances it does not name keep their "
		"processes.\nAn invalid config changes nothing.",
	.opts = { { CTL_OPT_DRY_RUN, "dry-run", NULL, "only print the plan",
		      false },
	    { CTL_OPT_NO_WAIT, "no-wait", NULL, "do not wait for the outcome",
		false } },
	.run = run_reload,
};
