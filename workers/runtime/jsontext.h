#ifndef RUNTIME_JSONTEXT_H
#define RUNTIME_JSONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#define JSONTEXT_DEPTH 512

/*
 * Whether the text is one JSON value (RFC 8259: any value, blanks around it),
 * in well-formed UTF-8, nested at most JSONTEXT_DEPTH deep.
 */
bool jsontext_valid(const char *text, size_t size);

/*
 * Makes a valid text fit on one line, in place: newlines can only stand between
 * tokens, blanks do as well. Returns its size without the blanks at its end.
 */
size_t jsontext_one_line(char *text, size_t size);

#endif
