/* check: validates a config without a daemon, by supervisord --check. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/find.h"

static void
print_json(struct buf *lines, int r)
{
	char *line, *next = lines->data;
	struct buf json;

	buf_init(&json);
	jw_object(&json);
	jw_kv_bool(&json, "valid", r == 0);
	jw_key(&json, "errors");
	jw_array(&json);
	while (r != 0 && (line = strsep(&next, "\n")) != NULL) {
		if (line[0] != '\0')
			jw_string(&json, line);
	}
	jw_array_end(&json);
	jw_object_end(&json);
	if (!json.failed)
		puts(buf_text(&json));
	buf_done(&json);
}

static int
run_check(struct ctl *ctl, const struct ctl_args *args)
{
	static const char check[] = "--check", option[] = "-c";
	const char *file = args->n > 0 ? args->words[0] : ctl->config;
	char *argv[5] = { NULL, strdup(check),
		file != NULL ? strdup(option) : NULL,
		file != NULL ? strdup(file) : NULL, NULL };
	struct buf out;
	int r;

	buf_init(&out);
	r = ctl_run_supervisord(argv, ctl->json ? &out : NULL, ctl->json);
	for (int i = 1; i < 4; i++)
		free(argv[i]);
	if (r < 0)
		r = ctl_fail(ctl, CTL_FAILED,
		    "cannot run supervisord --check: %s: it is looked for beside supervisorctl and in PATH",
		    strerror(-r));
	else if (r >= 128)
		r = ctl_fail(ctl, CTL_FAILED,
		    "supervisord --check was killed by signal %d", r - 128);
	else if (ctl->json)
		print_json(&out, r);
	buf_done(&out);
	return r;
}

const struct ctl_cmd ctl_cmd_check = {
	.name = "check",
	.usage = "[FILE]",
	.help = "validate a config; needs no running supervisord",
	.more =
	    "Without FILE: that of -c, else the one supervisord would take.\n"
	    "Exit status: 2 if it is not valid.",
	.max = 1,
	.words = CTL_WORDS_FILES,
	.run = run_check,
};
