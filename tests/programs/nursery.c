/*
 * nursery CONTROL STATUS COMMAND [ARG...]: what the tests run supervisord
 * under, so that nothing of it can outlive a test, however it ends.
 *
 * It is a subreaper: what loses its parent becomes its child, as it would
 * become init's, and is reaped. On descriptor STATUS it writes
 *
 *     started PID
 *     ended exit N | ended signal N    of the command itself
 *     empty                            no descendant is left; then it ends
 *
 * When descriptor CONTROL is closed by the other side (the test is done, or
 * was killed), every descendant is killed with -9.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_fd;

static void
say(const char *words, int number)
{
	char line[64];
	int n = number >= 0
		    ? snprintf(line, sizeof(line), "%s %d\n", words, number)
		    : snprintf(line, sizeof(line), "%s\n", words);

	if (write(status_fd, line, (size_t)n) != n)
		return; /* nobody listens any more */
}

/* Reaps all that has ended; false once there is no child at all. */
static bool
reap(pid_t command)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		if (WIFEXITED(status))
			say("ended exit", WEXITSTATUS(status));
		else
			say("ended signal", WTERMSIG(status));
	}
	return !(pid < 0 && errno == ECHILD);
}

/* Kills the children; theirs become ours and fall in the next round. */
static void
kill_children(void)
{
	DIR *proc = opendir("/proc");

	for (struct dirent *e; proc != NULL && (e = readdir(proc)) != NULL;) {
		char path[300], text[512], *p;
		ssize_t n;
		int fd;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		p = NULL;
		for (char *q = text; *q != '\0';
		     q++) /* the name may hold ')' */
			if (*q == ')')
				p = q;
		if (p != NULL && p[1] != '\0' && p[2] != '\0' &&
		    atoi(p + 4) == (int)getpid())
			kill((pid_t)atoi(e->d_name), SIGKILL);
	}
	if (proc != NULL)
		closedir(proc);
}

static pid_t
start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid == 0) {
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	say("started", (int)pid);
	return pid;
}

int
main(int argc, char **argv)
{
	struct pollfd fds[2];
	sigset_t all, old;
	pid_t command;
	bool closing = false;

	if (argc < 4)
		return 2;
	fds[0].fd = atoi(argv[1]);
	fds[0].events = POLLIN;
	status_fd = atoi(argv[2]);
	fcntl(fds[0].fd, F_SETFD, FD_CLOEXEC);
	fcntl(status_fd, F_SETFD, FD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	fds[1].fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	fds[1].events = POLLIN;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_DFL);
	command = start(argv + 3, &old);

	while (reap(command)) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, closing ? 5 : -1) < 0 && errno != EINTR)
			return 1;
		while (read(fds[1].fd, &info, sizeof(info)) > 0)
			;
		if (fds[0].revents != 0) {
			closing = true;
			fds[0].fd = -1;
		}
		if (closing)
			kill_children();
	}
	say("empty", -1);
	return 0;
}
