#ifndef CONFIG_LEX_INT_H
#define CONFIG_LEX_INT_H

/* What the lexer's two files share. */

#include <stdbool.h>
#include <stddef.h>

#include "config/arena.h"

struct buf;
struct report;

enum scalar {
	SCALAR_NONE,
	SCALAR_INT,
	SCALAR_INT64,
	SCALAR_FLOAT,
	SCALAR_STRING,
	SCALAR_BOOL
};

struct lex {
	const char *p, *end;
	unsigned line;
	unsigned breaks; /* line breaks not yet written */
	const char *path;
	struct report *report;
	struct buf *out;
	struct arena arena;
	struct map names; /* "ID.NAME" to its line, as a pointer */
	unsigned scopes;
	unsigned string_from, string_to; /* lines of the last long string */
};

/*
 * The values that hold no others. Each is written out and p is put behind it;
 * 0, or -EINVAL with a report. p is at the first byte of one.
 */
int lex_strings(struct lex *x); /* "a" "b" is one string */
int lex_number(struct lex *x, enum scalar *ret);
int lex_word(struct lex *x, enum scalar *ret); /* true or false */

/* Reports at a line; returns -EINVAL. */
int lex_bad(struct lex *x, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int lex_skip(struct lex *x); /* white space and comments */
bool lex_at(const struct lex *x, const char *text);
void lex_newline(struct lex *x);
int lex_word_size(const struct lex *x); /* of the word at p, 40 at most */

#endif
