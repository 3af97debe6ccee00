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

void json_object(struct buf *b);     /* { */
void json_object_end(struct buf *b); /* } */
void json_array(struct buf *b);      /* [ */
void json_array_end(struct buf *b);  /* ] */
void json_key(struct buf *b, const char *key);

void json_string(struct buf *b, const char *s); /* NULL writes null */
void json_bytes(struct buf *b, const void *data, size_t size);
void json_int(struct buf *b, int64_t n);
void json_seconds(struct buf *b, int64_t ns); /* 62.125: at most 3 decimals */
void json_bool(struct buf *b, bool v);
void json_null(struct buf *b);
void json_time(struct buf *b, int64_t wall_ms); /* RFC 3339, a string */
void json_raw(struct buf *b, const char *json); /* a whole value, as it is */

/* key and value in one call */
void json_kv_string(struct buf *b, const char *key, const char *s);
void json_kv_int(struct buf *b, const char *key, int64_t n);
void json_kv_seconds(struct buf *b, const char *key, int64_t ns);
void json_kv_bool(struct buf *b, const char *key, bool v);
void json_kv_null(struct buf *b, const char *key);
void json_kv_time(struct buf *b, const char *key, int64_t wall_ms);

#endif
