#ifndef BROKER_DEFAULTS_H
#define BROKER_DEFAULTS_H

/*
 * What a worker's settings add to a submission. A copy of them is kept behind a
 * lock, for the store's thread, which completes follow-ups on its own.
 */

#include "supervisord/broker/broker.h"

/* In place of those before. false: no memory, the old ones stay. */
bool defaults_set(const struct pool_config *pools, size_t count);
void defaults_free(void);

/* Moves the submission's strings into the row; all but the id. Pure. */
void defaults_apply(const struct pool_config *config, struct submission *s,
    int64_t now_ms, struct task_row *row);

#endif
