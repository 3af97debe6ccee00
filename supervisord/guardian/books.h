#ifndef GUARDIAN_BOOKS_H
#define GUARDIAN_BOOKS_H

/* The books (proto/book.h) that launches are made from, mapped read-only. */

#include <stdint.h>

struct book {
	const char *data; /* NULL: a free place */
	uint64_t size;
	uint32_t id;
	uint32_t readers; /* launches under way that may read it */
	int dropped;
};

/* Takes fd. 0 or -errno: not sealed, not that size, no book, too many. */
int books_add(uint32_t id, int fd, uint64_t size);
void books_drop(uint32_t id);
void books_drop_all(void);
struct book *books_get(uint32_t id); /* NULL: unknown or dropped */

/* A child that reads the book: it stays mapped in between. */
void books_hold(struct book *b);
void books_release(struct book *b);

#endif
