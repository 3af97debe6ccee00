#include "supervisord/ctl/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/find.h"
#include "supervisord/ctl/term.h"
#include "supervisord/ctl/value.h"

#define CONNECT_MS 5000

int
ctl_queue_begin(struct ctl *ctl)
{
	const char *slash;
	char *path;
	int r = ctl->path == NULL ? ctl_find_socket(ctl) : 0;

	if (r != 0)
		return r;
	ctl->tasks = true;
	slash = strrchr(ctl->path, '/');
	if (asprintf(&path, "%.*stasks.sock",
		slash != NULL ? (int)(slash + 1 - ctl->path) : 0,
		ctl->path) < 0)
		return ctl_fail(ctl, CTL_FAILED, "out of memory");
	ctl_conn_close(&ctl->conn);
	r = ctl_conn_open(&ctl->conn, path, CONNECT_MS);
	/* A broker that is just being started is waited for by the master, who
	 * also knows why there may be none. */
	if (r == -ENOENT || r == -ECONNREFUSED) {
		free(path);
		return 0;
	}
	ctl->control_path = ctl->path;
	ctl->path = path;
	return 0;
}

void
ctl_queue_end(struct ctl *ctl)
{
	ctl->tasks = false;
	if (ctl->control_path == NULL)
		return;
	ctl_conn_close(&ctl->conn);
	free(ctl->path);
	ctl->path = ctl->control_path;
	ctl->control_path = NULL;
}

int
ctl_task_number(const char *word, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(word, &end, 10);
	return end == word || *end != '\0' || errno != 0 || *ret < 1 ? -EINVAL
								     : 0;
}

int
ctl_task_id(struct ctl *ctl, const char *word, int64_t *ret)
{
	if (ctl_task_number(word, ret) < 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "a task is named by its number, not \"%s\"", word);
	return 0;
}

int
ctl_task_wait(struct ctl *ctl, int64_t id, json_t **ret)
{
	struct ctl_msg msg;
	struct buf params;
	int r;

	ctl_params(ctl, &params);
	jw_kv_int(&params, "id", id);
	jw_kv_bool(&params, "wait", true);
	r = ctl_ask(ctl, "task", &params, CTL_WATCH, &msg);
	if (r != 0)
		return r;
	*ret = ctl_tree(ctl, msg.body);
	return *ret != NULL ? 0 : CTL_NO_ANSWER;
}

int
ctl_task_status(const json_t *task)
{
	return strcmp(ctl_text(task, "state"), "done") == 0 ? CTL_DONE
							    : CTL_FAILED;
}

/* A terminal gets no more than it can show, and a last newline. */
static void
show_result(const json_t *task)
{
	const json_t *result = json_object_get(task, "result");
	struct buf text;

	if (result == NULL || json_is_null(result))
		return;
	buf_init(&text);
	ctl_value_show(&text, result, 2,
	    json_integer_value(json_object_get(task, "id")), "--raw");
	if (!text.failed)
		ctl_put_text(stdout, "", buf_text(&text), text.size);
	buf_done(&text);
}

void
ctl_task_print_end(struct ctl *ctl, const json_t *task, bool raw)
{
	const char *state = ctl_text(task, "state");
	const char *error = ctl_text(task, "error");

	if (strcmp(state, "done") == 0 && raw)
		ctl_value_write(stdout, json_object_get(task, "result"));
	else if (strcmp(state, "done") == 0)
		show_result(task);
	else
		ctl_note(ctl, "task %.0f is %s%s%s", ctl_number(task, "id", 0),
		    state, error[0] != '\0' ? ": " : "", error);
}

void
ctl_put_waiting(FILE *to, const json_t *queue)
{
	const char *worker = ctl_text(queue, "worker");
	double n =
	    ctl_number(queue, "queued", 0) + ctl_number(queue, "scheduled", 0);

	if (n > 0)
		ctl_put_line(to,
		    "%.0f task%s for %s, which is not in the config: kept "
		    "until it is back (supervisorctl tasks %s, cancel ID)",
		    n, n == 1 ? " waits" : "s wait", worker, worker);
}

int
ctl_seconds(struct ctl *ctl, const char *option, const char *text, double *ret)
{
	int64_t ns;

	if (units_duration(text, &ns) < 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "--%s is a duration such as 30s or 5m, not \"%s\"", option,
		    text);
	*ret = (double)ns / (double)NS_PER_SEC;
	return 0;
}
