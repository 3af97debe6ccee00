/* How many instances there should be by CPU or a command, on a made-up clock.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/master/policy/autoscale.h"

#define S NS_PER_SEC

static const struct autoscale usual = { .on = true,
	.min = 1,
	.max = 20,
	.cpu = 50,
	.cooldown = 10 * S,
	.interval = 10 * S };

/* A worker with a load, shared by its instances. */
struct world {
	struct autoscale a;
	struct scaling s;
	unsigned n;
	int64_t now, stepped;
	unsigned steps;
};

static void
world_init(struct world *w, const struct autoscale *a, unsigned n)
{
	*w = (struct world){ .a = *a, .n = n, .now = 1000 * S };
}

/* One look; the promises that hold in every one. */
static void
look(struct world *w, double used)
{
	unsigned n = scale_by_cpu(&w->a, &w->s, w->n, used, w->now);

	assert_in_range(n, w->a.min, w->a.max);
	if (w->n >= w->a.min && w->n <= w->a.max && n != w->n) {
		if (w->steps > 0)
			assert_true(w->now - w->stepped >= w->a.cooldown);
		assert_true(n + 1 >= w->n); /* down by one at most */
		w->stepped = w->now;
		w->steps++;
	}
	w->n = n;
	w->now += w->a.interval;
}

static void
it_grows_by_1_2_4_to_what_suffices(void **state)
{
	static const unsigned expected[] = { 2, 4, 8, 12, 12, 12 };
	struct world w;

	(void)state;
	world_init(&w, &usual, 1);
	for (size_t i = 0; i < N_ELEMENTS(expected); i++) {
		look(&w, 600. / w.n);
		assert_int_equal(w.n, expected[i]);
	}
}

static void
it_shrinks_one_by_one_while_one_fewer_is_well_below(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, &usual, 10);
	for (unsigned n = 9; n >= 4; n--) {
		look(&w, 130. / w.n);
		assert_int_equal(w.n, n);
	}
	/* Three would use 43.3 each, which is below 45. */
	look(&w, 130. / w.n);
	assert_int_equal(w.n, 3);
	/* Two would use 65. */
	look(&w, 130. / w.n);
	assert_int_equal(w.n, 3);
	look(&w, 0);
	look(&w, 0);
	look(&w, 0);
	assert_int_equal(w.n, 1);
}

static void
nothing_happens_within_the_cooldown(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, &usual, 4);
	w.a.interval = S;
	look(&w, 100);
	assert_int_equal(w.n, 5);
	for (int i = 0; i < 9; i++) {
		look(&w, i % 2 ? 0 : 100);
		assert_int_equal(w.n, 5);
	}
	look(&w, 0);
	assert_int_equal(w.n, 4);
}

static void
a_calm_begins_anew_with_one(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, &usual, 1);
	look(&w, 100);
	look(&w, 100);
	assert_int_equal(w.n, 4);
	for (int i = 0; i < 4; i++)
		look(&w, 49);
	look(&w, 100);
	assert_int_equal(w.n, 5);
}

/* Any load that stays the same, give or take what a measurement does, has one
 * number of instances in the end, from wherever it began. */
static void
a_constant_load_does_not_flap(void **state)
{
	unsigned seed = 11;

	(void)state;
	for (unsigned load = 0; load <= 1200; load += 7) {
		for (unsigned n = 1; n <= 20; n += 3) {
			struct world w;
			unsigned before;

			world_init(&w, &usual, n);
			for (int i = 0; i < 40; i++)
				look(&w,
				    load * (.96 + rand_r(&seed) % 80 / 1000.) /
					w.n);
			before = w.n;
			for (int i = 0; i < 100; i++)
				look(&w, load * 1. / w.n);
			assert_in_range(w.n, before - 1, before + 1);
			before = w.n;
			w.steps = 0;
			for (int i = 0; i < 300; i++)
				look(&w,
				    load * (.97 + rand_r(&seed) % 60 / 1000.) /
					w.n);
			/* What was at the very edge may have gone over it. */
			assert_true(w.steps <= 1);
			if (w.n < 20)
				assert_true(load * .97 / w.n <= 50);
		}
	}
}

static void
whatever_comes_it_stays_within_its_bounds(void **state)
{
	static const double odd[] = { 0, -1, 1e300, __builtin_nan(""), 49.999,
		50, 50.001 };
	unsigned seed = 5;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct autoscale a = { .min = 1 + rand_r(&seed) % 5,
			.cpu = 1 + rand_r(&seed) % 400,
			.cooldown = rand_r(&seed) % 3 * S,
			.interval = S };
		struct world w;

		a.max = a.min + rand_r(&seed) % 20;
		world_init(&w, &a, rand_r(&seed) % 40);
		for (int k = 0; k < 20; k++) {
			if (rand_r(&seed) % 10 == 0)
				w.n = rand_r(&seed) % 40;
			look(&w, rand_r(&seed) % 4 == 0
				     ? odd[rand_r(&seed) % N_ELEMENTS(odd)]
				     : rand_r(&seed) % 1000);
		}
	}
}

static void
a_number_is_taken_within_bounds_and_cooldown(void **state)
{
	struct scaling s = { 0 };
	int64_t now = 1000 * S;

	(void)state;
	assert_int_equal(scale_by_number(&usual, &s, 1, 7, now), 7);
	assert_int_equal(scale_by_number(&usual, &s, 7, 3, now + 9 * S), 7);
	assert_int_equal(scale_by_number(&usual, &s, 7, 3, now + 10 * S), 3);
	/* The same number again is no step. */
	assert_int_equal(scale_by_number(&usual, &s, 3, 3, now + 20 * S), 3);
	assert_int_equal(scale_by_number(&usual, &s, 3, 0, now + 21 * S), 1);
	assert_int_equal(
	    scale_by_number(&usual, &s, 1, 999999999999999, now + 40 * S), 20);
	/* Bounds that have changed need no cooldown. */
	assert_int_equal(scale_by_number(&usual, &s, 25, 5, now + 40 * S), 20);
	assert_int_equal(scale_by_number(&usual, &s, 0, 5, now + 40 * S), 1);
}

static void
a_first_line_that_is_a_number_is_read(void **state)
{
	static const struct {
		const char *text;
		int64_t number; /* -1: it is none */
	} cases[] = {
		{ "5\n", 5 },
		{ "5", 5 },
		{ "  12 \r\nmore\n", 12 },
		{ "0\n", 0 },
		{ "007\n", 7 },
		{ "999999999999999", 999999999999999 },
		{ "", -1 },
		{ "\n5\n", -1 },
		{ "five\n", -1 },
		{ "-3\n", -1 },
		{ "3.5\n", -1 },
		{ "3 instances\n", -1 },
		{ "9999999999999999999999\n", -1 },
		{ "0x10", -1 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		uint64_t n = 0;

		assert_int_equal(
		    scale_parse(cases[i].text, &n), cases[i].number >= 0);
		if (cases[i].number >= 0)
			assert_int_equal(n, cases[i].number);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows_by_1_2_4_to_what_suffices),
		cmocka_unit_test(
		    it_shrinks_one_by_one_while_one_fewer_is_well_below),
		cmocka_unit_test(nothing_happens_within_the_cooldown),
		cmocka_unit_test(a_calm_begins_anew_with_one),
		cmocka_unit_test(a_constant_load_does_not_flap),
		cmocka_unit_test(whatever_comes_it_stays_within_its_bounds),
		cmocka_unit_test(a_number_is_taken_within_bounds_and_cooldown),
		cmocka_unit_test(a_first_line_that_is_a_number_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
