/*
 * Stands in for libFuzzer: feeds the files (and all files below the folders)
 * named as arguments to a fuzz target, one after the other. A crash is the
 * failure; the name of the file in hand is on stderr with -v.
 */

#include <errno.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* The data is handed over in a block of its exact size, so that a sanitizer
 * sees the first byte read too far. */
static int
replay(const char *path)
{
	FILE *f = fopen(path, "re");
	char *all = NULL;
	size_t size = 0, n;
	char chunk[65536];
	uint8_t *exact;

	if (f == NULL)
		return -errno;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
		char *more = realloc(all, size + n);

		if (more == NULL)
			abort();
		all = more;
		memcpy(all + size, chunk, n);
		size += n;
	}
	fclose(f);
	exact = malloc(size > 0 ? size : 1);
	if (exact == NULL)
		abort();
	if (size > 0)
		memcpy(exact, all, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	free(all);
	return 0;
}

int
main(int argc, char **argv)
{
	unsigned played = 0, failed = 0;
	int verbose = 0;
	FTS *fts;
	FTSENT *e;

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 1 && strcmp(argv[1], "-v") == 0)
		verbose = 1;
	if (argv[1 + verbose] == NULL) {
		fprintf(stderr, "usage: %s [-v] FILE|FOLDER...\n", argv[0]);
		return 2;
	}
	fts = fts_open(argv + 1 + verbose, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	while (fts != NULL && (e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_D || e->fts_info == FTS_DP)
			continue;
		if (verbose)
			fprintf(stderr, "%s\n", e->fts_path);
		if (e->fts_info != FTS_F || replay(e->fts_path) < 0) {
			fprintf(stderr, "%s: cannot be read\n", e->fts_path);
			failed++;
		} else {
			played++;
		}
	}
	if (fts != NULL)
		fts_close(fts);
	printf("%u inputs replayed\n", played);
	return failed > 0 || played == 0;
}
