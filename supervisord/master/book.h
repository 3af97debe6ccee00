#ifndef MASTER_BOOK_H
#define MASTER_BOOK_H

/* Writes the fleet's launch specs into a sealed memfd (proto/book.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet;

struct book_setting {
	const struct fleet *fleet;
	const char *libexec; /* the folder of supervisord's own programs */
	bool tasks;          /* there is a broker: SUPERVISOR_TASKS is set */
};

/*
 * The descriptor of the book, and in offsets (twice fleet->count of them, the
 * caller's memory) where each worker's spec is, then where that of its
 * autoscale.command is (0: it has none). -errno on failure.
 */
int book_make(
    const struct book_setting *set, uint64_t *offsets, uint64_t *ret_size);

#endif
