#include "supervisord/ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/find.h"
#include "supervisord/ctl/term.h"

#define CONNECT_MS     5000
#define INVALID_PARAMS (-32602) /* JSON-RPC's */

int
ctl_nobody(struct ctl *ctl, int r)
{
	if (r == -EACCES || r == -EPERM)
		return ctl_fail(ctl, CTL_FAILED,
		    "may not use %s: permission denied: only root and the group of the config's \"control\" section may; try sudo",
		    ctl->path);
	if (r == -EAGAIN || r == -ETIMEDOUT)
		return ctl_fail(ctl, CTL_NO_ANSWER,
		    "supervisord at %s has not taken the connection within %d s: is it stopped or overloaded?",
		    ctl->path, CONNECT_MS / 1000);
	if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
		return ctl_fail(ctl, CTL_NO_ANSWER,
		    "no supervisord answers at %s: is it running? start it with: supervisord -c FILE",
		    ctl->path);
	return ctl_fail(ctl, CTL_NO_ANSWER,
	    "no supervisord answers at %s: %s; another socket is named with -s",
	    ctl->path, strerror(-r));
}

static bool
has_ended(struct ctl_conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

int
ctl_connect(struct ctl *ctl)
{
	int r;

	if (ctl->path == NULL) {
		r = ctl_find_socket(ctl);
		if (r != 0)
			return r;
	}
	if (ctl->conn.fd >= 0) {
		if (!has_ended(&ctl->conn))
			return 0;
		ctl_note(ctl,
		    "the connection to supervisord was lost; connecting again");
	}
	r = ctl_conn_open(&ctl->conn, ctl->path, CONNECT_MS);
	return r < 0 ? ctl_nobody(ctl, r) : 0;
}

void
ctl_params(struct ctl *ctl, struct buf *params)
{
	buf_init(params);
	jw_object(params);
	jw_key(params, "command");
	jw_bytes(params, ctl->command.data != NULL ? ctl->command.data : "",
	    ctl->command.size);
}

void
ctl_params_targets(struct buf *params, const struct ctl_args *args, int from)
{
	if (args->n <= from)
		return;
	jw_key(params, "targets");
	jw_array(params);
	for (int i = from; i < args->n; i++)
		jw_string(params, args->words[i]);
	jw_array_end(params);
}

int
ctl_broken(struct ctl *ctl, int r)
{
	ctl_progress_end(ctl);
	/* Nothing of what is too large was sent. */
	if (r != -E2BIG)
		ctl_conn_close(&ctl->conn);
	if (ctl_interrupted())
		return ctl_fail(
		    ctl, CTL_FAILED, "interrupted; what was asked for goes on");
	if (r == -ETIMEDOUT)
		return ctl_fail(ctl, CTL_NO_ANSWER,
		    "supervisord at %s has not answered for %d s: is it stopped or overloaded?",
		    ctl->path, CTL_QUIET_MS / 1000);
	if (r == -EPIPE)
		return ctl_fail(ctl, CTL_NO_ANSWER,
		    "supervisord at %s closed the connection before it answered; see: supervisorctl status",
		    ctl->path);
	if (r == -EBADMSG)
		return ctl_malformed(ctl, "it is not JSON-RPC");
	if (r == -E2BIG)
		return ctl_fail(ctl, CTL_USAGE,
		    "too large: this request is longer than the 1 MiB supervisord takes; %s",
		    ctl->tasks ? "give the task less to carry"
			       : "name fewer targets");
	return ctl_fail(ctl, CTL_NO_ANSWER, "talking to supervisord at %s: %s",
	    ctl->path, strerror(-r));
}

int64_t
ctl_queue(struct ctl *ctl, const char *method, struct buf *params)
{
	const char *text;
	int64_t id;

	jw_object_end(params);
	text = buf_text(params);
	id = text == NULL ? -ENOMEM : ctl_conn_queue(&ctl->conn, method, text);
	buf_done(params);
	return id;
}

int
ctl_flush(struct ctl *ctl)
{
	int r = ctl_conn_flush(&ctl->conn, CTL_QUIET_MS);

	return r < 0 ? ctl_broken(ctl, r) : 0;
}

/* What JSON-RPC's own codes and "permission denied" mean for a script. */
int
ctl_error_status(const json_t *error)
{
	double code = ctl_number(error, "code", CTL_FAILED);

	if (code == INVALID_PARAMS)
		return CTL_USAGE;
	return code >= 1 && code <= 255 ? (int)code : CTL_FAILED;
}

static void
print_error_lines(json_t *error)
{
	json_t *lines =
	    json_object_get(json_object_get(error, "data"), "errors");
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		if (json_is_string(line))
			ctl_put_line(stderr, "%s", json_string_value(line));
	}
}

int
ctl_refused(struct ctl *ctl, struct ctl_span error)
{
	json_t *tree = ctl_tree(ctl, error);
	const char *message;
	int code;

	ctl_progress_end(ctl);
	if (tree == NULL)
		return CTL_NO_ANSWER;
	code = ctl_error_status(tree);
	message = ctl_text(tree, "message");
	print_error_lines(tree);
	if (message[0] == '\0')
		message = "supervisord refused, without a reason";
	ctl_put_line(
	    stderr, "%s%s", ctl->in_shell ? "" : "supervisorctl: ", message);
	if (ctl->json)
		printf("{\"error\":%.*s}\n", (int)error.n, error.s);
	json_decref(tree);
	return code;
}

/* Waits for the answer with that id; progress is drawn meanwhile. */
static int
wait_answer(struct ctl *ctl, int64_t id, enum ctl_patience patience,
    struct ctl_msg *ret)
{
	bool quick = patience == CTL_READ || patience == CTL_ACT;
	int quiet = quick ? CTL_QUIET_MS : -1;
	int r;

	for (;;) {
		r = ctl_conn_next(&ctl->conn, quiet, ret);
		if (r < 0)
			return r;
		if (ret->kind == CTL_MSG_NOTIFY)
			ctl_progress(ctl, ret);
		else if (ret->id == id ||
			 (ret->kind == CTL_MSG_ERROR && ret->id == 0))
			return 0;
	}
}

static int
send_and_wait(struct ctl *ctl, const char *method, const char *params,
    enum ctl_patience patience, struct ctl_msg *ret)
{
	int64_t id = ctl_conn_queue(&ctl->conn, method, params);
	int r;

	if (id < 0)
		return (int)id;
	r = ctl_conn_flush(&ctl->conn, CTL_QUIET_MS);
	return r < 0 ? r : wait_answer(ctl, id, patience, ret);
}

int
ctl_ask(struct ctl *ctl, const char *method, struct buf *params,
    enum ctl_patience patience, struct ctl_msg *ret)
{
	const char *text;
	int tries = patience == CTL_READ ? 3 : patience == CTL_WATCH ? 50 : 1;
	int r = ctl_connect(ctl);

	jw_object_end(params);
	text = buf_text(params);
	if (r == 0 && text == NULL)
		r = ctl_fail(ctl, CTL_FAILED, "out of memory");
	while (r == 0) {
		r = send_and_wait(ctl, method, text, patience, ret);
		if (r == 0 || r != -EPIPE || --tries == 0)
			break;
		/* A master that was restarted meanwhile is back at once. */
		ctl_conn_close(&ctl->conn);
		r = ctl_connect(ctl);
	}
	buf_done(params);
	if (r < 0)
		return ctl_broken(ctl, r);
	if (r == 0 && ret->kind == CTL_MSG_ERROR)
		r = ctl_refused(ctl, ret->body);
	ctl_progress_end(ctl);
	return r;
}

int
ctl_ask_tree(
    struct ctl *ctl, const char *method, struct buf *params, json_t **ret)
{
	struct ctl_msg msg = { .id = 0 };
	int r = ctl_ask(ctl, method, params, CTL_READ, &msg);

	*ret = NULL;
	if (r != 0)
		return r;
	if (ctl->json)
		return ctl_put_raw(ctl, msg.body);
	*ret = ctl_tree(ctl, msg.body);
	return *ret != NULL ? CTL_DONE : CTL_NO_ANSWER;
}

int
ctl_do_tree(struct ctl *ctl, const char *method, struct buf *params,
    enum ctl_patience patience, json_t **ret)
{
	struct ctl_msg msg = { .id = 0 };
	int r = ctl_ask(ctl, method, params, patience, &msg);

	*ret = NULL;
	if (r != 0)
		return r;
	*ret = ctl_tree(ctl, msg.body);
	if (*ret == NULL)
		return CTL_NO_ANSWER;
	if (ctl->json)
		ctl_put_raw(ctl, msg.body);
	return CTL_DONE;
}

static void
put_count(struct buf *line, const json_t *tree)
{
	buf_fmt(line, "%.0f of %.0f done", ctl_number(tree, "done", 0),
	    ctl_number(tree, "of", 0));
	if (ctl_number(tree, "failed", 0) > 0)
		buf_fmt(line, ", %.0f failed", ctl_number(tree, "failed", 0));
}

/* What a task's handler tells of itself. */
static void
put_share(struct buf *line, const json_t *tree)
{
	const char *text = ctl_text(tree, "text");
	double share = ctl_number(tree, "share", -1);

	buf_fmt(line, "task %.0f", ctl_number(tree, "id", 0));
	if (share >= 0)
		buf_fmt(line, ": %.0f %%", share * 100);
	if (text[0] != '\0') {
		buf_str(line, ", ");
		ctl_escape(line, text, strlen(text), false);
	}
}

/* Over the last one; a line that is broken by the terminal would not go away.
 */
static void
draw(const struct buf *line)
{
	struct winsize size = { .ws_col = 0 };
	size_t columns = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		columns = size.ws_col;
	fprintf(stderr, "\r%.*s\x1b[K",
	    (int)ctl_fit(line->data, line->size, columns - 1, 2), line->data);
	fflush(stderr);
}

void
ctl_progress(struct ctl *ctl, const struct ctl_msg *msg)
{
	struct buf line;
	json_t *tree;

	if (!ctl->err_tty || ctl->json ||
	    !ctl_span_is(msg->method, "progress") || msg->body.s == NULL)
		return;
	tree = json_loadb(msg->body.s, msg->body.n, JSON_ALLOW_NUL, NULL);
	if (tree == NULL)
		return;
	buf_init(&line);
	if (json_is_number(json_object_get(tree, "of")))
		put_count(&line, tree);
	else
		put_share(&line, tree);
	if (!line.failed)
		draw(&line);
	buf_done(&line);
	ctl->progress_shown = true;
	json_decref(tree);
}

void
ctl_progress_end(struct ctl *ctl)
{
	if (ctl->progress_shown)
		fputs("\r\x1b[K", stderr);
	ctl->progress_shown = false;
}

int
ctl_put_raw(struct ctl *ctl, struct ctl_span body)
{
	(void)ctl;
	fwrite(body.s, 1, body.n, stdout);
	putchar('\n');
	return CTL_DONE;
}

int
ctl_malformed(struct ctl *ctl, const char *what)
{
	ctl_conn_close(&ctl->conn);
	return ctl_fail(ctl, CTL_NO_ANSWER,
	    "what answers at %s gave a malformed answer (%s): is it supervisord, and of this version?",
	    ctl->path != NULL ? ctl->path : "the socket", what);
}

json_t *
ctl_tree(struct ctl *ctl, struct ctl_span body)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_error_t error;
	json_t *tree;

	if (body.s == NULL) {
		ctl_malformed(ctl, "nothing in it");
		return NULL;
	}
	tree = json_loadb(body.s, body.n, flags, &error);
	/* A task may have a whole number that fits no 64 bits. */
	if (tree == NULL &&
	    json_error_code(&error) == json_error_numeric_overflow)
		tree = json_loadb(
		    body.s, body.n, flags | JSON_DECODE_INT_AS_REAL, &error);
	if (tree == NULL)
		ctl_malformed(ctl, error.text);
	return tree;
}

const char *
ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

double
ctl_number(const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : fallback;
}

int
ctl_count(const char *text, long *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || n < 0)
		return -EINVAL;
	*ret = n;
	return 0;
}
