/* task, cancel, requeue: one task, by its number. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"

static void
put_value(struct buf *line, const char *key, const json_t *value)
{
	size_t n = strlen(key);
	char *text;

	if (n > 3 && strcmp(key + n - 3, "_at") == 0 && json_is_string(value)) {
		ctl_put_time(line, json_string_value(value), true);
	} else if (json_is_string(value)) {
		buf_str(line, json_string_value(value));
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY);
		buf_str(line, text != NULL ? text : "?");
		free(text);
	}
}

/* Several lines below their key, as a program wrote them. */
static void
print_lines(const char *key, const char *text)
{
	ctl_put_line(stdout, "%-12s", key);
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		ctl_put_line(stdout, "    %.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void
print_task(const json_t *task)
{
	const char *key;
	json_t *value;
	void *at = json_object_iter((json_t *)(uintptr_t)task);

	for (; at != NULL;
	     at = json_object_iter_next((json_t *)(uintptr_t)task, at)) {
		struct buf line;

		key = json_object_iter_key(at);
		value = json_object_iter_value(at);
		if (json_is_null(value))
			continue;
		if (json_is_string(value) &&
		    strchr(json_string_value(value), '\n') != NULL) {
			print_lines(key, json_string_value(value));
			continue;
		}
		buf_init(&line);
		put_value(&line, key, value);
		if (!line.failed)
			ctl_put_line(stdout, "%-12s %s", key, buf_text(&line));
		buf_done(&line);
	}
}

static int
show(struct ctl *ctl, const json_t *task, bool judge)
{
	if (ctl->json) {
		char *text = json_dumps(task, JSON_ENCODE_ANY | JSON_COMPACT);

		puts(text != NULL ? text : "null");
		free(text);
	} else {
		print_task(task);
	}
	return judge ? ctl_task_status(task) : CTL_DONE;
}

static int
run_task(struct ctl *ctl, const struct ctl_args *args)
{
	bool wait = ctl_option(args, CTL_OPT_WAIT) != NULL;
	struct ctl_msg msg;
	struct buf params;
	json_t *tree = NULL;
	int64_t id;
	int r = ctl_task_id(ctl, args->words[0], &id);

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
		r = show(ctl, tree, wait);
	json_decref(tree);
	return r;
}

/* cancel and requeue: each of the tasks, the worst exit status. */
static int
each_task(struct ctl *ctl, const struct ctl_args *args, const char *done)
{
	int worst = CTL_DONE;

	if (ctl->json)
		putchar('[');
	for (int i = 0; i < args->n; i++) {
		struct ctl_msg msg;
		struct buf params;
		json_t *tree;
		int64_t id;
		int r;

		/* What is wrong with one is an element of the list, too. */
		if (ctl->json && i > 0)
			putchar(',');
		r = ctl_task_id(ctl, args->words[i], &id);
		if (r == 0) {
			ctl_params(ctl, &params);
			jw_kv_int(&params, "id", id);
			r = ctl_ask(
			    ctl, args->cmd->name, &params, CTL_ACT, &msg);
		}
		if (r != 0) {
			worst = r;
			continue;
		}
		if (ctl->json) {
			printf("%.*s", (int)msg.body.n, msg.body.s);
			continue;
		}
		tree = ctl_tree(ctl, msg.body);
		if (tree != NULL)
			ctl_put_line(stdout, "%lld: %s, %s", (long long)id,
			    done, ctl_text(tree, "state"));
		json_decref(tree);
	}
	if (ctl->json)
		puts("]");
	return worst;
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
	.usage = "ID [--wait]",
	.help = "show one task: state, tries, result, why it failed",
	.opts = { { CTL_OPT_WAIT, "wait", NULL,
	    "wait for its end; exit status 1 if it is not done", false } },
	.min = 1,
	.max = 1,
	.queue = true,
	.run = run_task,
};

const struct ctl_cmd ctl_cmd_cancel = {
	.name = "cancel",
	.usage = "ID...",
	.help = "cancel tasks, queued or running",
	.more = "A running one is asked to end; if it does not within the "
		"worker's tasks.grace,\nits process is replaced.",
	.min = 1,
	.max = -1,
	.queue = true,
	.run = run_cancel,
};

const struct ctl_cmd ctl_cmd_requeue = {
	.name = "requeue",
	.usage = "ID...",
	.help = "run dead, failed or cancelled tasks again",
	.min = 1,
	.max = -1,
	.queue = true,
	.run = run_requeue,
};
