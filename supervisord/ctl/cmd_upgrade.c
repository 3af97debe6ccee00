/*
 * upgrade: replaces the running supervisord by the one on disk. The connection
 * ends with the old master; the new one answers with another incarnation, or as
 * another of this run's masters: one that lives for milliseconds may not get
 * its incarnation into the state database, and the next one has the same
 * number.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

#define DEADLINE_S 30
#define STEP_MS    20

struct who {
	char version[64];
	char error[256]; /* why the last upgrade failed, "" if it did not */
	double incarnation, masters;
};

static int
read_who(struct ctl *ctl, struct ctl_span body, struct who *ret)
{
	json_t *tree = ctl_tree(ctl, body);

	if (tree == NULL)
		return CTL_NO_ANSWER;
	snprintf(
	    ret->version, sizeof ret->version, "%s", ctl_text(tree, "version"));
	snprintf(ret->error, sizeof ret->error, "%s",
	    ctl_text(tree, "upgrade_error"));
	ret->incarnation = ctl_number(tree, "incarnation", 0);
	ret->masters = ctl_number(tree, "masters", 0);
	json_decref(tree);
	return 0;
}

/* One try, without a word about failure: true if the new one answered, or the
 * old one with what went wrong. */
static bool
try_new(struct ctl *ctl, const struct who *old, struct who *ret)
{
	struct ctl_msg msg;
	struct buf params;

	if (ctl_conn_open(&ctl->conn, ctl->path, 1000) < 0)
		return false;
	ctl_params(ctl, &params);
	if (ctl_queue(ctl, "info", &params) < 0 ||
	    ctl_conn_flush(&ctl->conn, 1000) < 0 ||
	    ctl_conn_next(&ctl->conn, 1000, &msg) < 0 ||
	    msg.kind != CTL_MSG_RESULT)
		return false;
	return read_who(ctl, msg.body, ret) == 0 &&
	       (ret->incarnation != old->incarnation ||
		   ret->masters != old->masters || ret->error[0] != '\0');
}

static int
wait_for_new(struct ctl *ctl, const struct who *old, struct who *ret)
{
	int64_t deadline = clock_mono() + DEADLINE_S * NS_PER_SEC;

	while (!try_new(ctl, old, ret)) {
		if (clock_mono() >= deadline || ctl_interrupted())
			return ctl_fail(ctl, CTL_NO_ANSWER,
			    "the new supervisord has not answered within %d s; its log tells more",
			    DEADLINE_S);
		ctl_wait(-1, 0, STEP_MS);
	}
	if (ret->error[0] != '\0')
		return ctl_fail(ctl, CTL_FAILED, "%s", ret->error);
	return 0;
}

static void
print_result(struct ctl *ctl, const struct who *old, const struct who *new)
{
	struct buf json;

	if (!ctl->json) {
		ctl_put_line(stdout,
		    "upgraded: %s -> %s (incarnation %.0f -> %.0f)",
		    old->version, new->version, old->incarnation,
		    new->incarnation);
		return;
	}
	buf_init(&json);
	jw_object(&json);
	jw_kv_bool(&json, "upgraded", true);
	jw_kv_string(&json, "from", old->version);
	jw_kv_string(&json, "to", new->version);
	jw_kv_int(&json, "incarnation", (int64_t) new->incarnation);
	jw_object_end(&json);
	if (!json.failed)
		puts(buf_text(&json));
	buf_done(&json);
}

static int
run_upgrade(struct ctl *ctl, const struct ctl_args *args)
{
	struct who old, new;
	struct ctl_msg msg;
	struct buf params;
	int r;

	(void)args;
	ctl_params(ctl, &params);
	r = ctl_ask(ctl, "info", &params, CTL_READ, &msg);
	if (r == 0)
		r = read_who(ctl, msg.body, &old);
	if (r != 0)
		return r;
	ctl_params(ctl, &params);
	r = ctl_ask(ctl, "upgrade", &params, CTL_ACT, &msg);
	if (r == 0)
		r = wait_for_new(ctl, &old, &new);
	if (r == 0)
		print_result(ctl, &old, &new);
	return r;
}

const struct ctl_cmd ctl_cmd_upgrade = {
	.name = "upgrade",
	.usage = "",
	.help = "replace the running supervisord by the one on disk",
	.more = "No worker is restarted.",
	.run = run_upgrade,
};
