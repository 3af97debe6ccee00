#ifndef BROKER_RETRY_H
#define BROKER_RETRY_H

/* When a failed task is tried again, and when a worker's code is to blame for
 * crashes rather than its tasks. Pure. */

#include "supervisord/broker/broker.h"

/* Before the n-th further try (1, 2...); random: any number. */
int64_t retry_delay_ms(
    const struct pool_config *config, uint32_t n, uint64_t random);

/* The crashes of the last minute, by task. */
#define STORM_TASKS  6 /* so many different ones are too many */
#define STORM_WITHIN (60 * 1000000000LL)

struct storm {
	struct {
		uint64_t task;
		int64_t mono; /* 0: none */
	} last[STORM_TASKS];

	int64_t pause; /* the next one's length, ns */
	int64_t until; /* of the present one, or the last */
};

/* A task has crashed its process: ns that the pool should rest for, or 0. */
int64_t storm_crash(struct storm *s, uint64_t task, int64_t now);

#endif
