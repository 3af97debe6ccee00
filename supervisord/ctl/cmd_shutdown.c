/*
 * shutdown: waits until supervisord has ended. The connection lasts until the
 * master has; one that ends while the socket still takes connections was only
 * the master's (it may be restarted at any time), so the wish is told again.
 * The guardian ends behind it.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"
#include "supervisord/ctl/wait.h"

/* --- the guardian --------------------------------------------------------- */

/* What supervisord says its number is; 0: it did not. */
static int
ask_pid(struct ctl *ctl)
{
	struct ctl_msg msg;
	json_t *tree;
	int64_t id;
	int pid = 0;

	id = ctl_conn_queue(&ctl->conn, "pid", "{}");
	if (id < 0 || ctl_conn_flush(&ctl->conn, CTL_QUIET_MS) < 0)
		return 0;
	do {
		if (ctl_conn_next(&ctl->conn, CTL_QUIET_MS, &msg) < 0)
			return 0;
	} while (msg.id != id);
	tree = json_loadb(msg.body.s, msg.body.n, 0, NULL);
	pid = (int)ctl_number(tree, "pid", 0);
	json_decref(tree);
	return pid;
}

/* From within another container the number may be somebody else's. */
static bool
is_supervisord(int pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(name, sizeof name, f) == NULL)
		name[0] = '\0';
	fclose(f);
	return strcmp(name, "supervisord\n") == 0;
}

/* Readable when the guardian has ended; -1 where it can't be seen. */
static int
guardian_fd(struct ctl *ctl)
{
	int pid = ask_pid(ctl);

	return pid > 0 && is_supervisord(pid)
		   ? (int)syscall(SYS_pidfd_open, pid, 0)
		   : -1;
}

/* --- the wish ------------------------------------------------------------- */

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

/* Tells it until nobody takes connections any more: then 0, and *ret_done. */
static int
tell_until_gone(struct ctl *ctl, bool now, int *guardian, bool *ret_done)
{
	struct ctl_span refusal = { NULL, 0 };

	for (;;) {
		int r;

		if (*guardian < 0)
			*guardian = guardian_fd(ctl);
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
	*ret_done = true;
	return 0;
}

static int
run_shutdown(struct ctl *ctl, const struct ctl_args *args)
{
	bool now = ctl_option(args, CTL_OPT_NOW) != NULL, done = false;
	int guardian = -1, r = ctl_connect(ctl);

	if (r != 0)
		return r;
	r = tell_until_gone(ctl, now, &guardian, &done);
	if (done && guardian >= 0 && ctl_wait(guardian, POLLIN, -1) == -EINTR)
		r = ctl_broken(ctl, -EINTR);
	if (guardian >= 0)
		close(guardian);
	if (!done || r != 0)
		return r;
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
