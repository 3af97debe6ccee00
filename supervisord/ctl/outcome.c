#include "supervisord/ctl/outcome.h"

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

static void
print_failed(const json_t *one)
{
	const char *error = ctl_text(one, "error");
	const char *state = ctl_text(one, "state");

	if (error[0] == '\0')
		error = "failed, supervisord gave no reason";
	if (state[0] == '\0')
		ctl_put_line(stderr, "%s: %s", ctl_text(one, "name"), error);
	else
		ctl_put_line(
		    stderr, "%s: %s: %s", ctl_text(one, "name"), state, error);
}

/* What was done in words, given the state it led to. */
static void
put_done(struct buf *out, const char *done, const char *state, bool waited)
{
	bool stop = strcmp(done, "stopped") == 0;
	bool down = strcmp(state, "EXITED") == 0 || strcmp(state, "FATAL") == 0;

	if (strcmp(done, "signalled") == 0 || state[0] == '\0')
		buf_str(out, done);
	else if (stop && down)
		buf_fmt(out, "not running (%s)", state);
	else if (waited && down)
		buf_fmt(out, "%s, %s meanwhile", done, state);
	else if (waited)
		buf_str(out, done);
	else
		buf_str(out, state);
}

static void
print_done(const json_t *one, const char *done, bool waited)
{
	double pid = ctl_number(one, "pid", 0);
	struct buf line;

	buf_init(&line);
	buf_fmt(&line, "%s: ", ctl_text(one, "name"));
	put_done(&line, done, ctl_text(one, "state"), waited);
	if (pid > 0)
		buf_fmt(&line, ", pid %.0f", pid);
	if (!line.failed)
		ctl_put_line(stdout, "%s", buf_text(&line));
	buf_done(&line);
}

int
ctl_outcome_print(
    struct ctl *ctl, const json_t *list, const char *done, bool waited)
{
	const char *failed_name = NULL;
	size_t i, failed = 0;
	json_t *one;

	if (!json_is_array(list))
		return ctl_malformed(ctl, "no list of instances");
	json_array_foreach(list, i, one)
	{
		if (json_is_true(json_object_get(one, "ok"))) {
			if (!ctl->json && done != NULL)
				print_done(one, done, waited);
			continue;
		}
		if (failed++ == 0)
			failed_name = ctl_text(one, "name");
		print_failed(one);
	}
	if (failed == 0)
		return CTL_DONE;
	ctl_note(ctl, "%zu of %zu failed; more: supervisorctl why %s", failed,
	    json_array_size(list), failed_name);
	return CTL_FAILED;
}

int
ctl_outcome_ask(struct ctl *ctl, const struct ctl_args *args,
    const char *method, const char *done)
{
	bool wait = ctl_option(args, CTL_OPT_NO_WAIT) == NULL;
	struct buf params;
	json_t *tree;
	int r;

	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	jw_kv_bool(&params, "wait", wait);
	if (wait && ctl->err_tty && !ctl->json)
		jw_kv_bool(&params, "progress", true);
	r = ctl_do_tree(ctl, method, &params, wait ? CTL_LONG : CTL_ACT, &tree);
	if (tree == NULL)
		return r;
	r = ctl_outcome_print(ctl, tree, done, wait);
	json_decref(tree);
	return r;
}
