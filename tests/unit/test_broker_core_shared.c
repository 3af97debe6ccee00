/* The broker's core with a queue that others share: what it claims, gives back,
 * loses, and what goes on while the shared store is away. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"
#include "tests/unit/far_rig.h"

static uint64_t
submit_far(struct rig *r)
{
	put(r, submission("w"));
	far_commit();
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	assert_true(told.id >= SHARED_ID_FIRST);
	return told.id;
}

static void
counts_of(const struct pool_stats *stats, void *arg)
{
	*(struct pool_stats *)arg = *stats;
}

static struct pool_stats
stats_of(struct rig *r, const char *worker)
{
	struct pool_stats s = { 0 };

	core_stats(&r->b, worker, counts_of, &s);
	return s;
}

static void
a_shared_task_is_claimed_run_and_ended_there(void **state)
{
	struct rig *r = far_rig();
	struct waiter w = waiter();
	uint64_t id;

	(void)state;
	assert_true(far.serves);
	id = submit_far(r);
	assert_null(find(r, id));
	assert_int_equal(stats_of(r, "w").counts[TASK_QUEUED], 1);
	far_settle(r);
	assert_int_equal(far_find(id)->holder, FAR_NOBODY); /* no hand */
	rig_hand(r, 0, "w", 1);
	far_settle(r);
	assert_int_equal(r->gives, 1);
	core_wait(&r->b, id, &w);
	far_pass(r, 20);
	assert_int_equal(far_find(id)->row.state, TASK_RUNNING);
	done(r, id);
	assert_int_equal(waited.ended, 0);
	far_settle(r);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(far.watches, 0);
	assert_string_equal(waited.result, "{}");
	assert_int_equal(far_find(id)->row.state, TASK_DONE);
	assert_null(find(r, id));
	assert_int_equal(r->store.puts[STORE_SUBMIT], 0);
	assert_int_equal(r->store.puts[STORE_FINISH], 0);
	core_refresh(&r->b, NULL, on_done, NULL);
	far_settle(r);
	assert_int_equal(stats_of(r, "w").counts[TASK_DONE], 1);
	assert_int_equal(stats_of(r, "w").counts[TASK_QUEUED], 0);
	far_free(r);
}

static void
no_more_is_claimed_than_there_are_threads_for(void **state)
{
	struct rig *r = far_rig();
	uint64_t ids[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		ids[i] = far_put("w");
	rig_hand(r, 0, "w", 2);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	assert_int_equal(far_find(ids[1])->holder, FAR_US);
	assert_int_equal(far_find(ids[2])->holder, FAR_NOBODY);
	rig_mono += NS_PER_SEC; /* a long one: no reserve */
	done(r, ids[0]);
	far_settle(r);
	assert_int_equal(far_find(ids[2])->holder, FAR_US);
	assert_int_equal(far_find(ids[3])->holder, FAR_NOBODY);
	far_free(r);
}

static void
a_full_queue_is_full_for_all(void **state)
{
	struct rig *r = far_rig();

	(void)state;
	r->pools[0].max_queue = 2;
	core_configure(&r->b);
	far_put("w");
	far_put("w");
	put(r, submission("w"));
	far_commit();
	assert_int_equal(told.error, QERR_FULL);
	far_free(r);
}

static void
what_can_not_be_run_is_given_back(void **state)
{
	struct rig *r = far_rig();
	struct hand *h = rig_hand(r, 0, "w", 1);
	uint64_t a = far_put("w"), b = far_put("w");

	(void)state;
	core_shared_ready(&r->b, "w");
	far_settle(r);
	done(r, a); /* at once: the next is in reserve */
	far_settle(r);
	for (int i = 0; i < 3; i++)
		far_put("w");
	core_shared_ready(&r->b, "w");
	far_settle(r);
	assert_true(stats_of(r, "w").here > 0);
	core_pause(&r->b, "w", true, 0, on_done, NULL);
	far_settle(r);
	assert_true(far.paused);
	assert_int_equal(stats_of(r, "w").here, 0);
	for (unsigned i = 2; i < far.count; i++)
		assert_int_equal(far.rows[i].holder, FAR_NOBODY);
	assert_int_equal(far_find(b)->holder, FAR_US); /* it runs */
	core_shared_paused(&r->b, "w", false, 0);
	far_settle(r);
	assert_true(stats_of(r, "w").here > 0);
	core_hand_closed(&r->b, h, true);
	far_settle(r);
	assert_int_equal(stats_of(r, "w").here, 0);
	far_free(r);
}

static void
what_waits_behind_long_ones_is_given_back(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w");

	(void)state;
	rig_hand(r, 0, "w", 1);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	done(r, a);
	far_settle(r);
	assert_int_equal(far_find(b)->holder, FAR_US);
	assert_int_equal(far_find(c)->holder, FAR_US);
	far_pass(r, 500);
	assert_int_equal(far_find(c)->holder, FAR_US);
	far_pass(r, 600);
	assert_int_equal(far_find(b)->holder, FAR_US);
	assert_int_equal(far_find(c)->holder, FAR_NOBODY);
	core_shared_ready(&r->b, "w");
	far_pass(r, 5000);
	assert_int_equal(far_find(c)->holder, FAR_NOBODY);
	far_free(r);
}

static void
a_worker_that_leaves_gives_back_what_it_has(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w");

	(void)state;
	rig_hand(r, 0, "w", 1);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	done(r, a);
	far_settle(r);
	r->b.pools = &r->pools[1];
	r->b.pools_count = 1;
	core_configure(&r->b);
	far_settle(r);
	assert_int_equal(far_find(c)->holder, FAR_NOBODY);
	assert_true(far.serves);
	done(r, b);
	far_settle(r);
	assert_int_equal(far_find(b)->row.state, TASK_DONE);
	assert_false(far.serves);
	far_free(r);
}

static void
what_is_lost_is_ended_and_counts_for_nothing(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w");
	struct waiter w = waiter();

	(void)state;
	rig_hand(r, 0, "w", 3);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	core_wait(&r->b, a, &w);
	/* The lease has run out: others have taken them. */
	for (int i = 0; i < 3; i++)
		far.rows[i].holder = FAR_OTHER;
	done(r, a);
	far_settle(r);
	assert_null(find(r, a));
	assert_int_equal(waited.ended, 0);
	assert_int_equal(far_find(a)->row.state, TASK_QUEUED);
	far_pass(r, 20); /* claims are refused */
	assert_int_equal(r->cancels, 2);
	assert_true(find(r, b)->lost);
	done(r, b);
	core_lost(&r->b, find(r, c), LOST_OVERRUN, "killed");
	far_settle(r);
	assert_null(find(r, b));
	assert_null(find(r, c));
	assert_int_equal(far_find(c)->row.failures, 0);
	/* It ends elsewhere. */
	far_find(a)->row.state = TASK_DONE;
	core_shared_ended(&r->b, a);
	far_settle(r);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.state, TASK_DONE);
	far_free(r);
}

static void
who_waits_for_what_the_store_has_lost_is_told(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w");
	struct waiter w = waiter();

	(void)state;
	rig_hand(r, 0, "w", 1);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	core_wait(&r->b, a, &w);
	far_pass(r, 20);
	far_well(r, false);
	far_find(a)->holder = FAR_OTHER;
	far_find(a)->row.id = 1; /* another task: this one is gone */
	far_well(r, true);
	far_settle(r);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.error, QERR_NO_TASK);
	assert_int_equal(far.watches, 0);
	core_lost(&r->b, find(r, a), LOST_CANCELLED, NULL);
	far_settle(r);
	assert_null(find(r, a));
	far_free(r);
}

static void
what_is_claimed_is_looked_up_after_an_outage(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w");

	(void)state;
	rig_hand(r, 0, "w", 2);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	far_pass(r, 20);
	far_well(r, false);
	far_find(a)->holder = FAR_OTHER;
	far_find(c)->holder = FAR_US; /* its claim's answer never came */
	far_well(r, true);
	assert_int_equal(r->cancels, 1);
	assert_true(find(r, a)->lost);
	assert_false(find(r, b)->lost);
	assert_non_null(find(r, c));
	/* Ours again while it is on its way out. */
	far_find(a)->holder = FAR_US;
	far_well(r, true);
	core_lost(&r->b, find(r, a), LOST_CANCELLED, NULL);
	far_settle(r);
	assert_non_null(find(r, a));
	assert_false(find(r, a)->lost);
	far_free(r);
}

static void
while_the_store_is_away_ends_wait_and_others_go_on(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b, local;

	(void)state;
	rig_hand(r, 0, "w", 2);
	rig_hand(r, 1, "v", 1);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	b = far_put("w");
	far_well(r, false);
	put(r, submission("w"));
	assert_int_equal(told.error, QERR_STORE);
	done(r, a);
	far_settle(r);
	assert_true(find(r, a)->ending);
	local = submit(r, submission("v"));
	rig_settle(r);
	assert_int_equal(r->last_given, local);
	done(r, local);
	rig_settle(r);
	assert_int_equal(r->store.rows[local].state, TASK_DONE);
	far_pass(r, 60000);
	assert_int_equal(far_find(a)->row.state, TASK_QUEUED);
	far_well(r, true);
	assert_int_equal(far_find(a)->row.state, TASK_DONE);
	assert_int_equal(far_find(b)->holder, FAR_US);
	far_free(r);
}

static void
cancel_reaches_a_shared_task_wherever_it_is(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w"), d;

	(void)state;
	rig_hand(r, 0, "w", 1);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	done(r, a);
	far_settle(r);
	memset(&told, 0, sizeof(told));
	core_cancel(&r->b, c, on_done, NULL); /* waits here */
	far_settle(r);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	assert_int_equal(far_find(c)->row.state, TASK_CANCELLED);
	core_cancel(&r->b, b, on_done, NULL); /* runs here */
	assert_int_equal(r->cancels, 1);
	d = far_put("w");
	far_find(d)->holder = FAR_OTHER;
	core_cancel(&r->b, d, on_done, NULL); /* is with another */
	far_settle(r);
	assert_int_equal(far.told_to_cancel, d);
	assert_int_equal(told.error, QERR_NONE);
	core_cancel(&r->b, a, on_done, NULL);
	far_settle(r);
	assert_int_equal(told.error, QERR_STATE);
	/* Another asks for one that is on its way to us. */
	far_find(d)->holder = FAR_US;
	core_shared_cancel(&r->b, d);
	far_settle(r);
	assert_int_equal(far_find(d)->row.state, TASK_CANCELLED);
	far_free(r);
}

static void
a_broker_after_a_kill_goes_on_with_what_it_had(void **state)
{
	struct rig *r = far_rig();
	uint64_t a = far_put("w"), b = far_put("w"), c = far_put("w");
	struct hand *h;

	(void)state;
	rig_hand(r, 0, "w", 3);
	core_shared_ready(&r->b, "w");
	far_settle(r);
	far_pass(r, 20);
	far.away = true;
	far_commit();
	r->b.shared_well = false;
	rig_kill(r);
	far_commit();
	h = rig_hand(r, 0, "w", 3);
	rig_hand(r, 1, "v", 1);
	core_adopt(&r->b, h, a, 1);
	core_adopt(&r->b, h, c, 1);
	core_adopted(&r->b);
	/* Others need not wait until the store can be asked. */
	submit(r, submission("v"));
	r->gives = 0;
	rig_settle(r);
	assert_int_equal(r->gives, 1);
	assert_int_equal(r->adopted_none, 0);
	far_find(c)->holder = FAR_OTHER;
	far_well(r, true);
	assert_int_equal(r->adopted_none, 1); /* c is not ours any more */
	assert_true(find(r, a)->unsure);
	assert_ptr_equal(find(r, a)->hand, h);
	done(r, a);
	far_settle(r);
	assert_int_equal(far_find(a)->row.state, TASK_DONE);
	/* Nobody had b: it is run again. */
	assert_int_equal(r->last_given, b);
	far_free(r);
}

static void
what_follows_is_of_the_same_store(void **state)
{
	struct rig *r = far_rig();
	struct submission *s = submission("w");

	(void)state;
	s->then = strdup("{\"worker\":\"v\",\"func\":\"f\"}");
	put(r, s);
	assert_int_equal(told.error, QERR_OTHER_STORE);
	s = submission("v");
	s->then = strdup("[{\"worker\":\"v\",\"func\":\"f\"},"
			 "{\"worker\":\"w\",\"func\":\"f\"}]");
	put(r, s);
	assert_int_equal(told.error, QERR_OTHER_STORE);
	s = submission("w");
	s->then = strdup("{\"worker\":\"w\",\"func\":\"f\"}");
	put(r, s);
	far_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	far_free(r);
}

/* Its setting was changed: what is left in the local store is run from there.
 */
static void
tasks_of_both_stores_are_run(void **state)
{
	struct rig *r = far_rig();
	uint64_t local = submit(r, submission("v")), there = far_put("v");

	(void)state;
	r->pools[1].shared = true;
	core_configure(&r->b);
	far_settle(r);
	assert_int_equal(stats_of(r, "v").counts[TASK_QUEUED], 2);
	rig_hand(r, 0, "v", 2);
	far_settle(r);
	assert_int_equal(r->gives, 2);
	done(r, local);
	done(r, there);
	far_settle(r);
	assert_int_equal(r->store.rows[local].state, TASK_DONE);
	assert_int_equal(far_find(there)->row.state, TASK_DONE);
	far_free(r);
}

/* It may be that others have its tasks by now, and have run them. */
static void
one_that_stood_still_begins_nothing_until_it_knows_better(void **state)
{
	struct rig *r = far_rig();

	(void)state;
	rig_hand(r, 0, "w", 1);
	far.late = true;
	far_put("w");
	core_shared_ready(&r->b, "w");
	far_settle(r);
	assert_int_equal(r->gives, 0);
	far.late = false;
	core_shared_due(&r->b, "w", 0); /* with each beat */
	far_settle(r);
	assert_int_equal(r->gives, 1);
	far_free(r);
}

static void
news_of_what_is_due_is_not_undone_by_an_older_answer(void **state)
{
	struct rig *r = far_rig();
	unsigned asked;

	(void)state;
	core_shared_due(&r->b, "w", 10);
	rig_pass(r, 10);
	asked = far.puts[STORE_DUE];
	assert_true(asked > 0);
	core_shared_due(&r->b, "w", 20);
	far_settle(r);                  /* there was none when it was asked, */
	core_shared_due(&r->b, "w", 0); /* nor at the beat before */
	far_pass(r, 10);
	assert_int_equal(far.puts[STORE_DUE], asked);
	far_pass(r, 10);
	assert_int_equal(far.puts[STORE_DUE], asked + 1);
	far_free(r);
}

static void
on_group(void *arg, enum queue_error error, uint64_t group, const uint64_t *ids,
    size_t count)
{
	(void)arg;
	(void)group;
	(void)ids;
	(void)count;
	told.error = error;
}

/* Only the store knows what those who share it have put there. */
static void
a_group_is_as_full_as_the_store_says(void **state)
{
	struct rig *r = far_rig();
	struct submission *s[2] = { submission("w"), submission("w") };

	(void)state;
	r->pools[0].max_queue = 2;
	core_configure(&r->b);
	far_put("w");
	far_put("w");
	core_refresh(&r->b, NULL, on_done, NULL);
	far_settle(r);
	for (unsigned i = 0; i < far.count; i++)
		far.rows[i].row.state = TASK_DONE; /* others have run them */
	core_submit_group(&r->b, s, 2, NULL, on_group, NULL);
	far_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	s[0] = submission("w");
	core_submit_group(&r->b, s, 1, NULL, on_group, NULL);
	far_settle(r);
	assert_int_equal(told.error, QERR_FULL);
	far_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shared_task_is_claimed_run_and_ended_there),
		cmocka_unit_test(no_more_is_claimed_than_there_are_threads_for),
		cmocka_unit_test(a_full_queue_is_full_for_all),
		cmocka_unit_test(what_can_not_be_run_is_given_back),
		cmocka_unit_test(what_waits_behind_long_ones_is_given_back),
		cmocka_unit_test(a_worker_that_leaves_gives_back_what_it_has),
		cmocka_unit_test(what_is_lost_is_ended_and_counts_for_nothing),
		cmocka_unit_test(who_waits_for_what_the_store_has_lost_is_told),
		cmocka_unit_test(what_is_claimed_is_looked_up_after_an_outage),
		cmocka_unit_test(
		    while_the_store_is_away_ends_wait_and_others_go_on),
		cmocka_unit_test(cancel_reaches_a_shared_task_wherever_it_is),
		cmocka_unit_test(
		    a_broker_after_a_kill_goes_on_with_what_it_had),
		cmocka_unit_test(what_follows_is_of_the_same_store),
		cmocka_unit_test(tasks_of_both_stores_are_run),
		cmocka_unit_test(
		    one_that_stood_still_begins_nothing_until_it_knows_better),
		cmocka_unit_test(
		    news_of_what_is_due_is_not_undone_by_an_older_answer),
		cmocka_unit_test(a_group_is_as_full_as_the_store_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
