#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

/*
 * Whether a text is one JSON value (RFC 8259), without making anything of it:
 * no memory is taken, whatever its size. Strict: valid UTF-8 without lone
 * surrogates, no trailing commas, no NaN, nothing behind the value but white
 * space. Nested JSON_DEPTH deep at most.
 */

#include <stddef.h>

#define JSON_DEPTH 512

/* 0, or -EINVAL with the offset of what is wrong in *ret_at (may be NULL); the
 * text's size: its end. */
int json_check(const char *text, size_t size, size_t *ret_at);

#endif
