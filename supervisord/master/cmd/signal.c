/* signal: any signal to each target's process. */

#include <stdio.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/record.h"
#include "supervisord/master/targets.h"

static void
run(struct request *r)
{
	const json_t *number = json_object_get(r->params, "signal");
	const char *word = NULL;
	char name[32], text[64];
	struct targets t;
	size_t failed = 0;
	struct buf b;
	int signo;

	if (json_is_integer(number)) {
		snprintf(text, sizeof text, "%lld",
		    (long long)json_integer_value(number));
		word = text;
	} else if (!param_string(r, "signal", true, &word)) {
		return;
	}
	signo = units_signal(word);
	if (signo < 0) {
		request_fail(r, RPC_USAGE, "no such signal: \"%.40s\"", word);
		return;
	}
	units_signal_name(signo, name, sizeof name);
	if (!targets_of(r, true, &t))
		return;
	buf_init(&b);
	jw_array(&b);
	for (size_t i = 0; i < t.count; i++) {
		struct instance *it = t.list[i];
		bool ok = drive_signal(r->m, it, signo, false);

		failed += !ok;
		if (ok) {
			snprintf(text, sizeof text, "%s sent", name);
			record_event(
			    r->m, it->row->name, "signal", text, &r->actor);
		}
		jw_object(&b);
		jw_kv_string(&b, "name", it->row->name);
		jw_kv_bool(&b, "ok", ok);
		jw_kv_string(
		    &b, "state", life_state_names[it->row->life.state]);
		if (ok)
			jw_kv_int(&b, "pid", it->row->pid);
		else
			jw_kv_null(&b, "pid");
		jw_kv_string(&b, "error", ok ? NULL : "not running");
		jw_object_end(&b);
	}
	jw_array_end(&b);
	if (failed > 0 && failed == t.count) {
		request_fail(r, RPC_NOT_RUNNING, "%s: not running%s",
		    t.list[0]->row->name,
		    t.count > 1 ? ", and no other target either" : "");
		buf_done(&b);
	} else {
		request_reply(r, &b);
	}
	targets_done(&t);
}

const struct command cmd_signal = { "signal", MAY_CHANGE, run };
