#ifndef RUNTIME_SPAWN_H
#define RUNTIME_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
	const char *path;
	char *const *argv;
	char *const *envp;
	int in, out;
	/* Set by spawn_start. */
	pid_t pid;
	int pidfd;
};

/*
 * Runs it in a session of its own, with in and out as its standard input and
 * output, and so that it dies with the calling thread. What this costs does not
 * depend on the size of this process. 0 or -errno, exec's included; ret_exec
 * tells whether it was that.
 */
int spawn_start(struct spawn *s, bool *ret_exec);

/*
 * Kills what is left below this process, a subreaper, though it may have left
 * its parents and its session; returns when there is nothing left.
 */
void spawn_end_all(void);

#endif
