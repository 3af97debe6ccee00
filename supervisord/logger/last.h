#ifndef LOGGER_LAST_H
#define LOGGER_LAST_H

/* The last lines of a log file, and of the one rotated before it. */

#include <stddef.h>
#include <stdint.h>

#define LAST_MAX 8192

/*
 * Puts the last lines (at most `lines`, 0: as many as fit) into out, which has
 * LAST_MAX bytes. Returns the bytes; *ret_lines how many lines they are.
 */
size_t last_lines(
    const char *path, uint32_t lines, char *out, uint32_t *ret_lines);

#endif
