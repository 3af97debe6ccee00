#ifndef CONFIG_LEX_H
#define CONFIG_LEX_H

#include <stddef.h>

struct buf;
struct report;

/* Names the lexer makes up; no user's setting can have them. */
#define LEX_NAME  "*"  /* in a named worker made a list element: its name */
#define LEX_VALUE "**" /* and its value, where that is no group */

/*
 * Checks a config's text for everything libconfig would take wrongly or refuse
 * unhelpfully, and writes to *out what libconfig is to read in its place. Lines
 * keep their numbers. A name set twice is reported and passed over. 0, -EINVAL
 * with an error in the report and *out of no use, or -ENOMEM.
 */
int lex_text(const char *text, size_t size, const char *path,
    struct report *report, struct buf *out);

#endif
