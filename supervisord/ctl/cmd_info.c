/* info: supervisord itself. */

#include <stdio.h>
#include <string.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

static void
print_value(struct buf *line, const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		buf_str(line, json_string_value(value));
	} else if (json_is_null(value)) {
		buf_str(line, "-");
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY);
		buf_str(line, text != NULL ? text : "?");
		free(text);
	}
}

static void
print_member(const char *key, const json_t *value)
{
	struct buf line;

	buf_init(&line);
	if (strcmp(key, "store") == 0 && json_is_null(value))
		buf_str(&line, "ok");
	else if (strcmp(key, "started_at") == 0 && json_is_string(value))
		ctl_put_time(&line, json_string_value(value), false);
	else
		print_value(&line, value);
	if (!line.failed)
		ctl_put_line(stdout, "%-12s %s", key, buf_text(&line));
	buf_done(&line);
}

static int
run_info(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree, *value, *note;
	const char *key;
	size_t i;
	int r;

	(void)args;
	ctl_params(ctl, &params);
	r = ctl_ask_tree(ctl, "info", &params, &tree);
	if (tree == NULL)
		return r;
	json_object_foreach(tree, key, value)
	{
		/* What is not there need not be shown, but for the store, where
		 * null is good news. */
		if (strcmp(key, "notes") != 0 &&
		    (!json_is_null(value) || strcmp(key, "store") == 0))
			print_member(key, value);
	}
	json_array_foreach(json_object_get(tree, "notes"), i, note)
	{
		if (json_is_string(note))
			ctl_put_line(
			    stdout, "note         %s", json_string_value(note));
	}
	json_decref(tree);
	return CTL_DONE;
}

const struct ctl_cmd ctl_cmd_info = {
	.name = "info",
	.usage = "",
	.help = "supervisord itself: version, processes, folders, notes",
	.run = run_info,
};
