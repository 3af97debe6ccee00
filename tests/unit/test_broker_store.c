/* Each kind of operation of the broker's store, and what is found again. */

#include "tests/unit/store_rig.h"

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	rig_open(r);
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
a_submitted_task_is_found_again_with_all_it_has(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "thumbs", "{\"a\":1}"), *got;
	struct store_op *op;
	uint64_t id;

	row->key = strdup("k");
	row->limit_key = strdup("lk");
	row->then = strdup("{}");
	row->priority = PRIORITY_LOW;
	row->timeout_ms = 30000;
	row->retries = -1;
	row->parent = 7;
	row->missed = 17;
	id = rig_submit(r, row);
	rig_reopen(r);
	assert_int_equal(r->found.pools_count, 1);
	assert_string_equal(r->found.pools[0].worker, "thumbs");
	assert_int_equal(r->found.pools[0].counts[TASK_QUEUED], 1);
	op = rig_task(r, id);
	got = &op->rows[0];
	assert_string_equal(got->worker, "thumbs");
	assert_string_equal(got->func, "f");
	assert_string_equal(got->key, "k");
	assert_string_equal(got->limit_key, "lk");
	assert_string_equal(got->then, "{}");
	assert_string_equal(got->payload->data, "{\"a\":1}");
	assert_true(got->json);
	assert_int_equal(got->priority, PRIORITY_LOW);
	assert_int_equal(got->timeout_ms, 30000);
	assert_int_equal(got->retries, -1);
	assert_int_equal(got->parent, 7);
	assert_int_equal(got->missed, 17);
	assert_int_equal(got->state, TASK_QUEUED);
	assert_null(got->error);
	store_op_free(op);
	assert_null(rig_task(r, id + 1));
	rig_sound(r);
}

static void
a_key_gives_the_first_task(void **state)
{
	struct rig *r = *state;
	uint64_t first = 0;

	for (int i = 0; i < 3; i++) {
		struct task_row *row = rig_row(r, i < 2 ? "a" : "b", "1");
		uint64_t id;

		row->key = strdup("same");
		id = rig_submit(r, row);
		if (i == 0)
			first = id;
		assert_true(i == 1 ? id == first : i == 0 || id != first);
	}
}

static void
a_long_payload_and_a_result_are_whole(void **state)
{
	struct rig *r = *state;
	char *text = malloc(300001);
	struct store_op *op;
	uint64_t id;

	assert_non_null(text);
	memset(text, 'x', 300000);
	text[300000] = '\0';
	id = rig_submit(r, rig_row(r, "a", text));
	op = rig_finish_op(id, TASK_DONE, text);
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	op = rig_task(r, id);
	assert_string_equal(op->rows[0].payload->data, text);
	assert_string_equal(op->rows[0].result->data, text);
	assert_true(op->rows[0].result_json);
	assert_int_equal(op->rows[0].state, TASK_DONE);
	store_op_free(op);
	free(text);
}

static void
changes_touch_their_fields_only(void **state)
{
	struct rig *r = *state;
	uint64_t id = rig_submit(r, rig_row(r, "a", "1"));
	struct store_op *op = rig_op(STORE_UPDATE);
	struct task_row *row;

	op->change.id = id;
	op->change.fields = CHANGE_STATE | CHANGE_ATTEMPTS | CHANGE_STARTED |
			    CHANGE_INSTANCE | CHANGE_WORDS;
	op->change.state = TASK_RUNNING;
	op->change.attempts = 2;
	op->change.started_ms = 1234;
	op->change.rank = 99;
	op->change.words = strdup("w");
	snprintf(op->change.instance, sizeof op->change.instance, "a:0");
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	rig_reopen(r);
	assert_int_equal(r->found.running_count, 1);
	row = &r->found.running[0];
	assert_int_equal(row->id, id);
	assert_string_equal(row->payload->data, "1");
	assert_int_equal(row->attempts, 2);
	assert_int_equal(row->started_ms, 1234);
	assert_int_equal(row->rank, id);
	assert_string_equal(row->instance, "a:0");
	assert_string_equal(row->words, "w");
	op = rig_op(STORE_UPDATE);
	assert_int_equal(rig_do(r, op), QERR_NONE); /* the barrier */
	op->change.id = 12345678;
	op->change.fields = CHANGE_STATE;
	assert_int_equal(rig_do(r, op), QERR_NO_TASK);
	store_op_free(op);
	op = rig_finish_op(12345678, TASK_DONE, NULL);
	assert_int_equal(rig_do(r, op), QERR_NO_TASK);
	store_op_free(op);
}

static void
refill_goes_on_from_rank_and_id(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	int64_t rank = INT64_MIN;
	uint64_t id = 0;
	size_t seen = 0;

	for (int i = 0; i < 50; i++) {
		struct task_row *row = rig_row(r, i % 2 ? "a" : "b", "1");

		row->rank = 10 - i / 10;
		rig_post(r, rig_submit_op(row));
	}
	rig_wait(r);
	for (;;) {
		op = rig_op(STORE_REFILL);
		snprintf(op->worker, sizeof op->worker, "a");
		op->after_rank = rank;
		op->after_id = id;
		op->limit = 7;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->more, op->count == 7);
		for (size_t i = 0; i < op->count; i++) {
			const struct task_row *row = &op->rows[i];

			assert_true(row->rank > rank ||
				    (row->rank == rank && row->id > id));
			assert_non_null(row->payload);
			rank = row->rank;
			id = row->id;
			seen++;
		}
		if (op->count == 0)
			break;
		store_op_free(op);
	}
	store_op_free(op);
	assert_int_equal(seen, 25);
}

static void
what_is_due_is_queued(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	for (int i = 0; i < 10; i++) {
		struct task_row *row = rig_row(r, "a", "1");

		row->state = TASK_SCHEDULED;
		row->due_ms = 1000 + i * 100;
		rig_post(r, rig_submit_op(row));
	}
	rig_wait(r);
	rig_reopen(r);
	assert_int_equal(r->found.next_due_ms, 1000);
	assert_int_equal(r->found.pools[0].counts[TASK_SCHEDULED], 10);
	op = rig_op(STORE_DUE);
	op->now_ms = 1450;
	op->limit = 3;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 3);
	assert_int_equal(op->rows[2].due_ms, 1200);
	assert_int_equal(op->rows[2].state, TASK_QUEUED);
	assert_int_equal(op->next_due_ms, 1300);
	assert_true(op->more);
	store_op_free(op);
	op = rig_op(STORE_DUE);
	op->now_ms = 1450;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 2);
	assert_int_equal(op->next_due_ms, 1500);
	assert_false(op->more);
	store_op_free(op);
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM task WHERE state = 0"), 5);
}

static enum queue_error
cancel(struct rig *r, uint64_t id)
{
	struct store_op *op = rig_op(STORE_CANCEL);
	enum queue_error e;

	op->change.id = id;
	op->change.fields = CHANGE_FINISHED | CHANGE_ERROR;
	op->change.finished_ms = 5;
	op->change.error = strdup("cancelled by me");
	e = rig_do(r, op);
	if (e == QERR_NONE) {
		assert_int_equal(op->count, 1);
		assert_int_equal(op->rows[0].state, TASK_QUEUED);
	}
	store_op_free(op);
	return e;
}

static void
cancel_and_revive_look_at_the_state(void **state)
{
	struct rig *r = *state;
	uint64_t id = rig_submit(r, rig_row(r, "a", "{}"));
	struct store_op *op;

	assert_int_equal(cancel(r, id + 5), QERR_NO_TASK);
	assert_int_equal(cancel(r, id), QERR_NONE);
	assert_int_equal(cancel(r, id), QERR_STATE);
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].state, TASK_CANCELLED);
	assert_string_equal(op->rows[0].error, "cancelled by me");
	store_op_free(op);
	op = rig_op(STORE_REVIVE);
	op->change.id = id;
	op->change.fields = CHANGE_RANK;
	op->change.rank = 77;
	op->change.due_ms = 1700000000123;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->rows[0].state, TASK_QUEUED);
	assert_int_equal(op->states, TASK_CANCELLED);
	assert_int_equal(op->rows[0].rank, 77);
	assert_non_null(op->rows[0].payload);
	assert_null(op->rows[0].error);
	assert_int_equal(rig_do(r, op), QERR_STATE);
	store_op_free(op);
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].rank, 77);
	assert_int_equal(op->rows[0].due_ms, 1700000000123);
	assert_int_equal(op->rows[0].finished_ms, 0);
	store_op_free(op);
}

static void
then_is_submitted_with_the_result(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "{\"x\":1}");
	struct store_op *op, *again;
	uint64_t id;

	row->then = strdup("[{\"worker\":\"b\",\"func\":\"g\",\"args\":[5]},"
			   "{\"worker\":\"c\",\"func\":\"h\"}]");
	id = rig_submit(r, row);
	op = rig_finish_op(id, TASK_DONE, "{\"r\":2}");
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->follow_count, 1);
	row = &op->follow[0];
	assert_string_equal(row->worker, "b");
	assert_int_equal(row->parent, id);
	assert_non_null(strstr(row->payload->data, "\"args\":[5]"));
	assert_non_null(strstr(row->payload->data, "\"result\":{\"r\":2}"));
	again = rig_finish_op(row->id, TASK_DONE, NULL);
	assert_int_equal(rig_do(r, again), QERR_NONE);
	assert_int_equal(again->follow_count, 1);
	assert_string_equal(again->follow[0].worker, "c");
	assert_non_null(
	    strstr(again->follow[0].payload->data, "\"result\":null"));
	store_op_free(again);
	/* A second end of the same task brings nothing more. */
	again = rig_finish_op(id, TASK_DONE, NULL);
	assert_int_equal(rig_do(r, again), QERR_NONE);
	assert_int_equal(again->follow_count, 0);
	store_op_free(again);
	store_op_free(op);
}

static void
then_is_for_success_only(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	for (int i = 0; i < 3; i++) {
		struct task_row *row = rig_row(r, "a", "1");
		uint64_t id;

		row->then =
		    strdup(i == 2 ? "{\"nonsense\":"
				  : "{\"worker\":\"b\",\"func\":\"g\"}");
		r->no_worker = i == 1;
		id = rig_submit(r, row);
		op = rig_finish_op(id, i == 0 ? TASK_FAILED : TASK_DONE, "1");
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->follow_count, 0);
		store_op_free(op);
		op = rig_task(r, id);
		assert_int_equal(
		    op->rows[0].state, i == 0 ? TASK_FAILED : TASK_DONE);
		store_op_free(op);
	}
}

static struct store_op *
make_group(struct rig *r, size_t members, const char *key)
{
	struct store_op *op = rig_op(STORE_GROUP);

	op->group = store_new_id(r->store);
	op->text = strdup("{\"worker\":\"sum\",\"func\":\"all\"}");
	op->rows = calloc(members, sizeof *op->rows);
	op->count = members;
	for (size_t i = 0; i < members; i++) {
		struct task_row *row = rig_row(r, "a", "1");

		if (i == 0 && key != NULL)
			row->key = strdup(key);
		op->rows[i] = *row;
		free(row);
	}
	assert_int_equal(rig_do(r, op), QERR_NONE);
	return op;
}

static void
a_group_goes_on_when_its_last_has_ended(void **state)
{
	struct rig *r = *state;
	struct store_op *group = make_group(r, 3, NULL), *op;

	for (size_t i = 0; i < 3; i++) {
		op = i == 2 ? rig_op(STORE_CANCEL)
			    : rig_finish_op(group->rows[i].id,
				  i == 0 ? TASK_DONE : TASK_FAILED,
				  i == 0 ? "[1]" : NULL);
		op->change.id = group->rows[i].id;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->follow_count, i == 2 ? 1 : 0);
		if (i == 2) {
			const char *args = op->follow[0].payload->data;

			assert_string_equal(op->follow[0].worker, "sum");
			assert_non_null(
			    strstr(args, "\"state\":\"done\",\"result\":[1]"));
			assert_non_null(strstr(args, "\"state\":\"failed\""));
			assert_non_null(
			    strstr(args, "\"state\":\"cancelled\""));
		}
		store_op_free(op);
	}
	assert_int_equal(rig_number(r, "SELECT count(*) FROM grp"), 0);
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM task WHERE expires_ms < 0"), 0);
	store_op_free(group);
}

static void
a_member_whose_key_is_taken_is_none(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "1");
	struct store_op *group, *op;
	uint64_t id;

	row->key = strdup("k");
	id = rig_submit(r, row);
	group = make_group(r, 2, "k");
	assert_int_equal(group->rows[0].id, id);
	op = rig_finish_op(group->rows[1].id, TASK_DONE, NULL);
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->follow_count, 1);
	store_op_free(op);
	store_op_free(group);
	group = make_group(r, 1, "k");
	assert_int_equal(group->follow_count, 1);
	store_op_free(group);
}

static void
members_stay_until_their_group_is_over(void **state)
{
	struct rig *r = *state;
	struct store_op *group = make_group(r, 2, NULL), *op;

	for (int i = 0; i < 2; i++) {
		op = rig_finish_op(group->rows[i].id, TASK_DONE, "1");
		assert_int_equal(rig_do(r, op), QERR_NONE);
		store_op_free(op);
		op = rig_op(STORE_EXPIRE);
		op->now_ms = clock_wall_ms() + 2 * 86400000LL;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->count, i == 0 ? 0 : 2);
		assert_int_equal(op->next_due_ms, 0);
		store_op_free(op);
	}
	store_op_free(group);
}

static void
expired_results_go_with_all_that_is_theirs(void **state)
{
	struct rig *r = *state;
	char text[3000];
	struct store_op *op;

	memset(text, '1', sizeof text);
	text[sizeof text - 1] = '\0';
	for (int i = 0; i < 5; i++) {
		uint64_t id = rig_submit(r, rig_row(r, "a", text));

		op = rig_finish_op(id, i < 3 ? TASK_DONE : TASK_DEAD, "1");
		op->change.expires_ms = i == 4 ? 0 : 1000 + i;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		store_op_free(op);
	}
	rig_reopen(r);
	assert_int_equal(r->found.next_expiry_ms, 1000);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], 3);
	assert_int_equal(r->found.pools[0].counts[TASK_DEAD], 2);
	op = rig_op(STORE_EXPIRE);
	op->now_ms = 1001;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 2);
	assert_string_equal(op->rows[0].worker, "a");
	assert_int_equal(op->next_due_ms, 1002);
	store_op_free(op);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), 3);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM body"), 3);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM result"), 3);
}

static size_t
expire(struct rig *r, uint32_t limit, int64_t *ret_next)
{
	struct store_op *op = rig_op(STORE_EXPIRE);
	size_t count;

	op->now_ms = 5000;
	op->limit = limit;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	for (size_t i = 0; i < op->count; i++) {
		assert_int_equal(op->rows[i].state, TASK_DONE);
		assert_string_equal(op->rows[i].worker, "a");
	}
	count = op->count;
	*ret_next = op->next_due_ms;
	store_op_free(op);
	return count;
}

static void
those_that_ended_together_are_counted_and_expire(void **state)
{
	struct rig *r = *state;
	int64_t next;

	enum {
		MANY = 300
	};

	/* Of ten times, in few transactions, in batches of each. */
	for (int i = 0; i < MANY; i++) {
		struct task_row *row = rig_row(r, "a", "1");
		uint64_t id = row->id;
		struct store_op *op = rig_finish_op(id, TASK_DONE, "1");

		rig_post(r, rig_submit_op(row));
		op->change.expires_ms = i < 200 ? 1000 : 1000 + i % 10;
		if (i % 50 == 0)
			op->change.expires_ms = 9000;
		rig_post(r, op);
	}
	rig_wait(r);
	assert_true(rig_number(r, "SELECT count(*) FROM ended") < MANY / 4);
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], MANY);
	assert_int_equal(r->found.next_expiry_ms, 1000);
	assert_int_equal(expire(r, 7, &next), 7);
	assert_int_equal(next, 1000);
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], MANY - 7);
	assert_int_equal(expire(r, 1000, &next), MANY - 7 - MANY / 50);
	assert_int_equal(next, 9000);
	assert_int_equal(expire(r, 1000, &next), 0);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), MANY / 50);
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM result"), MANY / 50);
	assert_int_equal(
	    rig_number(r, "SELECT sum(count) FROM ended"), MANY / 50);
	rig_sound(r);
}

/* Ends in a row are stored together: those that can't be must come out as if
 * they had stood alone. */
static void
ends_in_a_row_are_as_each_alone(void **state)
{
	enum {
		MANY = 40,
		FOLLOWED = 5,
		ENDED = 9,
		MISSING = 13
	};

	struct rig *r = *state;
	struct store_op *ops[MANY], *op;
	uint64_t first = 0;

	for (uint64_t i = 0; i < MANY; i++) {
		struct task_row *row = rig_row(r, "a", "1");

		first = i == 0 ? row->id : first;
		assert_int_equal(row->id, first + i);
		if (i == FOLLOWED)
			row->then = strdup("{\"worker\":\"a\",\"func\":\"g\"}");
		if (i != MISSING) {
			rig_post(r, rig_submit_op(row));
		} else {
			task_row_done(row);
			free(row);
		}
	}
	rig_wait(r);
	op = rig_finish_op(first + ENDED, TASK_DONE, "\"before\"");
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	for (uint64_t i = 0; i < MANY; i++) {
		ops[i] = rig_finish_op(
		    first + i, TASK_DONE, i % 3 == 0 ? NULL : "\"now\"");
		ops[i]->change.finished_ms = 77;
		ops[i]->change.expires_ms = 7777;
		rig_add(r, ops[i]);
	}
	rig_wait(r);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(
		    ops[i]->error, i == MISSING ? QERR_NO_TASK : QERR_NONE);
		assert_int_equal(ops[i]->follow_count, i == FOLLOWED);
		store_op_free(ops[i]);
	}
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM task WHERE state = 3 AND"
			  " finished_ms = 77 AND expires_ms = 7777"),
	    MANY - 2);
	assert_int_equal(
	    rig_number(
		r, "SELECT sum(CAST(data AS TEXT) = '\"now\"') FROM result"),
	    MANY - (MANY + 2) / 3 - 1);
	assert_int_equal(
	    rig_number(
		r, "SELECT sum(CAST(data AS TEXT) = '\"before\"') FROM result"),
	    1);
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], MANY - 1);
	assert_int_equal(r->found.pools[0].counts[TASK_QUEUED], 1);
	rig_sound(r);
}

static void
what_is_done_stays_so(void **state)
{
	struct rig *r = *state;
	uint64_t id = rig_submit(r, rig_row(r, "a", "1"));
	struct store_op *op;

	for (int i = 0; i < 2; i++) {
		op = rig_finish_op(
		    id, i == 0 ? TASK_DONE : TASK_FAILED, i == 0 ? "1" : NULL);
		assert_int_equal(rig_do(r, op), QERR_NONE);
		store_op_free(op);
	}
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].state, TASK_DONE);
	store_op_free(op);
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], 1);
	assert_int_equal(r->found.pools[0].counts[TASK_FAILED], 0);
}

static void
what_is_rare_comes_and_goes(void **state)
{
	struct rig *r = *state;
	uint64_t id = rig_submit(r, rig_row(r, "a", "1"));
	struct store_op *op = rig_op(STORE_UPDATE);

	assert_int_equal(rig_number(r, "SELECT count(*) FROM extra"), 0);
	op->change.id = id;
	op->change.fields = CHANGE_FAILURES | CHANGE_ERROR;
	op->change.failures = 2;
	op->change.error = strdup("no luck");
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].failures, 2);
	assert_string_equal(op->rows[0].error, "no luck");
	store_op_free(op);
	/* It has worked at last: the error goes, the failures do not. */
	op = rig_finish_op(id, TASK_DONE, NULL);
	op->change.fields |= CHANGE_ERROR;
	op->change.expires_ms = 1000;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].failures, 2);
	assert_null(op->rows[0].error);
	store_op_free(op);
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], 1);
	assert_int_equal(r->found.next_expiry_ms, 1000);
	op = rig_op(STORE_EXPIRE);
	op->now_ms = 1000;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 1);
	store_op_free(op);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM extra"), 0);
}

static void
a_run_of_a_schedule_happens_once(void **state)
{
	struct rig *r = *state;
	uint64_t last;
	uint32_t id = store_schedule_id(r->store, "nightly", &last);
	uint64_t first = 0;

	assert_int_not_equal(id, 0);
	assert_int_equal(store_schedule_id(r->store, "nightly", &last), id);
	assert_int_not_equal(store_schedule_id(r->store, "other", &last), id);
	for (int i = 0; i < 3; i++) {
		struct store_op *op = rig_op(STORE_FIRE);

		op->schedule = id;
		op->fire_ms = 1000;
		op->next_fire_ms = 2000 + i;
		op->now_ms = i == 2 ? 500 : 0;
		if (i < 2)
			op->row = rig_row(r, "a", "1");
		assert_int_equal(rig_do(r, op), QERR_NONE);
		if (i == 0)
			first = op->row->id;
		else if (i == 1)
			assert_int_equal(op->existing, first);
		store_op_free(op);
	}
	assert_int_equal(store_schedule_id(r->store, "nightly", &last), id);
	assert_int_equal(last, first);
	rig_reopen(r);
	assert_int_equal(r->found.schedules_count, 2);
	assert_string_equal(r->found.schedules[0].name, "nightly");
	assert_int_equal(r->found.schedules[0].next_ms, 2002);
	assert_int_equal(r->found.schedules[0].anchor_ms, 500);
	assert_int_equal(r->found.schedules[0].last_task, first);
}

static void
a_pause_is_remembered(void **state)
{
	struct rig *r = *state;
	struct store_op *op = rig_op(STORE_POOL);

	snprintf(op->worker, sizeof op->worker, "a");
	op->paused = true;
	op->paused_until_ms = 99;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	rig_reopen(r);
	assert_true(r->found.pools[0].paused);
	assert_int_equal(r->found.pools[0].paused_until_ms, 99);
}

static size_t
list(struct rig *r, const char *worker, uint32_t states, uint64_t after,
    uint32_t limit)
{
	struct store_op *op = rig_op(STORE_LIST);
	uint64_t last = UINT64_MAX;
	size_t n;

	snprintf(op->worker, sizeof op->worker, "%s", worker);
	op->states = states;
	op->after_id = after;
	op->limit = limit;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	for (size_t i = 0; i < op->count; i++) {
		assert_true(op->rows[i].id < last);
		assert_null(op->rows[i].payload);
		last = op->rows[i].id;
		assert_true(
		    states == 0 || (states & 1U << op->rows[i].state) != 0);
		assert_true(worker[0] == '\0' ||
			    strcmp(worker, op->rows[i].worker) == 0);
	}
	n = op->count;
	store_op_free(op);
	return n;
}

static void
lists_are_newest_first_and_cut(void **state)
{
	struct rig *r = *state;
	uint64_t first = store_new_id(r->store) + 1;

	for (unsigned i = 0; i < 70; i++) {
		struct task_row *row = rig_row(r, i % 3 ? "a" : "b", "1");

		row->state = (uint8_t)(i % TASK_STATES);
		row->due_ms = 100;
		rig_post(r, rig_submit_op(row));
	}
	rig_wait(r);
	assert_int_equal(list(r, "", 0, 0, 1000), 70);
	assert_int_equal(list(r, "", 0, 0, 15), 15);
	assert_int_equal(list(r, "", 0, first + 10, 1000), 10);
	assert_int_equal(list(r, "b", 0, 0, 1000), 24);
	assert_int_equal(list(r, "nobody", 0, 0, 1000), 0);
	for (unsigned s = 0; s < TASK_STATES; s++)
		assert_int_equal(list(r, "", 1U << s, 0, 1000), 10);
	assert_int_equal(list(r, "", 1U << 3 | 1U << 6, 0, 1000), 20);
	assert_int_equal(list(r, "", 1U << 3 | 1U << 6, first + 14, 7), 4);
}

static void
ids_are_never_given_twice(void **state)
{
	struct rig *r = *state;
	uint64_t last = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t id = store_new_id(r->store);

		assert_true(id > last);
		last = id;
	}
	rig_reopen(r);
	assert_int_equal(r->found.next_id, last + 1);
	assert_int_equal(store_new_id(r->store), last + 1);
}

static void
an_id_that_is_taken_is_refused(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "1");
	uint64_t id = row->id;
	struct store_op *op;

	rig_submit(r, row);
	row = rig_row(r, "a", "2");
	row->id = id;
	op = rig_submit_op(row);
	assert_int_equal(rig_do(r, op), QERR_BAD_VALUE);
	op->row->id = 0;
	assert_int_equal(rig_do(r, op), QERR_STORE);
	store_op_free(op);
	/* What was in the same transaction is not touched by that. */
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), 1);
}

static void
many_are_answered_in_order(void **state)
{
	struct rig *r = *state;

	enum {
		MANY = 5000
	};

	for (int i = 0; i < MANY; i++) {
		struct task_row *row = rig_row(r, "a", "1");
		uint64_t id = row->id;

		rig_post(r, rig_submit_op(row));
		rig_post(r, rig_finish_op(id, TASK_DONE, "1"));
	}
	assert_int_equal(store_backlog(r->store), 2 * MANY);
	rig_wait(r);
	assert_int_equal(store_backlog(r->store), 0);
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM task WHERE state = 3"), MANY);
}

static void
the_view_is_for_people(void **state)
{
	struct rig *r = *state;
	uint64_t id = rig_submit(r, rig_row(r, "a", "{\"x\":1}"));
	struct store_op *op = rig_finish_op(id, TASK_DONE, "2");

	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM tasks WHERE worker = 'a' "
			  "AND state = 'done' AND args = '{\"x\":1}' AND "
			  "result = '2' AND finished_at LIKE '20%Z'"),
	    1);
}

static void
without_a_path_it_is_in_memory(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id;

	rig_close(r);
	r->in_memory = true;
	rig_open(r);
	id = rig_submit(r, rig_row(r, "a", "1"));
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].state, TASK_QUEUED);
	store_op_free(op);
	assert_int_equal(list(r, "a", 0, 0, 10), 1);
	rig_reopen(r);
	assert_null(rig_task(r, id));
	assert_true(store_new_id(r->store) > id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_submitted_task_is_found_again_with_all_it_has),
		TEST(a_key_gives_the_first_task),
		TEST(a_long_payload_and_a_result_are_whole),
		TEST(changes_touch_their_fields_only),
		TEST(refill_goes_on_from_rank_and_id),
		TEST(what_is_due_is_queued),
		TEST(cancel_and_revive_look_at_the_state),
		TEST(then_is_submitted_with_the_result),
		TEST(then_is_for_success_only),
		TEST(a_group_goes_on_when_its_last_has_ended),
		TEST(a_member_whose_key_is_taken_is_none),
		TEST(members_stay_until_their_group_is_over),
		TEST(expired_results_go_with_all_that_is_theirs),
		TEST(those_that_ended_together_are_counted_and_expire),
		TEST(ends_in_a_row_are_as_each_alone),
		TEST(what_is_done_stays_so),
		TEST(what_is_rare_comes_and_goes),
		TEST(a_run_of_a_schedule_happens_once),
		TEST(a_pause_is_remembered),
		TEST(lists_are_newest_first_and_cut),
		TEST(ids_are_never_given_twice),
		TEST(an_id_that_is_taken_is_refused),
		TEST(many_are_answered_in_order),
		TEST(the_view_is_for_people),
		TEST(without_a_path_it_is_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
