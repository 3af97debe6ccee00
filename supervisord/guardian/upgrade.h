#ifndef GUARDIAN_UPGRADE_H
#define GUARDIAN_UPGRADE_H

/*
 * The running program is replaced by the one on disk: the tables go into a
 * memfd, descriptors stay open, and the same process goes on in the new
 * program, still the parent of every worker. The helpers are started anew,
 * as after any other of their ends.
 */

#include <stdbool.h>

/* Upgrades now or shortly; on failure the master gets NOT_UPGRADED. */
void upgrade(void);
bool upgrade_under_way(void);
/* TIMER_UPGRADE */
void upgrade_again(void);

/*
 * In the new program, early: true if it goes on for an old one. Then guardian
 * is filled in, all descriptors are close-on-exec again, and *ret_report_fd is
 * for spawn_init.
 */
bool upgrade_resume(int *ret_report_fd);
/* Once the loop works: children, keeps, and the helpers' successors. */
void upgrade_restore(void);

#endif
