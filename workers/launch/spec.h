#ifndef LAUNCH_SPEC_H
#define LAUNCH_SPEC_H

/* Reads one launch spec out of a book that nobody has to trust. */

#include "workers/launch/launch.h"

struct spec {
	char **argv;
	char **envp;
	char *program;         /* PATH_ROOM bytes to build a path in */
	const char *directory; /* NULL: stay */
	const char *path;      /* NULL: argv[0] is not searched for */
	uint32_t umask;        /* or BOOK_NO_UMASK */
};

#define PATH_ROOM 4096

/* Everything in *ret lies in the book or in scratch. 0, -EPROTO or -E2BIG. */
int spec_read(const struct launch_order *order, struct spec *ret);

#endif
