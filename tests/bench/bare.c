/*
 * The limit to come close to: the least code that starts N processes and
 * starts each again when it ends.
 *
 *     bare N PROGRAM [ARG...]
 *
 * Every child gets a session of its own, a clean signal mask and /dev/null for
 * stdin, stdout and stderr, as under a supervisor. Nothing else is kept, not
 * even which one ended. It reaps the pid its SIGCHLD names and looks for others
 * (signals merge) afterwards: one waitpid(-1) walks all children, which with
 * 10,000 of them takes longer than the restart itself.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void
start(char **argv, int null, const sigset_t *mask)
{
	pid_t pid = vfork();

	if (pid == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, mask, NULL);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execve(argv[0], argv, environ);
		_exit(127);
	}
	if (pid < 0) {
		perror("bare: vfork");
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t chld, mask;
	siginfo_t info;
	long n;

	if (argc < 3 || null < 0) {
		fputs("usage: bare N PROGRAM [ARG...]\n", stderr);
		return 2;
	}
	n = strtol(argv[1], NULL, 10);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask);
	for (long i = 0; i < n; i++)
		start(argv + 2, null, &mask);
	for (;;) {
		int signo = sigwaitinfo(&chld, &info);

		if (signo == SIGCHLD && waitpid(info.si_pid, NULL, WNOHANG) > 0)
			start(argv + 2, null, &mask);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			start(argv + 2, null, &mask);
	}
}
