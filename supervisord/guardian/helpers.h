#ifndef GUARDIAN_HELPERS_H
#define GUARDIAN_HELPERS_H

/*
 * The guardian's own two: the master, which decides, and the logger, which
 * writes. Each has a channel as descriptor 3 and is started again whenever it
 * ends: at once if it had lived for a second, else after a delay that doubles.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct helper {
	const char *name; /* of its program */
	pid_t pid;        /* 0: it does not run */
	int channel;      /* our end; -1 */
	int64_t started;
	int64_t delay;       /* the next one's, if this one is short-lived */
	uint32_t starts;     /* so far */
	int32_t last_status; /* wait status of the one before */
	bool waits_for_room; /* EPOLLOUT is watched for */
	bool muted;          /* EPOLLIN is not */
};

extern struct helper master, logger;

void helpers_start(void);

/* A process that is no child of the table has ended: maybe one of these. */
void helper_ended(pid_t pid, const siginfo_t *info);
bool helper_is(pid_t pid);

/* Timers: the delay is over. */
void helper_start_master(void);
void helper_start_logger(void);

/* The channel can be read or written, or its other end is gone. */
void helper_master_event(uint32_t events);
void helper_logger_event(uint32_t events);

/* Sends what there is to tell; at the end of each turn of the loop. */
void helpers_tell(void);

/* A master that sends what is no request is killed. */
void helper_master_broken(void);
/* One that has closed its channel is ending; TIMER_CLOSED: or is it? */
void helper_master_closed(void);
void helper_master_stays(void);

/* Passes the master's channel end on to the logger. Takes fd. */
void helper_logger_peer(int fd);

/* Ends both: the master is killed, the logger empties its pipes first. */
void helpers_finish(void);

/* For upgrade.c: the old ones, to be replaced by new ones. */
void helpers_replace(
    pid_t old_master, int master_channel, pid_t old_logger, int logger_channel);

#endif
