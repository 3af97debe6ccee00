/* pid: supervisord's own, or the instances'. */

#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/targets.h"

static void
run(struct request *r)
{
	struct targets t;
	struct buf b;

	buf_init(&b);
	if (json_array_size(json_object_get(r->params, "targets")) == 0) {
		jw_object(&b);
		jw_kv_int(&b, "pid", r->m->hello.guardian_pid);
		jw_object_end(&b);
		request_reply(r, &b);
		return;
	}
	if (!targets_of(r, true, &t))
		return;
	jw_array(&b);
	for (size_t i = 0; i < t.count; i++) {
		const struct memory_row *row = t.list[i]->row;

		jw_object(&b);
		jw_kv_string(&b, "name", row->name);
		if (row->life.alive)
			jw_kv_int(&b, "pid", row->pid);
		else
			jw_kv_null(&b, "pid");
		jw_object_end(&b);
	}
	jw_array_end(&b);
	targets_done(&t);
	request_reply(r, &b);
}

const struct command cmd_pid = { "pid", MAY_LOOK, run };
