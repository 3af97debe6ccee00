#ifndef MASTER_MEMORY_H
#define MASTER_MEMORY_H

/*
 * What the master knows of its instances, in shared memory that the guardian
 * keeps: a master that is killed at any moment leaves it behind, and the next
 * one reads on. It holds what must not be lost and can't be asked of anybody:
 * what is wanted, where each life is, the last exit. Whether a process lives is
 * the guardian's child table's to say.
 *
 * A step of an instance's life is taken whole or not at all: a master killed
 * between memory_begin and memory_commit has not yet told anybody of the
 * change, and the exit or command that caused it is told again. What a step
 * asks of the guardian is asked after it; that it may be unheard is remembered,
 * too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/master/policy/life.h"
#include "supervisord/proto/messages.h"

#define MEMORY_ROWS   65536
#define MEMORY_EVENTS 1024
#define MEMORY_EXITS  256

/* How a process ended. */
struct exit_info {
	int64_t at_ms; /* wall clock; 0: it has not ended yet */
	int64_t lived_ms;
	int32_t pid;
	int32_t code;  /* exit status, -1 if by signal or not known */
	int32_t signo; /* or 0 */
	int32_t stage; /* enum launch_stage: its command never ran */
	int32_t error; /* errno of the stage */
	uint8_t core;
	uint8_t unknown; /* ended while nobody was its parent */
	uint8_t pad[2];
};

struct memory_row {
	char name[PROTO_NAME]; /* "": free */
	struct life life;
	struct exit_info exit;
	int32_t pid;        /* of the process, 0: none */
	uint32_t slot, gen; /* its place in the guardian's table */
	uint32_t index;
	uint64_t tag;
	int64_t started_ms; /* wall clock */
	int64_t started_mono;
	uint64_t start_ticks;
	uint8_t why;     /* enum life_event of the last change */
	uint8_t by_user; /* what is wanted is somebody's word */
	uint8_t adopted;
	uint8_t adopting; /* the guardian has been asked to take it over */
	uint8_t unheard;  /* enum life_action the guardian may not know of */
	uint8_t hybrid;   /* its process has a task socket */
	uint8_t stand_in; /* it is beyond the number wanted, for a while */
	uint8_t drains;   /* it takes no more tasks, and is to be replaced */
};

/*
 * The latest events, for those that the store had not committed when the master
 * was killed. Longer texts are cut.
 */
struct memory_event {
	uint64_t sequence; /* the store's; 0: not valid */
	int64_t at_ms;
	int64_t actor_uid, actor_pid;
	uint8_t from, to; /* enum life_state; ST_COUNT: none */
	uint8_t pad[6];
	char name[PROTO_NAME]; /* "": supervisord itself */
	char kind[16];
	char actor_command[120];
	char reason[184];
};

/* The latest exits, for a store that is in memory and ends with the master. */
struct memory_exit {
	uint64_t key; /* the process's tag; 0: not valid */
	int64_t started_ms, ended_ms, lived_ms;
	int64_t user_us, system_us, maxrss_kb;
	int32_t pid, code, signo;
	uint8_t core;
	uint8_t pad[3];
	char name[PROTO_NAME];
	char cause[128];
};

struct memory;

/*
 * Maps the kept memfd, or with fd -1 makes one, whose descriptor *ret_fd is the
 * caller's to hand on (-1: there is none, the memory is private). A layout that
 * is not this version's is not taken (*ret_fresh). NULL: no memory at all.
 */
struct memory *memory_open(int fd, int *ret_fd, bool *ret_fresh);

/* A shutdown that has begun is finished by the next master, with its status. */
void memory_set_stopping(struct memory *m, int status);
bool memory_is_stopping(const struct memory *m, int *ret_status);

/* The oldest event's place, to be filled; not valid until its sequence is set.
 */
struct memory_event *memory_next_event(struct memory *m);

/* The same for exits. */
struct memory_exit *memory_next_exit(struct memory *m);

/* The exits there are, oldest first, into an array of MEMORY_EXITS; how many.
 */
size_t memory_exits(const struct memory *m, struct memory_exit *out);

/* Takes the events above `after` out, in order, into an array of MEMORY_EVENTS;
 * how many. */
size_t memory_take_events(
    struct memory *m, uint64_t after, struct memory_event *out);

/* A free row, cleared, with name and index set; NULL: full. */
struct memory_row *memory_new(
    struct memory *m, const char *name, uint32_t index);
void memory_free(struct memory *m, struct memory_row *row);

/* The row of that name, found by walking, or NULL. */
struct memory_row *memory_named(struct memory *m, const char *name);

/*
 * From here on changes of the row are undone if this master does not live to
 * commit them. Again for the same row is fine; one row at a time.
 */
void memory_begin(struct memory *m, const struct memory_row *row);
void memory_commit(struct memory *m);

/* Each used row. The callback may free the row it is given. */
void memory_each(struct memory *m,
    void (*each)(struct memory_row *row, void *arg), void *arg);

#endif
