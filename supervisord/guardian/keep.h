#ifndef GUARDIAN_KEEP_H
#define GUARDIAN_KEEP_H

/*
 * Descriptors under a name. They live as long as the guardian, across its
 * upgrades, so a helper that dies finds everything again. Two kinds: plain
 * ones, the master's, and log pipes, whose read ends the logger gets duplicates
 * of. Of the plain ones the broker gets those whose name begins with "broker/".
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/proto/messages.h"

#define KEEP_ENTRIES 32768U

enum keep_flags {
	KEEP_USED = 1,
	KEEP_PIPE = 2,
	KEEP_TOLD = 4,    /* the logger or broker that runs now has it */
	KEEP_DROPPED = 8, /* pipe: no new writer; kept until it is empty */
	KEEP_TOLD_DROP = 16,
	KEEP_BROKER = 32 /* plain: the broker's, too */
};

struct kept {
	char name[PROTO_NAME];
	uint64_t id; /* pipe: never used twice; 0: a plain descriptor */
	int32_t fd;
	int32_t write_fd; /* pipe: only where /proc can't reopen it; else -1 */
	uint32_t next;    /* index + 1: in its chain by name, or when free */
	uint32_t todo_next;    /* index + 1: what the logger is to be told */
	uint32_t dropped_next; /* index + 1 */
	uint32_t broker_next;  /* index + 1 */
	uint16_t flags;        /* enum keep_flags */
	bool todo;
	bool pad[5];
};

#define KEEP_BROKER_PREFIX "broker/"

/* Takes fd, in place of what had the name. 0 or -errno (fd is closed). */
int keep_set(const char *name, int fd);
/* The same for the read end of a log pipe. */
int keep_set_pipe(const char *name, int fd);
void keep_drop(const char *name);
int keep_get(const char *name); /* the keep's, or -1 */

/*
 * A write end of the stream's pipe, the caller's to close; the pipe is made if
 * there is none. -errno.
 */
int keep_writer(const char *name);

/* The first entry at or after index `from`; NULL: none. */
struct kept *keep_next(uint32_t from);
uint32_t keep_index(const struct kept *k);

/* Tells the logger what it has not been told. 0, -EAGAIN or -errno. */
int keep_tell(int logger);
/* A new logger knows nothing. */
void keep_untold(void);

/* The same for the broker, which may have given one itself: it knows that. */
int keep_tell_broker(int broker);
void keep_untold_broker(void);
void keep_broker_knows(const char *name);
/* All that is for brokers: there is none any more. */
void keep_drop_broker(void);

/* For upgrade.c: an entry as it was; its descriptor is open here. */
int keep_restore(const struct kept *saved);
uint64_t keep_last_id(void);
void keep_set_last_id(uint64_t id);

void keep_init(void);

#endif
