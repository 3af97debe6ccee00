/*
 * forks-away PIDFILE [stay] [deaf] [bare]: a daemon of the old school, forked
 * twice and in a session of its own, that has closed what it inherited. It
 * appends its pid to PIDFILE before the first process goes on.
 *
 * stay  the first process stays in front (else it ends with 0)
 * deaf  the daemon ignores TERM
 * bare  the daemon runs with an empty environment, as `env -i` would leave it
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Closed by the daemon when it has written its pid. */
#define UP_FD 100

static bool stay, deaf, bare;

static void
write_pid(const char *path)
{
	char line[32];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int n = snprintf(line, sizeof(line), "%d\n", (int)getpid());

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(1);
	close(fd);
}

static void
be_daemon(char **argv)
{
	static char *no_environ[] = { NULL };
	static char word[] = "--daemon";
	char *args[] = { argv[0], argv[1], word, NULL };

	if (deaf)
		signal(SIGTERM, SIG_IGN);
	for (int fd = 0; fd < 64; fd++)
		close(fd);
	if (bare) {
		execve("/proc/self/exe", args, no_environ);
		_exit(1);
	}
	write_pid(argv[1]);
	close(UP_FD);
	for (;;)
		pause();
}

int
main(int argc, char **argv)
{
	struct pollfd up;
	int ends[2];
	pid_t pid;

	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++) {
		stay = stay || strcmp(argv[i], "stay") == 0;
		deaf = deaf || strcmp(argv[i], "deaf") == 0;
		bare = bare || strcmp(argv[i], "bare") == 0;
	}
	if (argc == 3 && strcmp(argv[2], "--daemon") == 0)
		be_daemon(argv); /* after the exec of `bare` */

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		dup2(ends[1], UP_FD);
		setsid();
		pid = fork();
		if (pid == 0)
			be_daemon(argv);
		_exit(pid < 0);
	}
	close(ends[1]);
	waitpid(pid, NULL, 0);
	up.fd = ends[0];
	up.events = POLLIN;
	poll(&up, 1, -1);
	while (stay)
		pause();
	return 0;
}
