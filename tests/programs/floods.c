/*
 * floods LINES [EVERY_MS [BYTES]]: writes LINES numbered lines (0: without
 * end) of at least BYTES bytes to stdout, waiting EVERY_MS between two, and
 * "err N" for every hundredth to stderr; then waits for a signal.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	long lines = argc > 1 ? atol(argv[1]) : 0;
	int every = argc > 2 ? atoi(argv[2]) : 0;
	int bytes = argc > 3 ? atoi(argv[3]) : 0;

	if (every > 0)
		setvbuf(stdout, NULL, _IOLBF, 65536);
	for (long i = 0; lines == 0 || i < lines; i++) {
		printf("line %0*ld\n", bytes > 6 ? bytes - 6 : 1, i);
		if (i % 100 == 0)
			fprintf(stderr, "err %ld\n", i);
		if (every > 0)
			poll(NULL, 0, every);
	}
	fflush(stdout);
	for (;;)
		pause();
}
