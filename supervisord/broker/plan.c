#include "supervisord/broker/plan.h"

/* Due times of cron are counted one by one; more than this are passed over, to
 * go on a month before the end: that has fewer, and more than are ever run. */
#define COUNTED  50000
#define MONTH_MS (30 * 86400000LL)

/* Due times in a span of time. */
struct due {
	uint32_t count;
	int64_t first, last; /* 0: none; first: the first of those counted */
};

int64_t
plan_after(const struct plan_rule *rule, int64_t at_ms)
{
	int64_t s;

	if (rule->every_ms > 0)
		return at_ms + rule->every_ms;
	s = at_ms / 1000 - (at_ms % 1000 < 0);
	s = cron_next(rule->cron, rule->zone, s);
	return s > 0 ? s * 1000 : 0;
}

void
plan_begin(const struct plan_rule *rule, int64_t now_ms, struct plan_state *ret)
{
	int64_t anchor = now_ms;

	if (rule->aligned && rule->every_ms > 0)
		anchor -= now_ms % rule->every_ms;
	*ret = (struct plan_state){ .anchor_ms = anchor,
		.next_ms = plan_after(rule, anchor) };
}

bool
plan_holds(const struct plan_rule *rule, const struct plan_state *s)
{
	if (rule->aligned && rule->every_ms > 0 &&
	    s->anchor_ms % rule->every_ms != 0)
		return false;
	return s->anchor_ms > 0 && s->next_ms > 0 &&
	       plan_after(rule, s->anchor_ms) == s->next_ms;
}

static struct due
count_every(int64_t every, int64_t first, int64_t to)
{
	int64_t n = (to - first) / every + 1;

	return (struct due){ n < UINT32_MAX ? (uint32_t)n : UINT32_MAX, first,
		first + (n - 1) * every };
}

/* Those from the due time first until `to`. */
static struct due
count(const struct plan_rule *rule, int64_t first, int64_t to)
{
	struct due d = { 0, first, 0 };

	if (first <= 0 || first > to)
		return (struct due){ 0, 0, 0 };
	if (rule->every_ms > 0)
		return count_every(rule->every_ms, first, to);
	for (int64_t at = first; at > 0 && at <= to;
	     at = plan_after(rule, at)) {
		d.last = at;
		d.count++;
		if (d.count == COUNTED && to - at > MONTH_MS) {
			at = to - MONTH_MS;
			d.first = plan_after(rule, at);
		}
	}
	return d;
}

/* The one from which on there are `most` until the last. */
static int64_t
late_ones(const struct plan_rule *rule, const struct due *d, uint32_t most,
    uint32_t *ret_dropped)
{
	int64_t at = d->first;
	struct due rest;

	*ret_dropped = 0;
	if (d->count <= most)
		return at;
	*ret_dropped = d->count - most;
	if (rule->every_ms > 0)
		return d->last - (int64_t)(most - 1) * rule->every_ms;
	rest = count(rule, d->first, d->last);
	for (uint32_t n = rest.count; n > most; n--)
		at = plan_after(rule, at);
	return at;
}

static struct plan_step
step(const struct plan_rule *rule, enum plan_what what, int64_t at,
    uint32_t missed)
{
	return (struct plan_step){ what, at, missed, plan_after(rule, at) };
}

/* The last run goes on, and it may not be two at once. */
static struct plan_step
while_busy(const struct plan_rule *rule, const struct due *missed,
    const struct due *fresh)
{
	struct plan_step s = { .what = PLAN_HOLD };

	if (rule->overlap == OVERLAP_QUEUE ||
	    (missed->count > 0 && rule->catch_up == CATCH_UP_ALL))
		return s;
	return step(rule, PLAN_SKIP,
	    fresh->count > 0 ? fresh->last : missed->last,
	    missed->count + fresh->count);
}

/* What nobody could look at when it was due. */
static struct plan_step
make_up(const struct plan_rule *rule, const struct due *missed,
    const struct due *fresh, int64_t now)
{
	uint32_t dropped;
	int64_t at;

	switch (rule->catch_up) {
	case CATCH_UP_ALL:
		at = late_ones(rule, missed, rule->most, &dropped);
		return step(rule, PLAN_RUN, at, dropped);
	case CATCH_UP_NONE:
		if (fresh->count > 0 || now - missed->last > PLAN_LATE_MS)
			return step(
			    rule, PLAN_SKIP, missed->last, missed->count);
		break;
	case CATCH_UP_ONE:
		break;
	}
	return step(rule, PLAN_RUN, missed->last, missed->count - 1);
}

/* What has come due under our eyes. */
static struct plan_step
run_fresh(const struct plan_rule *rule, const struct plan_state *s,
    const struct due *fresh)
{
	struct due seen = count(rule, fresh->first, s->seen_ms);

	if (rule->overlap != OVERLAP_ALLOW && seen.count > 0) {
		/* While the last run went on: one of them may have waited. */
		if (rule->overlap == OVERLAP_SKIP)
			return step(rule, PLAN_SKIP, seen.last, seen.count);
		return step(rule, PLAN_RUN, seen.last, seen.count - 1);
	}
	/* More than one: we were late, by less than a leap of the clock. */
	if (rule->catch_up == CATCH_UP_ALL)
		return step(rule, PLAN_RUN, fresh->first, 0);
	return step(rule, PLAN_RUN, fresh->last, fresh->count - 1);
}

struct plan_step
plan_next(const struct plan_rule *rule, const struct plan_state *s, int64_t now)
{
	int64_t caught = s->caught_ms < now ? s->caught_ms : now;
	struct due missed, fresh;

	if (s->next_ms <= 0 || s->next_ms > now)
		return (struct plan_step){ .what = PLAN_WAIT,
			.next_ms = s->next_ms };
	missed = count(rule, s->next_ms, caught);
	fresh = count(rule,
	    missed.count > 0 ? plan_after(rule, missed.last) : s->next_ms, now);
	if (s->busy && rule->overlap != OVERLAP_ALLOW)
		return while_busy(rule, &missed, &fresh);
	if (missed.count > 0)
		return make_up(rule, &missed, &fresh, now);
	return run_fresh(rule, s, &fresh);
}

void
plan_done(struct plan_state *s, const struct plan_step *step, int64_t now)
{
	switch (step->what) {
	case PLAN_WAIT:
		return;
	case PLAN_HOLD:
		if (s->seen_ms < now)
			s->seen_ms = now;
		return;
	case PLAN_RUN:
		s->missed = 0;
		s->busy = true;
		break;
	case PLAN_SKIP:
		if (s->missed == 0)
			s->since_ms = s->anchor_ms;
		s->missed += step->missed;
		break;
	}
	s->anchor_ms = step->at_ms;
	s->next_ms = step->next_ms;
}
