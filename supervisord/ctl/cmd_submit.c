/*
 * submit: hands a task to a worker, or a task for each line of stdin. Many go
 * out ahead of their answers, so that one disk flush accepts many of them.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/bulk.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"
#include "supervisord/ctl/value.h"

/* Requests on their way at once: each may have a MiB, and is answered in a few
 * bytes. */
#define AHEAD 1024

#define RETRIES_MAX 1000000 /* the broker's */

static void
put_number(struct buf *b, const char *key, double n)
{
	jw_key(b, key);
	buf_fmt(b, "%.3f", n);
}

/* Options that are durations, under the names of their parameters. */
static int
put_durations(struct ctl *ctl, struct buf *b, const struct ctl_args *args)
{
	static const struct {
		int letter;
		const char *name, *key;
	} options[] = { { CTL_OPT_DELAY, "delay", "delay" },
		{ CTL_OPT_TIMEOUT, "timeout", "timeout" },
		{ CTL_OPT_RESULT_TTL, "result-ttl", "result_ttl" } };

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		const char *text = ctl_option(args, options[i].letter);
		double seconds;
		int r;

		if (text == NULL)
			continue;
		r = ctl_seconds(ctl, options[i].name, text, &seconds);
		if (r != 0)
			return r;
		put_number(b, options[i].key, seconds);
	}
	return 0;
}

static int
put_json(struct ctl *ctl, struct buf *b, const char *key, const char *what,
    const char *text)
{
	json_error_t error;
	json_t *tree = json_loads(text, JSON_DECODE_ANY, &error);

	if (tree == NULL)
		return ctl_fail(
		    ctl, CTL_USAGE, "%s are not JSON: %s", what, error.text);
	json_decref(tree);
	jw_key(b, key);
	for (; *text != '\0'; text++) /* a request is one line */
		buf_char(b, *text == '\n' || *text == '\r' ? ' ' : *text);
	return 0;
}

/* Everything but the arguments. */
static int
put_options(struct ctl *ctl, struct buf *b, const struct ctl_args *args)
{
	const char *priority = ctl_option(args, CTL_OPT_PRIORITY);
	const char *retries = ctl_option(args, CTL_OPT_RETRIES);
	const char *key = ctl_option(args, CTL_OPT_KEY);
	const char *limit_key = ctl_option(args, CTL_OPT_LIMIT_KEY);
	const char *then = ctl_option(args, CTL_OPT_THEN);
	long n = -1;
	int r;

	jw_kv_string(b, "worker", args->words[0]);
	jw_kv_string(b, "func", args->words[1]);
	if (priority != NULL)
		jw_kv_string(b, "priority", priority);
	if (retries != NULL && strcmp(retries, "-1") != 0 &&
	    (ctl_count(retries, &n) < 0 || n > RETRIES_MAX))
		return ctl_fail(ctl, CTL_USAGE,
		    "--retries is a number of further tries from 0 to %d (-1: "
		    "no limit), not \"%s\"",
		    RETRIES_MAX, retries);
	if (retries != NULL)
		jw_kv_int(b, "retries", n);
	if (key != NULL)
		jw_kv_string(b, "key", key);
	if (limit_key != NULL)
		jw_kv_string(b, "limit_key", limit_key);
	r = then != NULL ? put_json(ctl, b, "then", "the words of --then", then)
			 : 0;
	return r != 0 ? r : put_durations(ctl, b, args);
}

/* Who waits at a terminal is told if nobody takes the worker's tasks. */
static void
warn_of_nobody(struct ctl *ctl, const char *worker)
{
	struct ctl_msg msg;
	struct buf params;
	json_t *list, *queue;

	if (!ctl->err_tty || ctl->json)
		return;
	ctl_params(ctl, &params);
	jw_kv_string(&params, "worker", worker);
	if (ctl_ask(ctl, "queue", &params, CTL_READ, &msg) != 0)
		return;
	list = ctl_tree(ctl, msg.body);
	queue = json_array_get(list, 0);
	if (json_is_true(json_object_get(queue, "paused")))
		ctl_note(ctl, "%s is paused; see: supervisorctl queue %s",
		    worker, worker);
	else if (ctl_number(queue, "threads", 1) == 0)
		ctl_note(ctl,
		    "no instance of %s takes tasks now; see: supervisorctl why %s",
		    worker, worker);
	json_decref(list);
}

static int
wait_for_end(struct ctl *ctl, const char *worker, int64_t id)
{
	json_t *task;
	int r;

	fflush(stdout);
	warn_of_nobody(ctl, worker);
	r = ctl_task_wait(ctl, id, &task);
	if (r != 0)
		return r;
	if (ctl->json) {
		char *text = ctl_value_dump(task, JSON_COMPACT);

		puts(text != NULL ? text : "null");
		free(text);
	} else {
		ctl_task_print_end(ctl, task, !ctl->out_tty);
	}
	r = ctl_task_status(task);
	json_decref(task);
	return r;
}

static int
submit_one(struct ctl *ctl, const struct ctl_args *args)
{
	bool wait = ctl_option(args, CTL_OPT_WAIT) != NULL;
	struct ctl_msg msg;
	struct buf params;
	json_t *tree;
	int64_t id;
	int r;

	ctl_params(ctl, &params);
	r = put_options(ctl, &params, args);
	if (r == 0 && args->n > 2)
		r = put_json(
		    ctl, &params, "args", "the arguments", args->words[2]);
	if (r != 0) {
		buf_done(&params);
		return r;
	}
	/* With a key a second request finds the first one's task. */
	r = ctl_ask(ctl, "submit", &params,
	    ctl_option(args, CTL_OPT_KEY) != NULL ? CTL_READ : CTL_ACT, &msg);
	if (r != 0)
		return r;
	if (ctl->json && !wait)
		return ctl_put_raw(ctl, msg.body);
	tree = ctl_tree(ctl, msg.body);
	if (tree == NULL)
		return CTL_NO_ANSWER;
	id = json_integer_value(json_object_get(tree, "id"));
	json_decref(tree);
	if (!ctl->json)
		printf("%lld\n", (long long)id);
	return wait ? wait_for_end(ctl, args->words[0], id) : CTL_DONE;
}

/* --- a task for each line ------------------------------------------------- */

static void
print_number(const struct ctl_bulk *b, const json_t *answer)
{
	(void)b;
	printf("%lld\n",
	    (long long)json_integer_value(json_object_get(answer, "id")));
}

static int
submit_line(struct ctl_bulk *b, const struct ctl_args *args, const char *text)
{
	struct buf params;
	int r;

	ctl_params(b->ctl, &params);
	r = put_options(b->ctl, &params, args);
	if (r == 0)
		r = put_json(b->ctl, &params, "args", "the arguments", text);
	if (r == 0)
		return ctl_bulk_ask(b, "submit", &params);
	buf_done(&params);
	return r;
}

static int
submit_lines(struct ctl *ctl, const struct ctl_args *args)
{
	struct ctl_bulk b = { .accept = print_number, .ahead = AHEAD };
	char *line;
	int r = ctl_bulk_begin(&b, ctl);

	while (r == 0 && (r = ctl_bulk_line(&b, &line)) == 0 && line != NULL)
		r = submit_line(&b, args, line);
	if (r == CTL_USAGE)
		ctl_note(ctl, "that was line %zu", b.line);
	return ctl_bulk_end(&b, r);
}

static int
run_submit(struct ctl *ctl, const struct ctl_args *args)
{
	if (args->n < 3 || strcmp(args->words[2], "-") != 0)
		return submit_one(ctl, args);
	if (ctl_option(args, CTL_OPT_WAIT) != NULL ||
	    ctl_option(args, CTL_OPT_KEY) != NULL)
		return ctl_fail(ctl, CTL_USAGE,
		    "--wait and --key are for one task, \"-\" submits one for "
		    "each line");
	return submit_lines(ctl, args);
}

const struct ctl_cmd ctl_cmd_submit = {
	.name = "submit",
	.usage = "WORKER FUNC [ARGS-JSON | -] [OPTION...]",
	.help = "hand a task to a worker; prints its number",
	.more =
	    "With - for the arguments, a task for each line of stdin, which "
	    "holds its\narguments as JSON. With --wait the result follows "
	    "the number; the exit status\nis 1 if there is none.",
	.opts = { { CTL_OPT_PRIORITY, "priority", "LEVEL",
		      "high, middle or low", false },
	    { CTL_OPT_DELAY, "delay", "TIME", "not before this has passed",
		false },
	    { CTL_OPT_TIMEOUT, "timeout", "TIME", "how long a try may take",
		false },
	    { CTL_OPT_RETRIES, "retries", "N", "further tries after the first",
		false },
	    { CTL_OPT_KEY, "key", "KEY",
		"a second submit with it returns the first's number", false },
	    { CTL_OPT_LIMIT_KEY, "limit-key", "KEY",
		"what the worker's caps and rates count by", false },
	    { CTL_OPT_RESULT_TTL, "result-ttl", "TIME",
		"how long the result is kept", false },
	    { CTL_OPT_THEN, "then", "JSON", "what to submit with the result",
		false },
	    { CTL_OPT_WAIT, "wait", NULL, "wait for the end", false } },
	.min = 2,
	.max = 3,
	.words = CTL_WORDS_TARGETS,
	.queue = true,
	.run = run_submit,
};
