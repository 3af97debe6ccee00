/* scale: another number of instances, until a reload says otherwise. */

#include <stdlib.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/jobs.h"
#include "supervisord/master/teams.h"

struct own {
	char worker[PROTO_NAME];
	unsigned from, to;
};

static void
finish(struct job *job, struct buf *b)
{
	const struct own *own = job_request(job)->own;

	jw_object(b);
	jw_kv_string(b, "worker", own->worker);
	jw_kv_int(b, "from", own->from);
	jw_kv_int(b, "to", own->to);
	jw_key(b, "instances");
	job_outcomes(job, b);
	jw_object_end(b);
}

static void
run(struct request *r)
{
	struct master *m = r->m;
	const char *worker;
	struct team *team;
	struct own *own;
	struct job *job;
	int64_t count;
	bool wait;

	if (!param_string(r, "worker", true, &worker) ||
	    !param_int(r, "count", -1, 0, FLEET_INSTANCES, &count) ||
	    !param_bool(r, "wait", true, &wait))
		return;
	team = crew_team(&m->crew, worker);
	if (team == NULL || team->doomed) {
		request_fail(
		    r, RPC_NO_TARGET, "no such worker: \"%.100s\"", worker);
		return;
	}
	if (count < 0) {
		request_fail(r, RPC_PARAMS, "\"count\" is missing: how many?");
		return;
	}
	if (m->phase == PHASE_STOPPING) {
		request_fail(r, RPC_FAILED, "supervisord is shutting down");
		return;
	}
	if (!team_may_scale(m, team, (unsigned)count)) {
		request_fail(r, RPC_FAILED,
		    "%lld instances of %s would make more than %d in all",
		    (long long)count, worker, FLEET_INSTANCES);
		return;
	}
	own = r->own = calloc(1, sizeof *own);
	job = job_new(r, team->members + (size_t)count, finish);
	if (own == NULL || job == NULL) {
		free(job);
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	memcpy(own->worker, team->name, sizeof own->worker);
	own->from = team->wanted;
	own->to = (unsigned)count;
	team_scale(m, team, (unsigned)count, &r->actor, job);
	job_run(m, job, wait);
}

const struct command cmd_scale = { "scale", MAY_CHANGE, run };
