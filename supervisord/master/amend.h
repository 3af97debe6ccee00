#ifndef MASTER_AMEND_H
#define MASTER_AMEND_H

/*
 * What memory was lacking for, where nobody waits for an answer who would ask
 * again: instances, what the broker is to know, following a worker's load. It
 * is tried again until it is done; who failed has said so in the log.
 */

struct master;

void amend_init(struct master *m);
void amend_later(struct master *m);

#endif
