/* The broker's core over a store, hands and clocks that are made up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_rig.h"

static struct {
	enum queue_error error;
	uint64_t id;
	bool existed;
	unsigned times;
} told;

static void
on_submitted(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	(void)arg;
	told.error = error;
	told.id = id;
	told.existed = existed;
	told.times++;
}

static void
on_done(void *arg, enum queue_error error)
{
	(void)arg;
	told.error = error;
	told.times++;
}

static struct {
	enum queue_error error;
	uint8_t state;
	unsigned ended, progress;
	char result[64];
} waited;

static void
on_progress(struct waiter *w, const struct task *t)
{
	(void)w;
	(void)t;
	waited.progress++;
}

static void
on_ended(struct waiter *w, enum queue_error error, const struct task_row *row)
{
	(void)w;
	waited.error = error;
	waited.state = row != NULL ? row->state : 255;
	waited.ended++;
	if (row != NULL && row->result != NULL)
		snprintf(waited.result, sizeof(waited.result), "%s",
		    row->result->data);
}

static struct waiter
waiter(void)
{
	memset(&waited, 0, sizeof(waited));
	return (struct waiter){ .progress = on_progress, .ended = on_ended };
}

static struct submission *
submission(const char *worker)
{
	struct submission *s = submission_new();

	snprintf(s->worker, sizeof(s->worker), "%s", worker);
	s->func = strdup("f");
	return s;
}

/* Puts it; told says what came of it. */
static void
put(struct rig *r, struct submission *s)
{
	memset(&told, 0, sizeof(told));
	core_submit(&r->b, s, on_submitted, NULL);
}

static uint64_t
submit(struct rig *r, struct submission *s)
{
	put(r, s);
	rig_commit(r);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	return told.id;
}

static struct task *
find(struct rig *r, uint64_t id)
{
	return core_find(&r->b, id);
}

static void
done(struct rig *r, uint64_t id)
{
	struct body *body = body_new("{}", 2);

	core_done(&r->b, find(r, id), body, true);
	body_release(body);
}

static struct rig *
one_pool(void)
{
	struct rig *r = rig_new(1);

	rig_boot(r);
	core_adopted(&r->b);
	return r;
}

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
	core_requeue(&r->b, id, on_done, NULL);
	rig_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	assert_non_null(find(r, id)->hand);
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
a_storm_of_crashes_pauses_the_pool(void **state)
{
	struct rig *r = one_pool();

	(void)state;
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
	rig_pass(r, 9000);
	assert_int_equal(r->gives, 0);
	rig_pass(r, 1001);
	assert_int_equal(r->gives, 1);
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
		assert_true(HASH_COUNT(r->b.core->tasks) <=
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
		assert_true(HASH_COUNT(r->b.core->tasks) <=
			    2 * core_sizes.window_keep + 1000);
		if (runs == 60000 || r->gives > 60000)
			break;
	}
	rig_settle(r);
	assert_int_equal(r->gives, 60000);
	assert_int_equal(pool_find(r->b.core, "w")->counts[TASK_DONE], 60000);
	assert_int_equal(HASH_COUNT(r->b.core->tasks), 0);
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
	assert_int_equal(r->b.core->kept_count, 1);
	assert_true(r->store.puts[STORE_FINISH] < 11);
	r->store.broken = false;
	rig_pass(r, 2000);
	assert_int_equal(waited.ended, 1);
	assert_int_equal(r->store.rows[id].state, TASK_DONE);
	assert_int_equal(r->b.core->kept_count, 0);
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
	assert_int_equal(HASH_COUNT(r->b.core->tasks), 0);
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
	assert_null(r->b.core->waits);
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
		cmocka_unit_test(levels_and_age_give_the_order),
		cmocka_unit_test(work_is_spread_over_hands),
		cmocka_unit_test(only_short_tasks_are_prefetched),
		cmocka_unit_test(a_capped_key_blocks_only_itself),
		cmocka_unit_test(a_rated_key_begins_so_many_a_second),
		cmocka_unit_test(
		    a_failure_is_tried_again_later_until_no_try_is_left),
		cmocka_unit_test(a_task_that_crashes_is_dead_in_the_end),
		cmocka_unit_test(
		    suspects_run_alone_and_two_crashes_alone_are_enough),
		cmocka_unit_test(a_loner_gets_a_busy_process_emptied),
		cmocka_unit_test(other_losses_cost_nothing),
		cmocka_unit_test(a_storm_of_crashes_pauses_the_pool),
		cmocka_unit_test(cancel_reaches_a_task_wherever_it_is),
		cmocka_unit_test(
		    a_paused_pool_hands_out_nothing_until_its_time),
		cmocka_unit_test(a_backlog_is_not_held_in_memory),
		cmocka_unit_test(a_sick_store_refuses_and_what_is_done_waits),
		cmocka_unit_test(a_change_the_store_missed_is_made_good),
		cmocka_unit_test(
		    after_a_kill_flights_stay_and_the_rest_is_queued_again),
		cmocka_unit_test(a_worker_without_durability_needs_no_store),
		cmocka_unit_test(
		    what_follows_a_task_is_queued_when_it_has_ended),
		cmocka_unit_test(a_group_is_taken_whole_or_not_at_all),
		cmocka_unit_test(waiting_for_what_is_not_there_ends_at_once),
		cmocka_unit_test(results_go_when_their_time_is_over),
		cmocka_unit_test(
		    a_clock_step_moves_what_is_due_and_nothing_else),
		cmocka_unit_test(
		    a_worker_that_leaves_the_config_keeps_its_tasks),
		cmocka_unit_test(a_backlog_asks_for_more_instances),
		cmocka_unit_test(stats_say_what_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
