#include "supervisord/ctl/edit.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/util.h"

#define HISTORY_LINES 1000
#define CTRL_D        4

typedef char **completion_fn(const char *, int, int);

/* What is used of libedit (editline/readline.h). */
static struct {
	void *lib;
	char *(*readline)(const char *);
	int (*add_history)(const char *);
	int (*read_history)(const char *);
	int (*write_history)(const char *);
	int (*stifle_history)(int);
	completion_fn **attempted_completion;
	int *attempted_over;
	char **line_buffer;
	int *append_character;
	int (**getc)(FILE *);
} edit;

static struct ctl *shell; /* whose targets are completed */
static char *history_path;
static char *last_line;
static bool first_byte; /* of a line is still to come */

static bool
load(void)
{
	static const struct {
		const char *name;
		void *to;
	} symbols[] = {
		{ "readline", &edit.readline },
		{ "add_history", &edit.add_history },
		{ "read_history", &edit.read_history },
		{ "write_history", &edit.write_history },
		{ "stifle_history", &edit.stifle_history },
		{ "rl_attempted_completion_function",
		    &edit.attempted_completion },
		{ "rl_attempted_completion_over", &edit.attempted_over },
		{ "rl_line_buffer", &edit.line_buffer },
		{ "rl_completion_append_character", &edit.append_character },
		{ "rl_getc_function", &edit.getc },
	};

	edit.lib = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
	if (edit.lib == NULL)
		return false;
	for (size_t i = 0; i < N_ELEMENTS(symbols); i++) {
		void *symbol = dlsym(edit.lib, symbols[i].name);

		if (symbol == NULL) {
			dlclose(edit.lib);
			edit.lib = NULL;
			return false;
		}
		memcpy(symbols[i].to, &symbol, sizeof symbol);
	}
	return true;
}

/* The longest beginning that all of them share, first in the answer. */
static char *
common_beginning(char **all, size_t n)
{
	size_t same = strlen(all[0]);

	for (size_t i = 1; i < n; i++) {
		size_t k = 0;

		while (k < same && all[i][k] == all[0][k])
			k++;
		same = k;
	}
	return strndup(all[0], same);
}

static char **
complete(const char *text, int start, int end)
{
	char **found, **answer;
	size_t n = 0;

	(void)end;
	*edit.attempted_over = 1; /* no file names */
	found = ctl_complete(shell, *edit.line_buffer, (size_t)start, text);
	if (found == NULL)
		return NULL;
	while (found[n] != NULL)
		n++;
	answer = calloc(n + 2, sizeof *answer);
	if (answer != NULL && n > 0)
		answer[0] = common_beginning(found, n);
	if (answer == NULL || answer[0] == NULL) {
		while (n > 0)
			free(found[--n]);
		free(found);
		free(answer);
		return NULL;
	}
	memcpy(answer + 1, found, n * sizeof *found);
	free(found);
	/* A worker may go on as an instance: no blank behind its name. */
	*edit.append_character = ' ';
	return answer;
}

/*
 * A byte of the terminal. An interrupt that comes before the read is not lost:
 * it ends the line as well. libedit shows its prompt a moment before it makes
 * the terminal raw: a ^D typed in between reaches us as the NUL by which the
 * kernel marks the end of a line (n_tty), which libedit would take for "quote
 * the next".
 */
static int
read_byte(FILE *in)
{
	unsigned char byte;

	if (ctl_wait(fileno(in), POLLIN, -1) < 0 ||
	    read(fileno(in), &byte, 1) != 1)
		return EOF;
	if (byte == '\0' && first_byte)
		byte = CTRL_D;
	first_byte = false;
	return byte;
}

static void
find_history(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *dir = NULL;

	if (state != NULL && state[0] == '/') {
		if (asprintf(&dir, "%s/supervisord", state) < 0)
			return;
		mkdir(state, 0700);
		mkdir(dir, 0700);
		if (asprintf(&history_path, "%s/history", dir) < 0)
			history_path = NULL;
		free(dir);
	} else if (home != NULL && home[0] == '/' &&
		   asprintf(&history_path, "%s/.supervisorctl_history", home) <
		       0) {
		history_path = NULL;
	}
}

void
ctl_edit_start(struct ctl *ctl)
{
	shell = ctl;
	if (!load())
		return;
	*edit.attempted_completion = complete;
	*edit.getc = read_byte;
	edit.stifle_history(HISTORY_LINES);
	find_history();
	if (history_path != NULL)
		edit.read_history(history_path);
}

static char *
plain_line(const char *prompt)
{
	char *line = NULL;
	size_t room = 0;

	fputs(prompt, stdout);
	fflush(stdout);
	if (getline(&line, &room, stdin) < 0) {
		free(line);
		clearerr(stdin);
		return NULL;
	}
	line[strcspn(line, "\n")] = '\0';
	return line;
}

char *
ctl_edit_line(const char *prompt)
{
	char *line;

	fflush(stdout);
	if (edit.lib == NULL)
		return plain_line(prompt);
	first_byte = true;
	line = edit.readline(prompt);
	if (line != NULL && line[strspn(line, " \t")] != '\0' &&
	    (last_line == NULL || strcmp(last_line, line) != 0)) {
		edit.add_history(line);
		free(last_line);
		last_line = strdup(line);
	}
	return line;
}

void
ctl_edit_end(void)
{
	mode_t mask = umask(0077);

	if (edit.lib != NULL && history_path != NULL)
		edit.write_history(history_path);
	umask(mask);
	free(history_path);
	free(last_line);
	history_path = last_line = NULL;
}
