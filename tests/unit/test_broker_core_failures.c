/* The broker's core when tasks fail, processes die, or the store does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"

static void
a_failure_is_tried_again_later_until_no_try_is_left(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	struct waiter w = waiter();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->retries = 1;
	id = submit(r, s);
	core_wait(&r->b, id, &w);
	rig_settle(r);
	core_failed(&r->b, find(r, id), "no", false);
	rig_settle(r);
	assert_null(find(r, id));
	assert_int_equal(r->store.rows[id].state, TASK_SCHEDULED);
	assert_int_equal(r->store.rows[id].failures, 1);
	assert_string_equal(r->store.rows[id].error, "no");
	assert_int_equal(r->hands[0].held, 0);
	rig_pass(r, 999);
	assert_int_equal(r->gives, 1);
	rig_pass(r, 2);
	assert_int_equal(r->gives, 2);
	assert_int_equal(find(r, id)->row.attempts, 2);
	core_failed(&r->b, find(r, id), "no again", false);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_FAILED);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.state, TASK_FAILED);
	/* And one that says that no other try is of use. */
	s = submission("w");
	s->retries = 5;
	id = submit(r, s);
	rig_settle(r);
	core_failed(&r->b, find(r, id), "never", true);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_FAILED);
	rig_free(r);
}

static void
a_task_that_crashes_is_dead_in_the_end(void **state)
{
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	for (unsigned i = 0; i < 3; i++) {
		rig_settle(r);
		assert_non_null(find(r, id)->hand);
		core_lost(&r->b, find(r, id), LOST_GUILTY, "SIGSEGV");
	}
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_DEAD);
	assert_int_equal(r->store.rows[id].crashes, 3);
	assert_string_equal(r->store.rows[id].words, "SIGSEGV");
	assert_int_equal(r->store.rows[id].expires_ms, 0);
	assert_int_equal(r->events, 1);
	memset(&told, 0, sizeof(told));
	/* As what it waits counts from when its turn can come again. */
	rig_pass(r, 120000);
	core_requeue(&r->b, id, on_done, NULL);
	rig_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	assert_non_null(find(r, id)->hand);
	assert_true(longest_wait_us(r) < 1000000);
	rig_free(r);
}

static void
suspects_run_alone_and_two_crashes_alone_are_enough(void **state)
{
	struct rig *r = one_pool();
	struct hand *h = rig_hand(r, 0, "w", 4);
	uint64_t a, b, other;

	(void)state;
	a = submit(r, submission("w"));
	b = submit(r, submission("w"));
	rig_settle(r);
	core_lost(&r->b, find(r, a), LOST_SUSPECT, NULL);
	core_lost(&r->b, find(r, b), LOST_SUSPECT, NULL);
	other = submit(r, submission("w"));
	rig_settle(r);
	/* One by one, with nothing beside them. */
	assert_int_equal(h->held, 1);
	assert_true(h->alone);
	assert_ptr_equal(find(r, a)->hand, h);
	core_lost(&r->b, find(r, a), LOST_GUILTY, NULL);
	rig_settle(r);
	assert_int_equal(h->held, 1);
	assert_non_null(find(r, a)->hand);
	core_lost(&r->b, find(r, a), LOST_GUILTY, NULL);
	rig_settle(r);
	assert_int_equal(h->held, 1);
	assert_non_null(find(r, b)->hand);
	done(r, b);
	rig_settle(r);
	assert_int_equal(r->store.rows[a].state, TASK_DEAD);
	assert_int_equal(r->store.rows[b].state, TASK_DONE);
	assert_int_equal(r->store.rows[b].crashes, 0);
	assert_non_null(find(r, other)->hand);
	assert_false(h->alone);
	rig_free(r);
}

static void
a_loner_gets_a_busy_process_emptied(void **state)
{
	struct rig *r = one_pool();
	struct hand *h = rig_hand(r, 0, "w", 2);
	uint64_t a, b, c;

	(void)state;
	a = submit(r, submission("w"));
	b = submit(r, submission("w"));
	rig_settle(r);
	core_lost(&r->b, find(r, a), LOST_SUSPECT, NULL);
	c = submit(r, submission("w"));
	rig_settle(r);
	assert_int_equal(h->held, 1);
	done(r, b);
	rig_settle(r);
	assert_ptr_equal(find(r, a)->hand, h);
	assert_null(find(r, c)->hand);
	done(r, a);
	rig_settle(r);
	assert_ptr_equal(find(r, c)->hand, h);
	rig_free(r);
}

static void
other_losses_cost_nothing(void **state)
{
	static const enum lost why[] = { LOST_UNBEGUN, LOST_STOPPED,
		LOST_VICTIM };
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 2);
	id = submit(r, submission("w"));
	for (unsigned i = 0; i < N_ELEMENTS(why); i++) {
		rig_settle(r);
		assert_int_equal(find(r, id)->row.attempts, i == 0 ? 1 : i);
		core_lost(&r->b, find(r, id), why[i], NULL);
	}
	rig_settle(r);
	assert_int_equal(find(r, id)->row.failures, 0);
	assert_int_equal(find(r, id)->row.crashes, 0);
	assert_int_equal(find(r, id)->row.victims, 1);
	core_lost(&r->b, find(r, id), LOST_OVERRUN, "killed");
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_FAILED);
	assert_string_equal(r->store.rows[id].words, "killed");
	rig_free(r);
}

static void
where_no_memory_is_left_to_give_a_task_it_waits(void **state)
{
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	r->no_memory = true;
	rig_turn(r);
	assert_int_equal(r->gives, 1);
	assert_int_equal(r->hands[0].held, 0);
	assert_int_equal(find(r, id)->row.attempts, 0);
	r->no_memory = false;
	rig_pass(r, 100);
	assert_int_equal(r->gives, 2);
	assert_int_equal(find(r, id)->row.attempts, 1);
	/* The same of one that has to run alone. */
	r->no_memory = true;
	core_lost(&r->b, find(r, id), LOST_GUILTY, NULL);
	rig_turn(r);
	assert_int_equal(r->gives, 3);
	r->no_memory = false;
	rig_pass(r, 100);
	assert_int_equal(r->gives, 4);
	done(r, id);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	rig_free(r);
}

static struct rig *
in_a_storm(void)
{
	struct rig *r = one_pool();

	rig_hand(r, 0, "w", 1);
	for (unsigned i = 0; i < 6; i++) {
		uint64_t id = submit(r, submission("w"));

		for (unsigned j = 0; j < 3 && i < 6; j++) {
			rig_settle(r);
			if (find(r, id)->hand == NULL)
				break;
			core_lost(&r->b, find(r, id), LOST_GUILTY, NULL);
		}
	}
	r->gives = 0;
	rig_settle(r);
	assert_int_equal(r->gives, 0);
	return r;
}

static void
a_storm_of_crashes_pauses_the_pool(void **state)
{
	struct rig *r = in_a_storm();

	(void)state;
	rig_pass(r, 9000);
	assert_int_equal(r->gives, 0);
	rig_pass(r, 1001);
	assert_int_equal(r->gives, 1);
	assert_non_null(strstr(r->event, "again after a rest"));
	rig_free(r);
}

static void
what_is_paused_meanwhile_stays_so_and_nobody_says_otherwise(void **state)
{
	struct rig *r = in_a_storm();

	(void)state;
	core_pause(&r->b, "w", true, 0, NULL, NULL);
	rig_pass(r, 60000);
	assert_int_equal(r->gives, 0);
	assert_null(strstr(r->event, "again after a rest"));
	core_pause(&r->b, "w", false, 0, NULL, NULL);
	rig_settle(r);
	assert_int_equal(r->gives, 1);
	rig_free(r);
}

static void
a_sick_store_refuses_and_what_is_done_waits(void **state)
{
	struct rig *r = one_pool();
	struct waiter w = waiter();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	core_wait(&r->b, id, &w);
	rig_settle(r);
	r->store.broken = true;
	put(r, submission("w"));
	rig_turn(r);
	rig_commit(r);
	assert_int_equal(told.error, QERR_STORE);
	done(r, id);
	for (int i = 0; i < 10; i++) {
		rig_mono += 500 * NS_PER_MS;
		core_tick(&r->b);
		rig_turn(r);
		rig_commit(r);
	}
	assert_int_equal(waited.ended, 0);
	assert_int_equal(r->b.core->sick[0].kept, 1);
	assert_true(r->store.puts[STORE_FINISH] < 11);
	r->store.broken = false;
	rig_pass(r, 2000);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	assert_int_equal(r->b.core->sick[0].kept, 0);
	rig_free(r);
}

static void
a_change_the_store_missed_is_made_good(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->retries = 3;
	id = submit(r, s);
	rig_settle(r);
	r->store.broken = true;
	core_failed(&r->b, find(r, id), "no", false);
	rig_turn(r);
	rig_commit(r);
	rig_mono += 5000 * NS_PER_MS;
	rig_wall += 5000;
	core_tick(&r->b);
	rig_turn(r);
	rig_commit(r);
	assert_non_null(find(r, id));
	r->store.broken = false;
	rig_pass(r, 2000);
	rig_pass(r, 2000);
	assert_non_null(find(r, id)->hand);
	assert_int_equal(find(r, id)->row.attempts, 2);
	done(r, id);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	rig_free(r);
}

static void
after_a_kill_flights_stay_and_the_rest_is_queued_again(void **state)
{
	struct rig *r = one_pool();
	uint64_t claimed, unclaimed, lost, ended;

	(void)state;
	rig_hand(r, 0, "w", 4);
	claimed = submit(r, submission("w"));
	lost = submit(r, submission("w"));
	ended = submit(r, submission("w"));
	rig_settle(r);
	rig_pass(r, 20);
	done(r, ended);
	rig_settle(r);
	unclaimed = submit(r, submission("w"));
	rig_turn(r);
	assert_non_null(find(r, unclaimed)->hand);
	rig_kill(r);
	r->gives = 0;
	rig_hand(r, 0, "w", 4);
	r->hands[0].closed = true;
	core_adopt(&r->b, &r->hands[0], claimed, 1);
	core_adopt(&r->b, &r->hands[0], unclaimed, 1);
	core_adopt(&r->b, &r->hands[0], ended, 1);
	core_adopted(&r->b);
	rig_settle(r);
	assert_int_equal(r->adopted_none, 1);
	assert_int_equal(r->hands[0].held, 2);
	assert_true(find(r, claimed)->unsure);
	assert_true(find(r, unclaimed)->unsure);
	assert_ptr_equal(find(r, unclaimed)->hand, &r->hands[0]);
	assert_null(find(r, lost)->hand);
	assert_int_equal(r->gives, 0);
	/* An answer that was in the socket; and one that was never there. */
	done(r, claimed);
	core_returned(&r->b, find(r, unclaimed));
	core_hand_closed(&r->b, &r->hands[0], false);
	rig_settle(r);
	assert_int_equal(r->store.rows[claimed].state, TASK_DONE);
	assert_int_equal(r->gives, 2);
	assert_int_equal(find(r, lost)->row.failures, 0);
	rig_free(r);
}

static void
what_a_process_has_is_looked_up_again_when_there_was_no_memory(void **state)
{
	struct rig *r = one_pool();
	struct list *l;
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	rig_turn(r);
	rig_kill(r);
	rig_hand(r, 0, "w", 1);
	r->hands[0].closed = true;
	core_adopt(&r->b, &r->hands[0], id, 1);
	core_adopted(&r->b);
	rig_write(&r->store);
	for (l = r->store.applied.next; l != &r->store.applied; l = l->next) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->kind != STORE_TASK)
			continue;
		/* As the store does it: what it had found is gone. */
		op->error = QERR_NO_MEMORY;
		task_row_done(&op->rows[0]);
		free(op->rows);
		op->rows = NULL;
		op->count = 0;
	}
	rig_tell(&r->store);
	/* It is not one that nobody knows any more. */
	assert_int_equal(r->adopted_none, 0);
	rig_pass(r, 1000);
	assert_int_equal(r->adopted_none, 0);
	assert_ptr_equal(find(r, id)->hand, &r->hands[0]);
	assert_string_equal(find(r, id)->row.func, "f");
	rig_free(r);
}

static void
a_worker_without_durability_needs_no_store(void **state)
{
	struct rig *r = rig_new(1);
	struct waiter w = waiter();
	struct submission *s;
	uint64_t id;

	(void)state;
	r->pools[0].durability = DURABLE_NONE;
	r->pools[0].retries = 1;
	rig_boot(r);
	core_adopted(&r->b);
	rig_hand(r, 0, "w", 1);
	put(r, submission("w"));
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	id = told.id;
	core_wait(&r->b, id, &w);
	rig_settle(r);
	core_failed(&r->b, find(r, id), "no", false);
	rig_settle(r);
	assert_int_equal(r->gives, 1);
	rig_pass(r, 1001);
	assert_int_equal(r->gives, 2);
	done(r, id);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.state, TASK_DONE);
	s = submission("w");
	s->delay_ms = 100;
	put(r, s);
	rig_pass(r, 101);
	assert_int_equal(r->gives, 3);
	for (size_t i = 0; i < STORE_KINDS; i++)
		assert_int_equal(r->store.puts[i], 0);
	core_cancel(&r->b, r->last_given, on_done, NULL);
	core_lost(&r->b, find(r, r->last_given), LOST_CANCELLED, NULL);
	assert_int_equal(r->b.core->tasks.count, 0);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_failure_is_tried_again_later_until_no_try_is_left),
		cmocka_unit_test(a_task_that_crashes_is_dead_in_the_end),
		cmocka_unit_test(
		    suspects_run_alone_and_two_crashes_alone_are_enough),
		cmocka_unit_test(a_loner_gets_a_busy_process_emptied),
		cmocka_unit_test(other_losses_cost_nothing),
		cmocka_unit_test(
		    where_no_memory_is_left_to_give_a_task_it_waits),
		cmocka_unit_test(a_storm_of_crashes_pauses_the_pool),
		cmocka_unit_test(
		    what_is_paused_meanwhile_stays_so_and_nobody_says_otherwise),
		cmocka_unit_test(a_sick_store_refuses_and_what_is_done_waits),
		cmocka_unit_test(a_change_the_store_missed_is_made_good),
		cmocka_unit_test(
		    after_a_kill_flights_stay_and_the_rest_is_queued_again),
		cmocka_unit_test(
		    what_a_process_has_is_looked_up_again_when_there_was_no_memory),
		cmocka_unit_test(a_worker_without_durability_needs_no_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
