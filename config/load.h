#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

/*
 * From files to a fleet. A load reads through a `source`: the disk, or a
 * snapshot of an earlier load, so that a master that was restarted runs the
 * config it ran before, whatever has been edited meanwhile.
 */

#include <stdbool.h>
#include <stddef.h>

#include "supervisord/base/buf.h"

struct fleet;

struct load {
	const char *path; /* the top file, absolute */
	bool pid1;        /* PID 1: stdout's default is "inherit" */
	/* NULL: the disk. Else what an earlier load left in `snapshot`. */
	const void *from;
	size_t from_size;
	char **environ; /* what ${NAME} reads and what workers inherit */
};

/*
 * Loads a config. On success 0, *ret_fleet is the caller's (fleet_free), and
 * *snapshot (initialised by the caller, may be NULL) holds everything that was
 * read: every file with its path, the results of globs, environment_files.
 *
 * A config with errors: -EINVAL and every error of it in *errors, one line
 * "FILE:LINE: workers.web.proceses: unknown setting (did you mean ...)\n" each,
 * sorted by file and line. Out of memory: -ENOMEM. The process is never ended
 * and no state is left behind, whatever the input. libconfig itself runs only
 * on text that has been checked for its traps.
 */
int load_fleet(const struct load *load, struct fleet **ret_fleet,
    struct buf *snapshot, struct buf *errors);

/* The file looked up without -c, into out; 0, or -ENOENT. */
int load_default_path(char *out, size_t size);

#endif
