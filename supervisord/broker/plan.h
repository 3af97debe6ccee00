#ifndef BROKER_PLAN_H
#define BROKER_PLAN_H

/*
 * When a schedule runs. Pure: the clock is a number that is given, and may go
 * any way.
 *
 * A schedule goes through its due times in order and decides each one once: it
 * is run, or left out. `next` is the first undecided one and only grows, so a
 * clock that is set back runs nothing twice. `anchor` is the one before it:
 * next = anchor + every, never now + every, so nothing drifts; and where next
 * does not follow from the anchor the settings have changed, and it is planned
 * anew.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/cron.h"
#include "supervisord/broker/broker.h"

#define PLAN_CATCH_UP 1000  /* runs of catch_up = "all" at most */
#define PLAN_LATE_MS  60000 /* later than this is missed, for "none" */

struct plan_rule {
	int64_t every_ms; /* or 0: cron */
	bool aligned; /* `every` counts from 1970-01-01T00:00Z, on all machines
		       * alike, not from when it was first planned */
	const struct cron *cron; /* borrowed */
	const struct zone *zone;
	enum catch_up catch_up;
	enum overlap overlap;
	uint32_t most; /* runs of catch_up "all", 1 to PLAN_CATCH_UP */
};

struct plan_state {
	int64_t anchor_ms, next_ms; /* next 0: never again */
	/* What was due up to then was so while nobody could look: before the
	 * start, in a leap of the clock. */
	int64_t caught_ms;
	/* What was due up to then has come while the last run went on. */
	int64_t seen_ms;
	bool busy;        /* the last run has not ended */
	uint32_t missed;  /* due times left out since the last run */
	int64_t since_ms; /* if there are any: they are behind this one */
};

enum plan_what {
	PLAN_WAIT, /* for next */
	PLAN_HOLD, /* for the end of the last run */
	PLAN_RUN,  /* the due time at_ms */
	PLAN_SKIP  /* leaves out all up to at_ms */
};

struct plan_step {
	enum plan_what what;
	int64_t at_ms;
	uint32_t missed; /* left out by this step */
	int64_t next_ms; /* after it */
};

/* The due time that follows one (or an anchor); 0: none. */
int64_t plan_after(const struct plan_rule *rule, int64_t at_ms);

/* A schedule that is new or has other settings: first due after now. */
void plan_begin(
    const struct plan_rule *rule, int64_t now_ms, struct plan_state *ret);

/* Whether next follows from the anchor by this rule. */
bool plan_holds(const struct plan_rule *rule, const struct plan_state *s);

/* What is to be done now. To be asked again once it is done, until it says
 * WAIT or HOLD. */
struct plan_step plan_next(
    const struct plan_rule *rule, const struct plan_state *s, int64_t now_ms);

/* The state after a step that was carried out at now. */
void plan_done(
    struct plan_state *s, const struct plan_step *step, int64_t now_ms);

#endif
