#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

/*
 * Deadlines: one heap on one timer of the loop, however many tasks are under
 * way. Times are monotonic nanoseconds (clock_mono).
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define LIMIT_OFF 0U

/* Embedded in what has a deadline; all zero is not set. */
struct limit {
	int64_t at;
	uint32_t place;               /* in the heap, from 1; LIMIT_OFF */
	void (*due)(struct limit *l); /* it is not set any more then */
};

struct limits;

struct limits *limits_new(struct ev_loop *loop); /* NULL: no memory */
void limits_free(struct limits *ls);             /* NULL is fine */

/* Sets or moves it. false: no memory, it is not set. */
bool limit_set(struct limits *ls, struct limit *l, int64_t at,
    void (*due)(struct limit *l));
void limit_clear(struct limits *ls, struct limit *l);

static inline bool
limit_is_set(const struct limit *l)
{
	return l->place != LIMIT_OFF;
}

/* Calls those that are due by now, at most as many as there are. For the timer,
 * and for tests. */
void limits_run(struct limits *ls, int64_t now);
int64_t limits_next(const struct limits *ls); /* INT64_MAX: none */

#endif
