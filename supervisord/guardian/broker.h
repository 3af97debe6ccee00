#ifndef GUARDIAN_BROKER_H
#define GUARDIAN_BROKER_H

/*
 * What the guardian has to do with the broker: it is there while the master
 * wants it, is told of its descriptors (keep.c) and of the task sockets
 * (hybrid.c), and may keep descriptors itself.
 */

#include <signal.h>
#include <stdbool.h>

/* MSG_BROKER_WANTED */
void broker_want(bool wanted);
/* TIMER_BROKER_PATIENCE: one that is not wanted has not ended. */
void broker_patience_over(void);
/* There is one, or will be: what ended instances wrote is read by it. */
bool broker_reads(void);

/* Of struct helper broker. */
void broker_prepare(void);
int broker_tell(int channel);
void broker_read(void);
void broker_drain(void);
void broker_ended(const siginfo_t *info);

#endif
