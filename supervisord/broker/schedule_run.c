/* A schedule's runs: one step of its plan after the other, each one stored
 * before the next is thought of. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/schedule_int.h"
#include "supervisord/broker/stores.h"

#define AGAIN_MS 1000 /* a try that failed for the store */
#define LEAP_MS  2000 /* the wall clock went on by so much more than time */
#define BACK_MS  (-60000)

static void go_on(struct schedule *s);
static void plan_anew(struct schedule *s);

/* --- the clock ------------------------------------------------------------ */

/*
 * What was due within a leap of the wall clock forward (it was set, the machine
 * slept) nobody could see coming: it is missed, as after a time of being down.
 */
static int64_t
look_at_clock(struct schedules *all)
{
	int64_t wall = clock_wall_ms(), mono = clock_mono() / NS_PER_MS;
	int64_t leap = wall - all->wall_ms - (mono - all->mono_ms);
	struct list *l, *tmp;

	all->wall_ms = wall;
	all->mono_ms = mono;
	if (leap > LEAP_MS) {
		LIST_FOREACH(l, tmp, &all->all)
			LIST_ENTRY(l, struct schedule, link)->plan.caught_ms =
			    wall;
	} else if (leap < BACK_MS) {
		log_warn("the clock was set back by %" PRId64
			 " s: schedules that have run for these times wait "
			 "until they have passed",
		    -leap / 1000);
	}
	return wall;
}

static void
wake_at(struct schedule *s, int64_t at_ms)
{
	ev_periodic_stop(s->b->loop, &s->timer);
	if (at_ms <= 0)
		return;
	/* A little behind, so that it is due for a clock of milliseconds. */
	ev_periodic_set(&s->timer, (double)(at_ms + 1) / 1000., 0., NULL);
	ev_periodic_start(s->b->loop, &s->timer);
}

void
schedule_timer(struct ev_loop *loop, ev_periodic *w, int events)
{
	(void)loop;
	(void)events;
	go_on(CONTAINER_OF(w, struct schedule, timer));
}

/* --- the last run --------------------------------------------------------- */

static void
run_ended(struct waiter *w, enum queue_error error, const struct task_row *row)
{
	struct schedule *s = w->arg;

	(void)error;
	(void)row;
	s->waiting = false;
	s->plan.busy = false;
	s->plan.seen_ms = clock_wall_ms();
	go_on(s);
}

static void
stop_waiting(struct schedule *s)
{
	if (s->waiting)
		core_unwait(&s->waiter);
	s->waiting = false;
}

static void
wait_for_last(struct schedule *s)
{
	stop_waiting(s);
	s->plan.busy = true;
	s->waiting = true;
	s->waiter.ended = run_ended;
	s->waiter.arg = s;
	core_wait(s->b, s->last_task, &s->waiter);
}

static void
schedule_free(struct schedule *s)
{
	free(s->func);
	free(s->args);
	free(s->when);
	zone_free(s->zone);
	free(s);
}

void
schedule_drop(struct schedule *s)
{
	s->gone = true;
	ev_periodic_stop(s->b->loop, &s->timer);
	stop_waiting(s);
	list_remove(&s->link);
	if (s->pending == 0)
		schedule_free(s);
}

/* An answer has come. false: nobody wants it any more. */
static bool
answered(struct schedule *s)
{
	s->pending--;
	if (!s->gone)
		return true;
	if (s->pending == 0)
		schedule_free(s);
	return false;
}

static void
last_found(void *arg, enum queue_error error, const struct task_row *row,
    const struct task *live)
{
	struct schedule *s = arg;

	(void)live;
	if (!answered(s))
		return;
	if (error != QERR_NONE && error != QERR_NO_TASK) {
		wake_at(s, clock_wall_ms() + AGAIN_MS);
		return;
	}
	s->known = true;
	if (error == QERR_NONE && row != NULL &&
	    (row->state == TASK_QUEUED || row->state == TASK_SCHEDULED ||
		row->state == TASK_RUNNING))
		wait_for_last(s);
	go_on(s);
}

/* --- steps ---------------------------------------------------------------- */

static void
tell(struct schedule *s, const struct task_row *row)
{
	char at[CLOCK_TEXT];

	clock_format(s->step.at_ms, at, sizeof at);
	if (row->missed > 0)
		broker_event(s->b, s->worker, "queue",
		    "schedule %s: task %" PRIu64
		    " for %s; %u before it left out",
		    s->name, row->id, at, row->missed);
	else
		log_debug("schedule %s: task %" PRIu64 " for %s", s->name,
		    row->id, at);
}

/* Said once, however often it is tried. */
static void
try_again(struct schedule *s)
{
	if (!s->troubled)
		log_warn("schedule %s: its run can't be stored now: tried "
			 "again every second",
		    s->name);
	s->troubled = true;
	wake_at(s, clock_wall_ms() + AGAIN_MS);
}

static void
take_step(struct schedule *s, struct store_op *op)
{
	bool run = s->step.what == PLAN_RUN;

	if (s->fired != 0) {
		/* It was told of when it was made. */
	} else if (run && op->existing == 0) {
		s->last_task = op->row->id;
		tell(s, op->row);
		if (s->b->schedules != NULL) /* else all ends just now */
			core_accept(s->b, op->row);
	} else if (run) {
		s->last_task = op->existing;
	}
	if (!s->changed)
		plan_done(&s->plan, &s->step, clock_wall_ms());
	if (run && !s->gone)
		wait_for_last(s);
}

/* The store has it, or has not: then it is tried again. */
static void
stepped(struct store_op *op)
{
	struct schedule *s = op->arg;
	bool well = op->error == QERR_NONE;

	if (well)
		take_step(s, op);
	store_op_free(op);
	if (!answered(s))
		return;
	if (well)
		s->troubled = false;
	if (well || s->changed)
		go_on(s);
	else
		try_again(s);
}

static struct submission *
submission_of(const struct schedule *s)
{
	struct submission *sub = submission_new();

	if (sub == NULL)
		return NULL;
	memcpy(sub->worker, s->worker, sizeof sub->worker);
	sub->func = strdup(s->func);
	sub->json = true;
	sub->priority = s->priority;
	sub->timeout_ms = s->timeout_ms;
	sub->schedule = schedule_mark(s);
	sub->fire_ms = s->step.at_ms;
	sub->missed = s->plan.missed + s->step.missed;
	if (s->args != NULL)
		sub->payload = body_new(s->args, strlen(s->args));
	if (sub->func != NULL && (s->args == NULL || sub->payload != NULL))
		return sub;
	submission_free(sub);
	return NULL;
}

static void
task_row_free(struct task_row *row)
{
	if (row != NULL)
		task_row_done(row);
	free(row);
}

/* The run's row. Its worker's queue may be full: a run is not left out for
 * that, there is one of it. NULL: not now. */
static struct task_row *
row_of(const struct schedule *s)
{
	struct submission *sub = submission_of(s);
	struct task_row *row = calloc(1, sizeof *row);

	if (sub != NULL && row != NULL) {
		row->id = stores_new_id(s->b, s->shared);
		if (row->id != 0 && core_complete(sub, row, s->b)) {
			submission_free(sub);
			return row;
		}
		task_row_done(row);
	}
	submission_free(sub);
	free(row);
	return NULL;
}

/* The plan, which is this supervisord's own, moves on. */
static void
put_move(struct schedule *s, struct task_row *row)
{
	struct store_op *op = store_op_new(STORE_FIRE);

	if (op == NULL) {
		task_row_free(row);
		try_again(s);
		return;
	}
	op->row = row;
	op->schedule = s->id;
	op->fire_ms = s->step.at_ms;
	op->next_fire_ms = s->step.next_ms;
	op->now_ms = s->step.at_ms;
	/* Where it was run is known by its task alone. */
	op->existing = row == NULL ? s->fired : 0;
	op->done = stepped;
	op->arg = s;
	s->pending++;
	stores_add(s->b, op);
}

/* Whoever of those who share its queue comes first has made the run of this
 * time; then each one's plan moves on. */
static void
fired(struct store_op *op)
{
	struct schedule *s = op->arg;
	bool well = op->error == QERR_NONE;

	if (well) {
		s->fired = op->existing != 0 ? op->existing : op->row->id;
		s->last_task = s->fired;
		if (op->existing == 0) {
			op->row->missed -= MIN_OF(op->ran, op->row->missed);
			tell(s, op->row);
			if (s->b->schedules != NULL)
				core_accept(s->b, op->row);
		}
	}
	store_op_free(op);
	if (!answered(s))
		return;
	if (well)
		put_move(s, NULL);
	else
		try_again(s);
}

static void
put_fire(struct schedule *s, struct task_row *row)
{
	struct store_op *op = store_op_new(STORE_FIRE);

	if (op != NULL)
		op->text = strdup(s->name);
	if (op == NULL || op->text == NULL) {
		store_op_free(op);
		task_row_free(row);
		try_again(s);
		return;
	}
	op->shared = true;
	op->since_ms =
	    s->plan.missed > 0 ? s->plan.since_ms : s->plan.anchor_ms;
	op->row = row;
	memcpy(op->worker, row->worker, sizeof op->worker);
	op->schedule = row->schedule;
	op->fire_ms = s->step.at_ms;
	op->next_fire_ms = s->step.next_ms;
	op->done = fired;
	op->arg = s;
	s->pending++;
	stores_add(s->b, op);
}

static void
put_step(struct schedule *s, const struct plan_step *step)
{
	struct task_row *row = NULL;

	s->step = *step;
	s->fired = 0;
	if (step->what == PLAN_RUN) {
		row = row_of(s);
		if (row == NULL) {
			try_again(s);
			return;
		}
	}
	if (row != NULL && s->shared)
		put_fire(s, row);
	else
		put_move(s, row);
}

static void
go_on(struct schedule *s)
{
	int64_t now = look_at_clock(s->b->schedules);
	struct plan_step step;

	if (s->gone || s->broken || s->pending > 0 || s->b->finishing)
		return;
	if (s->id == 0 || !s->known || s->changed) {
		schedule_begin(s);
		return;
	}
	step = plan_next(&s->rule, &s->plan, now);
	switch (step.what) {
	case PLAN_WAIT:
		wake_at(s, step.next_ms);
		return;
	case PLAN_HOLD:
		return;
	case PLAN_RUN:
	case PLAN_SKIP:
		put_step(s, &step);
		return;
	}
}

/* Its first time, or another by new settings: stored, so that whoever starts
 * after us goes on from there. */
static void
plan_anew(struct schedule *s)
{
	struct plan_state fresh;

	s->changed = false;
	if (s->broken)
		return;
	plan_begin(&s->rule, clock_wall_ms(), &fresh);
	fresh.busy = s->plan.busy;
	s->plan = fresh;
	put_step(s, &(struct plan_step){ .what = PLAN_SKIP,
			.at_ms = fresh.anchor_ms,
			.next_ms = fresh.next_ms });
}

/* The store may not be well when a schedule is new: asked again until it is. */
void
schedule_begin(struct schedule *s)
{
	if (s->id == 0)
		s->id = store_schedule_id(s->b->store, s->name, &s->last_task);
	if (s->id == 0) {
		if (!s->troubled)
			log_warn("schedule %s waits for the store", s->name);
		s->troubled = true;
		wake_at(s, clock_wall_ms() + AGAIN_MS);
		return;
	}
	s->known = s->known || s->last_task == 0;
	if (!s->known) {
		s->pending++;
		core_task(s->b, s->last_task, last_found, s);
	} else if (s->changed) {
		plan_anew(s);
	} else {
		go_on(s);
	}
}
