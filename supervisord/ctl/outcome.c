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

static void
print_done(const json_t *one, const char *done, bool waited)
{
	const char *name = ctl_text(one, "name");
	const char *state = ctl_text(one, "state");
	double pid = ctl_number(one, "pid", 0);

	/* Not waited for, or ended already: the state says more. */
	if (state[0] != '\0' && strcmp(done, "signalled") != 0 &&
	    (!waited || strcmp(state, "RUNNING") != 0) &&
	    strcmp(state, "STOPPED") != 0)
		done = state;
	if (pid > 0)
		ctl_put_line(stdout, "%s: %s, pid %.0f", name, done, pid);
	else
		ctl_put_line(stdout, "%s: %s", name, done);
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
			if (!ctl->json)
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
	struct ctl_msg msg;
	struct buf params;
	json_t *tree;
	int r;

	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	jw_kv_bool(&params, "wait", wait);
	if (wait && ctl->err_tty && !ctl->json)
		jw_kv_bool(&params, "progress", true);
	r = ctl_ask(ctl, method, &params, wait ? CTL_LONG : CTL_ACT, &msg);
	if (r != 0)
		return r;
	tree = ctl_tree(ctl, msg.body);
	if (tree == NULL)
		return CTL_NO_ANSWER;
	if (ctl->json)
		ctl_put_raw(ctl, msg.body);
	r = ctl_outcome_print(ctl, tree, done, wait);
	json_decref(tree);
	return r;
}
