/* status --threads: what each thread of a hybrid worker does, and how long. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/rows.h"
#include "supervisord/ctl/status.h"
#include "supervisord/ctl/term.h"

static const char *const heads[] = { "THREAD", "STATE", "TASK", "FUNC", "FOR",
	"PROGRESS" };
#define COLUMNS (sizeof heads / sizeof heads[0])

static void
put_row(struct buf *cells, const json_t *row)
{
	double share = ctl_number(row, "share", -1);

	buf_fmt(&cells[0], "%s/%.0f", ctl_text(row, "instance"),
	    ctl_number(row, "thread", 0));
	buf_str(&cells[1], ctl_text(row, "state"));
	if (json_is_true(json_object_get(row, "stuck")))
		buf_str(&cells[1], " (stuck)");
	if (ctl_number(row, "task", 0) > 0)
		buf_fmt(&cells[2], "%.0f", ctl_number(row, "task", 0));
	buf_str(&cells[3], ctl_text(row, "func"));
	ctl_put_duration(&cells[4], ctl_number(row, "for", 0));
	if (share >= 0)
		buf_fmt(&cells[5], "%.0f %%", share * 100);
}

static const struct ctl_rows rows = { heads, COLUMNS,
	"none of them is up and takes tasks", put_row };

/* What was named may not be there at all, which only supervisord itself knows.
 */
static int
print_none(struct ctl *ctl, const struct ctl_args *args)
{
	struct ctl_msg msg;
	struct buf params;
	int r;

	ctl_queue_end(ctl);
	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	r = ctl_ask(ctl, "status", &params, CTL_READ, &msg);
	if (r != 0)
		return r;
	ctl_note(ctl, "%s", rows.none);
	return args->n > 0 ? CTL_NOT_RUNNING : CTL_DONE;
}

int
ctl_status_threads(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree;
	int r = ctl_queue_begin(ctl);

	if (r != 0)
		return r;
	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	r = ctl_ask_tree(ctl, "threads", &params, &tree);
	if (tree == NULL)
		return r;
	r = json_is_array(tree) && json_array_size(tree) == 0
		? print_none(ctl, args)
		: ctl_rows_print(ctl, &rows, tree);
	json_decref(tree);
	return r;
}
