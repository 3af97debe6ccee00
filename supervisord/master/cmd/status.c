/* status: every instance's state, from memory. */

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/targets.h"

static void
put_uptime(struct buf *b, const struct memory_row *row, int64_t now)
{
	if (row->life.alive)
		jw_seconds(b, now - row->started_mono);
	else
		jw_null(b);
}

static void
put_pid(struct buf *b, const struct memory_row *row)
{
	if (row->life.alive)
		jw_int(b, row->pid);
	else
		jw_null(b);
}

/* [name, state, pid, uptime, restarts, reason]: a third of the full form. */
static void
put_columns(struct buf *b, const struct instance *it, int64_t now)
{
	const struct memory_row *row = it->row;
	char reason[EXIT_WORDS + 128];

	jw_array(b);
	jw_string(b, row->name);
	jw_string(b, life_state_names[row->life.state]);
	put_pid(b, row);
	put_uptime(b, row, now);
	jw_int(b, (int64_t)row->life.restarts);
	if (row->life.state == ST_RUNNING)
		jw_null(b);
	else
		jw_string(b, instance_reason(it, reason, sizeof reason));
	jw_array_end(b);
}

static void
put_full(struct buf *b, const struct instance *it, int64_t now)
{
	const struct memory_row *row = it->row;
	char reason[EXIT_WORDS + 128];

	jw_object(b);
	jw_kv_string(b, "name", row->name);
	jw_kv_string(b, "worker", it->team->name);
	jw_kv_int(b, "index", row->index);
	jw_kv_null(b, "group");
	jw_kv_string(b, "state", life_state_names[row->life.state]);
	jw_kv_int(b, "statecode", life_state_codes[row->life.state]);
	jw_key(b, "pid");
	put_pid(b, row);
	jw_key(b, "uptime");
	put_uptime(b, row, now);
	if (row->started_ms != 0)
		jw_kv_time(b, "started_at", row->started_ms);
	else
		jw_kv_null(b, "started_at");
	jw_kv_int(b, "restarts", (int64_t)row->life.restarts);
	jw_kv_bool(b, "ready", row->life.state == ST_RUNNING);
	jw_kv_null(b, "healthy");
	jw_kv_bool(b, "adopted", row->adopted);
	jw_key(b, "exit");
	exit_json(b, &row->exit);
	jw_kv_string(b, "reason", instance_reason(it, reason, sizeof reason));
	if (it->team->worker->hybrid)
		jw_kv_int(b, "threads", it->team->worker->threads);
	jw_object_end(b);
}

static void
run(struct request *r)
{
	struct targets t;
	struct buf b;
	bool columns, threads;
	int64_t now = clock_mono();

	if (!param_bool(r, "columns", false, &columns) ||
	    !param_bool(r, "threads", false, &threads))
		return;
	if (threads) {
		request_fail(
		    r, RPC_USAGE, "status --threads: not supported yet");
		return;
	}
	if (!targets_of(r, false, &t))
		return;
	buf_init(&b);
	jw_array(&b);
	for (size_t i = 0; i < t.count; i++) {
		if (columns)
			put_columns(&b, t.list[i], now);
		else
			put_full(&b, t.list[i], now);
	}
	jw_array_end(&b);
	targets_done(&t);
	request_reply(r, &b);
}

const struct command cmd_status = { "status", MAY_LOOK, run };
