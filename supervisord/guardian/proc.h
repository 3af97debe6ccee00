#ifndef GUARDIAN_PROC_H
#define GUARDIAN_PROC_H

/*
 * What /proc says about processes, and the tag by which descendants are known.
 *
 * A process can leave its session, its group and its parent, and can clear its
 * environment, but a resource limit it inherits stays: RLIMIT_RTTIME, which
 * matters to nobody without a real-time policy, is set to a number no one
 * would choose (290,000 years in microseconds) that names the slot, the
 * generation and the guardian.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

void tag_init(uint64_t run);
uint64_t tag_of(uint32_t slot, uint32_t gen);
/* True if it is a tag of this guardian; gen: its low 24 bits. */
bool tag_read(uint64_t tag, uint32_t *ret_slot, uint32_t *ret_gen);

/* The tag of a process, 0 if it has none or can't be asked. */
uint64_t proc_tag(pid_t pid);

/* Start time of a process in clock ticks after boot (proc(5)). 0 or -errno. */
int proc_start_ticks(pid_t pid, uint64_t *ret);

bool proc_mounted(void);

/*
 * Calls `each` for every child of this process (all: for every process), dead
 * ones not reaped yet included; maybe for others too. 0 or -errno.
 */
int proc_each(bool all, void (*each)(pid_t pid));

#endif
