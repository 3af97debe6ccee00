/*
 * Runs a command N times, stdout to /dev/null, and prints the wall clock time
 * of each run in nanoseconds and its exit status: what a user at a shell waits
 * for, without the harness's own interpreter in the way.
 *
 *     timeit N COMMAND [ARG...]
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int
main(int argc, char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status = 0;

	if (argc < 3 || null < 0) {
		fputs("usage: timeit N COMMAND [ARG...]\n", stderr);
		return 2;
	}
	for (long n = strtol(argv[1], NULL, 10); n > 0; n--) {
		int64_t before = now();
		pid_t pid = vfork();

		if (pid == 0) {
			dup2(null, 1);
			execvp(argv[2], argv + 2);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 1;
		printf("%lld %d\n", (long long)(now() - before),
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	}
	return 0;
}
