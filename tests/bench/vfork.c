/*
 * The limit of tasks that are a run of a command each: PARALLEL processes, each
 * of which starts the program and waits for its end, over and over.
 *
 *     vfork plain TOTAL PARALLEL PROGRAM [ARG...]
 *         with /dev/null as standard input and output
 *     vfork pipes TOTAL PARALLEL PROGRAM [ARG...]
 *         100 bytes go in and its output comes back, over two pipes
 *
 * Prints how many a second.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 100

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static pid_t
start(char **argv, int in, int out)
{
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(in, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		execve(argv[0], argv, environ);
		_exit(127);
	}
	if (pid < 0)
		die("vfork");
	return pid;
}

static void
finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fputs("vfork: the program has failed\n", stderr);
		exit(1);
	}
}

static void
with_pipes(char **argv)
{
	char payload[PAYLOAD], back[4096];
	int in[2], out[2];
	size_t got = 0;
	ssize_t n;
	pid_t pid;

	memset(payload, 'x', sizeof payload);
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe2");
	if (write(in[1], payload, sizeof payload) != sizeof payload)
		die("write");
	close(in[1]);
	pid = start(argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	while ((n = read(out[0], back + got, sizeof back - got)) > 0)
		got += (size_t)n;
	close(out[0]);
	finish(pid);
	if (got != sizeof payload) {
		fprintf(stderr, "vfork: %zu bytes have come back\n", got);
		exit(1);
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status;
	long total, parallel;
	double began;

	if (argc < 5 || null < 0) {
		fputs("usage: vfork plain|pipes TOTAL PARALLEL PROGRAM "
		      "[ARG...]\n",
		    stderr);
		return 2;
	}
	total = strtol(argv[2], NULL, 10);
	parallel = strtol(argv[3], NULL, 10);
	began = now();
	for (long i = 0; i < parallel; i++) {
		if (fork() != 0)
			continue;
		for (long k = i; k < total; k += parallel) {
			if (strcmp(argv[1], "pipes") == 0)
				with_pipes(argv + 4);
			else
				finish(start(argv + 4, null, null));
		}
		_exit(0);
	}
	for (long i = 0; i < parallel; i++) {
		if (wait(&status) < 0 || status != 0)
			return 1;
	}
	printf("%.0f\n", (double)total / (now() - began));
	return 0;
}
