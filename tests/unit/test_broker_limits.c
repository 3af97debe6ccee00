/* One heap of deadlines: in order, moved, cleared, called once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/limits.h"

#define MANY 2000

static struct limits *limits;

struct one {
	struct limit limit;
	int64_t wanted; /* 0: not set */
	unsigned called;
};

static struct one all[MANY];
static int64_t last;

static void
due(struct limit *l)
{
	struct one *o = CONTAINER_OF(l, struct one, limit);

	assert_false(limit_is_set(l));
	assert_int_equal(l->at, o->wanted);
	assert_true(l->at >= last);
	last = l->at;
	o->wanted = 0;
	o->called++;
}

static int
setup(void **state)
{
	(void)state;
	memset(all, 0, sizeof all);
	last = INT64_MIN;
	limits = limits_new(NULL);
	return limits == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	limits_free(limits);
	return 0;
}

static void
change_some(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct one *o = &all[rand() % MANY];

		if (rand() % 3 == 0) {
			o->wanted = 0;
			limit_clear(limits, &o->limit);
		} else {
			o->wanted = 1 + rand() % 1000;
			assert_true(
			    limit_set(limits, &o->limit, o->wanted, due));
		}
		assert_int_equal(limit_is_set(&o->limit), o->wanted != 0);
	}
}

static int64_t
least(void)
{
	int64_t n = INT64_MAX;

	for (unsigned i = 0; i < MANY; i++) {
		if (all[i].wanted != 0)
			n = MIN_OF(n, all[i].wanted);
	}
	return n;
}

static void
what_is_due_is_called_in_order(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		int64_t now = rand() % 1100;

		change_some(MANY);
		assert_int_equal(limits_next(limits), least());
		last = INT64_MIN;
		limits_run(limits, now);
		assert_int_equal(limits_next(limits), least());
		assert_true(least() > now);
	}
	limits_run(limits, INT64_MAX - 1);
	assert_int_equal(limits_next(limits), INT64_MAX);
}

static void
again(struct limit *l)
{
	struct one *o = CONTAINER_OF(l, struct one, limit);

	o->called++;
	limit_set(limits, l, 1, again);
}

static void
one_that_is_always_due_does_not_hold_up_the_loop(void **state)
{
	(void)state;
	limit_set(limits, &all[0].limit, 1, again);
	all[1].wanted = 2;
	limit_set(limits, &all[1].limit, 2, due);
	limits_run(limits, 5);
	limits_run(limits, 5);
	assert_int_equal(all[0].called, 4);
	limit_clear(limits, &all[0].limit);
	limits_run(limits, 5);
	assert_int_equal(all[1].called, 1);
}

static void
stop(struct limit *l)
{
	(void)l;
	all[0].called++;
	ev_break(EV_DEFAULT, EVBREAK_ALL);
}

static void
the_loop_wakes_for_the_first_of_them(void **state)
{
	struct ev_loop *loop = ev_default_loop(0);
	struct limits *ls = limits_new(loop);
	int64_t now = clock_mono();

	(void)state;
	limit_set(ls, &all[1].limit, now + 60 * NS_PER_SEC, due);
	limit_set(ls, &all[2].limit, now + NS_PER_MS, due);
	limit_set(ls, &all[0].limit, now + 20 * NS_PER_MS, stop);
	limit_clear(ls, &all[2].limit);
	ev_run(loop, 0);
	assert_int_equal(all[0].called, 1);
	assert_true(clock_mono() >= now + 20 * NS_PER_MS);
	assert_true(clock_mono() < now + 30 * NS_PER_SEC);
	limits_free(ls);
	assert_false(limit_is_set(&all[1].limit));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    what_is_due_is_called_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    one_that_is_always_due_does_not_hold_up_the_loop, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    the_loop_wakes_for_the_first_of_them, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
