#ifndef GUARDIAN_LOOP_H
#define GUARDIAN_LOOP_H

/*
 * What the guardian waits for: a few descriptors and a few deadlines. An idle
 * guardian has no deadline and is not woken.
 */

#include <stdint.h>

/*
 * Descriptors below this are a child's to see: 0 to 2, /dev/null at LOOP_NULL
 * and those made for a launch until its child has copied them (spawn.c). 64 is
 * the size of the kernel's smallest descriptor table. Whatever the guardian
 * keeps is moved above.
 */
#define LOOP_LOW_FDS 64
#define LOOP_NULL    3

enum watch {
	WATCH_SIGNALS,
	WATCH_TIMER,
	WATCH_HELPER,
	WATCH_ADOPTED
};

enum timer {
	TIMER_SWEEP,  /* look for exits whose signal was merged (reap.c) */
	TIMER_TREE,   /* look for descendants that are not ours (tree.c) */
	TIMER_STAGED, /* close what launches have copied by now (spawn.c) */
	TIMER_MASTER, /* start it again */
	TIMER_LOGGER, /* start it again */
	TIMER_BROKER, /* start it again */
	TIMER_BROKER_PATIENCE, /* it should have ended (broker.c) */
	TIMER_CLOSED,   /* a master without a channel should have ended */
	TIMER_UPGRADE,  /* try again: a launch was under way (upgrade.c) */
	TIMER_PATIENCE, /* nobody carried the shutdown out (quit.c) */
	TIMER_COUNT
};

struct loop_event {
	enum watch watch;
	uint32_t slot;   /* WATCH_ADOPTED; WATCH_HELPER: which */
	uint32_t events; /* EPOLLIN... */
};

int loop_init(void); /* 0 or -errno */

/* Moves fd to or above LOOP_LOW_FDS, close-on-exec. -errno: fd is closed. */
int loop_move_up(int fd);

/* Watches fd for `events`; again for other events. 0 or -errno. */
int loop_watch(int fd, enum watch watch, uint32_t slot, uint32_t events);
void loop_unwatch(int fd);

/* At the monotonic time `at`, or at the one set before if that is earlier. */
void loop_timer(enum timer timer, int64_t at);
void loop_timer_off(enum timer timer);
/* Is it due? It is off then. */
int loop_timer_due(enum timer timer, int64_t now);

/* Waits. Fills up to max events, signals first; the number of them. */
int loop_wait(struct loop_event *ret, int max);

#endif
