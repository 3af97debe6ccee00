/*
 * A worker that only writes: BYTES to stdout in pieces of CHUNK, lines of 100
 * bytes. Tells BENCH_FIFO when it begins ({monotonic ns, pid}, as tiny.c), so
 * that the start of the process is not counted.
 *
 *     writer BYTES CHUNK
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct record {
	int64_t mono;
	int32_t pid;
	int32_t pad;
};

static void
tell(void)
{
	const char *fifo = getenv("BENCH_FIFO");
	struct record r = { 0 };
	struct timespec t;
	int fd = fifo ? open(fifo, O_WRONLY | O_CLOEXEC) : -1;

	clock_gettime(CLOCK_MONOTONIC, &t);
	r.mono = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
	r.pid = getpid();
	if (fd >= 0 && write(fd, &r, sizeof(r)) > 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	long long left = argc > 2 ? strtoll(argv[1], NULL, 10) : -1;
	size_t chunk = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	char *data;

	if (left < 0 || chunk == 0 || !(data = malloc(chunk))) {
		fputs("usage: writer BYTES CHUNK\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < chunk; i++)
		data[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 26);
	tell();
	while (left > 0) {
		size_t want = (long long)chunk < left ? chunk : (size_t)left;
		ssize_t n = write(STDOUT_FILENO, data, want);

		if (n < 0 && errno != EINTR)
			return 1;
		if (n > 0)
			left -= n;
	}
	return 0;
}
