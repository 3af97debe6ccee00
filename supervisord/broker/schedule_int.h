#ifndef BROKER_SCHEDULE_INT_H
#define BROKER_SCHEDULE_INT_H

/* A schedule, shared by schedule.c (the config) and schedule_run.c (its runs).
 */

#include "supervisord/base/zone.h"
#include "supervisord/broker/core.h"
#include "supervisord/broker/plan.h"

struct schedule {
	struct list link; /* in schedules.all, or .gone */
	struct broker *b;
	uint32_t id; /* the store's */
	char name[WORKER_NAME_MAX + 1], worker[WORKER_NAME_MAX + 1];
	char *func, *args;
	char *when;  /* "every" or "cron" with its zone: planned by this */
	bool shared; /* its worker's queue is */
	uint8_t priority;
	int64_t timeout_ms;
	struct cron cron;
	struct zone *zone;
	struct plan_rule rule;
	struct plan_state plan;
	struct plan_step step; /* that is being carried out */
	uint64_t last_task;    /* 0: none */
	struct waiter waiter;  /* for its end */
	unsigned pending; /* answers that are to come: it is not freed before */
	bool waiting;     /* waiter is the core's */
	bool broken;      /* its settings can't be used */
	bool known;       /* what became of the last run was found out */
	bool changed;     /* to be planned anew when the step is done */
	bool gone;        /* from the config */
	bool troubled;    /* and the log says so already */
	uint64_t fired;   /* shared: the run of this step, stored; 0 */
	ev_periodic timer;
};

struct schedules {
	struct broker *b;
	struct list all;
	struct store_schedule *found; /* of the store, until first configured */
	size_t found_count;
	int64_t wall_ms, mono_ms; /* when the clock was looked at last */
};

/* Goes on with it, or begins: looks up what there is of it in the store. */
void schedule_begin(struct schedule *s);

/* Ends it: freed as soon as no answer is to come for it. */
void schedule_drop(struct schedule *s);

/* What tells of which schedule a task is: of a shared one the same everywhere.
 */
uint32_t schedule_mark(const struct schedule *s);

void schedule_timer(struct ev_loop *loop, ev_periodic *w, int events);

#endif
