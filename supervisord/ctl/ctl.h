#ifndef CTL_CTL_H
#define CTL_CTL_H

/*
 * supervisorctl: sends a command, draws the answer.
 *
 * One command is one file around one const struct ctl_cmd; the table of them
 * (cmd.c) feeds dispatch, help and completion. A command gets its parsed
 * arguments, asks supervisord over ctl->conn (ask.h), prints, and returns the
 * exit status of the program.
 */

#include <stdbool.h>
#include <stddef.h>

#include "supervisord/base/buf.h"
#include "supervisord/ctl/conn.h"
#include "supervisord/ctl/wait.h"

/* Exit statuses; an error's "code" in an answer is one of them. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOT_RUNNING = 3,
	CTL_NO_TARGET = 4,
	CTL_NO_ANSWER = 7,
};

enum ctl_color {
	CTL_COLOR_AUTO,
	CTL_COLOR_ALWAYS,
	CTL_COLOR_NEVER
};

/* Options without a letter of their own. */
enum ctl_long_option {
	CTL_OPT_JSON = 256,
	CTL_OPT_COLOR,
	CTL_OPT_NO_WAIT,
	CTL_OPT_ROLLING,
	CTL_OPT_THREADS,
	CTL_OPT_DRY_RUN,
	CTL_OPT_STDERR,
	CTL_OPT_SINCE,
	CTL_OPT_NOW,
	CTL_OPT_PRIORITY,
	CTL_OPT_DELAY,
	CTL_OPT_TIMEOUT,
	CTL_OPT_RETRIES,
	CTL_OPT_KEY,
	CTL_OPT_LIMIT_KEY,
	CTL_OPT_RESULT_TTL,
	CTL_OPT_THEN,
	CTL_OPT_WAIT,
	CTL_OPT_STATE,
	CTL_OPT_AFTER,
	CTL_OPT_FOR,
	CTL_OPT_RAW,
};

struct ctl_opt {
	int letter;        /* 'f', or one of enum ctl_long_option */
	const char *name;  /* "follow"; NULL ends the list */
	const char *value; /* what its argument is called; NULL: takes none */
	const char *help;
	bool later; /* known, but refused as not supported yet */
};

#define CTL_MAX_OPTS 10

/* What the words after a command are, for completion. */
enum ctl_words {
	CTL_WORDS_NONE,
	CTL_WORDS_TARGETS,
	CTL_WORDS_SIGNAL,   /* a signal, then targets */
	CTL_WORDS_COMMANDS, /* names of commands */
	CTL_WORDS_FILES,
};

struct ctl;
struct ctl_cmd;

struct ctl_args {
	const struct ctl_cmd *cmd;
	int n; /* words that are no options */
	char **words;
	const char *value[CTL_MAX_OPTS]; /* of cmd->opts; "" for a flag */
};

struct ctl_cmd {
	const char *name;
	const char *usage; /* what follows the name: "[-f] TARGET..." */
	const char *help;  /* one line */
	const char *more;  /* further lines of `help NAME`, or NULL */
	struct ctl_opt opts[CTL_MAX_OPTS];
	int min, max; /* number of words; max -1: any */
	enum ctl_words words;
	bool queue; /* asked of the broker itself, at tasks.sock (queue.h) */
	/* NULL: a command of a later version, refused. */
	int (*run)(struct ctl *ctl, const struct ctl_args *args);
};

struct ctl {
	struct ctl_conn conn;
	const char *socket; /* -s */
	const char *config; /* -c */
	char *path;         /* of the control socket, once looked up */
	char *control_path; /* put aside while path is that of tasks.sock */
	bool tasks;         /* the command in hand is about tasks */
	bool json;
	enum ctl_color color;
	bool in_shell;
	bool out_tty, err_tty; /* of the process, whatever --color says */
	bool progress_shown;
	struct buf command; /* "supervisorctl stop web", told to supervisord */
};

/* All commands in the order help shows them; *ret_n of them. */
const struct ctl_cmd *const *ctl_commands(size_t *ret_n);
/* The options taken before and after every command. */
const struct ctl_opt *ctl_globals(size_t *ret_n);
const struct ctl_cmd *ctl_find_command(const char *name);

/* The option's argument ("" for a flag), NULL if it was not given. */
const char *ctl_option(const struct ctl_args *args, int letter);

/*
 * The whole program: global options, then a command or the shell. Returns the
 * exit status. argv is permuted.
 */
int ctl_main(int argc, char **argv);

/* One command: argv[0] is its name. Used for the command line and the shell. */
int ctl_run(struct ctl *ctl, int argc, char **argv);

/* The interactive shell, or commands read line by line from a file. */
int ctl_shell(struct ctl *ctl);

/*
 * Says on stderr what failed, and with --json on stdout as
 * {"error":{"code","message"}}. Returns code.
 */
int ctl_fail(struct ctl *ctl, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A line on stderr, escaped, for what is no failure. */
void ctl_note(struct ctl *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Usage and options of one command, or all there is, to stdout. */
void ctl_help_command(const struct ctl *ctl, const struct ctl_cmd *cmd);
void ctl_help_all(const struct ctl *ctl);

#define CTL_COMMAND(name) extern const struct ctl_cmd ctl_cmd_##name
CTL_COMMAND(status);
CTL_COMMAND(start);
CTL_COMMAND(stop);
CTL_COMMAND(restart);
CTL_COMMAND(signal);
CTL_COMMAND(scale);
CTL_COMMAND(reload);
CTL_COMMAND(check);
CTL_COMMAND(logs);
CTL_COMMAND(events);
CTL_COMMAND(history);
CTL_COMMAND(why);
CTL_COMMAND(info);
CTL_COMMAND(version);
CTL_COMMAND(pid);
CTL_COMMAND(upgrade);
CTL_COMMAND(shutdown);
CTL_COMMAND(submit);
CTL_COMMAND(tasks);
CTL_COMMAND(task);
CTL_COMMAND(cancel);
CTL_COMMAND(requeue);
CTL_COMMAND(pause);
CTL_COMMAND(resume);
CTL_COMMAND(queue);
CTL_COMMAND(schedules);
CTL_COMMAND(help);
#undef CTL_COMMAND

#endif
