#ifndef BROKER_BLAME_H
#define BROKER_BLAME_H

/*
 * Who is to blame when a process ends with tasks in its hands. Pure: no I/O, no
 * clock, no memory of its own.
 *
 * A thread puts its task into its slot before it enters the handler and takes
 * it out before it says DONE, so what is in no slot was not being executed. One
 * that was executed when the process crashed is charged; of several each might
 * have done it, and each is run alone next time: who crashes alone is guilty.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/broker/core.h"

struct blame_task {
	uint64_t id;
	bool begun;     /* said by START; counts where there are no slots */
	bool overrun;   /* it was asked to end for its time limit */
	bool cancelled; /* it was asked to end since it was cancelled */
	bool doomed;    /* and had not by the end of its grace */
	enum lost lost; /* the verdict */
};

struct blame_end {
	bool stopping; /* somebody wanted it to stop */
	bool replaced; /* the broker had it killed for the doomed ones */
	bool has_slots;
	const uint64_t *slots; /* task in each, 0: none */
	size_t slots_count;
};

void blame(const struct blame_end *end, struct blame_task *tasks, size_t count);

#endif
