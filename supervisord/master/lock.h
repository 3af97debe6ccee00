#ifndef MASTER_LOCK_H
#define MASTER_LOCK_H

/* One supervisord a state_dir and a run_dir. */

struct master;

/* Makes a folder and its parents. 0 or -errno. */
int lock_make_dir(const char *path, unsigned mode);

/*
 * Locks run_dir and state_dir (lock files in them, with the guardian's pid) and
 * hands the descriptors to the guardian, so that the locks outlive this
 * process. held: the lock an earlier master took, -1: none. false: refused or
 * impossible, with words in the log.
 */
#include <stdbool.h>
bool lock_take(struct master *m, int held);

#endif
