/*
 * events: what happened, and with -f what happens. To miss nothing and to show
 * nothing twice, -f subscribes first and asks for the past in the same write;
 * sequence numbers sort out what came by both ways, also after a lost
 * connection has been made anew.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

#define RECONNECT_S 30
#define STEP_MS     50
#define ALL_KEPT    100000 /* more events than that are not stored */

struct watch {
	const struct ctl_args *args;
	bool follow;
	double since;    /* seconds, -1: not asked for */
	double last_seq; /* shown already */
	int64_t last_at; /* clock_mono of the last answer */
	int64_t past_id; /* the question for the past; 0: answered */
	json_t *early;   /* notifications that came before that answer */
};

static void
put_actor(struct buf *line, const json_t *actor)
{
	const char *command = ctl_text(actor, "command");
	double uid = ctl_number(actor, "uid", -1);

	buf_str(line, ", by ");
	if (uid == 0)
		buf_str(line, "root (uid 0)");
	else
		buf_fmt(line, "uid %.0f", uid);
	if (command[0] != '\0')
		buf_fmt(line, ": %s", command);
}

static void
print_event(const json_t *event)
{
	const char *name = ctl_text(event, "name");
	const char *from = ctl_text(event, "from"), *to = ctl_text(event, "to");
	const char *reason = ctl_text(event, "reason");
	const json_t *actor = json_object_get(event, "actor");
	struct buf line;

	buf_init(&line);
	ctl_put_time(&line, ctl_text(event, "at"), true);
	buf_fmt(&line, "  %s  ", name[0] != '\0' ? name : "supervisord");
	if (from[0] != '\0' && to[0] != '\0')
		buf_fmt(&line, "%s -> %s", from, to);
	else
		buf_str(&line, to[0] != '\0' ? to : ctl_text(event, "kind"));
	if (reason[0] != '\0')
		buf_fmt(&line, ": %s", reason);
	if (json_is_object(actor))
		put_actor(&line, actor);
	if (!line.failed)
		ctl_put_line(stdout, "%s", buf_text(&line));
	buf_done(&line);
}

/* One event, unless it was shown before. */
static void
show(struct ctl *ctl, struct watch *w, json_t *event)
{
	double seq = ctl_number(event, "seq", w->last_seq + 1);
	char *text;

	if (seq <= w->last_seq)
		return;
	w->last_seq = seq;
	if (!ctl->json) {
		print_event(event);
		return;
	}
	text = json_dumps(event, JSON_COMPACT);
	if (text != NULL)
		puts(text);
	free(text);
}

static int
show_list(struct ctl *ctl, struct watch *w, struct ctl_span body)
{
	json_t *tree = ctl_tree(ctl, body), *event;
	size_t i;

	if (tree == NULL)
		return CTL_NO_ANSWER;
	if (!json_is_array(tree)) {
		json_decref(tree);
		return ctl_malformed(ctl, "no list of events");
	}
	json_array_foreach(tree, i, event) show(ctl, w, event);
	json_decref(tree);
	return 0;
}

static void
ask_past(struct ctl *ctl, struct watch *w, struct buf *params)
{
	ctl_params(ctl, params);
	ctl_params_targets(params, w->args, 0);
	/* Whole seconds, rather one too many. */
	if (w->since >= 0)
		jw_kv_int(params, "since", (int64_t)w->since + 1);
	jw_kv_int(params, "limit", w->since >= 0 ? ALL_KEPT : 100);
}

/* --- with -f ----------------------------------------------------------------
 */

static int
subscribe(struct ctl *ctl, struct watch *w)
{
	struct buf params;

	ctl_params(ctl, &params);
	ctl_params_targets(&params, w->args, 0);
	if (ctl_queue(ctl, "events.subscribe", &params) < 0)
		return -ENOMEM;
	w->past_id = 0;
	if (w->since >= 0) {
		ask_past(ctl, w, &params);
		w->past_id = ctl_queue(ctl, "events", &params);
		if (w->past_id < 0)
			return -ENOMEM;
	}
	return ctl_conn_flush(&ctl->conn, CTL_QUIET_MS);
}

static int
take_notification(struct ctl *ctl, struct watch *w, const struct ctl_msg *msg)
{
	json_t *event;

	if (!ctl_span_is(msg->method, "event") || msg->body.s == NULL)
		return 0;
	event = ctl_tree(ctl, msg->body);
	if (event == NULL)
		return CTL_NO_ANSWER;
	if (w->past_id != 0)
		json_array_append(w->early, event);
	else
		show(ctl, w, event);
	json_decref(event);
	return 0;
}

static int
take_past(struct ctl *ctl, struct watch *w, const struct ctl_msg *msg)
{
	json_t *event;
	size_t i;
	int r = show_list(ctl, w, msg->body);

	w->past_id = 0;
	json_array_foreach(w->early, i, event) show(ctl, w, event);
	json_array_clear(w->early);
	return r;
}

/* Until the connection ends: -errno; a refusal's exit status; or 0. */
static int
listen_on(struct ctl *ctl, struct watch *w)
{
	struct ctl_msg msg;
	int r = 0;

	while (r == 0) {
		/* Not a flush for each of a burst. */
		if (!ctl_conn_has_line(&ctl->conn))
			fflush(stdout);
		r = ctl_conn_next(&ctl->conn, -1, &msg);
		if (r < 0)
			return r;
		w->last_at = clock_mono();
		if (msg.kind == CTL_MSG_NOTIFY)
			r = take_notification(ctl, w, &msg);
		else if (msg.kind == CTL_MSG_ERROR)
			r = ctl_refused(ctl, msg.body);
		else if (msg.id == w->past_id && w->past_id != 0)
			r = take_past(ctl, w, &msg);
	}
	return r;
}

/* Connects again, for a while without a word. */
static int
reconnect(struct ctl *ctl, struct watch *w)
{
	int64_t deadline = clock_mono() + RECONNECT_S * NS_PER_SEC;
	int r;

	ctl_note(
	    ctl, "the connection to supervisord was lost; connecting again");
	for (;;) {
		r = ctl_conn_open(&ctl->conn, ctl->path, 1000);
		if (r == 0)
			break;
		if (clock_mono() >= deadline || ctl_interrupted())
			return ctl_nobody(ctl, r);
		ctl_wait(-1, 0, STEP_MS);
	}
	/* What happened meanwhile, and a little more: known ones are skipped.
	 */
	w->since = (double)(clock_mono() - w->last_at) / (double)NS_PER_SEC + 5;
	return 0;
}

static int
follow(struct ctl *ctl, struct watch *w)
{
	int r = ctl_connect(ctl);

	w->early = json_array();
	w->last_at = clock_mono();
	while (r == 0) {
		r = subscribe(ctl, w);
		if (r == 0)
			r = listen_on(ctl, w);
		if (r == -EPIPE)
			r = reconnect(ctl, w);
		else if (r < 0)
			r = ctl_interrupted() ? CTL_DONE : ctl_broken(ctl, r);
		else if (r == 0)
			break;
		if (ctl_interrupted())
			break;
	}
	/* The subscription ends with the connection. */
	ctl_conn_close(&ctl->conn);
	json_decref(w->early);
	return r < 0 ? CTL_DONE : r;
}

static int
run_events(struct ctl *ctl, const struct ctl_args *args)
{
	const char *since = ctl_option(args, CTL_OPT_SINCE);
	struct watch w = { .args = args, .since = -1, .last_seq = -1 };
	struct ctl_msg msg;
	struct buf params;
	int64_t ns;
	int r;

	if (since != NULL) {
		if (units_duration(since, &ns) < 0)
			return ctl_fail(ctl, CTL_USAGE,
			    "--since is a duration (90s, 10m, 1h, 2d), not \"%s\"",
			    since);
		w.since = (double)ns / (double)NS_PER_SEC;
	}
	if (ctl_option(args, 'f') != NULL)
		return follow(ctl, &w);
	ask_past(ctl, &w, &params);
	r = ctl_ask(ctl, "events", &params, CTL_READ, &msg);
	if (r != 0)
		return r;
	return ctl->json ? ctl_put_raw(ctl, msg.body)
			 : show_list(ctl, &w, msg.body);
}

const struct ctl_cmd ctl_cmd_events = {
	.name = "events",
	.usage = "[-f] [--since 1h] [TARGET...]",
	.help = "changes of state with their reasons, and who asked for them",
	.more = "Without --since: the last 100; with -f alone: only new ones.\n"
		"With --json and -f: one JSON document a line.",
	.opts = { { 'f', "follow", NULL, "go on with what happens", false },
	    { CTL_OPT_SINCE, "since", "DURATION", "how far back (90s, 1h, 2d)",
		false } },
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_events,
};
