/* logs: where the targets' output goes. The client reads the files itself. */

#include <limits.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/targets.h"

static const char *
kind_word(enum output_kind kind)
{
	switch (kind) {
	case OUTPUT_FILE:
		return "file";
	case OUTPUT_INHERIT:
		return "inherit";
	case OUTPUT_NULL:
		return "null";
	case OUTPUT_SYSLOG:
		return "syslog";
	case OUTPUT_STDOUT:
		return "stdout";
	}
	return "null";
}

static void
run(struct request *r)
{
	char path[PATH_MAX];
	struct targets t;
	struct buf b;

	if (!targets_of(r, true, &t))
		return;
	buf_init(&b);
	jw_array(&b);
	for (size_t i = 0; i < t.count; i++) {
		const struct instance *it = t.list[i];
		const struct worker *w = it->team->worker;

		jw_object(&b);
		jw_kv_string(&b, "name", it->row->name);
		jw_kv_string(&b, "stdout",
		    streams_path(r->m, it, false, path, sizeof path) ? path
								     : NULL);
		jw_kv_string(&b, "stderr",
		    streams_path(r->m, it, true, path, sizeof path) ? path
								    : NULL);
		jw_kv_string(&b, "kind", kind_word(w->out.kind));
		jw_kv_string(&b, "stderr_kind", kind_word(w->err.kind));
		jw_object_end(&b);
	}
	jw_array_end(&b);
	targets_done(&t);
	request_reply(r, &b);
}

const struct command cmd_logs = { "logs", MAY_LOOK, run };
