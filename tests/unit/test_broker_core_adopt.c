/* The broker's core after a kill: what it makes of what the one before it had
 * given out. More is in test_broker_core_failures.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"

/* The next broker finds h0 with this task, by a flight of this attempt. */
static void
kill_and_adopt(struct rig *r, uint64_t id, uint32_t attempt, uint32_t threads)
{
	rig_kill(r);
	r->gives = 0;
	rig_hand(r, 0, "w", threads);
	core_adopt(&r->b, &r->hands[0], id, attempt);
	core_adopted(&r->b);
	rig_settle(r);
}

static void
an_answer_that_was_stored_is_not_waited_for_again(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->retries = 5;
	id = submit(r, s);
	rig_settle(r);
	core_failed(&r->b, find(r, id), "no", false);
	rig_turn(r);
	/* Stored, and nobody was told of it any more. */
	rig_write(&r->store);
	assert_int_equal(r->store.rows[id].state, TASK_SCHEDULED);
	kill_and_adopt(r, id, 1, 1);
	assert_int_equal(r->adopted_none, 1);
	assert_int_equal(r->hands[0].held, 0);
	/* So its pause is as long as it was. */
	assert_int_equal(r->store.rows[id].state, TASK_SCHEDULED);
	rig_pass(r, 500);
	assert_int_equal(r->gives, 0);
	rig_pass(r, 600);
	assert_int_equal(r->gives, 1);
	assert_int_equal(find(r, id)->row.attempts, 2);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_SCHEDULED], 0);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_RUNNING], 1);
	rig_free(r);
}

static void
a_crash_that_was_stored_is_not_charged_twice(void **state)
{
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	rig_settle(r);
	core_lost(&r->b, find(r, id), LOST_GUILTY, "SIGSEGV");
	rig_write(&r->store);
	assert_int_equal(r->store.rows[id].crashes, 1);
	kill_and_adopt(r, id, 1, 1);
	assert_int_equal(r->adopted_none, 1);
	/* It is in the queue, whatever a refill has seen meanwhile. */
	assert_int_equal(r->gives, 1);
	assert_int_equal(find(r, id)->row.attempts, 2);
	assert_int_equal(find(r, id)->row.crashes, 1);
	done(r, id);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_QUEUED], 0);
	rig_free(r);
}

static void
what_is_due_waits_until_all_is_adopted(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->retries = 5;
	id = submit(r, s);
	rig_settle(r);
	core_failed(&r->b, find(r, id), "no", false);
	rig_settle(r);
	/* Its time comes while there is no broker. */
	rig_wall += 60000;
	kill_and_adopt(r, id, 1, 1);
	assert_int_equal(r->gives, 1);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_SCHEDULED], 0);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_QUEUED], 0);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_RUNNING], 1);
	rig_free(r);
}

/* One that has crashed a process, given again; claimed: the store knows. */
static void
suspect_is_alone(bool claimed)
{
	struct rig *r = one_pool();
	uint64_t id, other;

	rig_hand(r, 0, "w", 4);
	id = submit(r, submission("w"));
	rig_settle(r);
	core_lost(&r->b, find(r, id), LOST_GUILTY, "SIGSEGV");
	rig_settle(r);
	assert_true(r->hands[0].alone);
	if (claimed)
		rig_pass(r, 20);
	other = submit(r, submission("w"));
	kill_and_adopt(r, id, 2, 4);
	assert_ptr_equal(find(r, id)->hand, &r->hands[0]);
	assert_true(r->hands[0].alone);
	assert_null(find(r, other)->hand);
	done(r, id);
	rig_settle(r);
	assert_false(r->hands[0].alone);
	assert_non_null(find(r, other)->hand);
	rig_free(r);
}

static void
who_crashed_a_process_is_alone_with_the_next_broker_too(void **state)
{
	(void)state;
	suspect_is_alone(true);
	suspect_is_alone(false);
}

static void
and_is_given_out_alone_where_its_process_is_gone(void **state)
{
	struct rig *r = one_pool();
	uint64_t id, other;

	(void)state;
	rig_hand(r, 0, "w", 4);
	id = submit(r, submission("w"));
	rig_settle(r);
	core_lost(&r->b, find(r, id), LOST_GUILTY, "SIGSEGV");
	rig_settle(r);
	rig_pass(r, 20);
	assert_int_equal(r->store.rows[id].state, TASK_RUNNING);
	other = submit(r, submission("w"));
	rig_kill(r);
	rig_hand(r, 0, "w", 4);
	core_adopted(&r->b);
	rig_settle(r);
	assert_non_null(find(r, id)->hand);
	assert_true(r->hands[0].alone);
	assert_null(find(r, other)->hand);
	rig_free(r);
}

static void
a_task_given_back_waits_from_then_on(void **state)
{
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	rig_settle(r);
	rig_pass(r, 20);
	assert_int_equal(r->store.rows[id].state, TASK_RUNNING);
	rig_kill(r);
	rig_hand(r, 0, "w", 1);
	core_adopted(&r->b);
	rig_settle(r);
	assert_non_null(find(r, id)->hand);
	assert_true(longest_wait_us(r) < 1000000);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    an_answer_that_was_stored_is_not_waited_for_again),
		cmocka_unit_test(a_crash_that_was_stored_is_not_charged_twice),
		cmocka_unit_test(what_is_due_waits_until_all_is_adopted),
		cmocka_unit_test(
		    who_crashed_a_process_is_alone_with_the_next_broker_too),
		cmocka_unit_test(
		    and_is_given_out_alone_where_its_process_is_gone),
		cmocka_unit_test(a_task_given_back_waits_from_then_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
