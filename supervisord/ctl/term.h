#ifndef CTL_TERM_H
#define CTL_TERM_H

/*
 * What people see: text made safe for a terminal, colours, durations, times
 * and tables. Nothing that comes from a program or a config reaches a terminal
 * with its control bytes intact.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "supervisord/base/buf.h"
#include "supervisord/ctl/ctl.h"

/*
 * Appends s with control bytes, bytes that are no UTF-8 and characters that
 * turn the writing direction as \xNN or \u202e; tabs stay, and newlines if
 * lines is true.
 */
void ctl_escape(struct buf *out, const char *s, size_t size, bool lines);

/* One formatted line, its newline added; everything in it escaped. */
void ctl_put_line(FILE *to, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Several lines, each escaped and behind that indentation, what is longer than
 * anybody reads cut; a last newline is added where there is none. */
void ctl_put_text(FILE *to, const char *indent, const char *text, size_t size);

/* How many bytes of UTF-8 fit into so many columns, each character that is not
 * ASCII counted as `wide` of them. */
size_t ctl_fit(const char *s, size_t size, size_t columns, size_t wide);

/* Whether stdout takes colour: --color, NO_COLOR, TERM, a terminal. */
bool ctl_has_color(const struct ctl *ctl);

/* The sequence to begin a state's name with, "" for none; CTL_PLAIN ends it. */
const char *ctl_state_color(const char *state);
#define CTL_PLAIN "\x1b[0m"

/* The whole part of n, 0 if it is negative or beyond 1e15. */
void ctl_put_number(struct buf *out, double n);

/* "0:01:02", "1 day, 0:01:02" as Python's supervisor writes uptimes. */
void ctl_put_uptime(struct buf *out, double seconds);

/* "12 ms", "3.5 s", "0:01:02": for columns of very different durations. */
void ctl_put_duration(struct buf *out, double seconds);

/*
 * "2026-01-02T03:04:05.678Z" as local time "2026-01-02 03:04:05.678", with the
 * milliseconds if asked for; anything else escaped as it is.
 */
void ctl_put_time(struct buf *out, const char *rfc3339, bool ms);

/* Cells are added row by row; all columns but the last are padded. */
struct ctl_table {
	struct buf cells; /* each ended by a NUL */
	size_t columns, n;
};

void ctl_table_init(struct ctl_table *t, size_t columns);
/* Is escaped, and cut as ctl_put_text does. */
void ctl_table_cell(struct ctl_table *t, const char *text);
/* A whole row of them; the buffers are freed. */
void ctl_table_row(struct ctl_table *t, struct buf *cells);
void ctl_table_print(struct ctl_table *t, FILE *to); /* and frees */

#endif
