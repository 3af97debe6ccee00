/*
 * The interactive shell: every command of the command line, one a line, over
 * one connection. When stdin is no terminal, lines are read from it without a
 * prompt, and the exit status is the worst of theirs.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/edit.h"
#include "supervisord/ctl/find.h"
#include "supervisord/ctl/term.h"

#define MAX_WORDS 4096

/*
 * Splits as a shell would: blanks, quotes, backslashes, a comment. The words
 * stay in `line`. Returns their number, or -EINVAL for an open quote.
 */
int
ctl_split(char *line, char **words, int max)
{
	char *from = line, *to = line;
	int n = 0;

	for (;;) {
		char quote = '\0';

		from += strspn(from, " \t\r\n");
		if (*from == '\0' || *from == '#')
			return n;
		if (n == max)
			return -E2BIG;
		words[n++] = to;
		for (; *from != '\0'; from++) {
			if (quote == '\0' && strchr(" \t\r\n", *from) != NULL)
				break;
			if (*from == quote) {
				quote = '\0';
			} else if (quote == '\0' &&
				   (*from == '"' || *from == '\'')) {
				quote = *from;
			} else {
				if (*from == '\\' && quote != '\'' &&
				    from[1] != '\0')
					from++;
				*to++ = *from;
			}
		}
		if (quote != '\0')
			return -EINVAL;
		if (*from != '\0')
			from++;
		*to++ = '\0';
	}
}

/* One line; *ret_quit is set by quit and exit. */
static int
run_line(struct ctl *ctl, char *line, bool *ret_quit)
{
	char **words = calloc(MAX_WORDS + 1, sizeof *words);
	bool json = ctl->json;
	enum ctl_color color = ctl->color;
	int n, r = CTL_DONE;

	if (words == NULL)
		return ctl_fail(ctl, CTL_FAILED, "out of memory");
	n = ctl_split(line, words, MAX_WORDS);
	if (n < 0)
		r = ctl_fail(ctl, CTL_USAGE,
		    n == -E2BIG ? "too many words" : "a quote is not closed");
	else if (n > 0 && (strcmp(words[0], "quit") == 0 ||
			      strcmp(words[0], "exit") == 0))
		*ret_quit = true;
	else if (n > 0)
		r = ctl_run(ctl, n, words);
	/* Given with one command, they are for it alone. */
	ctl->json = json;
	ctl->color = color;
	free(words);
	return r;
}

static int
read_script(struct ctl *ctl)
{
	bool quit = false;
	char *line = NULL;
	size_t room = 0;
	int worst = CTL_DONE;

	/* A command that reads stdin itself begins right behind its line. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (!quit && getline(&line, &room, stdin) >= 0) {
		int r = run_line(ctl, line, &quit);

		worst = MAX_OF(worst, r);
	}
	free(line);
	return worst;
}

static int
converse(struct ctl *ctl)
{
	bool quit = false;
	char *line;

	/* Ends the command in hand, not the shell. */
	ctl_interrupt_catch();
	/* Completion wants to know it, and would say nothing about trouble. */
	if (ctl->path == NULL)
		ctl_find_socket(ctl);
	ctl_edit_start(ctl);
	while (!quit) {
		ctl_interrupt_reset();
		line = ctl_edit_line("supervisor> ");
		if (line == NULL && ctl_interrupted()) {
			putchar('\n');
			continue;
		}
		if (line == NULL)
			break;
		ctl_interrupt_reset();
		run_line(ctl, line, &quit);
		free(line);
	}
	if (!quit)
		putchar('\n');
	ctl_edit_end();
	return CTL_DONE;
}

int
ctl_shell(struct ctl *ctl)
{
	ctl->in_shell = true;
	if (isatty(STDIN_FILENO))
		return converse(ctl);
	return read_script(ctl);
}
