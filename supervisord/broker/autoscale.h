#ifndef BROKER_AUTOSCALE_H
#define BROKER_AUTOSCALE_H

/*
 * How many instances a worker should have: grow by 1, 2, 4... a cooldown while
 * there is too much to do or too few threads are idle, shrink by one a cooldown
 * while too many are. Pure.
 */

#include "supervisord/broker/broker.h"

struct autoscale_state {
	int64_t at;    /* mono ns of the last step; 0: none yet */
	uint32_t step; /* of the last growth; 0: the last was no growth */
};

struct autoscale_counts {
	uint64_t queued;
	uint32_t instances; /* wanted so far */
	uint32_t busy;      /* threads with a task */
};

struct autoscale_answer {
	uint32_t instances;
	int64_t again; /* mono ns to ask again at; 0: at rest, until something
			* changes */
};

struct autoscale_answer autoscale(const struct pool_config *config,
    struct autoscale_state *state, const struct autoscale_counts *counts,
    int64_t now);

#endif
