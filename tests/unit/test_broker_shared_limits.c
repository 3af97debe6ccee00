/* Limits that count over all who share a queue: how many tasks may wait, and
 * how many of one limit key may run at once or begin in a second. */

#include "tests/unit/redis_rig.h"

#define LEASE_MS 2500

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	r->lease_ms = LEASE_MS;
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

/* --- max_queue ------------------------------------------------------------ */

static enum queue_error
group(struct side *d, size_t count, const char *key, uint32_t most)
{
	struct store_op *op = rig_op(STORE_GROUP);
	enum queue_error e;

	op->rows = calloc(count, sizeof *op->rows);
	op->limits = calloc(2, sizeof *op->limits);
	assert_true(op->rows != NULL && op->limits != NULL);
	op->count = count;
	op->group = shared_new_id(d->s);
	op->text = strdup("{\"worker\":\"w\",\"func\":\"all\"}");
	for (size_t i = 0; i < count; i++) {
		struct task_row *row = side_row(d, "1");

		row->key = key != NULL ? strdup(key) : NULL;
		op->rows[i] = *row;
		free(row);
	}
	snprintf(op->limits[0].worker, sizeof op->limits[0].worker, "other");
	snprintf(op->limits[1].worker, sizeof op->limits[1].worker, "w");
	op->limits[1].most = most;
	op->limits_count = 2;
	e = side_do(d, op);
	store_op_free(op);
	return e;
}

static void
a_group_is_taken_whole_or_not_at_all(void **state)
{
	struct rig *r = *state;

	assert_int_equal(group(&r->a, 3, NULL, 4), QERR_NONE);
	assert_int_equal(group(&r->b, 2, NULL, 4), QERR_FULL);
	side_counts(&r->a, 3, 0, 0);
	assert_int_equal(group(&r->a, 1, "k", 4), QERR_NONE);
	assert_int_equal(group(&r->b, 1, NULL, 4), QERR_FULL);
	side_counts(&r->a, 4, 0, 0);
	/* What is there already takes no room; of one key it is one. */
	assert_int_equal(group(&r->b, 3, "k", 5), QERR_NONE);
	assert_int_equal(group(&r->b, 3, "l", 6), QERR_NONE);
	side_counts(&r->a, 6, 0, 0);
}

/* --- limit keys ----------------------------------------------------------- */

static uint64_t
submit(struct rig *r, const char *limit_key)
{
	struct task_row *row = side_row(&r->a, "1");

	row->limit_key = limit_key != NULL ? strdup(limit_key) : NULL;
	return side_submit(&r->a, row);
}

/* How many it gets, and the first of them. */
static size_t
claim(struct side *d, uint32_t cap, double rate, uint64_t *ret_id)
{
	size_t count = 0;
	bool more;

	do {
		struct store_op *op = rig_op(STORE_REFILL);

		op->limit = 10;
		op->key_concurrency = cap;
		op->key_rate = rate;
		assert_int_equal(side_do(d, op), QERR_NONE);
		if (count == 0 && op->count > 0)
			*ret_id = op->rows[0].id;
		count += op->count;
		more = op->more;
		store_op_free(op);
	} while (more);
	return count;
}

/* One that another has made room for. */
static void
claim_next(struct side *d, uint32_t cap, uint64_t want)
{
	uint64_t id = 0;

	RIG_UNTIL(d->rig, d->ready > 0);
	d->ready = 0;
	assert_int_equal(claim(d, cap, 0, &id), 1);
	assert_int_equal(id, want);
	assert_int_equal(claim(d, cap, 0, &id), 0);
}

static int64_t
ask(struct rig *r, const char *lua)
{
	char script[512];

	snprintf(script, sizeof script, "redis.call('SELECT', '1') %s", lua);
	return rig_ask(r, "EVAL %s 0", script);
}

static void
expect_no_trace(struct rig *r)
{
	assert_int_equal(
	    ask(r, "return #redis.call('KEYS', 'supervisord:lq:*') + "
		   "#redis.call('KEYS', 'supervisord:lr:*') + "
		   "#redis.call('KEYS', 'supervisord:p:*:l')"),
	    0);
}

static void
a_cap_counts_over_all_and_each_end_makes_room(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t ids[5], other, id = 0;

	for (int i = 0; i < 5; i++)
		ids[i] = submit(r, "k");
	other = submit(r, "o");
	assert_int_equal(claim(&r->a, 1, 0, &id), 2);
	assert_int_equal(id, ids[0]);
	assert_int_equal(side_finish(&r->a, other, TASK_DONE, "1"), QERR_NONE);
	assert_int_equal(claim(&r->b, 1, 0, &id), 0);
	side_counts(&r->a, 5, 0, 1);
	r->a.ready = r->b.ready = 0;
	/* It ends. */
	assert_int_equal(side_finish(&r->a, ids[0], TASK_DONE, "1"), QERR_NONE);
	claim_next(&r->b, 1, ids[1]);
	/* It is put off. */
	r->a.ready = 0;
	op = rig_update_op(ids[1], TASK_SCHEDULED);
	op->change.fields |= CHANGE_DUE;
	op->change.due_ms = clock_wall_ms() + 3600000;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	claim_next(&r->a, 1, ids[2]);
	/* It stays claimed while it waits for another try: no room. */
	r->b.ready = 0;
	assert_int_equal(side_update(&r->a, ids[2], TASK_RUNNING), QERR_NONE);
	assert_int_equal(side_update(&r->a, ids[2], TASK_QUEUED), QERR_NONE);
	assert_int_equal(claim(&r->b, 1, 0, &id), 0);
	/* It is given back, and is the first again. */
	op = rig_update_op(ids[2], TASK_QUEUED);
	op->release = true;
	r->b.ready = 0;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	claim_next(&r->b, 1, ids[2]);
	/* Who has it leaves. */
	r->a.ready = 0;
	side_down(&r->b, true);
	claim_next(&r->a, 1, ids[2]);
	/* One that waits is cancelled. */
	op = rig_op(STORE_CANCEL);
	op->change.id = ids[3];
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, 1);
	store_op_free(op);
	r->a.ready = 0;
	assert_int_equal(side_finish(&r->a, ids[2], TASK_DEAD, NULL), 0);
	claim_next(&r->a, 1, ids[4]);
	assert_int_equal(side_finish(&r->a, ids[4], TASK_FAILED, NULL), 0);
	expect_no_trace(r);
	side_counts(&r->a, 0, 0, 5);
}

static void
the_dead_hold_no_slots(void **state)
{
	struct rig *r = *state;
	uint64_t ids[3], id = 0;
	struct store_op *op;

	for (int i = 0; i < 3; i++)
		ids[i] = submit(r, "k");
	assert_int_equal(claim(&r->a, 2, 0, &id), 2);
	assert_int_equal(claim(&r->b, 2, 0, &id), 0);
	op = rig_op(STORE_CANCEL);
	op->change.id = ids[1];
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	r->b.ready = 0;
	side_down(&r->a, false);
	while (side_state(&r->b, ids[1]) != TASK_CANCELLED)
		rig_run(r);
	assert_int_equal(claim(&r->b, 2, 0, &id), 2);
	assert_int_equal(id, ids[0]);
	assert_int_equal(side_finish(&r->b, ids[0], TASK_DONE, "1"), QERR_NONE);
	assert_int_equal(side_finish(&r->b, ids[2], TASK_DONE, "1"), QERR_NONE);
	expect_no_trace(r);
}

static void
what_is_blocked_is_walked_over_once(void **state)
{
	struct rig *r = *state;
	uint64_t id = 0, last;
	struct store_op *op;

	for (int i = 0; i < 2500; i++) {
		struct task_row *row = side_row(&r->a, "1");

		row->limit_key = strdup("k");
		side_post(&r->a, rig_submit_op(row));
	}
	side_wait(&r->a);
	last = submit(r, NULL);
	assert_int_equal(claim(&r->a, 1, 0, &id), 2);
	assert_int_equal(side_update(&r->a, last, TASK_RUNNING), QERR_NONE);
	assert_int_equal(
	    ask(r, "return redis.call('ZCARD', 'supervisord:p:w:q')"), 0);
	assert_int_equal(
	    ask(r, "return redis.call('ZCARD', 'supervisord:lq:w:k')"), 2499);
	/* With a higher cap the next end makes room for more than one. */
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	assert_int_equal(claim(&r->b, 5, 0, &id), 5);
	/* Without any, they come one by one. */
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "1"), QERR_NONE);
	assert_int_equal(claim(&r->b, 0, 0, &id), 1);
	ask(r, "return redis.call('ZADD', 'supervisord:p:w:l', 1, 'k')");
	op = rig_op(STORE_DUE);
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_true(op->more);
	store_op_free(op);
	assert_int_equal(claim(&r->b, 0, 0, &id), 1);
}

static void
a_rate_counts_over_all(void **state)
{
	struct rig *r = *state;
	uint64_t id = 0;
	int64_t began = clock_mono();
	size_t got;

	for (int i = 0; i < 6; i++)
		submit(r, "k");
	got = claim(&r->a, 0, 4, &id);
	assert_true(got >= 4);
	for (int turn = 0; got < 6; turn++) {
		struct side *d = turn % 2 == 0 ? &r->b : &r->a;
		struct store_op *op = rig_op(STORE_DUE);

		op->key_rate = 4;
		assert_int_equal(side_do(d, op), QERR_NONE);
		store_op_free(op);
		got += claim(d, 0, 4, &id);
		rig_for(r, 20);
	}
	/* Two more tokens at four in a second. */
	assert_true(clock_mono() - began > 450 * NS_PER_MS);
	expect_no_trace(r);
	/* A key is forgotten when it has all its tokens again. */
	while (ask(r, "return #redis.call('KEYS', 'supervisord:lt:*')") > 0)
		rig_for(r, 20);
}

static void
who_waits_for_a_token_is_told_when(void **state)
{
	struct rig *r = *state;
	uint64_t id = 0;

	submit(r, "k");
	submit(r, "k");
	r->a.due_in = r->b.due_in = 0;
	assert_int_equal(claim(&r->a, 0, 0.2, &id), 1);
	RIG_UNTIL(r, r->a.due_in > 0 && r->b.due_in > 0);
	assert_true(r->b.due_in <= 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_group_is_taken_whole_or_not_at_all),
		TEST(a_cap_counts_over_all_and_each_end_makes_room),
		TEST(the_dead_hold_no_slots),
		TEST(what_is_blocked_is_walked_over_once),
		TEST(a_rate_counts_over_all),
		TEST(who_waits_for_a_token_is_told_when),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
