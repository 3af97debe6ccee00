/* why: in words, why an instance is in its state. */

#include <stdio.h>
#include <string.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

static void
print_text(const char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		n--;
	ctl_put_text(stdout, "", text, n);
}

/* The server's words are whole; this is for one that gave none. */
static void
print_parts(const json_t *one)
{
	const char *reason = ctl_text(one, "reason");

	ctl_put_line(stdout, "%s is %s%s%s", ctl_text(one, "name"),
	    ctl_text(one, "state"), reason[0] != '\0' ? ": " : "", reason);
}

static int
run_why(struct ctl *ctl, const struct ctl_args *args)
{
	struct buf params;
	json_t *tree, *one;
	size_t i;
	int r;

	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	r = ctl_ask_tree(ctl, "why", &params, &tree);
	if (tree == NULL)
		return r;
	json_array_foreach(tree, i, one)
	{
		if (i > 0)
			putchar('\n');
		if (ctl_text(one, "text")[0] != '\0')
			print_text(ctl_text(one, "text"));
		else
			print_parts(one);
	}
	json_decref(tree);
	return CTL_DONE;
}

const struct ctl_cmd ctl_cmd_why = {
	.name = "why",
	.usage = "TARGET...",
	.help = "in words: why it is in its state, last exit, next try",
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_why,
};
