/*
 * shutdown: waits until supervisord has ended. The connection lasts until then;
 * one that ends while the socket still takes connections was only the master's
 * (it may be restarted at any time), so the wish is told again.
 */

#include <errno.h>
#include <stdio.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

/* Until the connection ends: -EPIPE, or another -errno. */
static int
wait_for_end(struct ctl *ctl, struct ctl_span *refusal)
{
	struct ctl_msg msg;
	int r;

	for (;;) {
		r = ctl_conn_next(&ctl->conn, -1, &msg);
		if (r < 0)
			return r;
		if (msg.kind == CTL_MSG_NOTIFY) {
			ctl_progress(ctl, &msg);
		} else if (msg.kind == CTL_MSG_ERROR) {
			*refusal = msg.body;
			return 0;
		}
	}
}

static int
tell_and_wait(struct ctl *ctl, bool now, struct ctl_span *refusal)
{
	struct buf params;
	int r;

	ctl_params(ctl, &params);
	if (now)
		jw_kv_bool(&params, "now", true);
	if (ctl_queue(ctl, "shutdown", &params) < 0)
		return -ENOMEM;
	r = ctl_conn_flush(&ctl->conn, CTL_QUIET_MS);
	return r < 0 ? r : wait_for_end(ctl, refusal);
}

static int
run_shutdown(struct ctl *ctl, const struct ctl_args *args)
{
	bool now = ctl_option(args, CTL_OPT_NOW) != NULL;
	struct ctl_span refusal = { NULL, 0 };
	int r = ctl_connect(ctl);

	if (r != 0)
		return r;
	for (;;) {
		r = tell_and_wait(ctl, now, &refusal);
		if (r == 0)
			return ctl_refused(ctl, refusal);
		if (r != -EPIPE)
			return ctl_broken(ctl, r);
		/* While it is on its way out a connection may still be taken
		 * and ended; each round waits for that, none spins. */
		r = ctl_conn_open(&ctl->conn, ctl->path, 1000);
		if (r == -ECONNREFUSED || r == -ENOENT)
			break;
		if (r < 0 && r != -EAGAIN)
			return ctl_nobody(ctl, r);
		ctl_wait(-1, 0, 5);
	}
	ctl_progress_end(ctl);
	puts(ctl->json ? "{\"stopped\":true}" : "supervisord has ended");
	return CTL_DONE;
}

const struct ctl_cmd ctl_cmd_shutdown = {
	.name = "shutdown",
	.usage = "[--now]",
	.help = "stop all instances in order, then supervisord; waits for it",
	.opts = { { CTL_OPT_NOW, "now", NULL,
	    "kill what runs instead of asking it to stop", false } },
	.run = run_shutdown,
};
