/*
 * From the command line to a command: global options, the table of commands,
 * and the options of each, by one getopt_long for all.
 */

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/base/util.h"
#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/queue.h"
#include "supervisord/ctl/term.h"

#define LATER(word, what)                                                      \
	static const struct ctl_cmd later_##word = {                           \
		.name = #word,                                                 \
		.usage = "...",                                                \
		.help = what " (not supported yet)",                           \
		.max = -1,                                                     \
	}

LATER(tree, "the supervision tree with every process below it");
LATER(top, "live view");
LATER(import, "turn a supervisord.conf or a Procfile into a config");

static const struct ctl_cmd *const commands[] = {
	&ctl_cmd_status,
	&ctl_cmd_start,
	&ctl_cmd_stop,
	&ctl_cmd_restart,
	&ctl_cmd_signal,
	&ctl_cmd_scale,
	&ctl_cmd_why,
	&ctl_cmd_logs,
	&ctl_cmd_events,
	&ctl_cmd_history,
	&ctl_cmd_submit,
	&ctl_cmd_tasks,
	&ctl_cmd_task,
	&ctl_cmd_cancel,
	&ctl_cmd_requeue,
	&ctl_cmd_queue,
	&ctl_cmd_pause,
	&ctl_cmd_resume,
	&ctl_cmd_schedules,
	&ctl_cmd_reload,
	&ctl_cmd_check,
	&ctl_cmd_info,
	&ctl_cmd_pid,
	&ctl_cmd_version,
	&ctl_cmd_upgrade,
	&ctl_cmd_shutdown,
	&ctl_cmd_help,
	&later_tree,
	&later_top,
	&later_import,
};

/* Taken before and after the command. */
static const struct ctl_opt globals[] = {
	{ 'c', "configuration", "FILE",
	    "talk to the supervisord of this config", false },
	{ 's', "socket", "SOCKET", "talk to the supervisord at this socket",
	    false },
	{ CTL_OPT_JSON, "json", NULL, "print the answer as one JSON document",
	    false },
	{ CTL_OPT_COLOR, "color", "WHEN", "auto (a terminal), always or never",
	    false },
	{ 'h', "help", NULL, "print this help", false },
	{ 'V', "version", NULL, "print supervisorctl's own version", false },
};

const struct ctl_opt *
ctl_globals(size_t *ret_n)
{
	*ret_n = N_ELEMENTS(globals);
	return globals;
}

const struct ctl_cmd *const *
ctl_commands(size_t *ret_n)
{
	*ret_n = N_ELEMENTS(commands);
	return commands;
}

const struct ctl_cmd *
ctl_find_command(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

const char *
ctl_option(const struct ctl_args *args, int letter)
{
	for (size_t i = 0; i < CTL_MAX_OPTS; i++) {
		if (args->cmd->opts[i].name != NULL &&
		    args->cmd->opts[i].letter == letter)
			return args->value[i];
	}
	return NULL;
}

int
ctl_fail(struct ctl *ctl, int code, const char *fmt, ...)
{
	char *text = NULL;
	struct buf json;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return code;
	if (ctl->progress_shown)
		fputs("\r\x1b[K", stderr);
	ctl->progress_shown = false;
	ctl_put_line(
	    stderr, "%s%s", ctl->in_shell ? "" : "supervisorctl: ", text);
	if (ctl->json) {
		buf_init(&json);
		jw_object(&json);
		jw_key(&json, "error");
		jw_object(&json);
		jw_kv_int(&json, "code", code);
		jw_kv_string(&json, "message", text);
		jw_object_end(&json);
		jw_object_end(&json);
		if (!json.failed)
			puts(buf_text(&json));
		buf_done(&json);
	}
	free(text);
	return code;
}

void
ctl_note(struct ctl *ctl, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	ctl_put_line(
	    stderr, "%s%s", ctl->in_shell ? "" : "supervisorctl: ", text);
	free(text);
}

/* --- options ----------------------------------------------------------------
 */

#define MAX_LETTERS (2 * (CTL_MAX_OPTS + N_ELEMENTS(globals)) + 3)

struct parser {
	struct option longs[CTL_MAX_OPTS + N_ELEMENTS(globals) + 1];
	char letters[MAX_LETTERS];
	size_t n_longs, n_letters;
};

static void
parser_add(struct parser *p, const struct ctl_opt *opt)
{
	struct option *o = &p->longs[p->n_longs++];

	o->name = opt->name;
	o->has_arg = opt->value != NULL ? required_argument : no_argument;
	o->flag = NULL;
	o->val = opt->letter;
	if (opt->letter < 256) {
		p->letters[p->n_letters++] = (char)opt->letter;
		if (opt->value != NULL)
			p->letters[p->n_letters++] = ':';
	}
}

/* opts may be NULL; mode is "+:" (stop at the first word) or ":" (anywhere). */
static void
parser_init(struct parser *p, const char *mode, const struct ctl_opt *opts)
{
	memset(p, 0, sizeof *p);
	p->n_letters = strlen(mode);
	memcpy(p->letters, mode, p->n_letters);
	for (size_t i = 0; i < CTL_MAX_OPTS && opts != NULL; i++) {
		if (opts[i].name != NULL)
			parser_add(p, &opts[i]);
	}
	for (size_t i = 0; i < N_ELEMENTS(globals); i++)
		parser_add(p, &globals[i]);
}

/* getopt's '?' and ':' in words. */
static int
bad_option(struct ctl *ctl, int c, char **argv, const char *cmd)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";
	char letter[3] = { '-', (char)optopt, '\0' };
	const char *name =
	    strncmp(word, "--", 2) == 0 || optopt == 0 || optopt > 255 ? word
								       : letter;

	if (c == ':')
		return ctl_fail(ctl, CTL_USAGE,
		    "option %s needs a value; see: supervisorctl help%s%s",
		    name, cmd != NULL ? " " : "", cmd != NULL ? cmd : "");
	if (optopt != 0 && optopt != '?' && strncmp(word, "--", 2) == 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "option %s takes no value; see: supervisorctl help%s%s",
		    name, cmd != NULL ? " " : "", cmd != NULL ? cmd : "");
	return ctl_fail(ctl, CTL_USAGE,
	    "unknown option %s; see: supervisorctl help%s%s", name,
	    cmd != NULL ? " " : "", cmd != NULL ? cmd : "");
}

static int
set_color(struct ctl *ctl, const char *when)
{
	static const char *const names[] = {
		[CTL_COLOR_AUTO] = "auto",
		[CTL_COLOR_ALWAYS] = "always",
		[CTL_COLOR_NEVER] = "never",
	};

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (strcmp(when, names[i]) == 0) {
			ctl->color = (enum ctl_color)i;
			return 0;
		}
	}
	return ctl_fail(ctl, CTL_USAGE,
	    "--color is auto, always or never, not \"%s\"", when);
}

static int
set_socket(struct ctl *ctl, int letter, const char *value)
{
	if (ctl->in_shell)
		return ctl_fail(ctl, CTL_USAGE,
		    "-%c belongs on the command line: leave the shell first",
		    letter);
	if (letter == 'c')
		ctl->config = value;
	else
		ctl->socket = value;
	return 0;
}

/* A global option; *ret_asked is set to 'h' or 'V' for those. */
static int
set_global(struct ctl *ctl, int letter, const char *value, int *ret_asked)
{
	switch (letter) {
	case 'c':
	case 's':
		return set_socket(ctl, letter, value);
	case CTL_OPT_JSON:
		ctl->json = true;
		return 0;
	case CTL_OPT_COLOR:
		return set_color(ctl, value);
	default:
		*ret_asked = letter;
		return 0;
	}
}

/* An option of the command itself; -1 if it is a global one. */
static int
set_own(struct ctl *ctl, struct ctl_args *args, int letter, const char *value)
{
	const struct ctl_opt *opts = args->cmd->opts;

	for (size_t i = 0; i < CTL_MAX_OPTS; i++) {
		if (opts[i].name == NULL || opts[i].letter != letter)
			continue;
		if (opts[i].later)
			return ctl_fail(ctl, CTL_USAGE,
			    "%s --%s is not supported yet", args->cmd->name,
			    opts[i].name);
		args->value[i] = value != NULL ? value : "";
		return 0;
	}
	return -1;
}

static int
parse_command(struct ctl *ctl, struct ctl_args *args, int argc, char **argv,
    int *ret_asked)
{
	struct parser p;
	int c, r;

	parser_init(&p, ":", args->cmd->opts);
	opterr = 0;
	optind = 0; /* glibc and musl: start anew */
	while ((c = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(ctl, c, argv, args->cmd->name);
		r = set_own(ctl, args, c, optarg);
		if (r < 0)
			r = set_global(ctl, c, optarg, ret_asked);
		if (r > 0)
			return r;
	}
	args->n = argc - optind;
	args->words = argv + optind;
	return 0;
}

/* --- dispatch ---------------------------------------------------------------
 */

/* The command as it is told to supervisord, for its events. */
static void
remember_command(struct ctl *ctl, int argc, char **argv)
{
	buf_clear(&ctl->command);
	buf_str(&ctl->command, "supervisorctl");
	for (int i = 0; i < argc && ctl->command.size < 500; i++) {
		buf_char(&ctl->command, ' ');
		buf_str(&ctl->command, argv[i]);
	}
	if (ctl->command.size > 500) {
		ctl->command.size = 500;
		buf_str(&ctl->command, "...");
	}
}

static int
check_words(struct ctl *ctl, const struct ctl_args *args)
{
	if (args->n >= args->cmd->min &&
	    (args->cmd->max < 0 || args->n <= args->cmd->max))
		return 0;
	return ctl_fail(ctl, CTL_USAGE, "usage: supervisorctl %s%s%s",
	    args->cmd->name, args->cmd->usage[0] != '\0' ? " " : "",
	    args->cmd->usage);
}

static int
finish_output(struct ctl *ctl, int r)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return r;
	clearerr(stdout);
	return ctl_fail(ctl, r != 0 ? r : CTL_FAILED,
	    "cannot write the output: %s", strerror(errno));
}

int
ctl_run(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_cmd *cmd = ctl_find_command(argv[0]);
	struct ctl_args args = { .cmd = cmd };
	int asked = 0, r;

	if (cmd == NULL)
		return ctl_fail(ctl, CTL_USAGE,
		    "there is no command \"%s\"; see: supervisorctl help",
		    argv[0]);
	if (cmd->run == NULL)
		return ctl_fail(
		    ctl, CTL_USAGE, "%s is not supported yet", cmd->name);
	remember_command(ctl, argc, argv);
	r = parse_command(ctl, &args, argc, argv, &asked);
	if (r == 0 && asked == 'h')
		ctl_help_command(ctl, cmd);
	else if (r == 0 && asked == 'V')
		puts("supervisorctl " VERSION);
	else if (r == 0 && (r = check_words(ctl, &args)) == 0) {
		if (cmd->queue)
			r = ctl_queue_begin(ctl);
		if (r == 0)
			r = cmd->run(ctl, &args);
		ctl_queue_end(ctl);
	}
	return finish_output(ctl, r);
}

static void
ctl_setup(struct ctl *ctl)
{
	memset(ctl, 0, sizeof *ctl);
	ctl_conn_init(&ctl->conn);
	buf_init(&ctl->command);
	ctl->out_tty = isatty(STDOUT_FILENO);
	ctl->err_tty = isatty(STDERR_FILENO);
}

int
ctl_main(int argc, char **argv)
{
	struct ctl ctl;
	struct parser p;
	int c, asked = 0, r = 0;

	ctl_setup(&ctl);
	parser_init(&p, "+:", NULL);
	opterr = 0;
	optind = 0;
	while (r == 0 &&
	       (c = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			r = bad_option(&ctl, c, argv, NULL);
		else
			r = set_global(&ctl, c, optarg, &asked);
	}
	if (r == 0 && asked == 'h')
		ctl_help_all(&ctl);
	else if (r == 0 && asked == 'V')
		puts("supervisorctl " VERSION);
	else if (r == 0 && optind < argc)
		r = ctl_run(&ctl, argc - optind, argv + optind);
	else if (r == 0)
		r = ctl_shell(&ctl);
	r = finish_output(&ctl, r);
	ctl_conn_done(&ctl.conn);
	buf_done(&ctl.command);
	free(ctl.path);
	return r;
}
