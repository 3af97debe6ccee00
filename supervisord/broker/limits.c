#include "supervisord/broker/limits.h"

#include <stdlib.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"

struct limits {
	struct ev_loop *loop;
	ev_timer timer;
	int64_t armed;       /* what the timer is set to; INT64_MAX: nothing */
	struct limit **heap; /* from 1 on */
	uint32_t count, room;
};

static void
put(struct limits *ls, uint32_t place, struct limit *l)
{
	ls->heap[place] = l;
	l->place = place;
}

static void
up(struct limits *ls, uint32_t at, struct limit *l)
{
	for (; at > 1 && ls->heap[at / 2]->at > l->at; at /= 2)
		put(ls, at, ls->heap[at / 2]);
	put(ls, at, l);
}

static void
down(struct limits *ls, uint32_t at, struct limit *l)
{
	for (uint32_t child; (child = at * 2) <= ls->count; at = child) {
		if (child < ls->count &&
		    ls->heap[child + 1]->at < ls->heap[child]->at)
			child++;
		if (ls->heap[child]->at >= l->at)
			break;
		put(ls, at, ls->heap[child]);
	}
	put(ls, at, l);
}

static void
arm(struct limits *ls)
{
	int64_t next = limits_next(ls), left;

	if (ls->loop == NULL || next == ls->armed)
		return;
	/* Later than the timer says: it will find nothing due and be set then,
	 * which is cheaper than setting it for every task that ends. */
	if (next > ls->armed)
		return;
	ev_timer_stop(ls->loop, &ls->timer);
	ls->armed = next;
	left = MAX_OF(next - clock_mono(), 0);
	ev_now_update(ls->loop);
	ev_timer_set(&ls->timer, (double)left / (double)NS_PER_SEC, 0.);
	ev_timer_start(ls->loop, &ls->timer);
}

static void
timer_due(struct ev_loop *loop, ev_timer *w, int events)
{
	struct limits *ls = CONTAINER_OF(w, struct limits, timer);

	(void)loop;
	(void)events;
	ls->armed = INT64_MAX;
	limits_run(ls, clock_mono());
	arm(ls);
}

struct limits *
limits_new(struct ev_loop *loop)
{
	struct limits *ls = calloc(1, sizeof *ls);

	if (ls == NULL)
		return NULL;
	ls->loop = loop;
	ls->armed = INT64_MAX;
	ev_timer_init(&ls->timer, timer_due, 0., 0.);
	return ls;
}

void
limits_free(struct limits *ls)
{
	if (ls == NULL)
		return;
	if (ls->loop != NULL)
		ev_timer_stop(ls->loop, &ls->timer);
	for (uint32_t i = 1; i <= ls->count; i++)
		ls->heap[i]->place = LIMIT_OFF;
	free(ls->heap);
	free(ls);
}

static bool
grow(struct limits *ls)
{
	uint32_t room = ls->room > 0 ? ls->room * 2 : 64;
	struct limit **grown = realloc(ls->heap, room * sizeof *grown);

	if (grown == NULL) {
		log_error("no memory for a deadline");
		return false;
	}
	ls->heap = grown;
	ls->room = room;
	return true;
}

bool
limit_set(struct limits *ls, struct limit *l, int64_t at,
    void (*due)(struct limit *l))
{
	l->due = due;
	if (limit_is_set(l)) {
		int64_t before = l->at;

		l->at = at;
		if (at < before)
			up(ls, l->place, l);
		else
			down(ls, l->place, l);
	} else {
		if (ls->count + 2 > ls->room && !grow(ls))
			return false;
		l->at = at;
		up(ls, ++ls->count, l);
	}
	arm(ls);
	return true;
}

void
limit_clear(struct limits *ls, struct limit *l)
{
	uint32_t place = l->place;
	struct limit *last;

	if (!limit_is_set(l))
		return;
	l->place = LIMIT_OFF;
	last = ls->heap[ls->count--];
	if (last == l)
		return;
	if (place > 1 && ls->heap[place / 2]->at > last->at)
		up(ls, place, last);
	else
		down(ls, place, last);
}

int64_t
limits_next(const struct limits *ls)
{
	return ls->count > 0 ? ls->heap[1]->at : INT64_MAX;
}

void
limits_run(struct limits *ls, int64_t now)
{
	/* One set anew for now or earlier may be called again in this run, but
	 * not for ever. */
	for (uint32_t left = ls->count; left > 0 && limits_next(ls) <= now;
	     left--) {
		struct limit *l = ls->heap[1];

		limit_clear(ls, l);
		l->due(l);
	}
}
