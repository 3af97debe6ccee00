/* upgrade: the guardian becomes the program on disk, and starts a new master.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/record.h"

/* What /proc says once the file has been replaced. */
#define DELETED " (deleted)"

/* The program that will be run; "" if it can't be told. */
static void
program_path(const struct master *m, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/%u/exe", m->hello.guardian_pid);
	n = readlink(link, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	if (n > (ssize_t)strlen(DELETED) &&
	    strcmp(out + n - strlen(DELETED), DELETED) == 0)
		out[(size_t)n - strlen(DELETED)] = '\0';
}

static void
run(struct request *r)
{
	struct master *m = r->m;
	char path[PATH_MAX];
	struct buf b;

	if (m->phase != PHASE_RUNNING) {
		request_fail(r, RPC_FAILED, "supervisord is shutting down");
		return;
	}
	program_path(m, path, sizeof path);
	if (path[0] != '\0' && access(path, X_OK) < 0) {
		request_fail(r, RPC_FAILED,
		    "can't upgrade: %s: %s; put the new program there first",
		    path, strerror(errno));
		return;
	}
	m->upgrade_error[0] = '\0';
	log_info("upgrading to %s", path);
	record_event(m, NULL, "upgrade", path, &r->actor);
	buf_init(&b);
	jw_object(&b);
	jw_kv_bool(&b, "upgrading", true);
	jw_kv_int(&b, "incarnation", (int64_t)m->incarnation);
	jw_object_end(&b);
	request_reply(r, &b);
	peer_send(&m->guardian, MSG_UPGRADE, NULL, NULL, 0, -1);
}

const struct command cmd_upgrade = { "upgrade", MAY_CHANGE, run };
