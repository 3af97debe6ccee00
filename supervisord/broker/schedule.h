#ifndef BROKER_SCHEDULE_H
#define BROKER_SCHEDULE_H

/*
 * Schedules submit tasks at times of the wall clock. A run and the time of the
 * next one are one transaction, and a second run of the same schedule and due
 * time can't be stored: whatever dies or whichever way the clock is set, there
 * is one run a due time at most. What is due when is plan.h's.
 */

#include "supervisord/base/buf.h"
#include "supervisord/broker/broker.h"
#include "supervisord/broker/store.h"

int schedules_new(struct broker *b, const struct store_found *found);

/* The config has changed: also the first time. */
void schedules_configure(struct broker *b);

void schedules_free(struct broker *b);

/* The name of the one whose run this task is, or NULL: it is gone. */
const char *schedules_name(const struct broker *b, const struct task_row *row);

/* The answer of `schedules`: an array. */
void schedules_put(const struct broker *b, struct buf *out);

#endif
