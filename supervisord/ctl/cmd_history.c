/* history: the lives of an instance's processes, oldest first. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/rows.h"
#include "supervisord/ctl/term.h"

static const char *const heads[] = { "NAME", "PID", "STARTED", "RAN", "CPU",
	"MEMORY", "END" };
#define COLUMNS (sizeof heads / sizeof heads[0])

static void
put_exit(struct buf *out, const json_t *exit, bool ended)
{
	const json_t *sig = json_object_get(exit, "signal");
	char name[32];

	if (json_is_string(sig))
		buf_fmt(out, "killed by %s", json_string_value(sig));
	else if (json_is_integer(sig) && json_integer_value(sig) > 0 &&
		 json_integer_value(sig) < 1000)
		buf_fmt(out, "killed by %s",
		    units_signal_name(
			(int)json_integer_value(sig), name, sizeof name));
	else if (json_is_number(json_object_get(exit, "code")))
		buf_fmt(out, "exited %.0f", ctl_number(exit, "code", 0));
	else
		buf_str(out, ended ? "ended" : "runs");
	if (json_is_true(json_object_get(exit, "core")))
		buf_str(out, " (core dumped)");
}

/* "exited 1", and the cause where that says more. */
static void
put_end(struct buf *out, const json_t *row)
{
	const json_t *exit = json_object_get(row, "exit");
	const char *cause = ctl_text(row, "cause");
	bool ended = ctl_text(row, "ended_at")[0] != '\0';
	size_t before = out->size;

	if (json_is_object(exit))
		put_exit(out, exit, ended);
	else
		buf_str(out, ended ? "ended" : "runs");
	if (cause[0] == '\0' || out->failed ||
	    strstr(out->data + before, cause) != NULL)
		return;
	/* A cause that tells the exit itself replaces it. */
	if (strncmp(cause, "exited", 6) == 0 ||
	    strncmp(cause, "killed", 6) == 0 || strncmp(cause, "ended", 5) == 0)
		out->size = before;
	else
		buf_str(out, ", ");
	buf_str(out, cause);
}

static void
put_row(struct buf *cells, const json_t *row)
{
	double cpu = ctl_number(row, "user", -1);
	double kb = ctl_number(row, "maxrss_kb", -1);

	buf_str(&cells[0], ctl_text(row, "name"));
	buf_fmt(&cells[1], "%.0f", ctl_number(row, "pid", 0));
	ctl_put_time(&cells[2], ctl_text(row, "started_at"), false);
	if (ctl_number(row, "duration", -1) >= 0)
		ctl_put_duration(&cells[3], ctl_number(row, "duration", 0));
	if (cpu >= 0)
		ctl_put_duration(&cells[4], cpu + ctl_number(row, "system", 0));
	if (kb >= 0)
		buf_fmt(&cells[5], "%.1f MB", kb / 1024);
	put_end(&cells[6], row);
}

static const struct ctl_rows rows = { heads, COLUMNS,
	"nothing of it has ended yet", put_row };

static int
run_history(struct ctl *ctl, const struct ctl_args *args)
{
	const char *limit = ctl_option(args, 'n');
	struct buf params;
	json_t *tree;
	long n = 0;
	int r;

	if (limit != NULL && (ctl_count(limit, &n) < 0 || n < 1))
		return ctl_fail(ctl, CTL_USAGE,
		    "-n is a number of lines, not \"%s\"", limit);
	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	if (n > 0)
		jw_kv_int(&params, "limit", n);
	r = ctl_ask_tree(ctl, "history", &params, &tree);
	if (tree == NULL)
		return r;
	r = ctl_rows_print(ctl, &rows, tree);
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_history = {
	.name = "history",
	.usage = "[-n N] TARGET...",
	.help = "starts, exits with status or signal, durations",
	.opts = { { 'n', "lines", "N", "at most the last N", false } },
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_history,
};
