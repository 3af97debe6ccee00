#ifndef POLICY_AUTOSCALE_H
#define POLICY_AUTOSCALE_H

/*
 * How many instances a worker should have that follows its use of CPU, or a
 * command's number. (What follows the queue is the broker's.) Pure: no clock,
 * no I/O, no memory.
 *
 * Two steps are at least `cooldown` apart, and the answer is always within min
 * and max: a number that is not is brought there at once.
 */

#include <stdbool.h>
#include <stdint.h>

struct autoscale;

struct scaling {
	int64_t at;    /* mono ns of the last step; 0: none yet */
	unsigned step; /* of the last growth; 0: the last was no growth */
};

/*
 * used: percent of a core, the mean over the instances. Grows by 1, 2, 4... but
 * to no more than it takes to get below `cpu`; shrinks by one when one fewer
 * would still be well below it, so that the same load has one answer.
 */
unsigned scale_by_cpu(const struct autoscale *settings, struct scaling *s,
    unsigned instances, double used, int64_t now);

/* The number a command has said. */
unsigned scale_by_number(const struct autoscale *settings, struct scaling *s,
    unsigned instances, uint64_t number, int64_t now);

/* Within min and max, where nothing is known. */
unsigned scale_bounded(const struct autoscale *settings, uint64_t instances);

/* The first line of what a command wrote: a whole number, blanks around it. */
bool scale_parse(const char *text, uint64_t *ret);

#endif
