#ifndef GUARDIAN_INIT_INT_H
#define GUARDIAN_INIT_INT_H

/* What the files of init mode share among themselves. */

#include <stdbool.h>
#include <sys/types.h>

enum init_flavour {
	INIT_OWN,
	INIT_TINI,
	INIT_DUMB
};

#define INIT_SIGNALS 65 /* 1..64, as the kernel numbers them */
#define INIT_AS_IS   -1 /* rewrite: forwarded unchanged */

struct init {
	enum init_flavour flavour;
	const char *name; /* in messages: "supervisord", "tini", "dumb-init" */
	int verbosity;    /* 0 errors, 1 warnings, 2 what happens, 3 all */
	bool group;       /* signals go to the command's whole group */
	bool session; /* the command gets a session of its own (dumb-init) */
	bool subreaper;
	bool warn_reaped;
	int parent_death; /* signal to get when the parent dies; 0: none */
	int rewrite[INIT_SIGNALS]; /* INIT_AS_IS, or a signal, or 0: dropped */
	bool to_zero[256];         /* exit statuses that count as 0 */
	char **command;
};

#define INIT_GO_ON -1

/*
 * Reads argv and the environment. INIT_GO_ON, or the status to exit with when
 * all has been said already (help, version, a usage error).
 */
int init_options(struct init *o, int argc, char **argv);

/* Never forwarded unless dumb-init: the mark of a bug in the one who gets it.
 */
bool init_is_fault(int signo);

/*
 * The controlling terminal, as far as it is ours to give: the command runs in
 * a process group of its own and needs to be the foreground one.
 */
struct init_terminal {
	int fd;    /* -1: none */
	pid_t own; /* our group: what it is taken back for */
	bool
	    given; /* the command's group is the foreground one, thanks to us */
};

void init_terminal_find(struct init_terminal *t);
/* Safe between vfork and exec. Does nothing while we are in the background. */
void init_terminal_give(struct init_terminal *t, pid_t group);
void init_terminal_take(struct init_terminal *t);
/*
 * The command was stopped by signo. Stops this process and its group too, so
 * that the shell above sees the whole job stopped; comes back once continued.
 */
void init_terminal_stopped(struct init_terminal *t, pid_t group, int signo);
/* Leaves the terminal for the command's own session (dumb-init). */
void init_terminal_leave(void);

#endif
