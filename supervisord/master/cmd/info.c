/* info, version: what is running here, and what its operator should know. */

#include <string.h>
#include <unistd.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/to_broker.h"

static const char *
phase_word(enum phase phase)
{
	switch (phase) {
	case PHASE_STARTING:
		return "starting";
	case PHASE_RUNNING:
		return "running";
	case PHASE_STOPPING:
		return "stopping";
	}
	return "running";
}

static unsigned
count_running(const struct crew *crew)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i, n = 0;

	CREW_FOREACH(crew, team, tmp, i, it)
	n += it->row->life.state == ST_RUNNING;
	return n;
}

static void
run(struct request *r)
{
	struct master *m = r->m;
	const struct settings *s = &m->fleet->settings;
	const char *health = state_health(m->state);
	const char *tasks = to_broker_health(m);
	struct buf b;

	buf_init(&b);
	jw_object(&b);
	jw_kv_string(&b, "version", VERSION);
	jw_kv_int(&b, "pid", m->hello.guardian_pid);
	jw_kv_int(&b, "master_pid", getpid());
	jw_kv_int(&b, "logger_pid", m->logger_pid);
	if (m->broker_wanted && m->broker_pid > 0)
		jw_kv_int(&b, "broker_pid", m->broker_pid);
	else
		jw_kv_null(&b, "broker_pid");
	jw_kv_int(&b, "incarnation", (int64_t)m->incarnation);
	jw_kv_int(&b, "masters", m->hello.masters);
	jw_kv_string(&b, "config", m->config_path);
	jw_kv_string(
	    &b, "state_dir", s->state_dir != NULL ? s->state_dir : "none");
	jw_kv_string(&b, "run_dir", s->run_dir);
	jw_kv_string(&b, "state", phase_word(m->phase));
	jw_kv_string(&b, "store", health);
	jw_kv_int(&b, "instances", m->crew.count);
	jw_kv_int(&b, "running", count_running(&m->crew));
	jw_kv_time(&b, "started_at", m->hello.started_wall_ms);
	jw_kv_string(&b, "upgrade_error",
	    m->upgrade_error[0] != '\0' ? m->upgrade_error : NULL);
	jw_key(&b, "notes");
	jw_array(&b);
	if (health != NULL)
		jw_string(&b, health);
	if (tasks != NULL)
		jw_string(&b, tasks);
	streams_notes(m, &b);
	jw_array_end(&b);
	jw_object_end(&b);
	request_reply(r, &b);
}

const struct command cmd_info = { "info", MAY_LOOK, run };

static void
run_version(struct request *r)
{
	struct buf b;

	buf_init(&b);
	jw_object(&b);
	jw_kv_string(&b, "version", VERSION);
	jw_object_end(&b);
	request_reply(r, &b);
}

const struct command cmd_version = { "version", MAY_LOOK, run_version };
