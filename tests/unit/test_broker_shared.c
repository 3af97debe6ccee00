/* Each kind of operation of the shared store, between two supervisords on one
 * Redis. */

#include "tests/unit/redis_rig.h"

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	rig_start(r);
	side_up(&r->a);
	side_up(&r->b);
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	rig_done(r);
	free(r);
	return 0;
}

static void
a_task_lives_from_one_to_the_other(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "{\"a\":1}"), *got;
	struct store_op *op;
	uint64_t id;

	row->key = strdup("k");
	row->limit_key = strdup("lk");
	row->priority = PRIORITY_LOW;
	row->timeout_ms = 30000;
	row->retries = -1;
	row->parent = 7;
	row->schedule = UINT32_MAX;
	row->rank = (INT64_C(1) << 53) + 123456789;
	id = side_submit(&r->a, row);
	side_counts(&r->a, 1, 0, 0);
	op = side_refill(&r->b, 10);
	assert_int_equal(op->count, 1);
	assert_false(op->more);
	assert_int_equal(op->counts[TASK_QUEUED], 1);
	got = &op->rows[0];
	assert_int_equal(got->id, id);
	assert_string_equal(got->worker, "w");
	assert_string_equal(got->func, "f");
	assert_string_equal(got->key, "k");
	assert_string_equal(got->limit_key, "lk");
	assert_null(got->then);
	assert_string_equal(got->payload->data, "{\"a\":1}");
	assert_true(got->json);
	assert_int_equal(got->priority, PRIORITY_LOW);
	assert_int_equal(got->timeout_ms, 30000);
	assert_int_equal(got->retries, -1);
	assert_int_equal(got->parent, 7);
	assert_int_equal(got->schedule, UINT32_MAX);
	assert_int_equal(got->rank, (INT64_C(1) << 53) + 123456789);
	assert_int_equal(got->result_ttl_ms, 86400000);
	store_op_free(op);
	assert_int_equal(side_update(&r->b, id, TASK_RUNNING), QERR_NONE);
	side_counts(&r->a, 0, 1, 0);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "[1]"), QERR_NONE);
	side_counts(&r->a, 0, 0, 1);
	op = side_task(&r->a, id);
	assert_int_equal(op->rows[0].state, TASK_DONE);
	assert_string_equal(op->rows[0].result->data, "[1]");
	assert_true(op->rows[0].result_json);
	assert_true(op->rows[0].finished_ms > 0);
	assert_true(op->rows[0].expires_ms > clock_wall_ms());
	store_op_free(op);
	assert_null(side_task(&r->a, id + 1));
}

static void
who_has_not_claimed_it_may_not_end_it(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_update(&r->a, id, TASK_RUNNING), QERR_LOST);
	assert_int_equal(side_claim(&r->b), id);
	assert_int_equal(side_update(&r->a, id, TASK_RUNNING), QERR_LOST);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_LOST);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "2"), QERR_NONE);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "3"), QERR_LOST);
	assert_int_equal(
	    side_finish(&r->b, 4711, TASK_DONE, NULL), QERR_NO_TASK);
}

static void
last_words_come_after_the_end(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op;

	side_claim(&r->b);
	assert_int_equal(side_finish(&r->b, id, TASK_DEAD, NULL), QERR_NONE);
	op = rig_op(STORE_UPDATE);
	op->change.id = id;
	op->change.fields = CHANGE_WORDS;
	op->change.words = strdup("killed by SIGSEGV");
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	op = side_task(&r->a, id);
	assert_int_equal(op->rows[0].state, TASK_DEAD);
	assert_string_equal(op->rows[0].words, "killed by SIGSEGV");
	store_op_free(op);
}

static void
a_key_gives_the_first_task(void **state)
{
	struct rig *r = *state;
	uint64_t first, id;

	for (int i = 0; i < 3; i++) {
		struct side *d = i == 1 ? &r->b : &r->a;
		struct task_row *row = side_row(d, "1");

		row->key = strdup("same");
		id = side_submit(d, row);
		if (i == 0)
			first = id;
		assert_int_equal(id, first);
	}
	side_counts(&r->a, 1, 0, 0);
}

static void
a_full_queue_takes_no_more(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		struct store_op *op = rig_submit_op(side_row(&r->a, "1"));

		op->limit = 2;
		assert_int_equal(
		    side_do(&r->a, op), i < 2 ? QERR_NONE : QERR_FULL);
		assert_true(op->counted);
		assert_int_equal(op->counts[TASK_QUEUED], i < 2 ? i + 1 : 2);
		store_op_free(op);
	}
}

static void
what_comes_first_is_claimed_first_and_once(void **state)
{
	struct rig *r = *state;
	int64_t rank = INT64_MIN;
	uint64_t last = 0, seen = 0;

	for (int i = 0; i < 50; i++) {
		struct task_row *row = side_row(&r->a, "1");

		row->rank = queue_rank(1000 + i / 10, (uint8_t)(i % 3), 0);
		side_post(&r->a, rig_submit_op(row));
	}
	side_wait(&r->a);
	for (int i = 0; seen < 50; i++) {
		struct store_op *op = side_refill(i % 2 ? &r->a : &r->b, 7);

		assert_true(op->count > 0);
		assert_int_equal(op->more, seen + op->count < 50);
		for (size_t j = 0; j < op->count; j++) {
			const struct task_row *row = &op->rows[j];

			assert_true(row->rank > rank ||
				    (row->rank == rank && row->id > last));
			rank = row->rank;
			last = row->id;
			seen++;
		}
		store_op_free(op);
	}
	assert_int_equal(seen, 50);
}

static void
a_hungry_one_is_told(void **state)
{
	struct rig *r = *state;
	int ready;

	store_op_free(side_refill(&r->b, 5));
	ready = r->b.ready;
	side_submit(&r->a, side_row(&r->a, "1"));
	RIG_UNTIL(r, r->b.ready > ready);
	side_claim(&r->b);
}

static void
what_is_released_is_anybodys(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op;

	assert_int_equal(side_claim(&r->b), id);
	assert_int_equal(side_update(&r->b, id, TASK_RUNNING), QERR_NONE);
	op = rig_update_op(id, TASK_QUEUED);
	op->release = true;
	op->change.fields |= CHANGE_ATTEMPTS;
	op->change.attempts = 3;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	side_counts(&r->a, 1, 0, 0);
	op = side_refill(&r->a, 5);
	assert_int_equal(op->count, 1);
	assert_int_equal(op->rows[0].id, id);
	assert_int_equal(op->rows[0].attempts, 3);
	store_op_free(op);
	assert_int_equal(side_update(&r->b, id, TASK_RUNNING), QERR_LOST);
}

static void
what_is_put_off_is_due_in_its_time(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op;
	int due = r->b.due;

	assert_int_equal(side_claim(&r->a), id);
	op = rig_update_op(id, TASK_SCHEDULED);
	op->change.fields |= CHANGE_DUE;
	op->change.due_ms = clock_wall_ms() + 300;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	RIG_UNTIL(r, r->b.due > due && r->b.due_in > 0);
	assert_true(r->b.due_in <= 300);
	op = rig_op(STORE_DUE);
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->counts[TASK_SCHEDULED], 1);
	assert_true(op->next_due_ms > 0 && op->next_due_ms <= 300);
	store_op_free(op);
	rig_for(r, 320);
	op = rig_op(STORE_DUE);
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->next_due_ms, 0);
	assert_int_equal(op->counts[TASK_QUEUED], 1);
	store_op_free(op);
	assert_int_equal(side_claim(&r->b), id);
}

static void
an_end_is_told_to_who_watches(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	shared_watch(r->a.s, id, true);
	assert_int_equal(side_state(&r->a, id), TASK_QUEUED);
	assert_int_equal(side_claim(&r->b), id);
	assert_int_equal(side_finish(&r->b, id, TASK_FAILED, NULL), QERR_NONE);
	RIG_UNTIL(r, r->a.ended > 0);
	assert_int_equal(r->a.ended_id, id);
	assert_int_equal(r->b.ended, 0);
}

static void
cancelling_ends_what_is_queued_and_asks_for_what_is_claimed(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op = rig_op(STORE_CANCEL);

	op->change.id = id;
	op->change.fields = CHANGE_ERROR;
	op->change.error = strdup("why");
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->count, 1);
	assert_int_equal(op->rows[0].state, TASK_QUEUED);
	assert_int_equal(op->rows[0].id, id);
	assert_int_equal(side_do(&r->b, op), QERR_STATE);
	store_op_free(op);
	assert_int_equal(side_state(&r->a, id), TASK_CANCELLED);
	id = side_submit(&r->a, side_row(&r->a, "1"));
	assert_int_equal(side_claim(&r->a), id);
	op = rig_op(STORE_CANCEL);
	op->change.id = id;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	RIG_UNTIL(r, r->a.cancel > 0);
	assert_int_equal(r->a.cancel_id, id);
	/* It was on its way back: it is cancelled all the same. */
	op = rig_update_op(id, TASK_QUEUED);
	op->release = true;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	assert_int_equal(side_state(&r->a, id), TASK_CANCELLED);
	op = rig_op(STORE_CANCEL);
	op->change.id = 4711;
	assert_int_equal(side_do(&r->b, op), QERR_NO_TASK);
	store_op_free(op);
}

static void
a_start_has_nothing_to_complain_of(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 20; i++) {
		side_down(&r->b, i % 2 == 0);
		side_start(&r->b);
		for (int j = 0; j < 5 && r->b.joined == 0; j++) {
			/* Each wakes the thread while it joins. */
			shared_worker(r->b.s, "w", true);
			shared_flush(r->b.s);
			rig_for(r, 1);
		}
		RIG_UNTIL(r, r->b.joined > 0);
	}
	assert_int_equal(r->a.unwell, 0);
	assert_int_equal(r->b.unwell, 0);
}

static void
what_failed_is_revived(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op;

	assert_int_equal(side_claim(&r->a), id);
	op = rig_finish_op(id, TASK_DEAD, NULL);
	op->change.fields |= CHANGE_ERROR | CHANGE_CRASHES;
	op->change.error = strdup("e");
	op->change.crashes = 3;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	op = rig_op(STORE_REVIVE);
	op->change.id = id;
	op->change.fields = CHANGE_RANK;
	op->change.rank = 5;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->count, 1);
	assert_int_equal(op->rows[0].state, TASK_QUEUED);
	assert_int_equal(op->rows[0].rank, 5);
	assert_int_equal(op->rows[0].crashes, 0);
	assert_int_equal(op->rows[0].expires_ms, 0);
	assert_null(op->rows[0].error);
	assert_string_equal(op->rows[0].payload->data, "1");
	assert_int_equal(side_do(&r->b, op), QERR_STATE);
	store_op_free(op);
	side_counts(&r->a, 1, 0, 0);
	assert_int_equal(side_claim(&r->b), id);
}

static void
a_then_follows_with_the_result(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "1");
	struct store_op *op;
	uint64_t id, next;

	row->then = strdup("{\"worker\":\"w\",\"func\":\"g\",\"args\":[2]}");
	id = side_submit(&r->a, row);
	assert_int_equal(side_claim(&r->b), id);
	op = rig_finish_op(id, TASK_DONE, "{\"r\":1}");
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->follow_count, 1);
	next = op->follow[0].id;
	store_op_free(op);
	op = side_refill(&r->a, 5);
	assert_int_equal(op->count, 1);
	assert_int_equal(op->rows[0].id, next);
	assert_int_equal(op->rows[0].parent, id);
	assert_string_equal(op->rows[0].func, "g");
	assert_memory_equal(op->rows[0].payload->data,
	    "{\"args\":[2],\"task\":", strlen("{\"args\":[2],\"task\":"));
	assert_non_null(
	    strstr(op->rows[0].payload->data, "\"result\":{\"r\":1}}"));
	store_op_free(op);
}

static void
a_then_that_nobody_takes_ends_the_chain(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "1");
	struct store_op *op;
	uint64_t id;

	__atomic_store_n(&r->no_worker, true, __ATOMIC_RELAXED);
	row->then = strdup("{\"worker\":\"x\",\"func\":\"g\"}");
	id = side_submit(&r->a, row);
	side_claim(&r->b);
	op = rig_finish_op(id, TASK_DONE, "1");
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->follow_count, 0);
	store_op_free(op);
	assert_int_equal(side_state(&r->a, id), TASK_DONE);
	side_counts(&r->a, 0, 0, 1);
}

static struct store_op *
group_of(struct side *d, size_t count, const char *then)
{
	struct store_op *op = rig_op(STORE_GROUP);

	op->rows = calloc(count, sizeof *op->rows);
	op->count = count;
	op->group = shared_new_id(d->s);
	op->text = then != NULL ? strdup(then) : NULL;
	for (size_t i = 0; i < count; i++) {
		struct task_row *row = side_row(d, "1");

		op->rows[i] = *row;
		free(row);
	}
	return op;
}

static void
a_group_has_its_results_together(void **state)
{
	struct rig *r = *state;
	struct store_op *op, *fin = NULL;
	uint64_t first = side_submit(&r->a, side_row(&r->a, "0")), ids[3];

	assert_int_equal(side_claim(&r->b), first);
	op = group_of(&r->a, 3, "{\"worker\":\"w\",\"func\":\"all\"}");
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	for (size_t i = 0; i < 3; i++)
		ids[i] = op->rows[i].id;
	store_op_free(op);
	for (size_t i = 0; i < 3; i++) {
		struct side *d = i == 1 ? &r->a : &r->b;

		assert_int_equal(side_claim(d), ids[i]);
		fin = rig_finish_op(ids[i], i == 1 ? TASK_FAILED : TASK_DONE,
		    i == 1 ? NULL : "7");
		assert_int_equal(side_do(d, fin), QERR_NONE);
		assert_int_equal(fin->follow_count, i == 2);
		if (i < 2)
			store_op_free(fin);
	}
	assert_string_equal(fin->follow[0].func, "all");
	assert_non_null(strstr(fin->follow[0].payload->data,
	    "\"state\":\"done\",\"result\":7},{\"id\":"));
	assert_non_null(strstr(fin->follow[0].payload->data,
	    "\"state\":\"failed\",\"result\":null},{\"id\":"));
	assert_int_equal(side_claim(&r->a), fin->follow[0].id);
	store_op_free(fin);
	side_counts(&r->a, 2, 0, 3);
}

static void
a_group_of_what_is_there_already_is_over_at_once(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "0");
	struct store_op *op;
	uint64_t first;

	row->key = strdup("k");
	first = side_submit(&r->a, row);
	op = group_of(&r->b, 1, "{\"worker\":\"w\",\"func\":\"all\"}");
	op->rows[0].key = strdup("k");
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->rows[0].id, first);
	assert_int_equal(op->follow_count, 1);
	store_op_free(op);
	side_counts(&r->a, 2, 0, 0);
	op = group_of(&r->b, 2, NULL);
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	side_counts(&r->a, 4, 0, 0);
}

static enum queue_error
fire(struct side *d, int64_t ms, uint64_t *ret_existing, uint64_t *ret_id)
{
	struct store_op *op = rig_op(STORE_FIRE);
	enum queue_error e;

	op->text = strdup("nightly");
	op->fire_ms = ms;
	op->row = side_row(d, "1");
	*ret_id = op->row->id;
	e = side_do(d, op);
	*ret_existing = op->existing;
	store_op_free(op);
	return e;
}

/* By a, which knows of the run at `since`: how many were there behind it. */
static uint32_t
ran_since(struct rig *r, int64_t since, int64_t ms)
{
	struct store_op *op = rig_op(STORE_FIRE);
	uint32_t ran;
	uint64_t id;

	op->text = strdup("nightly");
	op->since_ms = since;
	op->fire_ms = ms;
	op->row = side_row(&r->a, "1");
	op->row->missed = 3;
	id = op->row->id;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->existing, 0);
	ran = op->ran;
	store_op_free(op);
	op = side_task(&r->b, id);
	assert_int_equal(op->rows[0].missed, 3 - ran);
	store_op_free(op);
	return ran;
}

static void
what_others_have_run_was_not_left_out(void **state)
{
	struct rig *r = *state;
	uint64_t existing, id;

	assert_int_equal(ran_since(r, 0, 1000), 0);
	fire(&r->b, 2000, &existing, &id);
	fire(&r->b, 4000, &existing, &id);
	assert_int_equal(ran_since(r, 1000, 5000), 2);
	assert_int_equal(ran_since(r, 5000, 6000), 0);
}

static void
a_run_of_a_schedule_is_one(void **state)
{
	struct rig *r = *state;
	uint64_t existing, first, id;

	for (int64_t ms = 1000; ms < 5000; ms += 1000) {
		assert_int_equal(fire(&r->a, ms, &existing, &first), QERR_NONE);
		assert_int_equal(existing, 0);
		assert_int_equal(fire(&r->b, ms, &existing, &id), QERR_NONE);
		assert_int_equal(existing, first);
	}
	/* A late one, of a time that was not run. */
	assert_int_equal(fire(&r->b, 1500, &existing, &id), QERR_NONE);
	assert_int_equal(existing, 0);
	side_counts(&r->a, 5, 0, 0);
}

static void
a_pause_is_told_to_all(void **state)
{
	struct rig *r = *state;
	struct store_op *op = rig_op(STORE_POOL);

	RIG_UNTIL(r, r->b.paused > 0);
	assert_false(r->b.is_paused);
	op->paused = true;
	op->paused_until_ms = 123456789012345;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	RIG_UNTIL(r, r->b.is_paused);
	assert_int_equal(r->b.paused_until, 123456789012345);
	op = rig_op(STORE_STATS);
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_true(op->paused);
	store_op_free(op);
}

static void
lists_are_newest_first(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id = 0, ids[6];

	for (int i = 0; i < 6; i++)
		ids[i] = side_submit(&r->a, side_row(&r->a, "1"));
	assert_int_equal(side_claim(&r->b), ids[0]);
	assert_int_equal(side_update(&r->b, ids[0], TASK_RUNNING), QERR_NONE);
	assert_int_equal(side_claim(&r->b), ids[1]);
	assert_int_equal(side_finish(&r->b, ids[1], TASK_FAILED, "1"), 0);
	for (int page = 0; page < 2; page++) {
		op = rig_op(STORE_LIST);
		op->worker[0] = '\0';
		op->after_id = id;
		op->limit = 4;
		assert_int_equal(side_do(&r->b, op), QERR_NONE);
		assert_int_equal(op->count, page == 0 ? 4 : 2);
		for (size_t i = 0; i < op->count; i++) {
			assert_int_equal(
			    op->rows[i].id, ids[5 - page * 4 - (int)i]);
			assert_null(op->rows[i].payload);
			assert_string_equal(op->rows[i].func, "f");
		}
		id = op->rows[op->count - 1].id;
		store_op_free(op);
	}
	for (int s = TASK_QUEUED; s < TASK_STATES; s++) {
		size_t want = s == TASK_QUEUED                        ? 4
			      : s == TASK_RUNNING || s == TASK_FAILED ? 1
								      : 0;

		op = rig_op(STORE_LIST);
		op->states = 1U << s;
		op->limit = 100;
		assert_int_equal(side_do(&r->a, op), QERR_NONE);
		assert_int_equal(op->count, want);
		store_op_free(op);
	}
}

/* The list behind `after` (0: from the newest), one state or any (0). */
static void
expect_next(
    struct rig *r, uint64_t after, uint32_t states, uint64_t id, size_t count)
{
	struct store_op *op = rig_op(STORE_LIST);

	op->after_id = after;
	op->states = states;
	op->limit = 100;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, count);
	assert_int_equal(op->rows[0].id, id);
	store_op_free(op);
}

static void
newest_is_what_came_last_whoever_gave_its_number(void **state)
{
	struct rig *r = *state;
	struct store_op *op = rig_op(STORE_LIST);
	uint64_t ids[4];

	/* Each has a block of numbers of its own. */
	for (size_t i = 0; i < 4; i++) {
		struct side *d = i % 2 == 0 ? &r->b : &r->a;
		struct task_row *row = side_row(d, "1");

		row->rank = (int64_t)i; /* within a millisecond, maybe */
		ids[i] = side_submit(d, row);
	}
	assert_true(ids[0] > ids[1]);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(side_claim(&r->a), ids[i]);
		assert_int_equal(
		    side_update(&r->a, ids[i], TASK_RUNNING), QERR_NONE);
	}
	for (size_t i = 3; i > 0; i--)
		expect_next(r, ids[i], 0, ids[i - 1], i);
	expect_next(r, ids[3], 1U << TASK_RUNNING, ids[2], 3);
	expect_next(r, ids[1], 1U << TASK_RUNNING, ids[0], 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    side_finish(&r->a, ids[i], TASK_DEAD, NULL), QERR_NONE);
	expect_next(r, 0, 1U << TASK_DEAD, ids[2], 3);
	expect_next(r, ids[2], 1U << TASK_DEAD, ids[1], 2);
	expect_next(r, ids[3], 1U << TASK_DEAD, ids[2], 3);
	op->after_id = 1;
	assert_int_equal(side_do(&r->a, op), QERR_NO_TASK);
	store_op_free(op);
}

static void
a_large_result_is_whole(void **state)
{
	struct rig *r = *state;
	size_t size = 10 << 20;
	char *text = malloc(size + 1);
	struct store_op *op;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_non_null(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + i % 23);
	text[size] = '\0';
	side_claim(&r->a);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, text), QERR_NONE);
	op = side_task(&r->b, id);
	assert_int_equal(op->rows[0].result->size, size);
	assert_memory_equal(op->rows[0].result->data, text, size);
	store_op_free(op);
	free(text);
}

static void
answers_come_in_order(void **state)
{
	struct rig *r = *state;
	struct store_op *ops[4] = { rig_submit_op(side_row(&r->a, "1")),
		rig_op(STORE_UPDATE), rig_op(STORE_REFILL),
		rig_op(STORE_SCHEDULE) };

	ops[2]->limit = 1;
	for (int i = 0; i < 4; i++)
		side_add(&r->a, ops[i]);
	side_wait(&r->a);
	assert_int_equal(ops[2]->count, 1);
	assert_int_equal(ops[2]->rows[0].id, ops[0]->row->id);
	assert_int_equal(ops[3]->error, QERR_BAD_VALUE);
	for (int i = 0; i < 4; i++)
		store_op_free(ops[i]);
}

static void
scripts_that_are_flushed_are_loaded_again(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 300; i++) {
		side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
		shared_flush(r->a.s);
		if (i % 100 == 50)
			rig_ask(r, "SCRIPT FLUSH");
	}
	side_wait(&r->a);
	assert_int_equal(r->a.joined, 1);
	side_counts(&r->a, 300, 0, 0);
}

static void
results_expire(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	side_down(&r->b, false);
	r->lease_ms = 300;
	side_up(&r->b);
	side_claim(&r->a);
	op = rig_finish_op(id, TASK_DONE, "1");
	op->change.expires_ms = op->change.finished_ms + 100;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	rig_for(r, 110);
	assert_int_equal(side_state(&r->a, id), -1);
	for (int i = 0; i < 100 && rig_ask(r, "PUBSUB CHANNELS") > 0; i++) {
		struct store_op *stats = rig_op(STORE_STATS);
		uint64_t done;

		assert_int_equal(side_do(&r->a, stats), QERR_NONE);
		done = stats->counts[TASK_DONE];
		store_op_free(stats);
		if (done == 0)
			return;
		rig_for(r, 50);
	}
	fail_msg("it is there for ever");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_task_lives_from_one_to_the_other),
		TEST(who_has_not_claimed_it_may_not_end_it),
		TEST(last_words_come_after_the_end),
		TEST(a_key_gives_the_first_task),
		TEST(a_full_queue_takes_no_more),
		TEST(what_comes_first_is_claimed_first_and_once),
		TEST(a_hungry_one_is_told),
		TEST(what_is_released_is_anybodys),
		TEST(what_is_put_off_is_due_in_its_time),
		TEST(an_end_is_told_to_who_watches),
		TEST(
		    cancelling_ends_what_is_queued_and_asks_for_what_is_claimed),
		TEST(a_start_has_nothing_to_complain_of),
		TEST(what_failed_is_revived),
		TEST(a_then_follows_with_the_result),
		TEST(a_then_that_nobody_takes_ends_the_chain),
		TEST(a_group_has_its_results_together),
		TEST(a_group_of_what_is_there_already_is_over_at_once),
		TEST(a_run_of_a_schedule_is_one),
		TEST(what_others_have_run_was_not_left_out),
		TEST(a_pause_is_told_to_all),
		TEST(lists_are_newest_first),
		TEST(newest_is_what_came_last_whoever_gave_its_number),
		TEST(a_large_result_is_whole),
		TEST(answers_come_in_order),
		TEST(scripts_that_are_flushed_are_loaded_again),
		TEST(results_expire),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
