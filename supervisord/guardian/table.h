#ifndef GUARDIAN_TABLE_H
#define GUARDIAN_TABLE_H

/*
 * The child table: what lives, and what has ended and is not acknowledged yet.
 * It is the truth a new master starts from. Fixed size, in BSS; the memory of
 * a slot is touched when it is first used, and free slots are used again last
 * in, first out, so that a small fleet stays small.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/proto/messages.h"

#define TABLE_SLOTS 65536U
#define TABLE_NONE  0xffffffffU

/* What the master has not been told of a slot yet. */
enum news {
	NEWS_LAUNCHED = 1,
	NEWS_EXITED = 2,
	NEWS_TREE_EMPTY = 4,
	NEWS_CHAINED = 8 /* the slot is in the chain of those with news */
};

/* A descendants' watch (tree.c). */
enum tree_flags {
	TREE_WATCHED = 1,
	TREE_TELL = 2,  /* the master waits for TREE_EMPTY */
	TREE_FRESH = 4, /* its signal has not gone out yet */
	TREE_SEEN = 8   /* found a descendant in the scan under way */
};

/* A task socket (hybrid.c). The first three: what the broker that runs now
 * has been told. */
enum hybrid_flags {
	HYBRID_TOLD = 1,
	HYBRID_TOLD_SLOTS = 2,
	HYBRID_TOLD_EXIT = 4,
	HYBRID_TODO = 8 /* there is something to tell */
};

struct slot {
	struct msg_child child; /* state 0: the slot is free */
	uint32_t cookie;        /* of the launch, for NEWS_LAUNCHED */
	uint32_t pid_next;      /* in its chain of the pid index */
	uint32_t news_prev, news_next;
	uint32_t tree_next;
	int32_t pidfd;     /* CHILD_ADOPTED: its pidfd; else -1 */
	uint16_t news;     /* enum news */
	uint8_t tree;      /* enum tree_flags */
	uint8_t tree_sign; /* the signal descendants get */
	bool acked; /* free it once it has no news, tree watch or task socket */
	uint8_t hybrid;    /* enum hybrid_flags */
	uint32_t threads;  /* 0: it has no task socket */
	int32_t task_fd;   /* the broker's end; -1 */
	int32_t memory_fd; /* the slots of its threads (wire.h); -1 */
	uint32_t hybrid_prev, hybrid_next;
};

extern struct slot table_slots[TABLE_SLOTS];

/* A free slot with a new generation, its name set; NULL: the table is full. */
struct slot *table_alloc(const char *name);
void table_free(struct slot *s);

/* The slot in use with that generation, or NULL. */
struct slot *table_get(uint32_t slot, uint32_t gen);

/* The living child with that pid. Only set_pid and forget_pid change it. */
struct slot *table_by_pid(int32_t pid);
void table_set_pid(struct slot *s, int32_t pid);
void table_forget_pid(struct slot *s);

/* The first slot in use at or after `from`; NULL: none. */
struct slot *table_next(uint32_t from);

uint32_t table_alive(void); /* children with a pid */

/* How many slots were in use at least once: those before that number. */
uint32_t table_used(void);
/* Puts slot row->slot back as it was, free or not (upgrade.c); NULL: no such
 * slot. After the last one table_restored finds the free ones. */
struct slot *table_restore(const struct msg_child *row);
void table_restored(void);

void table_init(void);

#endif
