/* tasks: a line a task, newest first. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/rows.h"
#include "supervisord/ctl/term.h"

static const char *const heads[] = { "ID", "WORKER", "FUNC", "STATE", "TRIES",
	"SUBMITTED", "WHERE", "NOTE" };
#define LIMIT_MAX 10000 /* the broker's */
#define COLUMNS   (sizeof heads / sizeof heads[0])

static void
put_note(struct buf *out, const json_t *row)
{
	const json_t *progress = json_object_get(row, "progress");
	double share = ctl_number(progress, "share", -1);

	if (share >= 0)
		buf_fmt(out, "%.0f %% ", share * 100);
	buf_str(out, ctl_text(progress, "text"));
	if (json_is_null(progress) || progress == NULL)
		buf_str(out, ctl_text(row, "error"));
}

static void
put_row(struct buf *cells, const json_t *row)
{
	buf_fmt(&cells[0], "%.0f", ctl_number(row, "id", 0));
	buf_str(&cells[1], ctl_text(row, "worker"));
	buf_str(&cells[2], ctl_text(row, "func"));
	buf_str(&cells[3], ctl_text(row, "state"));
	buf_fmt(&cells[4], "%.0f", ctl_number(row, "attempts", 0));
	ctl_put_time(&cells[5], ctl_text(row, "created_at"), false);
	buf_str(&cells[6], ctl_text(row, "instance"));
	put_note(&cells[7], row);
}

static const struct ctl_rows all_rows = { heads, COLUMNS, "there are no tasks",
	put_row };
static const struct ctl_rows some_rows = { heads, COLUMNS,
	"there are no such tasks", put_row };

static int
put_filters(struct ctl *ctl, struct buf *params, const struct ctl_args *args)
{
	const char *state = ctl_option(args, CTL_OPT_STATE);
	const char *limit = ctl_option(args, 'n');
	const char *after = ctl_option(args, CTL_OPT_AFTER);
	int64_t id;
	long n;
	int r;

	if (args->n > 0)
		jw_kv_string(params, "worker", args->words[0]);
	if (state != NULL)
		jw_kv_string(params, "state", state);
	if (limit != NULL &&
	    (ctl_count(limit, &n) < 0 || n < 1 || n > LIMIT_MAX))
		return ctl_fail(ctl, CTL_USAGE,
		    "-n is a number of tasks from 1 to %d, not \"%s\"; those "
		    "before them are listed with --after ID",
		    LIMIT_MAX, limit);
	if (limit != NULL)
		jw_kv_int(params, "limit", n);
	if (after == NULL)
		return 0;
	r = ctl_task_id(ctl, after, &id);
	if (r == 0)
		jw_kv_int(params, "after", id);
	return r;
}

static int
run_tasks(struct ctl *ctl, const struct ctl_args *args)
{
	bool all = args->n == 0 && ctl_option(args, CTL_OPT_STATE) == NULL &&
		   ctl_option(args, CTL_OPT_AFTER) == NULL;
	struct buf params;
	json_t *tree;
	int r;

	ctl_params(ctl, &params);
	r = put_filters(ctl, &params, args);
	if (r != 0) {
		buf_done(&params);
		return r;
	}
	r = ctl_ask_tree(ctl, "tasks", &params, &tree);
	if (tree == NULL)
		return r;
	r = ctl_rows_print(ctl, all ? &all_rows : &some_rows, tree);
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_tasks = {
	.name = "tasks",
	.usage = "[WORKER] [--state STATE] [-n N] [--after ID]",
	.help = "list tasks, newest first",
	.more = "STATE is queued, scheduled, running, done, failed, cancelled "
		"or dead.",
	.opts = { { CTL_OPT_STATE, "state", "STATE", "only those in this state",
		      false },
	    { 'n', "lines", "N", "at most so many (100)", false },
	    { CTL_OPT_AFTER, "after", "ID", "only those older than this one",
		false } },
	.max = 1,
	.words = CTL_WORDS_TARGETS,
	.queue = true,
	.run = run_tasks,
};
