#ifndef LAUNCH_LAUNCH_H
#define LAUNCH_LAUNCH_H

/*
 * From fork to exec: the child reads its spec in the book and becomes the
 * worker. It may share the guardian's memory and descriptor table (spawn.c),
 * so it writes nothing but what the order points to, and calls no libc.
 */

#include <stddef.h>
#include <stdint.h>

/* What a child that could not exec left; stage STAGE_NONE while all is well. */
struct launch_report {
	int32_t stage; /* enum launch_stage */
	int32_t error; /* errno */
};

struct launch_order {
	const char *book;
	uint64_t book_size;
	uint64_t spec; /* offset in the book; checked by the child */
	uint32_t index;
	uint32_t pid; /* the child finds it out */
	int null_fd;  /* becomes stdin */
	int out_fd;   /* -1: the guardian's own */
	int err_fd;   /* -1: the guardian's own; 1: the same as stdout */
	int *fds;     /* become BOOK_FIRST_FD and the next ones; overwritten */
	unsigned fd_count;
	unsigned unshare_from; /* give up the shared descriptor table, and these
				* of the copy; 0: nothing is shared (a fork) */
	uint32_t *ret_unshared; /* becomes 1: the table is not used any more */
	uint64_t tag;           /* for RLIMIT_RTTIME */
	uint64_t
	    nofile[2]; /* soft and hard limit; what supervisord was given */
	char *scratch; /* NULL: make it, the memory is the child's own */
	size_t scratch_size;
	volatile struct launch_report *report;
};

/*
 * The room a spec needs, or 0 if there is no valid spec at that offset (the
 * child says what is wrong with it).
 */
size_t launch_scratch(const char *book, uint64_t size, uint64_t spec);

/*
 * What the guardian has to find for it: how many listening sockets, at most
 * BOOK_SOCKETS (0 if there is no valid spec), and the n-th one's name in the
 * book, or NULL.
 */
unsigned launch_sockets(const char *book, uint64_t size, uint64_t spec);
const char *launch_socket(
    const char *book, uint64_t size, uint64_t spec, unsigned n);

/* Never returns. The argument is a struct launch_order (clone wants void). */
int launch_child(void *order);

#endif
