#ifndef LOGGER_PEEK_H
#define LOGGER_PEEK_H

/* Looking at a pipe's bytes without taking them, and taking them at last. */

#include <stddef.h>
#include <sys/types.h>

#define PEEK_MAX 65536

int peek_init(void); /* 0 or -errno */

/*
 * The pipe's first bytes, at most size and PEEK_MAX: *ret points to them until
 * the next call. Fewer than there are when they lie scattered in the pipe; 0
 * when there are none; -errno.
 */
ssize_t peek(int pipe, size_t size, const char **ret);

/* Takes exactly the pipe's first size bytes to nowhere; how many, or -errno. */
ssize_t peek_drop(int pipe, size_t size);

#endif
