#ifndef GUARDIAN_NEWS_H
#define GUARDIAN_NEWS_H

/*
 * What the master is to be told. Nothing is queued: that a launch has a process
 * or that a child has ended is a mark on its slot, and what a new master must
 * know is found in the table. Marked slots are chained in the order of their
 * marks; messages are made when the channel has room for them.
 */

#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>

#include "supervisord/guardian/table.h"

void news_mark(struct slot *s, enum news news);
/* The exit is remembered; the slot goes once nothing else is to be said. */
void news_acked(struct slot *s);
/* The slot's tree watch has ended, silently or with news. */
void news_free_if_done(struct slot *s);

/* supervisord itself got a signal; told to the next master if need be. */
void news_signal(const struct signalfd_siginfo *info);
/* TERM and INT so far. */
unsigned news_stops(void);

/* MSG_LOGGER_UP, MSG_BROKER_UP: one (re)started; pid 0: there is none. */
void news_up(enum msg_type type, pid_t pid);

/*
 * The few answers that no slot can hold. While there is no room for one more,
 * requests are not read.
 */
void news_not_launched(uint32_t cookie, int stage, int error);
void news_tree_empty(uint32_t slot, uint32_t gen);
void news_not_upgraded(int error);
bool news_room(void);

/* A new master: it is told everything, from HELLO on. */
void news_handover(unsigned masters, int last_status);
bool news_handing_over(void);

/* Sends what the channel takes. 0: all; -EAGAIN: wait for room; -errno. */
int news_send(int channel);

/* For upgrade.c. */
struct news_saved {
	uint32_t stops;
	uint32_t signals; /* bit n: signal n is to be told */
	uint32_t told;    /* bit n: it has been, to some master */
	uint32_t pad;
};

void news_save(struct news_saved *ret);
void news_restore(const struct news_saved *saved);

#endif
