#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

/* The errors of a load, gathered in any order and told sorted by place. */

#include <stdarg.h>
#include <stddef.h>

#include "config/arena.h"

struct buf;

struct report_line;

struct report {
	struct report_line *lines;
	size_t count, room;
	struct arena arena; /* the lines' text */
	struct map known;
	int nomem; /* an error could not even be noted */
};

/*
 * line 0: the file as a whole. The file's name is borrowed. The same error at
 * the same place is noted once.
 */
void report_add(struct report *r, const char *file, unsigned line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void report_addv(struct report *r, const char *file, unsigned line,
    const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

/* "FILE:LINE: text\n" each. */
void report_write(struct report *r, struct buf *out);
void report_done(struct report *r);

#endif
