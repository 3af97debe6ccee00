/* The broker's core: who gets which task, and when. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"

static uint64_t order[64];
static unsigned order_count;

static void
note_order(struct hand *h, struct task *t)
{
	(void)h;
	if (order_count < 64)
		order[order_count++] = t->row.id;
}

static uint64_t
with_priority(struct rig *r, uint8_t priority)
{
	struct submission *s = submission("w");

	s->priority = priority;
	return submit(r, s);
}

static void
run_all(struct rig *r)
{
	for (int i = 0; i < 1000; i++) {
		rig_settle(r);
		for (unsigned j = 0; j < RIG_HANDS; j++) {
			struct hand *h = &r->hands[j];

			if (h->broker != NULL && h->held > 0)
				done(r,
				    LIST_ENTRY(h->tasks.next, struct task, link)
					->row.id);
		}
	}
}

static void
levels_and_age_give_the_order(void **state)
{
	struct rig *r = one_pool();
	uint64_t low, middle, old, high;

	(void)state;
	order_count = 0;
	rig_given = note_order;
	old = with_priority(r, PRIORITY_MIDDLE);
	rig_pass(r, 31000);
	low = with_priority(r, PRIORITY_LOW);
	middle = with_priority(r, PRIORITY_MIDDLE);
	high = with_priority(r, PRIORITY_HIGH);
	rig_hand(r, 0, "w", 1);
	run_all(r);
	assert_int_equal(order_count, 4);
	assert_int_equal(order[0], old);
	assert_int_equal(order[1], high);
	assert_int_equal(order[2], middle);
	assert_int_equal(order[3], low);
	rig_free(r);
}

static void
work_is_spread_over_hands(void **state)
{
	struct rig *r = one_pool();

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		rig_hand(r, i, "w", 8);
	for (unsigned i = 0; i < 12; i++)
		submit(r, submission("w"));
	rig_settle(r);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r->hands[i].held, 3);
	core_hand_closed(&r->b, &r->hands[0], true);
	for (unsigned i = 0; i < 40; i++)
		submit(r, submission("w"));
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 3);
	assert_int_equal(r->hands[1].held, 8);
	core_hand_closed(&r->b, &r->hands[0], false);
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 8);
	rig_free(r);
}

static void
only_short_tasks_are_prefetched(void **state)
{
	struct rig *r = one_pool();
	struct hand *h = rig_hand(r, 0, "w", 1);

	(void)state;
	h->prefetch = 4;
	for (unsigned i = 0; i < 10; i++)
		submit(r, submission("w"));
	rig_settle(r);
	/* Nothing is known of them yet. */
	assert_int_equal(h->held, 1);
	rig_mono += 100000;
	done(r, r->last_given);
	rig_settle(r);
	assert_int_equal(h->held, 5);
	/* The first takes long: the others are wanted back. */
	rig_pass(r, 11);
	assert_int_equal(r->recalls, 4);
	core_returned(&r->b, find(r, r->last_given));
	rig_settle(r);
	rig_free(r);
}

static void
a_capped_key_blocks_only_itself(void **state)
{
	struct rig *r = rig_new(1);
	uint64_t a[5], b;

	(void)state;
	r->pools[0].key_concurrency = 2;
	rig_boot(r);
	core_adopted(&r->b);
	rig_hand(r, 0, "w", 8);
	for (unsigned i = 0; i < 5; i++) {
		struct submission *s = submission("w");

		s->limit_key = strdup("a");
		a[i] = submit(r, s);
	}
	b = submit(r, submission("w"));
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 3);
	assert_non_null(find(r, b)->hand);
	done(r, a[1]);
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 3);
	assert_non_null(find(r, a[2])->hand);
	/* One that is cancelled while parked is simply gone. */
	core_cancel(&r->b, a[3], on_done, NULL);
	rig_settle(r);
	done(r, a[0]);
	rig_settle(r);
	assert_non_null(find(r, a[4])->hand);
	done(r, a[2]);
	done(r, a[4]);
	done(r, b);
	rig_settle(r);
	assert_null(pool_find(r->b.core, "w")->keys);
	rig_free(r);
}

static void
a_rated_key_begins_so_many_a_second(void **state)
{
	struct rig *r = rig_new(1);
	unsigned begun;

	(void)state;
	r->pools[0].key_rate = 2;
	rig_boot(r);
	core_adopted(&r->b);
	rig_hand(r, 0, "w", 100);
	for (unsigned i = 0; i < 10; i++) {
		struct submission *s = submission("w");

		s->limit_key = strdup("a");
		submit(r, s);
	}
	rig_settle(r);
	assert_int_equal(r->gives, 2);
	for (begun = 3; begun <= 10; begun++) {
		rig_pass(r, 490);
		assert_int_equal(r->gives, begun - 1);
		rig_pass(r, 11);
		assert_int_equal(r->gives, begun);
	}
	rig_free(r);
}

static void
a_paused_pool_hands_out_nothing_until_its_time(void **state)
{
	struct rig *r = one_pool();

	(void)state;
	rig_hand(r, 0, "w", 1);
	core_pause(&r->b, "w", true, rig_wall + 60000, on_done, NULL);
	rig_commit(r);
	submit(r, submission("w"));
	rig_settle(r);
	assert_int_equal(r->gives, 0);
	rig_pass(r, 59000);
	assert_int_equal(r->gives, 0);
	rig_pass(r, 1000);
	assert_int_equal(r->gives, 1);
	assert_int_equal(r->store.puts[STORE_POOL], 2);
	core_pause(&r->b, "nobody", true, 0, on_done, NULL);
	assert_int_equal(told.error, QERR_NO_WORKER);
	rig_free(r);
}

static void
a_backlog_is_not_held_in_memory(void **state)
{
	struct rig *r = one_pool();
	unsigned runs = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		struct submission *s = submission("w");

		s->priority = i % PRIORITIES;
		core_submit(&r->b, s, on_submitted, NULL);
		if (i % 1000 == 0) {
			rig_wall += 10;
			rig_settle(r);
		}
		assert_true(r->b.core->tasks.count <=
			    2 * core_sizes.window_keep + 1000);
	}
	rig_settle(r);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_QUEUED], 60000);
	for (unsigned i = 0; i < 8; i++)
		rig_hand(r, i, "w", 100);
	for (int64_t last = 0;;) {
		rig_turn(r);
		for (unsigned i = 0; i < 8; i++)
			while (r->hands[i].held > 0) {
				struct task *t = LIST_ENTRY(
				    r->hands[i].tasks.next, struct task, link);

				runs++;
				last = MAX_OF(last, t->row.rank);
				done(r, t->row.id);
			}
		rig_commit(r);
		assert_true(r->b.core->tasks.count <=
			    2 * core_sizes.window_keep + 1000);
		if (runs == 60000 || r->gives > 60000)
			break;
	}
	rig_settle(r);
	assert_int_equal(r->gives, 60000);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_DONE], 60000);
	assert_int_equal(r->b.core->tasks.count, 0);
	rig_free(r);
}

static void
a_backlog_asks_for_more_instances(void **state)
{
	struct rig *r = rig_new(1);

	(void)state;
	r->pools[0].autoscale = true;
	r->pools[0].scale_min = 1;
	r->pools[0].scale_max = 4;
	r->pools[0].scale_backlog = 3;
	r->pools[0].scale_cooldown_ms = 1000;
	rig_boot(r);
	core_adopted(&r->b);
	rig_hand(r, 0, "w", 1);
	for (int i = 0; i < 20; i++)
		submit(r, submission("w"));
	rig_settle(r);
	/* Not while there is no master. */
	r->b.master.fd = -1;
	rig_pass(r, 251);
	rig_pass(r, 5000);
	assert_int_equal(r->scaled, 0);
	r->b.master.fd = 0;
	rig_pass(r, 251);
	assert_int_equal(r->scaled, 2);
	rig_pass(r, 1001);
	assert_int_equal(r->scaled, 4);
	for (int i = 1; i < 4; i++)
		rig_hand(r, i, "w", 1);
	run_all(r);
	for (int i = 0; i < 8; i++)
		rig_pass(r, 1001);
	assert_int_equal(r->scaled, 1);
	/* At rest, nothing wakes it. */
	rig_pass(r, 10);
	assert_int_equal(r->b.core->wake_mono, 0);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_and_age_give_the_order),
		cmocka_unit_test(work_is_spread_over_hands),
		cmocka_unit_test(only_short_tasks_are_prefetched),
		cmocka_unit_test(a_capped_key_blocks_only_itself),
		cmocka_unit_test(a_rated_key_begins_so_many_a_second),
		cmocka_unit_test(
		    a_paused_pool_hands_out_nothing_until_its_time),
		cmocka_unit_test(a_backlog_is_not_held_in_memory),
		cmocka_unit_test(a_backlog_asks_for_more_instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
