/*
 * spawner PIDFILE [N [deaf]]: has N children (3), each with a child of its
 * own; all append their pids to PIDFILE and wait. With `deaf` the
 * grandchildren ignore TERM.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
say_pid(const char *path)
{
	char line[32];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int n = snprintf(line, sizeof(line), "%d\n", (int)getpid());

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(1);
	close(fd);
}

int
main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 3;

	if (argc < 2)
		return 2;
	for (int i = 0; i < n; i++) {
		if (fork() != 0)
			continue;
		if (fork() == 0) {
			if (argc > 3)
				signal(SIGTERM, SIG_IGN);
		}
		break;
	}
	say_pid(argv[1]);
	for (;;)
		pause();
}
