/* The pure parts of the broker's core: ranks, heaps, rates, retries, meters,
 * autoscaling. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/broker/autoscale.h"
#include "supervisord/broker/heap.h"
#include "supervisord/broker/meter.h"
#include "supervisord/broker/rates.h"
#include "supervisord/broker/retry.h"

static void
every_state_and_priority_has_a_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < TASK_STATES; i++)
		assert_non_null(task_state_names[i]);
	for (size_t i = 0; i < PRIORITIES; i++)
		assert_non_null(task_priority_names[i]);
	assert_string_equal(task_state_names[TASK_DEAD], "dead");
	assert_string_equal(task_priority_names[PRIORITY_LOW], "low");
}

static void
a_level_is_overtaken_by_who_waited_long_enough(void **state)
{
	int64_t t = 1700000000000, aging = 30000;

	(void)state;
	assert_true(queue_rank(t, PRIORITY_HIGH, aging) <
		    queue_rank(t, PRIORITY_MIDDLE, aging));
	assert_true(queue_rank(t, PRIORITY_MIDDLE, aging) <
		    queue_rank(t, PRIORITY_LOW, aging));
	assert_true(queue_rank(t, PRIORITY_MIDDLE, aging) <
		    queue_rank(t + aging + 1, PRIORITY_HIGH, aging));
	assert_false(queue_rank(t, PRIORITY_MIDDLE, aging) <
		     queue_rank(t + aging - 1, PRIORITY_HIGH, aging));
	/* A level each time, from low to middle as from middle to high. */
	assert_true(queue_rank(t, PRIORITY_LOW, aging) <
		    queue_rank(t + aging + 1, PRIORITY_MIDDLE, aging));
	assert_false(queue_rank(t, PRIORITY_LOW, aging) <
		     queue_rank(t + aging - 1, PRIORITY_MIDDLE, aging));
	assert_true(queue_rank(t, PRIORITY_LOW, aging) <
		    queue_rank(t + 2 * aging + 1, PRIORITY_HIGH, aging));
	assert_false(queue_rank(t, PRIORITY_LOW, aging) <
		     queue_rank(t + 2 * aging - 1, PRIORITY_HIGH, aging));
}

static void
without_aging_levels_are_strict(void **state)
{
	int64_t ages = 4000LL * 365 * 86400 * 1000;

	(void)state;
	assert_true(queue_rank(0, PRIORITY_MIDDLE, 0) >
		    queue_rank(ages, PRIORITY_HIGH, 0));
	assert_true(queue_rank(0, PRIORITY_LOW, 0) >
		    queue_rank(ages, PRIORITY_MIDDLE, 0));
}

struct thing {
	int64_t key;
	uint32_t place;
	bool in;
};

static void
a_heap_gives_back_in_order_whatever_is_taken_out(void **state)
{
	static struct thing things[2000];
	struct heap h;
	unsigned seed = 7;

	(void)state;
	heap_init(&h, offsetof(struct thing, place));
	for (int round = 0; round < 20; round++) {
		int64_t last = INT64_MIN;
		uint32_t n = 0;

		for (size_t i = 0; i < 2000; i++) {
			things[i].key = rand_r(&seed) % 500;
			things[i].in = true;
			assert_true(
			    heap_push(&h, things[i].key, i, &things[i]));
		}
		for (size_t i = 0; i < 2000; i++)
			if (rand_r(&seed) % 3 == 0) {
				heap_remove(&h, &things[i]);
				heap_remove(&h, &things[i]);
				things[i].in = false;
			}
		if (round % 2)
			heap_sort(&h);
		for (size_t i = 0; i < 2000; i++)
			n += things[i].in;
		assert_int_equal(h.count, n);
		for (struct thing *t; (t = heap_pop(&h)) != NULL; n--) {
			assert_true(t->in);
			assert_int_equal(t->place, HEAP_NONE);
			assert_true(t->key >= last);
			last = t->key;
		}
		assert_int_equal(n, 0);
	}
	heap_done(&h);
}

static void
tokens_come_back_at_their_rate(void **state)
{
	struct tokens t = { 0 };
	int64_t now = 5 * NS_PER_SEC;
	int taken = 0;

	(void)state;
	assert_true(tokens_full(&t, 10, now));
	while (tokens_any(&t, 10, now)) {
		tokens_take(&t, 10, now);
		taken++;
	}
	assert_int_equal(taken, 10);
	assert_in_range(
	    tokens_next(&t, 10, now) - now, 99 * NS_PER_MS, 101 * NS_PER_MS);
	now = tokens_next(&t, 10, now);
	assert_true(tokens_any(&t, 10, now));
	now += 5 * NS_PER_SEC;
	assert_true(tokens_full(&t, 10, now));
}

static void
a_rate_below_one_a_second_has_room_for_one(void **state)
{
	struct tokens t = { 0 };
	int64_t now = NS_PER_SEC;

	(void)state;
	assert_true(tokens_any(&t, 0.1, now));
	tokens_take(&t, 0.1, now);
	assert_false(tokens_any(&t, 0.1, now));
	assert_in_range(
	    tokens_next(&t, 0.1, now) - now, 9 * NS_PER_SEC, 11 * NS_PER_SEC);
}

static void
retries_wait_longer_each_time_up_to_the_most(void **state)
{
	struct pool_config c = { .backoff_initial_ms = 1000,
		.backoff_max_ms = 60000,
		.backoff_factor = 2.0 };

	(void)state;
	assert_int_equal(retry_delay_ms(&c, 1, 0), 1000);
	assert_int_equal(retry_delay_ms(&c, 2, 0), 2000);
	assert_int_equal(retry_delay_ms(&c, 6, 0), 32000);
	assert_int_equal(retry_delay_ms(&c, 7, 0), 60000);
	assert_int_equal(retry_delay_ms(&c, UINT32_MAX, 0), 60000);
	c.backoff_factor = 1.0;
	assert_int_equal(retry_delay_ms(&c, UINT32_MAX, 0), 1000);
	c.backoff_initial_ms = 0;
	assert_int_equal(retry_delay_ms(&c, 5, 0), 0);
}

static void
jitter_stays_within_its_share_and_the_most(void **state)
{
	struct pool_config c = { .backoff_initial_ms = 1000,
		.backoff_max_ms = 1050,
		.backoff_factor = 2.0,
		.backoff_jitter = 0.1 };
	uint64_t r = 88172645463325252ULL;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		assert_in_range(retry_delay_ms(&c, 1, r), 900, 1050);
	}
	assert_int_equal(retry_delay_ms(&c, 1, 0), 900);
	assert_int_equal(retry_delay_ms(&c, 1, UINT64_MAX), 1050);
}

static void
six_different_tasks_within_a_minute_are_a_storm(void **state)
{
	struct storm s = { 0 };
	int64_t now = NS_PER_SEC;

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(storm_crash(&s, 1 + i % 5, now += 1000), 0);
	assert_int_equal(storm_crash(&s, 6, now), 10 * NS_PER_SEC);
	for (int i = 0; i < 5; i++)
		assert_int_equal(storm_crash(&s, 10 + i, now += 1000), 0);
	assert_int_equal(storm_crash(&s, 20, now), 20 * NS_PER_SEC);
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < 6; i++)
			storm_crash(&s, 30 + i, now += 1000);
	assert_int_equal(s.pause, 300 * NS_PER_SEC);
	/* After a long calm it begins anew. */
	now += 3600 * NS_PER_SEC;
	for (int i = 0; i < 5; i++)
		assert_int_equal(storm_crash(&s, 10 + i, now += 1000), 0);
	assert_int_equal(storm_crash(&s, 20, now), 10 * NS_PER_SEC);
}

static void
six_crashes_over_many_minutes_are_none(void **state)
{
	struct storm s = { 0 };
	int64_t now = NS_PER_SEC;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(
		    storm_crash(&s, 1 + i, now += 13 * NS_PER_SEC), 0);
}

static void
a_bin_is_near_what_fell_into_it(void **state)
{
	(void)state;
	for (int64_t us = 0; us < 1000000000; us += 1 + us / 7) {
		int64_t back = meter_bin_us(meter_bin(us));

		assert_true(back >= us - us / 7 - 1);
		assert_true(back <= us + us / 7 + 1);
	}
	assert_true(meter_bin(INT64_MAX) < METER_BINS);
	assert_int_equal(meter_bin(-5), 0);
}

static void
a_meter_forgets_after_a_minute(void **state)
{
	static struct meter m;
	int64_t now = 1000 * NS_PER_SEC;

	(void)state;
	meter_init(&m, now);
	assert_int_equal(meter_quantile(&m, METER_RUN, 0.5, now), 0);
	for (int s = 0; s < 60; s++, now += NS_PER_SEC)
		for (int i = 0; i < 10; i++) {
			meter_in(&m, now);
			meter_took(&m, METER_RUN, i < 9 ? 100 : 10000, now);
		}
	now -= NS_PER_SEC;
	assert_int_equal((int)(meter_in_rate(&m, now) + 0.5), 10);
	assert_int_equal((int)meter_out_rate(&m, now), 0);
	assert_in_range(meter_quantile(&m, METER_RUN, 0.5, now), 85, 115);
	assert_in_range(meter_quantile(&m, METER_RUN, 0.99, now), 8500, 11500);
	now += 30 * NS_PER_SEC;
	assert_int_equal((int)(meter_in_rate(&m, now) + 0.5), 5);
	now += 40 * NS_PER_SEC;
	assert_int_equal((int)meter_in_rate(&m, now), 0);
	assert_int_equal(meter_quantile(&m, METER_RUN, 0.5, now), 0);
	meter_in(&m, now += 100000 * NS_PER_SEC);
	assert_true(meter_in_rate(&m, now) > 0);
}

static void
a_young_meter_divides_by_its_age(void **state)
{
	static struct meter m;
	int64_t now = 1000 * NS_PER_SEC;

	(void)state;
	meter_init(&m, now);
	for (int i = 0; i < 50; i++)
		meter_in(&m, now);
	assert_int_equal((int)meter_in_rate(&m, now), 50);
	assert_int_equal((int)meter_in_rate(&m, now + 4 * NS_PER_SEC), 10);
}

static const struct pool_config scaled = { .threads = 2,
	.scale_min = 1,
	.scale_max = 20,
	.scale_backlog = 10,
	.scale_cooldown_ms = 1000 };

static void
a_backlog_grows_by_doubling_steps(void **state)
{
	struct autoscale_state s = { 0 };
	struct autoscale_counts n = { .queued = 100000, .instances = 1 };
	static const uint32_t wanted[] = { 2, 4, 8, 16, 20, 20 };
	int64_t now = 50 * NS_PER_SEC;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
		struct autoscale_answer a = autoscale(&scaled, &s, &n, now);

		assert_int_equal(a.instances, wanted[i]);
		n.instances = a.instances;
		n.busy = a.instances * 2;
		/* Not again before the cooldown is over. */
		if (i < 5) {
			a = autoscale(&scaled, &s, &n, now + 1000);
			assert_int_equal(a.instances, wanted[i]);
		}
		now += NS_PER_SEC;
	}
}

static void
idle_processes_go_one_by_one_and_then_it_rests(void **state)
{
	struct autoscale_state s = { 0 };
	struct autoscale_counts n = { .instances = 5 };
	int64_t now = 50 * NS_PER_SEC;
	struct autoscale_answer a = { 5, 1 };

	(void)state;
	for (uint32_t left = 4; left >= 1; left--) {
		a = autoscale(&scaled, &s, &n, now);
		assert_int_equal(a.instances, left);
		assert_int_equal(a.again, now + NS_PER_SEC);
		n.instances = left;
		now = a.again;
	}
	a = autoscale(&scaled, &s, &n, now);
	assert_int_equal(a.instances, 1);
	assert_int_equal(a.again, 0);
}

static void
spare_threads_are_kept_within_their_bounds(void **state)
{
	struct pool_config c = scaled;

	(void)state;
	c.min_spare = 2;
	c.max_spare = 6;
	for (uint32_t instances = 1; instances <= 20; instances++)
		for (uint32_t busy = 0; busy <= instances * 2; busy++) {
			struct autoscale_state s = { 0 };
			struct autoscale_counts n = { .instances = instances,
				.busy = busy };
			uint32_t idle = instances * 2 - busy;
			uint32_t got =
			    autoscale(&c, &s, &n, NS_PER_SEC).instances;

			if (idle < 2 && instances < 20)
				assert_int_equal(got, instances + 1);
			else if (idle > 6 && instances > 1)
				assert_int_equal(got, instances - 1);
			else
				assert_int_equal(got, instances);
		}
}

static void
scaling_stays_within_min_and_max(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct pool_config c = { .threads = rand_r(&seed) % 4,
			.scale_min = rand_r(&seed) % 3,
			.scale_backlog = rand_r(&seed) % 5,
			.min_spare = rand_r(&seed) % 4,
			.scale_cooldown_ms = 10 };
		struct autoscale_state s = { 0 };
		struct autoscale_counts n;
		struct autoscale_answer a;

		c.scale_max = c.scale_min + rand_r(&seed) % 9;
		n.queued = rand_r(&seed) % 100;
		n.instances = rand_r(&seed) % 20;
		n.busy = rand_r(&seed) % 50;
		a = autoscale(&c, &s, &n, NS_PER_SEC);
		assert_in_range(a.instances, c.scale_min, c.scale_max);
		assert_true(a.again == 0 || a.again > NS_PER_SEC);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_and_priority_has_a_name),
		cmocka_unit_test(
		    a_level_is_overtaken_by_who_waited_long_enough),
		cmocka_unit_test(without_aging_levels_are_strict),
		cmocka_unit_test(
		    a_heap_gives_back_in_order_whatever_is_taken_out),
		cmocka_unit_test(tokens_come_back_at_their_rate),
		cmocka_unit_test(a_rate_below_one_a_second_has_room_for_one),
		cmocka_unit_test(retries_wait_longer_each_time_up_to_the_most),
		cmocka_unit_test(jitter_stays_within_its_share_and_the_most),
		cmocka_unit_test(
		    six_different_tasks_within_a_minute_are_a_storm),
		cmocka_unit_test(six_crashes_over_many_minutes_are_none),
		cmocka_unit_test(a_bin_is_near_what_fell_into_it),
		cmocka_unit_test(a_meter_forgets_after_a_minute),
		cmocka_unit_test(a_young_meter_divides_by_its_age),
		cmocka_unit_test(a_backlog_grows_by_doubling_steps),
		cmocka_unit_test(
		    idle_processes_go_one_by_one_and_then_it_rests),
		cmocka_unit_test(spare_threads_are_kept_within_their_bounds),
		cmocka_unit_test(scaling_stays_within_min_and_max),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
