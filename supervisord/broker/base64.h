#ifndef BROKER_BASE64_H
#define BROKER_BASE64_H

/* Bytes inside JSON: base64 as in RFC 4648 section 4. */

#include <stddef.h>

#include "supervisord/base/buf.h"

/* Appends the text without quotes. */
void base64_put(struct buf *b, const void *data, size_t size);

/*
 * Appends the bytes. Padding may be left out; line breaks may not be in it.
 * 0, -EINVAL (not base64; the buffer is as before) or -ENOMEM.
 */
int base64_take(struct buf *b, const char *text, size_t size);

#endif
