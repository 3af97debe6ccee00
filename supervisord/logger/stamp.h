#ifndef LOGGER_STAMP_H
#define LOGGER_STAMP_H

/*
 * A pipe into a regular file with "2026-01-02T03:04:05.678Z " before each
 * line, exactly once too. Here two things must change together, the pipe and a
 * file that grows by another number of bytes, and no call does that. So the
 * bytes go first, by splice, into FILE.stamping beside the file: from then
 * on they can't be lost. They are then appended to the file with their stamps,
 * a piece at a time; before each piece the head of FILE.stamping says
 * where it begins and ends in both. A successor compares that with the size of
 * the file: the piece is whole and is passed over, or it is cut off and made
 * again. When all is in the file FILE.stamping is emptied; it is removed when
 * the file is closed.
 *
 * A journal of offsets alone would not do: whether bytes were taken from a
 * pipe can't be seen in the pipe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/base/buf.h"

struct pipe;
struct sink;

/* As sink_move, for an open regular file. */
ssize_t stamp_move(struct sink *s, struct pipe *p, size_t want);
/* After an open: brings to its end what a killed logger has left. 0, -errno. */
int stamp_recover(struct sink *s);
void stamp_close(struct sink *s);

/*
 * Appends raw bytes to out, `when` and a blank before each line. at_line says
 * whether the first byte begins a line. Stops before a line that would bring
 * out over room bytes (room < 0: never), except when force: then the first line
 * is taken however long it is. Returns how many raw bytes it took.
 */
size_t stamp_format(struct buf *out, const char *raw, size_t size,
    const char *when, bool at_line, int64_t room, bool force);

#endif
