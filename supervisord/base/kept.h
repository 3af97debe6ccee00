#ifndef BASE_KEPT_H
#define BASE_KEPT_H

/*
 * Memory that outlives its process: a memfd that the guardian keeps. Whoever
 * writes it may be killed between any two stores, and the next one reads what
 * is there; so a row is made used by the last store to it, and what can't be
 * one store has its undo beside it.
 */

#include <stdbool.h>
#include <stddef.h>

/*
 * Maps the kept memfd, which stays the caller's, or with fd -1, or one that is
 * not `usable`, makes a new one of zeroes (*ret_fresh), whose descriptor
 * *ret_fd is the caller's: -1 where there is none, and then the memory is
 * private, and `lost` says in the log what that costs. NULL: no memory at all.
 */
void *kept_open(const char *name, size_t size, int fd,
    bool (*usable)(const void *p), const char *lost, int *ret_fd,
    bool *ret_fresh);

/* A process that is killed has done its stores in the order of the program: all
 * that is needed is that the compiler keeps it. */
static inline void
kept_in_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
