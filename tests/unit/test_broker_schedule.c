/*
 * When a schedule runs, on a made-up clock; and that whatever dies between two
 * steps, or whichever way the clock is set, no due time is run twice.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/base/zone.h"
#include "supervisord/broker/plan.h"
#include "tests/unit/skip.h"

#define MIN  60000LL
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
#define T0   1700000000000LL /* 2023-11-14 22:13:20 UTC */

/* A schedule as the broker has it: `state` is lost when it is killed, `disk` is
 * not. */
struct sim {
	struct plan_rule rule;
	struct plan_state state;
	int64_t disk_anchor, disk_next;
	int64_t runs[4096];
	uint32_t missed[4096];
	size_t count;
};

static void
sim_begin(struct sim *s, int64_t now)
{
	plan_begin(&s->rule, now, &s->state);
	s->disk_anchor = s->state.anchor_ms;
	s->disk_next = s->state.next_ms;
	if (s->rule.most == 0)
		s->rule.most = PLAN_CATCH_UP;
}

/* One step; false: there is nothing to do. A run is a task that goes on until
 * the test ends it. */
static bool
sim_step(struct sim *s, int64_t now)
{
	struct plan_step step = plan_next(&s->rule, &s->state, now);
	uint32_t missed = s->state.missed + step.missed;

	if (step.what == PLAN_WAIT || step.what == PLAN_HOLD) {
		plan_done(&s->state, &step, now);
		return false;
	}
	/* One transaction; the store refuses a second run of a due time. */
	if (step.what == PLAN_RUN) {
		for (size_t i = 0; i < s->count; i++)
			assert_true(s->runs[i] != step.at_ms);
		assert_true(step.at_ms <= now);
		assert_true(s->count < N_ELEMENTS(s->runs));
		s->runs[s->count] = step.at_ms;
		s->missed[s->count++] = missed;
	}
	assert_true(step.next_ms == 0 || step.next_ms > s->disk_next ||
		    step.at_ms >= s->disk_next);
	s->disk_anchor = step.at_ms;
	s->disk_next = step.next_ms;
	plan_done(&s->state, &step, now);
	return true;
}

static void
sim_go(struct sim *s, int64_t now)
{
	for (int i = 0; sim_step(s, now); i++)
		assert_true(i < 5000);
}

static void
sim_ended(struct sim *s, int64_t now)
{
	s->state.busy = false;
	s->state.seen_ms = now;
	sim_go(s, now);
}

/* kill -9 and a new broker, which finds what is on disk. */
static void
sim_restart(struct sim *s, int64_t now, bool busy)
{
	s->state = (struct plan_state){ .anchor_ms = s->disk_anchor,
		.next_ms = s->disk_next,
		.caught_ms = now,
		.busy = busy };
	assert_true(plan_holds(&s->rule, &s->state));
	sim_go(s, now);
}

static struct sim
every(int64_t ms, enum catch_up catch_up, enum overlap overlap)
{
	struct sim s = { .rule = { .every_ms = ms,
			     .catch_up = catch_up,
			     .overlap = overlap } };

	sim_begin(&s, T0);
	return s;
}

static void
every_does_not_drift(void **state)
{
	struct sim s = every(5 * MIN, CATCH_UP_ONE, OVERLAP_ALLOW);

	(void)state;
	sim_go(&s, T0);
	assert_int_equal(s.count, 0);
	/* Woken late each time, by up to 400 ms. */
	for (int k = 1; k <= 1000; k++)
		sim_go(&s, T0 + k * 5 * MIN + k % 400);
	assert_int_equal(s.count, 1000);
	for (size_t k = 0; k < s.count; k++) {
		assert_int_equal(s.runs[k], T0 + (int64_t)(k + 1) * 5 * MIN);
		assert_int_equal(s.missed[k], 0);
	}
}

static void
missed_ones_are_caught_up_as_asked(void **state)
{
	static const struct {
		enum catch_up catch_up;
		size_t runs;
		uint32_t missed; /* of the first */
	} cases[] = {
		{ CATCH_UP_ONE, 1, 9 },
		{ CATCH_UP_NONE, 0, 0 },
		{ CATCH_UP_ALL, 10, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct sim s = every(HOUR, cases[i].catch_up, OVERLAP_ALLOW);

		/* Down for ten due times, back half an hour after the last. */
		sim_restart(&s, T0 + 10 * HOUR + HOUR / 2, false);
		assert_int_equal(s.count, cases[i].runs);
		if (s.count > 0)
			assert_int_equal(s.missed[0], cases[i].missed);
		if (s.count == 1)
			assert_int_equal(s.runs[0], T0 + 10 * HOUR);
		sim_go(&s, T0 + 11 * HOUR);
		assert_int_equal(s.count, cases[i].runs + 1);
		assert_int_equal(s.runs[s.count - 1], T0 + 11 * HOUR);
		/* What none has left out is told by the next. */
		assert_int_equal(s.missed[s.count - 1],
		    cases[i].catch_up == CATCH_UP_NONE ? 10 : 0);
	}
}

static void
a_broker_that_was_back_at_once_missed_nothing(void **state)
{
	struct sim s = every(HOUR, CATCH_UP_NONE, OVERLAP_ALLOW);

	(void)state;
	sim_restart(&s, T0 + HOUR + 900, false);
	assert_int_equal(s.count, 1);
	sim_restart(&s, T0 + HOUR + 1900, false);
	assert_int_equal(s.count, 1);
	sim_restart(&s, T0 + 2 * HOUR + PLAN_LATE_MS + 1, false);
	assert_int_equal(s.count, 1);
}

static void
all_is_a_thousand_at_most(void **state)
{
	struct sim s = every(MIN, CATCH_UP_ALL, OVERLAP_ALLOW);

	(void)state;
	sim_restart(&s, T0 + 5000 * MIN, false);
	assert_int_equal(s.count, 1000);
	assert_int_equal(s.missed[0], 4000);
	assert_int_equal(s.runs[0], T0 + 4001 * MIN);
	assert_int_equal(s.runs[999], T0 + 5000 * MIN);
}

static void
all_one_after_the_other_where_they_may_not_overlap(void **state)
{
	struct sim s = every(HOUR, CATCH_UP_ALL, OVERLAP_SKIP);
	int64_t now = T0 + 3 * HOUR + MIN;

	(void)state;
	sim_restart(&s, now, false);
	assert_int_equal(s.count, 1);
	/* What comes due while they are caught up is left out. */
	now = T0 + 4 * HOUR + MIN;
	sim_go(&s, now);
	assert_int_equal(s.count, 1);
	sim_ended(&s, now);
	assert_int_equal(s.count, 2);
	sim_ended(&s, now);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.runs[2], T0 + 3 * HOUR);
	sim_ended(&s, now);
	assert_int_equal(s.count, 3);
	sim_go(&s, T0 + 5 * HOUR);
	assert_int_equal(s.count, 4);
	assert_int_equal(s.missed[3], 1);
}

static void
overlapping_ones_are_left_out_or_wait(void **state)
{
	struct sim skip = every(MIN, CATCH_UP_ONE, OVERLAP_SKIP),
		   queue = every(MIN, CATCH_UP_ONE, OVERLAP_QUEUE),
		   allow = every(MIN, CATCH_UP_ONE, OVERLAP_ALLOW);
	struct sim *all[] = { &skip, &queue, &allow };

	(void)state;
	/* The first run takes three and a half minutes. */
	for (int k = 1; k <= 4; k++) {
		for (size_t i = 0; i < N_ELEMENTS(all); i++)
			sim_go(all[i], T0 + k * MIN);
	}
	for (size_t i = 0; i < N_ELEMENTS(all); i++)
		sim_ended(all[i], T0 + 4 * MIN + MIN / 2);
	assert_int_equal(skip.count, 1);
	assert_int_equal(queue.count, 2);
	assert_int_equal(queue.runs[1], T0 + 4 * MIN);
	assert_int_equal(queue.missed[1], 2);
	assert_int_equal(allow.count, 4);
	sim_go(&skip, T0 + 5 * MIN);
	assert_int_equal(skip.runs[1], T0 + 5 * MIN);
	assert_int_equal(skip.missed[1], 3);
	assert_int_equal(skip.state.since_ms, skip.runs[0]);
	sim_go(&queue, T0 + 5 * MIN);
	assert_int_equal(queue.count, 2); /* the second goes on */
	sim_ended(&queue, T0 + 5 * MIN + 1);
	assert_int_equal(queue.count, 3);
}

static void
a_clock_set_back_runs_nothing_twice(void **state)
{
	struct sim s = every(MIN, CATCH_UP_ALL, OVERLAP_ALLOW);

	(void)state;
	for (int k = 1; k <= 100; k++)
		sim_go(&s, T0 + k * MIN);
	/* An hour back: all of it passes once more. */
	for (int k = 40; k <= 100; k++)
		sim_go(&s, T0 + k * MIN + 30);
	assert_int_equal(s.count, 100);
	sim_restart(&s, T0 + 50 * MIN, false);
	assert_int_equal(s.count, 100);
	sim_go(&s, T0 + 101 * MIN);
	assert_int_equal(s.count, 101);
}

static void
a_leap_forward_is_as_a_time_of_being_down(void **state)
{
	struct sim s = every(MIN, CATCH_UP_ONE, OVERLAP_ALLOW);

	(void)state;
	sim_go(&s, T0 + MIN);
	s.state.caught_ms = T0 + 2 * HOUR;
	sim_go(&s, T0 + 2 * HOUR);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.missed[1], 118);
	/* Set right again: silence until these times are over. */
	for (int64_t t = T0 + MIN; t <= T0 + 2 * HOUR; t += MIN)
		sim_go(&s, t);
	assert_int_equal(s.count, 2);
	sim_go(&s, T0 + 2 * HOUR + MIN);
	assert_int_equal(s.count, 3);
}

static void
other_settings_are_planned_anew(void **state)
{
	struct sim s = every(HOUR, CATCH_UP_ONE, OVERLAP_SKIP);
	struct plan_rule day = { .every_ms = DAY },
			 minute = { .every_ms = MIN };
	struct cron cron;
	struct plan_rule daily = { .cron = &cron };
	struct plan_state p;
	char why[128];

	(void)state;
	assert_true(plan_holds(&s.rule, &s.state));
	assert_false(plan_holds(&day, &s.state));
	assert_false(plan_holds(&minute, &s.state));
	assert_int_equal(cron_parse("0 3 * * *", &cron, why, sizeof why), 0);
	assert_false(plan_holds(&daily, &s.state));
	plan_begin(&daily, T0, &p);
	assert_true(plan_holds(&daily, &p));
	assert_int_equal(cron_parse("30 3 * * *", &cron, why, sizeof why), 0);
	assert_false(plan_holds(&daily, &p));
	p = (struct plan_state){ 0 };
	assert_false(plan_holds(&daily, &p));
}

/* Whoever plans it, and whenever: all have the same times. */
static void
an_aligned_one_counts_from_the_epoch(void **state)
{
	struct plan_rule rule = { .every_ms = HOUR, .aligned = true };
	struct plan_state a, b;

	(void)state;
	plan_begin(&rule, T0 - T0 % HOUR + 1, &a);
	plan_begin(&rule, T0 - T0 % HOUR + HOUR - 1, &b);
	assert_int_equal(a.next_ms, T0 - T0 % HOUR + HOUR);
	assert_int_equal(b.next_ms, a.next_ms);
	assert_true(plan_holds(&rule, &a));
	/* Planned before it was shared. */
	b.anchor_ms += 1;
	b.next_ms += 1;
	assert_false(plan_holds(&rule, &b));
}

static void
cron_with_a_zone(void **state)
{
	struct cron cron;
	struct zone *zone;
	struct sim s = { .rule = { .cron = &cron } };
	char why[128];
	/* 2026-03-28 00:00 UTC; on the 29th Berlin's clocks leap from 2 to 3.
	 */
	int64_t from = 1774656000000LL;

	(void)state;
	assert_int_equal(cron_parse("30 2 * * *", &cron, why, sizeof why), 0);
	if (zone_load("Europe/Berlin", &zone) < 0)
		SKIP_BECAUSE("no zone files here (tzdata)");
	s.rule.zone = zone;
	sim_begin(&s, from);
	for (int64_t t = from; t < from + 3 * DAY; t += MIN)
		sim_go(&s, t), s.state.busy = false;
	assert_int_equal(s.count, 3);
	assert_int_equal(s.runs[0], from + 90 * MIN);
	/* There is no 02:30: at the leap. */
	assert_int_equal(s.runs[1], from + DAY + 60 * MIN);
	assert_int_equal(s.runs[2], from + 2 * DAY + 30 * MIN);
	zone_free(zone);
}

static void
years_of_cron_are_passed_over(void **state)
{
	struct cron cron;
	struct sim s = { .rule = { .cron = &cron,
			     .catch_up = CATCH_UP_ALL,
			     .overlap = OVERLAP_ALLOW } };
	char why[128];
	int64_t back = T0 / MIN * MIN + 3650 * DAY;

	(void)state;
	assert_int_equal(cron_parse("* * * * *", &cron, why, sizeof why), 0);
	sim_begin(&s, T0);
	sim_restart(&s, back, false);
	assert_int_equal(s.count, 1000);
	assert_int_equal(s.runs[999], back);
	assert_int_equal(s.runs[0], back - 999 * MIN);
	/* What never comes is waited for without end. */
	assert_int_equal(cron_parse("0 0 31 2 *", &cron, why, sizeof why), 0);
	sim_begin(&s, T0);
	assert_int_equal(s.state.next_ms, 0);
	sim_go(&s, back);
	assert_int_equal(s.count, 1000);
}

/* A clock that does anything, kills between any two steps, runs that end at any
 * time: sim_step asserts that no due time is run twice, and in the end each one
 * has been run or counted as missed. */
static void
anything_may_happen(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 400; seed++) {
		struct sim s = every(MIN, (enum catch_up)(seed % 3),
		    (enum overlap)(seed / 3 % 3));
		int64_t now = T0, most = T0;

		srand(seed);
		for (int i = 0; i < 300 && s.count < 3000; i++) {
			switch (rand() % 10) {
			case 0:
				now -= rand() % (20 * MIN);
				break;
			case 1:
				now += rand() % (20 * MIN);
				s.state.caught_ms = now;
				break;
			case 2:
				sim_restart(&s, now, rand() % 2);
				break;
			case 3:
				sim_step(&s, now); /* and maybe it is killed */
				break;
			case 4:
			case 5:
				sim_ended(&s, now);
				break;
			default:
				now += rand() % (2 * MIN);
				sim_go(&s, now);
			}
			most = now > most ? now : most;
			assert_true((s.disk_next - T0) % MIN == 0);
		}
		/* It goes on: nothing is stuck, nothing is far ahead. */
		assert_true(s.disk_next <= most + MIN);
		s.state.busy = false;
		sim_go(&s, most + 30 * MIN);
		sim_ended(&s, most + 30 * MIN);
		if (s.rule.catch_up != CATCH_UP_ALL)
			assert_true(s.disk_next > most);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_does_not_drift),
		cmocka_unit_test(missed_ones_are_caught_up_as_asked),
		cmocka_unit_test(a_broker_that_was_back_at_once_missed_nothing),
		cmocka_unit_test(all_is_a_thousand_at_most),
		cmocka_unit_test(
		    all_one_after_the_other_where_they_may_not_overlap),
		cmocka_unit_test(overlapping_ones_are_left_out_or_wait),
		cmocka_unit_test(a_clock_set_back_runs_nothing_twice),
		cmocka_unit_test(a_leap_forward_is_as_a_time_of_being_down),
		cmocka_unit_test(other_settings_are_planned_anew),
		cmocka_unit_test(an_aligned_one_counts_from_the_epoch),
		cmocka_unit_test(cron_with_a_zone),
		cmocka_unit_test(years_of_cron_are_passed_over),
		cmocka_unit_test(anything_may_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
