#ifndef BROKER_FLIGHTS_H
#define BROKER_FLIGHTS_H

/*
 * What is with whom, in shared memory that the guardian keeps: a broker that is
 * killed at any moment leaves it behind, and the next one knows which task went
 * to which process. Two tables:
 *
 *     flights   task, process, attempt: written before a task is sent, cleared
 *               when what became of it is in the store
 *     hands     what each process has said of itself (its HELLO comes once),
 * and in which state its socket is
 *
 * A row is made used by the last store to it and free by a single one. A task
 * that is sent again before its last end is stored has two rows; the one with
 * the higher number is the newer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/idmap.h"
#include "supervisord/base/list.h"
#include "supervisord/broker/broker.h"
#include "supervisord/broker/limits.h"

#define FLIGHTS_ROWS  65536
#define FLIGHTS_HANDS 8192
#define FLIGHTS_NONE  UINT32_MAX
#define FLIGHTS_ID    16

struct hand;
struct task;

enum flight_flags {
	FLIGHT_PARTIAL = 1,   /* a piece of its answer is out of the socket */
	FLIGHT_OVERRUN = 2,   /* it was asked to end for its limit */
	FLIGHT_CANCELLED = 4, /* it was asked to end since it was cancelled */
	FLIGHT_DOOMED = 8     /* and did not within its grace */
};

/* A task that is with a process, or was: until its end is stored. */
struct flight {
	struct idlink by_id;
	uint64_t id;
	uint32_t attempt;
	uint32_t slot, gen;
	uint32_t row; /* FLIGHTS_NONE: there was none free */
	uint32_t flags;
	int64_t sent; /* mono ns */

	/* hands' own */
	struct hand *hand;
	struct task *task; /* NULL: it has ended, or is not adopted yet */
	bool ended;
	bool forgotten; /* adopted, and no task of the queue any more */
	bool ignored;   /* not begun within its limit though a thread is idle */
	bool fleeting;  /* the store has never heard of its task */
	bool in_series; /* pieces of its answer have come */
	bool too_large;
	struct limit limit;
	struct buf *series; /* pieces of its answer */
	struct list link;   /* of those that have ended in this turn */
};

/* A process, as the broker after this one must know it. 4 KiB, of which only
 * what is written takes memory. */
struct kept_hand {
	uint32_t used; /* set last */
	uint32_t slot, gen;
	uint32_t threads, prefetch;
	uint8_t lines;    /* it speaks JSON lines */
	uint8_t mid_line; /* the start of a line has been written to it */
	uint8_t torn;     /* half a frame is out of, or in, the socket */
	uint8_t draining; /* it takes nothing more */
	uint8_t stopping; /* enum stopping_how: the master's word */
	uint8_t killing;  /* its end was asked for because of the doomed ones */
	uint8_t drained;  /* it has been told DRAIN */
	uint8_t recycling;
	uint32_t hello_size; /* 0: it did not fit; any function goes */
	uint64_t served;
	char hello[4096 - 40];
};

struct flights;

/*
 * Maps the kept memfd, which stays the caller's, or with fd -1 makes one, whose
 * descriptor *ret_fd is the caller's (-1: none, the memory is private). One
 * that is not this version's is not taken (*ret_fresh). NULL: no memory at all.
 */
struct flights *flights_open(int fd, int *ret_fd, bool *ret_fresh);
void flights_free(struct flights *f); /* the shared memory stays as it is */

/* Who we are for others: random bytes, the same for every broker that has this
 * memory. false: they can't be had. */
bool flights_id(struct flights *f, uint8_t out[FLIGHTS_ID]);

/* Written down, findable by its id. NULL: no memory. An older one of the same
 * id, which must have ended, is no longer found. */
struct flight *flights_add(struct flights *f, uint64_t id, uint32_t attempt,
    uint32_t slot, uint32_t gen, int64_t sent);
struct flight *flights_find(struct flights *f, uint64_t id);
void flights_flag(struct flights *f, struct flight *flight, uint32_t flags);
void flights_clear(struct flights *f, struct flight *flight); /* and frees */

/* Each that is findable; the callback may clear the one it is given. */
void flights_each(struct flights *f,
    void (*each)(struct flight *flight, void *arg), void *arg);
uint32_t flights_count(const struct flights *f);

/* The process's row, or NULL; _add: a free one, to be filled and then made used
 * by _keep; NULL: full. */
struct kept_hand *flights_hand(struct flights *f, uint32_t slot, uint32_t gen);
struct kept_hand *flights_hand_add(
    struct flights *f, uint32_t slot, uint32_t gen);
void flights_hand_keep(struct kept_hand *k);
void flights_hand_clear(struct flights *f, struct kept_hand *k);

/* Frees the rows for which `keep` says no. */
void flights_hands_sweep(struct flights *f,
    bool (*keep)(const struct kept_hand *k, void *arg), void *arg);

#endif
