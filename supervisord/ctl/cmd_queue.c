/* queue: counts, rates and latencies per worker; pause, resume; schedules. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"

/* What a column shows of a row. */
enum show {
	SHOW_TEXT,
	SHOW_COUNT,
	SHOW_RATE,
	SHOW_SECONDS,
	SHOW_TIME
};

struct column {
	const char *head, *key;
	enum show show;
};

static const struct column queue_columns[] = {
	{ "WORKER", "worker", SHOW_TEXT },
	{ "QUEUED", "queued", SHOW_COUNT },
	{ "SCHEDULED", "scheduled", SHOW_COUNT },
	{ "RUNNING", "running", SHOW_COUNT },
	{ "DONE", "done", SHOW_COUNT },
	{ "FAILED", "failed", SHOW_COUNT },
	{ "DEAD", "dead", SHOW_COUNT },
	{ "THREADS", "threads", SHOW_COUNT },
	{ "IN/s", "in_per_second", SHOW_RATE },
	{ "OUT/s", "out_per_second", SHOW_RATE },
	{ "WAIT p50", "wait_p50", SHOW_SECONDS },
	{ "p99", "wait_p99", SHOW_SECONDS },
	{ "RUN p50", "run_p50", SHOW_SECONDS },
	{ "p99", "run_p99", SHOW_SECONDS },
};

static const struct column schedule_columns[] = {
	{ "NAME", "name", SHOW_TEXT },
	{ "WORKER", "worker", SHOW_TEXT },
	{ "FUNC", "func", SHOW_TEXT },
	{ "NEXT", "next", SHOW_TIME },
	{ "LAST TASK", "last_task", SHOW_COUNT },
};

static void
put_cell(struct ctl_table *table, const json_t *row, const struct column *c)
{
	double n = ctl_number(row, c->key, -1);
	struct buf cell;

	buf_init(&cell);
	switch (c->show) {
	case SHOW_TEXT:
		buf_str(&cell, ctl_text(row, c->key));
		break;
	case SHOW_TIME:
		ctl_put_time(&cell, ctl_text(row, c->key), false);
		break;
	case SHOW_COUNT:
		if (n >= 0)
			buf_fmt(&cell, "%.0f", n);
		break;
	case SHOW_RATE:
		if (n >= 0)
			buf_fmt(&cell, n < 10 ? "%.1f" : "%.0f", n);
		break;
	case SHOW_SECONDS:
		if (n > 0)
			ctl_put_duration(&cell, n);
		break;
	}
	ctl_table_cell(table, cell.failed ? "?" : buf_text(&cell));
	buf_done(&cell);
}

static void
print_table(const json_t *list, const struct column *columns, size_t n)
{
	struct ctl_table table;
	json_t *row;
	size_t i;

	ctl_table_init(&table, n);
	for (i = 0; i < n; i++)
		ctl_table_cell(&table, columns[i].head);
	json_array_foreach(list, i, row)
	{
		for (size_t k = 0; k < n; k++)
			put_cell(&table, row, &columns[k]);
	}
	ctl_table_print(&table, stdout);
}

/* What a table has no room for. */
static void
print_remarks(const json_t *list)
{
	bool warned[2] = { false, false }; /* of either store once */
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const char *why = ctl_text(row, "paused_why");
		const char *store = ctl_text(row, "store");
		const char *shared = ctl_text(row, "shared");

		if (json_is_false(json_object_get(row, "configured")))
			ctl_put_waiting(stdout, row);
		if (json_is_true(json_object_get(row, "paused")))
			ctl_put_line(stdout, "%s is paused%s%s",
			    ctl_text(row, "worker"), why[0] != '\0' ? ": " : "",
			    why);
		if (shared[0] != '\0')
			ctl_put_line(stdout, "%s is shared, in %s%s",
			    ctl_text(row, "worker"), shared,
			    json_is_true(json_object_get(row, "outdated"))
				? " (not to be asked now: its tasks are "
				  "counted as last heard)"
				: "");
		if (store[0] != '\0' && strcmp(store, "ok") != 0 &&
		    !warned[shared[0] != '\0']) {
			warned[shared[0] != '\0'] = true;
			ctl_put_line(stderr, "warning: %s%s%s", shared,
			    shared[0] != '\0' ? ": " : "", store);
		}
	}
}

static int
ask_list(struct ctl *ctl, const struct ctl_args *args, const char *method,
    json_t **ret)
{
	struct buf params;
	int r;

	ctl_params(ctl, &params);
	if (args->n > 0)
		jw_kv_string(&params, "worker", args->words[0]);
	r = ctl_ask_tree(ctl, method, &params, ret);
	if (*ret == NULL || json_is_array(*ret))
		return r;
	json_decref(*ret);
	*ret = NULL;
	return ctl_malformed(ctl, "no list");
}

static int
run_queue(struct ctl *ctl, const struct ctl_args *args)
{
	json_t *list;
	int r = ask_list(ctl, args, "queue", &list);

	if (list == NULL)
		return r;
	print_table(list, queue_columns,
	    sizeof queue_columns / sizeof queue_columns[0]);
	print_remarks(list);
	json_decref(list);
	return CTL_DONE;
}

static int
run_schedules(struct ctl *ctl, const struct ctl_args *args)
{
	json_t *list;
	int r = ask_list(ctl, args, "schedules", &list);

	if (list == NULL)
		return r;
	if (json_array_size(list) == 0)
		ctl_note(ctl, "the config has no schedules");
	else
		print_table(list, schedule_columns,
		    sizeof schedule_columns / sizeof schedule_columns[0]);
	json_decref(list);
	return CTL_DONE;
}

static int
pause_or_resume(struct ctl *ctl, const struct ctl_args *args, const char *done)
{
	const char *text = ctl_option(args, CTL_OPT_FOR);
	struct ctl_msg msg;
	struct buf params;
	double seconds;
	int r = 0;

	ctl_params(ctl, &params);
	jw_kv_string(&params, "worker", args->words[0]);
	if (text != NULL)
		r = ctl_seconds(ctl, "for", text, &seconds);
	if (r != 0) {
		buf_done(&params);
		return r;
	}
	if (text != NULL) {
		jw_key(&params, "for");
		buf_fmt(&params, "%.3f", seconds);
	}
	r = ctl_ask(ctl, args->cmd->name, &params, CTL_ACT, &msg);
	if (r != 0)
		return r;
	if (ctl->json)
		return ctl_put_raw(ctl, msg.body);
	ctl_put_line(stdout, "%s: %s", args->words[0], done);
	return CTL_DONE;
}

static int
run_pause(struct ctl *ctl, const struct ctl_args *args)
{
	return pause_or_resume(
	    ctl, args, "paused; what runs goes on, nothing new begins");
}

static int
run_resume(struct ctl *ctl, const struct ctl_args *args)
{
	return pause_or_resume(ctl, args, "resumed");
}

const struct ctl_cmd ctl_cmd_queue = {
	.name = "queue",
	.usage = "[WORKER]",
	.help = "the queue of each worker: counts, rates, latencies",
	.more = "Rates and latencies are those of the last minute.",
	.max = 1,
	.words = CTL_WORDS_TARGETS,
	.queue = true,
	.run = run_queue,
};

const struct ctl_cmd ctl_cmd_pause = {
	.name = "pause",
	.usage = "WORKER [--for TIME]",
	.help = "hand out no tasks of a worker's queue",
	.opts = { { CTL_OPT_FOR, "for", "TIME", "resume by itself after that",
	    false } },
	.min = 1,
	.max = 1,
	.words = CTL_WORDS_TARGETS,
	.queue = true,
	.run = run_pause,
};

const struct ctl_cmd ctl_cmd_resume = {
	.name = "resume",
	.usage = "WORKER",
	.help = "hand out tasks of a paused queue again",
	.min = 1,
	.max = 1,
	.words = CTL_WORDS_TARGETS,
	.queue = true,
	.run = run_resume,
};

const struct ctl_cmd ctl_cmd_schedules = {
	.name = "schedules",
	.usage = "",
	.help = "when tasks are submitted by themselves",
	.queue = true,
	.run = run_schedules,
};
