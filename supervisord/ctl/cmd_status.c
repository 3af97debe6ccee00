/*
 * status: a line an instance. Of 10,000 instances it takes a few milliseconds:
 * the compact form of the answer (an array of arrays, columns:true) is walked
 * in place; with --json the answer
 * goes through as it came and is only walked for the exit status.
 *
 * What the operator should know (info's notes) is asked in the same write.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/util.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/status.h"
#include "supervisord/ctl/term.h"

#define LEAST_NAME_WIDTH 18

bool
ctl_status_next(struct ctl_scan *s, bool *first, struct ctl_status_row *row)
{
	struct ctl_span ignored;
	bool inner = true;

	if (!ctl_scan_more(s, ']', first))
		return false;
	memset(row, 0, sizeof *row);
	row->pid = row->uptime = -1;
	ctl_scan_open(s, '[');
	for (int i = 0; ctl_scan_more(s, ']', &inner); i++) {
		char c = ctl_scan_peek(s);

		if (i == 0)
			ctl_scan_string(s, &row->name);
		else if (i == 1)
			ctl_scan_string(s, &row->state);
		else if (i == 2 && c != 'n')
			ctl_scan_number(s, &row->pid);
		else if (i == 3 && c != 'n')
			ctl_scan_number(s, &row->uptime);
		else if (i == 4 && c != 'n')
			ctl_scan_number(s, &row->restarts);
		else if (i == 5 && c != 'n')
			ctl_scan_string(s, &row->reason);
		else
			ctl_scan_value(s, &ignored);
	}
	/* Fewer columns than a name and a state is no row. */
	if (row->state.s == NULL)
		s->bad = true;
	return !s->bad;
}

static void
pad(struct buf *out, size_t written, size_t width)
{
	static const char spaces[] = "                                ";

	while (written < width) {
		size_t n = MIN_OF(width - written, sizeof spaces - 1);

		buf_add(out, spaces, n);
		written += n;
	}
}

/* A string of the answer, safe for the terminal; returns its width. */
static size_t
put_text(struct buf *out, struct ctl_span raw)
{
	size_t before = out->size;
	struct buf plain;
	bool simple = true;

	for (size_t i = 0; i < raw.n && simple; i++)
		simple =
		    raw.s[i] >= 0x20 && raw.s[i] < 0x7f && raw.s[i] != '\\';
	if (simple) {
		buf_add(out, raw.s, raw.n);
		return raw.n;
	}
	buf_init(&plain);
	ctl_scan_unescape(&plain, raw);
	ctl_escape(
	    out, plain.data != NULL ? plain.data : "", plain.size, false);
	buf_done(&plain);
	return out->size - before;
}

static void
put_state(struct buf *out, struct ctl_span state, bool color)
{
	char name[16] = "";
	const char *begin = "";
	size_t width;

	if (color && state.n < sizeof name) {
		memcpy(name, state.s, state.n);
		begin = ctl_state_color(name);
	}
	buf_str(out, begin);
	width = put_text(out, state);
	if (begin[0] != '\0')
		buf_str(out, CTL_PLAIN);
	pad(out, width, 9);
	buf_char(out, ' ');
}

void
ctl_status_put_row(
    struct buf *out, const struct ctl_status_row *row, size_t width, bool color)
{
	pad(out, put_text(out, row->name), width);
	buf_str(out, "   ");
	put_state(out, row->state, color);
	if (ctl_span_is(row->state, "RUNNING")) {
		buf_str(out, "pid ");
		ctl_put_number(out, row->pid);
		buf_str(out, ", uptime ");
		ctl_put_uptime(out, row->uptime);
		buf_str(out, ", restarts ");
		ctl_put_number(out, row->restarts);
	} else if (row->reason.n > 0) {
		put_text(out, row->reason);
	} else if (row->pid > 0) {
		buf_str(out, "pid ");
		ctl_put_number(out, row->pid);
	}
	while (out->size > 0 && out->data[out->size - 1] == ' ')
		out->size--;
	buf_char(out, '\n');
}

/*
 * All rows in one walk, for the longest name has to be known for the first. 0,
 * or -1 if they are malformed or too many; *ret is to be freed.
 */
static int
read_rows(struct ctl_span body, struct ctl_status_row **ret, size_t *ret_n)
{
	struct ctl_status_row *rows = NULL, row;
	size_t n = 0, room = 0;
	struct ctl_scan s;
	bool first = true;

	ctl_scan_init(&s, body.s, body.n);
	ctl_scan_open(&s, '[');
	while (ctl_status_next(&s, &first, &row)) {
		if (n == room) {
			struct ctl_status_row *more;

			room = room > 0 ? 2 * room : 64;
			more = reallocarray(rows, room, sizeof *rows);
			if (more == NULL) {
				s.bad = true;
				break;
			}
			rows = more;
		}
		rows[n++] = row;
	}
	*ret = rows;
	*ret_n = n;
	return s.bad || !ctl_scan_at_end(&s) ? -1 : 0;
}

int
ctl_status_draw(struct buf *out, struct ctl_span body, bool color)
{
	size_t width = LEAST_NAME_WIDTH, n;
	struct ctl_status_row *rows;
	bool all = true;

	if (read_rows(body, &rows, &n) < 0) {
		free(rows);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		width = MAX_OF(width, rows[i].name.n);
	buf_reserve(out, n * (width + 70));
	for (size_t i = 0; i < n; i++) {
		ctl_status_put_row(out, &rows[i], width, color);
		all = all && ctl_span_is(rows[i].state, "RUNNING");
	}
	free(rows);
	return all ? CTL_DONE : CTL_NOT_RUNNING;
}

/* One object of `status --json`: whether its state is RUNNING. */
static bool
object_runs(struct ctl_scan *s)
{
	bool first = true, runs = false;
	struct ctl_span key, text;

	ctl_scan_open(s, '{');
	while (ctl_scan_more(s, '}', &first) && ctl_scan_key(s, &key)) {
		if (ctl_span_is(key, "state") && ctl_scan_peek(s) == '"') {
			ctl_scan_string(s, &text);
			runs = ctl_span_is(text, "RUNNING");
		} else {
			ctl_scan_value(s, NULL);
		}
	}
	return runs;
}

int
ctl_status_judge(struct ctl_span body)
{
	bool first = true, all = true;
	struct ctl_scan s;

	ctl_scan_init(&s, body.s, body.n);
	ctl_scan_open(&s, '[');
	while (ctl_scan_more(&s, ']', &first)) {
		if (!object_runs(&s))
			all = false;
	}
	if (s.bad || !ctl_scan_at_end(&s))
		return -1;
	return all ? CTL_DONE : CTL_NOT_RUNNING;
}

static int
show(struct ctl *ctl, struct ctl_span body)
{
	struct buf out;
	int r;

	if (ctl->json) {
		r = ctl_status_judge(body);
		if (r < 0)
			return ctl_malformed(ctl, "no list of instances");
		ctl_put_raw(ctl, body);
		return r;
	}
	buf_init(&out);
	r = ctl_status_draw(&out, body, ctl_has_color(ctl));
	if (r < 0)
		r = ctl_malformed(ctl, "no list of instances");
	else if (out.failed)
		r = ctl_fail(ctl, CTL_FAILED, "out of memory");
	else if (out.size == 0)
		ctl_note(ctl, "the config has no workers");
	else
		fwrite(out.data, 1, out.size, stdout);
	buf_done(&out);
	return r;
}

/* What info says the operator should know; its own trouble is nobody's. */
static void
show_notes(struct ctl *ctl, const struct ctl_msg *msg)
{
	json_t *tree, *note;
	size_t i;

	if (msg->kind != CTL_MSG_RESULT)
		return;
	tree = json_loadb(msg->body.s, msg->body.n, JSON_ALLOW_NUL, NULL);
	json_array_foreach(json_object_get(tree, "notes"), i, note)
	{
		if (json_is_string(note))
			ctl_put_line(
			    stderr, "warning: %s", json_string_value(note));
	}
	json_decref(tree);
	(void)ctl;
}

/* Sends both questions; *ret_info and *ret_status are their numbers. */
static int
ask_both(struct ctl *ctl, const struct ctl_args *args, int64_t *ret_info,
    int64_t *ret_status)
{
	struct buf params;
	int r;

	ctl_params(ctl, &params);
	*ret_info = ctl_queue(ctl, "info", &params);
	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	if (!ctl->json)
		jw_kv_bool(&params, "columns", true);
	*ret_status = ctl_queue(ctl, "status", &params);
	if (*ret_info < 0 || *ret_status < 0)
		return (int)MIN_OF(*ret_info, *ret_status);
	r = ctl_conn_flush(&ctl->conn, CTL_QUIET_MS);
	return r;
}

/* -errno if the connection failed, which may be tried again. */
static int
status_once(struct ctl *ctl, const struct ctl_args *args, int *ret_exit)
{
	bool have_info = false, have_status = false;
	int64_t info, status;
	struct ctl_msg msg;
	int r = ask_both(ctl, args, &info, &status);

	while (r == 0 && !(have_info && have_status)) {
		r = ctl_conn_next(&ctl->conn, CTL_QUIET_MS, &msg);
		if (r < 0)
			break;
		if (msg.kind == CTL_MSG_NOTIFY)
			continue;
		if (msg.id == info) {
			show_notes(ctl, &msg);
			have_info = true;
		} else if (msg.id == status || msg.id == 0) {
			*ret_exit = msg.kind == CTL_MSG_ERROR
					? ctl_refused(ctl, msg.body)
					: show(ctl, msg.body);
			have_status = true;
			if (ctl->conn.fd < 0 || msg.id == 0)
				return 0;
		}
	}
	return have_status ? 0 : r;
}

static int
run_status(struct ctl *ctl, const struct ctl_args *args)
{
	int tries = 3, status = CTL_FAILED, r;

	if (ctl_option(args, CTL_OPT_THREADS) != NULL)
		return ctl_status_threads(ctl, args);
	for (;;) {
		r = ctl_connect(ctl);
		if (r != 0)
			return r;
		r = status_once(ctl, args, &status);
		if (r == 0)
			return status;
		if (r != -EPIPE || --tries == 0)
			return ctl_broken(ctl, r);
		ctl_conn_close(&ctl->conn);
	}
}

const struct ctl_cmd ctl_cmd_status = {
	.name = "status",
	.usage = "[--threads] [TARGET...]",
	.help = "a line for each instance: name, state, pid, uptime",
	.more = "Exit status: 0 if all are RUNNING, 3 if some are not, "
		"4 if there is no such target.",
	.opts = { { CTL_OPT_THREADS, "threads", NULL,
	    "the threads of hybrid workers, their tasks and since when",
	    false } },
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_status,
};
