/*
 * stamp FILE: appends "PID NANOSECONDS INSTANCE" (CLOCK_MONOTONIC, at main) to
 * the file or fifo, then waits for a signal.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct timespec now;
	const char *name = getenv("SUPERVISOR_INSTANCE");
	char line[160];
	int fd, n;

	clock_gettime(CLOCK_MONOTONIC, &now);
	fd = open(argc > 1 ? argv[1] : "/dev/stdout",
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	n = snprintf(line, sizeof(line), "%d %lld %s\n", (int)getpid(),
	    (long long)now.tv_sec * 1000000000LL + now.tv_nsec,
	    name != NULL ? name : "?");
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return 1;
	close(fd);
	for (;;)
		pause();
}
