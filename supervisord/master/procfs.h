#ifndef MASTER_PROCFS_H
#define MASTER_PROCFS_H

/* What /proc says of processes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Field 22 of /proc/PID/stat: with the boot id it names a process for ever.
 * 0: no such process. */
uint64_t procfs_start_ticks(int pid);

/* Bytes of resident memory; 0: no such process. */
int64_t procfs_resident(int pid);

/* ns of CPU that it and those below it have used, those that were waited for
 * included; 0: no such process. */
int64_t procfs_cpu(int pid);

/* /proc/sys/kernel/random/boot_id; "" if it can't be read. */
void procfs_boot_id(char *out, size_t size);

/* The value of a variable in the process's initial environment. */
bool procfs_environ(int pid, const char *name, char *out, size_t size);

/* Its session leader. */
bool procfs_is_session_leader(int pid);
/* Run by our own user. */
bool procfs_is_ours(int pid);

int procfs_self(void);

/* Calls each for every process there is. */
void procfs_each(void (*each)(int pid, void *arg), void *arg);

#endif
