#ifndef BROKER_START_SHARED_H
#define BROKER_START_SHARED_H

/* The store that several supervisords share: when it is opened, and what it
 * tells. */

#include "supervisord/broker/broker.h"

/* As the settings say: at the start, and when they have changed. Once it is
 * open, other settings of it are the next broker's: this one ends its loop.
 * 0 or -errno, said in the log. */
int start_shared(struct broker *b);

/* Once the core is there no more is to come for it. */
void start_shared_end(struct broker *b);

#endif
