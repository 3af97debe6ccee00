#ifndef GUARDIAN_HELPERS_H
#define GUARDIAN_HELPERS_H

/*
 * The guardian's own three: the master, which decides, the logger, which
 * writes, and the broker, which has the tasks and is there only while the
 * master wants it. Each has a channel as descriptor 3 and is started again
 * whenever it ends: at once if it had lived for a second, else after a delay
 * that doubles.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/guardian/loop.h"

enum helper_id {
	HELPER_MASTER,
	HELPER_LOGGER,
	HELPER_BROKER,
	HELPER_COUNT
};

struct helper {
	const char *name; /* of its program */
	enum helper_id id;
	enum timer timer; /* the next one's start */
	bool arguments;   /* it gets supervisord's own */
	unsigned up;      /* what the master is told of a start; 0: nothing */
	/* A new one is about to start; it knows nothing. */
	void (*prepare)(void);
	/* Sends what there is to tell. 0, -EAGAIN or -errno. */
	int (*tell)(int channel);
	/* Reads some, or all there is, of what it sends; NULL: nothing. */
	void (*read)(void);
	void (*drain)(void);
	bool (*muted)(void); /* nothing can be read now; NULL: always */
	/* It has ended, and everything it sent is read. */
	void (*ended)(const siginfo_t *info);

	bool wanted;
	pid_t pid;   /* 0: it does not run */
	int channel; /* our end; -1 */
	int peer;    /* the master's channel end, on its way to it; -1 */
	int64_t started;
	int64_t delay;       /* the next one's, if this one is short-lived */
	uint32_t starts;     /* so far */
	int32_t last_status; /* wait status of the one before */
	bool finishing;      /* it is to bring all to its end */
	bool done;           /* nothing is told any more */
	bool waits_for_room; /* EPOLLOUT is watched for */
	bool silenced;       /* EPOLLIN is not */
};

extern struct helper master, logger, broker;

void helpers_start(void);
/* Its timer: the delay is over. */
void helper_start(struct helper *h);

/* A process that is no child of the table has ended: maybe one of these. */
void helper_ended(pid_t pid, const siginfo_t *info);
bool helper_is(pid_t pid);

/* The channel can be read or written, or its other end is gone. */
void helper_event(enum helper_id id, uint32_t events);

/* Sends what there is to tell; at the end of each turn of the loop. */
void helpers_tell(void);

/* One that sends what is no request is killed. */
void helper_broken(struct helper *h);
/* One that has closed its channel is ending; the master gets some time for it
 * (TIMER_CLOSED). */
void helper_closed(struct helper *h);
void helper_master_stays(void);

/* Passes the master's channel end on. Takes fd. */
void helper_peer(struct helper *h, int fd);
int helper_send_peer(struct helper *h);

/* Tells it to finish once it has been told everything. */
void helper_finish(struct helper *h);

/* For quit.c. The master is killed, the others finish. */
void helpers_finish(void);
bool helpers_are_gone(void);
void helpers_kill(void); /* what has not finished in time */

/* For upgrade.c: the old one, whose channel is open, is to be replaced. */
void helper_replace(struct helper *h, pid_t old, int channel);

#endif
