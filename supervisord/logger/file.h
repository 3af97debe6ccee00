#ifndef LOGGER_FILE_H
#define LOGGER_FILE_H

/*
 * A pipe into a regular file, exactly once whatever kills the logger:
 * splice(2) takes from the pipe what it puts into the file, within one call,
 * and how far the file goes is read from the file itself. Nothing is kept in
 * this process that a successor would need.
 *
 * A file is rotated at max_size, at the end of a line: a line that has begun
 * in a file ends in it, even if it goes beyond max_size by less than
 * PEEK_MAX; a longer one is cut.
 */

#include <stddef.h>
#include <sys/types.h>

#include "supervisord/logger/sink.h"

/* Opens the path (its folders are made); says whether it is a regular file. */
int file_open(struct sink *s);
/* Looks at the file's size again. 0 or -errno. */
int file_look(struct sink *s);
/* As sink_move. */
ssize_t file_move(struct sink *s, int pipe, size_t avail, size_t budget);
/* True at the beginning of the file and after a newline. */
bool file_at_line(struct sink *s);
/* Appends all of it or nothing. 0 or -errno. */
int file_append(struct sink *s, const void *data, size_t size);
/* Whether the disk has room for more than what fits its last block. */
int file_has_room(struct sink *s);
int file_write_line(struct sink *s, const char *line);
/* True if the file is to be rotated at all, now. */
bool file_rotates(const struct sink *s);
/* Rotates and opens the new file. 0 or -errno. */
int file_rotate(struct sink *s);

#endif
