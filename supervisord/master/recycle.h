#ifndef MASTER_RECYCLE_H
#define MASTER_RECYCLE_H

/*
 * Processes that are replaced though they are well: too old, too large
 * (`recycle`), or because the broker asks for it. `recycle` takes one instance
 * of a worker at a time; the others wait until it is up again. Of a hybrid
 * worker another is up before (relief.h).
 */

#include <stdbool.h>

struct instance;
struct master;
struct team;

/* It has a process (since row->started_mono), or has one no more. */
void recycle_started(struct master *m, struct instance *it);
void recycle_ended(struct master *m, struct instance *it);

/* It is to be replaced when its turn comes; why is told with its exit. */
void recycle_due(struct master *m, struct instance *it, const char *why);
/* Who waits for its turn may have it now. */
void recycle_next(struct master *m, struct team *team);

/* Its state has changed: may the next one of its worker go? */
void recycle_changed(struct master *m, struct instance *it);

/* It is about to be freed. */
void recycle_gone(struct master *m, struct instance *it);

/* The worker's settings are others, or the first of this master. */
void recycle_settings(struct master *m, struct team *team);

/*
 * Ends its process and starts another: when its tasks are done, or at once
 * (KILL, to its group or tree as its rules say). why is told with its exit.
 */
void recycle_replace(
    struct master *m, struct instance *it, const char *why, bool kill);

/* Its process is killed as it has not become ready within start_timeout. */
void recycle_late(struct instance *it);

/* Its process is of no use and is killed: it has crashed, and comes back as
 * after a crash. */
void recycle_broken(struct master *m, struct instance *it, const char *why);

#endif
