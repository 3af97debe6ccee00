#ifndef MASTER_TAKEOVER_H
#define MASTER_TAKEOVER_H

/*
 * After a crash of the guardian outside of a container: finds the processes
 * that live on, and the log pipes that the orphaned logger holds.
 */

#include <stdbool.h>

struct instance;
struct master;

/* Looks at every process once, and gets the pipes back. clean: it is not known
 * that there was a crash. */
void takeover_begin(struct master *m, bool clean);

/* Is there a process of this instance? Then the guardian is asked to take it
 * over, and the instance is not to be started. */
bool takeover_try(struct master *m, struct instance *it);

/* Asks the guardian (again). */
void takeover_ask(struct master *m, const struct instance *it);

/* What was found and belongs to no instance is taken over to be ended. */
void takeover_end(struct master *m);

#endif
