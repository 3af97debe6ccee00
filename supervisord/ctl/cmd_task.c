/* task, cancel, requeue: one task, by its number. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/bulk.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"
#include "supervisord/ctl/value.h"

static bool
is_time(const char *key, const json_t *value)
{
	size_t n = strlen(key);

	return n > 3 && strcmp(key + n - 3, "_at") == 0 &&
	       json_is_string(value);
}

/* Behind its key, or below it if it has several lines. */
static void
print_member(long long id, const char *key, const json_t *value)
{
	bool result = strcmp(key, "result") == 0;
	struct buf text;

	buf_init(&text);
	if (is_time(key, value))
		ctl_put_time(&text, json_string_value(value), true);
	else
		ctl_value_show(
		    &text, value, 0, id, result ? "--raw" : "--json");
	if (!text.failed && strchr(buf_text(&text), '\n') == NULL) {
		printf("%-12s ", key);
		ctl_put_text(stdout, "", buf_text(&text), text.size);
	} else if (!text.failed) {
		printf("%s\n", key);
		ctl_put_text(stdout, "    ", buf_text(&text), text.size);
	}
	buf_done(&text);
}

static void
print_task(const json_t *task)
{
	long long id = json_integer_value(json_object_get(task, "id"));
	json_t *members = (json_t *)(uintptr_t)task, *value;
	const char *key;

	json_object_foreach(members, key, value)
	{
		if (!json_is_null(value))
			print_member(id, key, value);
	}
}

static int
show(struct ctl *ctl, const json_t *task, bool raw, bool judge)
{
	if (ctl->json) {
		char *text = ctl_value_dump(task, JSON_COMPACT);

		puts(text != NULL ? text : "null");
		free(text);
	} else if (raw) {
		ctl_task_print_end(ctl, task, true);
	} else {
		print_task(task);
	}
	return judge ? ctl_task_status(task) : CTL_DONE;
}

static int
run_task(struct ctl *ctl, const struct ctl_args *args)
{
	bool wait = ctl_option(args, CTL_OPT_WAIT) != NULL;
	bool raw = ctl_option(args, CTL_OPT_RAW) != NULL;
	struct ctl_msg msg;
	struct buf params;
	json_t *tree = NULL;
	int64_t id;
	int r = ctl_task_id(ctl, args->words[0], &id);

	if (raw && ctl->json)
		return ctl_fail(ctl, CTL_USAGE,
		    "--raw is the result by itself, --json the whole task: choose one");
	if (r == 0 && wait) {
		r = ctl_task_wait(ctl, id, &tree);
	} else if (r == 0) {
		ctl_params(ctl, &params);
		jw_kv_int(&params, "id", id);
		r = ctl_ask(ctl, "task", &params, CTL_READ, &msg);
		if (r == 0)
			tree = ctl_tree(ctl, msg.body);
		if (r == 0 && tree == NULL)
			r = CTL_NO_ANSWER;
	}
	if (r == 0)
		r = show(ctl, tree, raw, wait || raw);
	json_decref(tree);
	return r;
}

/* --- cancel and requeue: of many tasks ------------------------------------ */

/* Requests on their way at once: each is answered with the whole task. */
#define AHEAD 128

static void
print_changed(const struct ctl_bulk *b, const json_t *task)
{
	ctl_put_line(stdout, "%.0f: %s, %s", ctl_number(task, "id", 0), b->done,
	    ctl_text(task, "state"));
}

/* What is wrong with one word ends nothing. */
static int
change_task(struct ctl_bulk *b, const char *method, const char *word)
{
	struct buf params;
	int64_t id;
	int r;

	if (ctl_task_number(word, &id) < 0) {
		r = ctl_bulk_settle(b);
		if (r != 0)
			return r;
		ctl_bulk_element(b);
		b->status = ctl_task_id(b->ctl, word, &id);
		return 0;
	}
	ctl_params(b->ctl, &params);
	jw_kv_int(&params, "id", id);
	return ctl_bulk_ask(b, method, &params);
}

/* The numbers on a line of stdin. */
static int
change_line(struct ctl_bulk *b, const char *method, char *line)
{
	char *rest = NULL, *word = strtok_r(line, " \t\r", &rest);
	int r = 0;

	for (; r == 0 && word != NULL; word = strtok_r(NULL, " \t\r", &rest))
		r = change_task(b, method, word);
	return r;
}

static int
each_task(struct ctl *ctl, const struct ctl_args *args, const char *done)
{
	struct ctl_bulk b = { .accept = print_changed,
		.done = done,
		.ahead = AHEAD,
		.list = true };
	const char *method = args->cmd->name;
	char *line;
	int r = ctl_bulk_begin(&b, ctl);

	if (args->n == 1 && strcmp(args->words[0], "-") == 0) {
		while (r == 0 && (r = ctl_bulk_line(&b, &line)) == 0 &&
		       line != NULL)
			r = change_line(&b, method, line);
	} else {
		for (int i = 0; r == 0 && i < args->n; i++)
			r = change_task(&b, method, args->words[i]);
	}
	return ctl_bulk_end(&b, r);
}

static int
run_cancel(struct ctl *ctl, const struct ctl_args *args)
{
	return each_task(ctl, args, "asked to end");
}

static int
run_requeue(struct ctl *ctl, const struct ctl_args *args)
{
	return each_task(ctl, args, "put back into the queue");
}

const struct ctl_cmd ctl_cmd_task = {
	.name = "task",
	.usage = "ID [--wait] [--raw]",
	.help = "show one task: state, tries, result, why it failed",
	.opts = { { CTL_OPT_WAIT, "wait", NULL,
		      "wait for its end; exit status 1 if it is not done",
		      false },
	    { CTL_OPT_RAW, "raw", NULL,
		"nothing but its result, as it is: bytes, or JSON", false } },
	.min = 1,
	.max = 1,
	.queue = true,
	.run = run_task,
};

const struct ctl_cmd ctl_cmd_cancel = {
	.name = "cancel",
	.usage = "ID... | -",
	.help = "cancel tasks, queued or running",
	.more = "A running one is asked to end; if it does not within the "
		"worker's tasks.grace,\nits process is replaced. With - the "
		"numbers are read from stdin.",
	.min = 1,
	.max = -1,
	.queue = true,
	.run = run_cancel,
};

const struct ctl_cmd ctl_cmd_requeue = {
	.name = "requeue",
	.usage = "ID... | -",
	.help = "run dead, failed or cancelled tasks again",
	.more = "With - their numbers are read from stdin.",
	.min = 1,
	.max = -1,
	.queue = true,
	.run = run_requeue,
};
