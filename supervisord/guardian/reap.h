#ifndef GUARDIAN_REAP_H
#define GUARDIAN_REAP_H

/*
 * Exits. A SIGCHLD names one child, which is reaped at once whatever the size
 * of the fleet. Signals merge, so others may have ended too: finding them means
 * to have the kernel walk all children, which is done behind a delay that grows
 * with their number, and costs a twentieth of a processor at most.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A SIGCHLD came; pid: the child it names. */
void reap_signalled(pid_t pid);

/* Reaps whatever has ended, some at a time. */
void reap_sweep(void);

/* How many exits of any process there have been: has something changed? */
uint64_t reap_count(void);

/* True while this process has children of any kind. */
bool reap_has_children(void);

/* An adopted child has ended; its status is its parent's to know. */
void reap_adopted(uint32_t slot);

#endif
