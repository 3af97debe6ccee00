#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * A growing byte buffer. A failed allocation is remembered in `failed` and
 * makes every later call a no-op, so a writer checks once, at the end.
 */

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* size bytes, and a NUL behind them once anything is in */
	size_t size;
	size_t room;
	bool failed;
};

void buf_init(struct buf *b);
void buf_done(struct buf *b);  /* frees; the buffer is as after buf_init */
void buf_clear(struct buf *b); /* empties, keeps the memory */
bool buf_grow(struct buf *b, size_t more); /* buf_reserve's */
void buf_add(struct buf *b, const void *data, size_t size);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for `more` bytes ahead, and a NUL. */
static inline bool
buf_reserve(struct buf *b, size_t more)
{
	return (!b->failed && b->room > b->size && b->room - b->size > more) ||
	       buf_grow(b, more);
}

/* Removes the first n bytes (n <= size). */
void buf_consume(struct buf *b, size_t n);
/* The text, "" when empty; NULL only if an allocation failed. */
const char *buf_text(struct buf *b);
/* Hands the memory (NUL-terminated, to be freed) to the caller; NULL if failed.
 */
char *buf_take(struct buf *b);

#endif
