#ifndef GUARDIAN_SPAWN_H
#define GUARDIAN_SPAWN_H

/*
 * A new process for a slot. The fast way is a clone that shares the guardian's
 * memory and descriptors, so that nothing is copied and the price is the same
 * with ten children and with ten thousand, and that is not waited for, so that
 * an exec on a hung disk holds up nobody. Where that can't be, a plain fork.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "supervisord/guardian/books.h"
#include "supervisord/proto/book.h"

/* The listening sockets, the task socket, the slots' memory. */
#define SPAWN_FDS (BOOK_SOCKETS + 2)

struct spawn {
	struct book *book;
	uint64_t spec;
	uint32_t index;
	uint32_t slot; /* whose report the child writes */
	uint64_t tag;
	int out_fd; /* taken; -1: the guardian's own; LOOP_NULL: /dev/null */
	int err_fd; /* as out_fd; 1: the same as stdout */
	const int *fds;    /* become 3, 4... in the child; the caller's */
	unsigned fd_count; /* at most SPAWN_FDS */
};

/* nofile: what workers get. Reports live at report_fd, or a new one if -1. */
int spawn_init(const struct rlimit *nofile, int report_fd);
int spawn_report_fd(void);

/* The pid, or -errno. */
pid_t spawn_child(const struct spawn *spawn);

/* True if the slot's child failed before its program ran, and where. */
bool spawn_failed(uint32_t slot, int32_t *ret_stage, int32_t *ret_error);

void spawn_forget(uint32_t slot); /* the report of the slot's last child */

/*
 * Closes what children have copied by now. True while any still shares the
 * descriptor table: call it again (TIMER_STAGED does).
 */
bool spawn_tidy(void);

/* How launches are made: tests cover both ways. */
enum spawn_way {
	SPAWN_SHARED,
	SPAWN_FORK
};
extern enum spawn_way spawn_way;

#endif
