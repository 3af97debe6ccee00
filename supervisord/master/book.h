#ifndef MASTER_BOOK_H
#define MASTER_BOOK_H

/* Writes the fleet's launch specs into a sealed memfd (proto/book.h). */

#include <stddef.h>
#include <stdint.h>

struct fleet;

/*
 * The descriptor of the book, and in offsets (fleet->count of them, the
 * caller's memory) where each worker's spec is. -errno on failure.
 */
int book_make(const struct fleet *fleet, uint64_t *offsets, uint64_t *ret_size);

#endif
