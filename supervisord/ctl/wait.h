#ifndef CTL_WAIT_H
#define CTL_WAIT_H

/*
 * Waiting, and what ends it. In the shell SIGINT ends the command in hand; it
 * may come just before a wait begins, so the handler also fills a pipe that
 * every wait watches.
 */

#include <stdbool.h>

/* Takes SIGINT over, for the interactive shell. 0 or -errno. */
int ctl_interrupt_catch(void);

/* SIGINT has come since the last reset. */
bool ctl_interrupted(void);
void ctl_interrupt_reset(void);

/*
 * Waits for events (of poll(2)) on fd, or only for the time if fd is -1. 0,
 * -ETIMEDOUT, -EINTR if ctl_interrupted(), or -errno. timeout_ms -1: for ever.
 */
int ctl_wait(int fd, short events, int timeout_ms);

#endif
