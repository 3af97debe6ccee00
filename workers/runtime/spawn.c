#include "workers/runtime/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/log.h"

#define CHILD_STACK (32U << 10)

struct order {
	struct spawn *spawn;
	pid_t parent;
	volatile int error;
};

/*
 * Runs on memory the parent waits to have back (vfork's way): calls the kernel
 * and changes nothing but order->error.
 */
static int
child(void *arg)
{
	struct order *o = arg;
	struct spawn *s = o->spawn;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != o->parent)
		_exit(127);
	if (setpgid(0, 0) < 0 || dup2(s->in, STDIN_FILENO) < 0 ||
	    dup2(s->out, STDOUT_FILENO) < 0) {
		o->error = errno;
		_exit(127);
	}
	execve(s->path, s->argv, s->envp);
	o->error = errno;
	_exit(127);
}

int
spawn_start(struct spawn *s, bool *ret_exec)
{
	static _Alignas(64) char stack[CHILD_STACK];
	struct order o = { .spawn = s, .parent = getpid() };

	*ret_exec = false;
	s->pidfd = -1;
	s->pid = clone(child, stack + sizeof stack,
	    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &o, &s->pidfd);
	if (s->pid < 0)
		return -errno;
	if (o.error == 0)
		return 0;
	*ret_exec = true;
	(void)waitpid(s->pid, NULL, 0);
	close(s->pidfd);
	return -o.error;
}

/* The children of one thread of this process; how many could be signalled. */
static unsigned
kill_children(const char *tid)
{
	char path[64];
	unsigned killed = 0;
	long pid;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%.16s/children", tid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fscanf(f, "%ld", &pid) == 1) {
		if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0)
			killed++;
	}
	fclose(f);
	return killed;
}

static unsigned
kill_all(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned killed = 0;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			killed += kill_children(e->d_name);
	}
	if (d != NULL)
		closedir(d);
	return killed;
}

void
spawn_end_all(void)
{
	for (;;) {
		siginfo_t info = { 0 };

		/* Nearly always there is none: one call tells. */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) < 0)
			return;
		if (info.si_pid != 0)
			continue;
		if (kill_all() == 0) {
			log_warn("processes the command has left cannot be "
				 "killed");
			return;
		}
		(void)waitid(P_ALL, 0, &info, WEXITED | __WALL);
	}
}
