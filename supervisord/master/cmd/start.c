/* start, stop, restart: a wish for each target, answered by the outcomes. */

#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/jobs.h"
#include "supervisord/master/targets.h"

typedef void wish(
    struct master *m, struct instance *it, const struct actor *by);

static void
run(struct request *r, wish *each, enum job_goal goal)
{
	struct master *m = r->m;
	struct targets t;
	struct job *job;
	bool wait;

	if (m->phase == PHASE_STOPPING && goal == GOAL_UP) {
		request_fail(r, RPC_FAILED,
		    "supervisord is shutting down: nothing is started any more");
		return;
	}
	if (!param_bool(r, "wait", true, &wait) || !targets_of(r, true, &t))
		return;
	job = job_new(r, t.count, NULL);
	if (job == NULL) {
		targets_done(&t);
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	/* All are in the job before the first moves: an outcome may be
	 * immediate. One that is leaving the config has only one way to go. */
	for (size_t i = 0; i < t.count; i++)
		job_add(job, t.list[i], t.list[i]->doomed ? GOAL_DOWN : goal);
	for (size_t i = 0; i < t.count; i++) {
		if (!t.list[i]->doomed)
			each(m, t.list[i], &r->actor);
	}
	targets_done(&t);
	job_run(m, job, wait);
}

static void
run_start(struct request *r)
{
	run(r, drive_up, GOAL_UP);
}

static void
run_stop(struct request *r)
{
	run(r, drive_down, GOAL_DOWN);
}

static void
run_restart(struct request *r)
{
	bool rolling;

	if (!param_bool(r, "rolling", false, &rolling))
		return;
	if (rolling) {
		request_fail(
		    r, RPC_USAGE, "restart --rolling: not supported yet");
		return;
	}
	run(r, drive_bounce, GOAL_UP);
}

const struct command cmd_start = { "start", MAY_CHANGE, run_start };
const struct command cmd_stop = { "stop", MAY_CHANGE, run_stop };
const struct command cmd_restart = { "restart", MAY_CHANGE, run_restart };
