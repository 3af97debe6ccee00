#ifndef CTL_VALUE_H
#define CTL_VALUE_H

/* A task's arguments and its result: any JSON, or bytes, which stand in JSON as
 * {"base64": "..."}. */

#include <jansson.h>
#include <stdio.h>

#include "supervisord/base/buf.h"

/* As json_dumps, of anything, with numbers as people write them. The caller's
 * to free; NULL: no memory. */
char *ctl_value_dump(const json_t *value, size_t flags);

/* As it is: bytes, or JSON and a newline; nothing for null. */
void ctl_value_write(FILE *to, const json_t *value);

/*
 * Appends what people are shown: text as text, other bytes by their number,
 * JSON with that indentation (0: in one line, a string without its quotes), and
 * no more than a few screens. `whole` is the option of `supervisorctl task ID`
 * that has all of it.
 */
void ctl_value_show(struct buf *out, const json_t *value, int indent,
    long long id, const char *whole);

#endif
