#ifndef LOGGER_LAST_H
#define LOGGER_LAST_H

/* The last lines of a log file, and of the one rotated before it. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LAST_MAX 8192

/* A place in a log file, that is found again when the file is rotated once. */
struct last_mark {
	dev_t dev;
	ino_t ino; /* 0: none */
	off_t size;
};

/* Its end; none if it is no file. */
void last_mark(const char *path, struct last_mark *ret);

/*
 * Puts the last lines (at most `lines`, 0: as many as fit) into out, which has
 * LAST_MAX bytes; only what was written after the mark, if it is found. Returns
 * the bytes; *ret_lines how many lines they are.
 */
size_t last_lines(const char *path, uint32_t lines,
    const struct last_mark *since, char *out, uint32_t *ret_lines);

#endif
