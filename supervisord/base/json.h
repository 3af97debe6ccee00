#ifndef BASE_JSON_H
#define BASE_JSON_H

/*
 * Writes JSON straight into a buffer: no tree, keys in the order they are
 * written, no nesting limit. Bytes that are not valid UTF-8 (an argv, a log
 * line) become U+FFFD, so the output is always valid JSON. Commas are the
 * writer's own business.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/buf.h"

void jw_object(struct buf *b);     /* { */
void jw_object_end(struct buf *b); /* } */
void jw_array(struct buf *b);      /* [ */
void jw_array_end(struct buf *b);  /* ] */
void jw_key(struct buf *b, const char *key);

void jw_string(struct buf *b, const char *s); /* NULL writes null */
void jw_bytes(struct buf *b, const void *data, size_t size);
void jw_int(struct buf *b, int64_t n);
void jw_seconds(struct buf *b, int64_t ns); /* 62.125: at most 3 decimals */
void jw_bool(struct buf *b, bool v);
void jw_null(struct buf *b);
void jw_time(struct buf *b, int64_t wall_ms); /* RFC 3339, a string */
void jw_raw(struct buf *b, const char *json); /* a whole value, as it is */

/* key and value in one call */
void jw_kv_string(struct buf *b, const char *key, const char *s);
void jw_kv_int(struct buf *b, const char *key, int64_t n);
void jw_kv_seconds(struct buf *b, const char *key, int64_t ns);
void jw_kv_bool(struct buf *b, const char *key, bool v);
void jw_kv_null(struct buf *b, const char *key);
void jw_kv_time(struct buf *b, const char *key, int64_t wall_ms);

#endif
