#ifndef MASTER_TAKEOVER_H
#define MASTER_TAKEOVER_H

/*
 * After a crash of the guardian outside of a container: finds the processes
 * that live on, and the log pipes that the orphaned logger holds.
 */

#include <stdbool.h>

struct instance;
struct master;

/* Looks at every process once, and gets the pipes back. */
void takeover_begin(struct master *m);

/* Is there a process of this instance? Then the guardian is asked to take it
 * over, and the instance is not to be started. */
bool takeover_try(struct master *m, struct instance *it);

void takeover_end(struct master *m);

#endif
