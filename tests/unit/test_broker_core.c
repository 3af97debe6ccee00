/* The broker's core over a store, hands and clocks that are made up: what is
 * submitted, asked, cancelled and waited for. Its order is tested in
 * test_broker_core_order.c, failures in test_broker_core_failures.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"

static void
a_task_is_acked_when_stored_and_told_when_its_end_is(void **state)
{
	struct rig *r = one_pool();
	struct hand *h = rig_hand(r, 0, "w", 1);
	struct waiter w = waiter();

	(void)state;
	put(r, submission("w"));
	rig_turn(r);
	assert_int_equal(told.times, 0);
	assert_int_equal(r->gives, 0);
	rig_commit(r);
	assert_int_equal(told.times, 1);
	core_wait(&r->b, told.id, &w);
	rig_turn(r);
	assert_int_equal(r->gives, 1);
	assert_int_equal(h->held, 1);
	assert_int_equal(find(r, told.id)->row.attempts, 1);
	core_progress(&r->b, find(r, told.id), 500, "half");
	assert_int_equal(waited.progress, 1);
	done(r, told.id);
	assert_int_equal(h->held, 0);
	assert_int_equal(waited.ended, 0);
	rig_commit(r);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.state, TASK_DONE);
	assert_string_equal(waited.result, "{}");
	assert_null(find(r, told.id));
	assert_int_equal(r->store.rows[told.id].state, TASK_DONE);
	assert_int_equal(r->store.rows[told.id].attempts, 1);
	assert_int_equal(r->store.puts[STORE_UPDATE], 0);
	rig_free(r);
}

static void
a_task_that_takes_its_time_is_claimed(void **state)
{
	struct rig *r = one_pool();
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	rig_settle(r);
	rig_pass(r, 5);
	assert_int_equal(r->store.puts[STORE_UPDATE], 0);
	rig_pass(r, 6);
	assert_int_equal(r->store.puts[STORE_UPDATE], 1);
	assert_int_equal(r->store.rows[id].state, TASK_RUNNING);
	assert_string_equal(r->store.rows[id].instance, "w:0");
	rig_pass(r, 1000);
	assert_int_equal(r->store.puts[STORE_UPDATE], 1);
	done(r, id);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	rig_free(r);
}

static void
what_is_wrong_is_refused(void **state)
{
	static char f[] = "f";
	static char *functions[] = { f, NULL };
	static bool json[] = { true };
	struct rig *r = one_pool();
	struct submission *s;
	struct hand *h;

	(void)state;
	put(r, submission("nobody"));
	assert_int_equal(told.error, QERR_NO_WORKER);
	s = submission("w");
	s->payload = body_new(NULL, 0);
	body_release(s->payload);
	s->payload = malloc(sizeof(*s->payload) + 1);
	*s->payload = (struct body){ .refs = 1, .size = WIRE_PAYLOAD_MAX + 1 };
	put(r, s);
	assert_int_equal(told.error, QERR_TOO_LARGE);
	s = submission("w");
	s->priority = PRIORITIES;
	put(r, s);
	assert_int_equal(told.error, QERR_BAD_VALUE);
	s = submission("w");
	free(s->func);
	s->func = strdup("");
	put(r, s);
	assert_int_equal(told.error, QERR_BAD_VALUE);
	/* Until an instance has said what it knows, anything goes. */
	s = submission("w");
	s->func[0] = 'g';
	submit(r, s);
	h = &r->hands[0];
	*h = (struct hand){ .threads = 1,
		.functions = functions,
		.functions_json = json,
		.closed = true };
	snprintf(h->worker, sizeof(h->worker), "w");
	list_init(&h->tasks);
	core_hand_up(&r->b, h);
	s = submission("w");
	s->func[0] = 'g';
	put(r, s);
	assert_int_equal(told.error, QERR_NO_FUNC);
	s = submission("w");
	s->payload = body_new("x", 1);
	put(r, s);
	assert_int_equal(told.error, QERR_NOT_JSON);
	r->b.finishing = true;
	put(r, submission("w"));
	assert_int_equal(told.error, QERR_ENDING);
	core_hand_down(&r->b, h);
	rig_free(r);
}

static void
a_full_queue_refuses_and_a_free_place_takes(void **state)
{
	struct rig *r = rig_new(1);
	uint64_t id;

	(void)state;
	r->pools[0].max_queue = 2;
	rig_boot(r);
	core_adopted(&r->b);
	id = submit(r, submission("w"));
	put(r, submission("w"));
	/* The one on its way counts. */
	core_submit(&r->b, submission("w"), on_submitted, NULL);
	assert_int_equal(told.error, QERR_FULL);
	rig_commit(r);
	rig_hand(r, 0, "w", 1);
	rig_settle(r);
	assert_ptr_equal(find(r, id)->hand, &r->hands[0]);
	submit(r, submission("w"));
	rig_free(r);
}

static void
a_key_returns_the_first_ones_id(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	s->key = strdup("k");
	id = submit(r, s);
	assert_false(told.existed);
	s = submission("w");
	s->key = strdup("k");
	assert_int_equal(submit(r, s), id);
	assert_true(told.existed);
	rig_free(r);
}

static void
cancel_reaches_a_task_wherever_it_is(void **state)
{
	struct rig *r = one_pool();
	struct submission *s;
	uint64_t id;

	(void)state;
	/* queued */
	id = submit(r, submission("w"));
	memset(&told, 0, sizeof(told));
	core_cancel(&r->b, id, on_done, NULL);
	assert_int_equal(told.times, 0);
	rig_settle(r);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	assert_int_equal(r->store.rows[id].state, TASK_CANCELLED);
	/* ended */
	core_cancel(&r->b, id, on_done, NULL);
	rig_settle(r);
	assert_int_equal(told.error, QERR_STATE);
	/* due later */
	s = submission("w");
	s->delay_ms = 5000;
	id = submit(r, s);
	assert_null(find(r, id));
	core_cancel(&r->b, id, on_done, NULL);
	rig_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	assert_int_equal(r->store.rows[id].state, TASK_CANCELLED);
	/* running */
	rig_hand(r, 0, "w", 1);
	id = submit(r, submission("w"));
	rig_settle(r);
	core_cancel(&r->b, id, on_done, NULL);
	assert_int_equal(told.error, QERR_NONE);
	assert_int_equal(r->cancels, 1);
	core_failed(&r->b, find(r, id), "asked to", false);
	rig_settle(r);
	assert_int_equal(r->store.rows[id].state, TASK_CANCELLED);
	/* never heard of */
	core_cancel(&r->b, 999, on_done, NULL);
	rig_settle(r);
	assert_int_equal(told.error, QERR_NO_TASK);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_CANCELLED], 3);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_QUEUED], 0);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_SCHEDULED], 0);
	rig_free(r);
}

static void
what_follows_a_task_is_queued_when_it_has_ended(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->then = strdup("next");
	id = submit(r, s);
	rig_settle(r);
	done(r, id);
	rig_settle(r);
	assert_int_equal(r->gives, 2);
	assert_string_equal(find(r, r->last_given)->row.func, "next");
	assert_int_equal(find(r, r->last_given)->row.parent, id);
	rig_free(r);
}

static uint64_t group_ids[8];
static size_t group_count;
static enum queue_error group_error;

static void
on_group(void *arg, enum queue_error error, uint64_t group, const uint64_t *ids,
    size_t count)
{
	(void)arg;
	(void)group;
	group_error = error;
	group_count = count;
	for (size_t i = 0; i < count && i < 8; i++)
		group_ids[i] = ids[i];
}

static void
a_group_is_taken_whole_or_not_at_all(void **state)
{
	struct rig *r = rig_new(1);
	struct submission *s[3];

	(void)state;
	r->pools[0].max_queue = 4;
	rig_boot(r);
	core_adopted(&r->b);
	for (int i = 0; i < 3; i++)
		s[i] = submission("w");
	core_submit_group(&r->b, s, 3,
	    strdup("{\"worker\":\"w\",\"func\":\"f\"}"), on_group, NULL);
	rig_settle(r);
	assert_int_equal(group_error, QERR_NONE);
	assert_int_equal(group_count, 3);
	assert_non_null(find(r, group_ids[2]));
	assert_int_equal(pool_find(r->b.core, "w")->submitting, 0);
	for (int i = 0; i < 3; i++)
		s[i] = submission("w");
	core_submit_group(&r->b, s, 3, NULL, on_group, NULL);
	assert_int_equal(group_error, QERR_FULL);
	assert_int_equal(pool_find(r->b.core, "w")->submitting, 0);
	core_submit_group(&r->b, s, 0, NULL, on_group, NULL);
	assert_int_equal(group_error, QERR_BAD_VALUE);
	rig_free(r);
}

static void
waiting_for_what_is_not_there_ends_at_once(void **state)
{
	struct rig *r = one_pool();
	struct waiter w = waiter(), gone = waiter();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	core_wait(&r->b, 4711, &w);
	rig_settle(r);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(waited.error, QERR_NO_TASK);
	s->delay_ms = 1000;
	id = submit(r, s);
	core_wait(&r->b, id, &gone);
	core_wait(&r->b, id, &w);
	rig_settle(r);
	assert_int_equal(waited.ended, 1);
	core_unwait(&gone);
	core_cancel(&r->b, id, on_done, NULL);
	rig_settle(r);
	assert_int_equal(waited.ended, 2);
	assert_int_equal(waited.state, TASK_CANCELLED);
	/* Ended, but kept: told at once. */
	core_wait(&r->b, id, &w);
	rig_settle(r);
	assert_int_equal(waited.ended, 3);
	core_wait(&r->b, submit(r, submission("w")), &w);
	rig_settle(r);
	core_unwait(&w);
	assert_int_equal(r->b.core->waits.count, 0);
	rig_free(r);
}

static void
results_go_when_their_time_is_over(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->result_ttl_ms = 5000;
	id = submit(r, s);
	rig_settle(r);
	done(r, id);
	rig_settle(r);
	rig_pass(r, 4000);
	assert_int_equal(r->store.puts[STORE_EXPIRE], 0);
	rig_pass(r, 1000);
	assert_int_equal(r->store.puts[STORE_EXPIRE], 1);
	assert_null(rig_row(&r->store, id));
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_DONE], 0);
	rig_free(r);
}

static void
a_clock_step_moves_what_is_due_and_nothing_else(void **state)
{
	struct rig *r = one_pool();
	struct submission *s = submission("w");

	(void)state;
	rig_hand(r, 0, "w", 1);
	s->delay_ms = 3600000;
	submit(r, s);
	rig_pass(r, 10);
	rig_wall += 3600000;
	core_tick(&r->b);
	rig_settle(r);
	assert_int_equal(r->gives, 1);
	rig_free(r);
}

static void
a_worker_that_leaves_the_config_keeps_its_tasks(void **state)
{
	struct rig *r = rig_new(2);
	struct pool_config kept;

	(void)state;
	rig_boot(r);
	core_adopted(&r->b);
	submit(r, submission("w"));
	kept = r->pools[0];
	r->pools[0] = r->pools[1];
	r->b.pools_count = 1;
	core_configure(&r->b);
	put(r, submission("w"));
	assert_int_equal(told.error, QERR_NO_WORKER);
	rig_hand(r, 0, "w", 1);
	rig_settle(r);
	assert_int_equal(r->gives, 0);
	r->pools[1] = kept;
	r->b.pools_count = 2;
	core_configure(&r->b);
	rig_settle(r);
	assert_int_equal(r->gives, 1);
	r->b.pools_count = 1;
	core_configure(&r->b);
	assert_non_null(pool_find(r->b.core, "w"));
	rig_free(r);
}

static void
count_stats(const struct pool_stats *s, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	assert_string_equal(s->worker, "w");
	assert_int_equal(s->counts[TASK_RUNNING], 1);
	assert_int_equal(s->counts[TASK_QUEUED], 2);
	assert_int_equal(s->busy, 1);
	assert_int_equal(s->threads, 1);
	assert_int_equal(s->submitted, 3);
	assert_true(s->in_per_s > 0);
	assert_int_equal(s->oldest_ms, 1500);
}

static void
stats_say_what_there_is(void **state)
{
	struct rig *r = one_pool();
	unsigned n = 0;

	(void)state;
	rig_hand(r, 0, "w", 1);
	for (int i = 0; i < 3; i++)
		submit(r, submission("w"));
	rig_settle(r);
	rig_pass(r, 1500);
	core_stats(&r->b, NULL, count_stats, &n);
	core_stats(&r->b, "w", count_stats, &n);
	core_stats(&r->b, "v", count_stats, &n);
	assert_int_equal(n, 2);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_task_is_acked_when_stored_and_told_when_its_end_is),
		cmocka_unit_test(a_task_that_takes_its_time_is_claimed),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(a_full_queue_refuses_and_a_free_place_takes),
		cmocka_unit_test(a_key_returns_the_first_ones_id),
		cmocka_unit_test(cancel_reaches_a_task_wherever_it_is),
		cmocka_unit_test(
		    what_follows_a_task_is_queued_when_it_has_ended),
		cmocka_unit_test(a_group_is_taken_whole_or_not_at_all),
		cmocka_unit_test(waiting_for_what_is_not_there_ends_at_once),
		cmocka_unit_test(results_go_when_their_time_is_over),
		cmocka_unit_test(
		    a_clock_step_moves_what_is_due_and_nothing_else),
		cmocka_unit_test(
		    a_worker_that_leaves_the_config_keeps_its_tasks),
		cmocka_unit_test(stats_say_what_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
