/* The broker's store: how much it reads at once, and that nothing stays behind
 * of what nobody waits for. */

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

/* A worker's arguments may be 1 MiB each. */
static void
large_tasks_are_read_a_few_at_a_time(void **state)
{
	static char text[(1U << 20) + 1];
	struct rig *r = *state;
	struct store_op *op;

	memset(text, '1', sizeof text - 1);
	for (int i = 0; i < 20; i++) {
		struct task_row *row = rig_row(r, "a", text);

		if (i % 2 == 0) {
			row->state = TASK_SCHEDULED;
			row->due_ms = 1000;
		}
		rig_post(r, rig_submit_op(row));
	}
	rig_wait(r);
	op = rig_op(STORE_REFILL);
	snprintf(op->worker, sizeof op->worker, "a");
	op->after_rank = INT64_MIN;
	op->limit = 100;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 8);
	assert_true(op->more);
	store_op_free(op);
	for (int i = 0; i < 2; i++) {
		op = rig_op(STORE_DUE);
		op->now_ms = 1000;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->count, i == 0 ? 8 : 2);
		assert_int_equal(op->more, i == 0);
		store_op_free(op);
	}
}

/* They can come as fast as commits can: so must they go. */
static void
what_expires_is_more_than_one_look_deletes(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 10; i++) {
		struct task_row *row = rig_row(r, "a", "1");
		struct store_op *op = rig_finish_op(row->id,
		    i % 2 ? TASK_DONE : TASK_FAILED, i % 2 ? "1" : NULL);

		op->change.expires_ms = 1000;
		rig_post(r, rig_submit_op(row));
		rig_post(r, op);
	}
	rig_wait(r);
	for (int i = 0; i < 4; i++) {
		struct store_op *op = rig_op(STORE_EXPIRE);

		op->now_ms = 1000;
		op->limit = 4;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->count, i < 2 ? 4 : i == 2 ? 2 : 0);
		assert_int_equal(op->more, i < 2);
		store_op_free(op);
	}
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), 0);
}

static struct store_op *
group_of(struct rig *r, size_t members, const char *then)
{
	struct store_op *op = rig_op(STORE_GROUP);

	op->group = store_new_id(r->store);
	op->text = then != NULL ? strdup(then) : NULL;
	op->rows = calloc(members, sizeof *op->rows);
	op->count = members;
	for (size_t i = 0; i < members; i++) {
		struct task_row *row = rig_row(r, "a", "1");

		row->group = op->group;
		op->rows[i] = *row;
		free(row);
	}
	assert_int_equal(rig_do(r, op), QERR_NONE);
	return op;
}

static void
members_of_a_group_nothing_follows_are_not_remembered(void **state)
{
	struct rig *r = *state;
	struct store_op *group = group_of(r, 3, NULL), *op;

	assert_int_equal(rig_number(r, "SELECT count(*) FROM member"), 0);
	for (size_t i = 0; i < 3; i++) {
		op = rig_finish_op(group->rows[i].id, TASK_DONE, "1");
		op->change.expires_ms = 1000;
		assert_int_equal(rig_do(r, op), QERR_NONE);
		store_op_free(op);
	}
	op = rig_task(r, group->rows[0].id);
	assert_int_equal(op->rows[0].group, group->group);
	store_op_free(op);
	op = rig_op(STORE_EXPIRE);
	op->now_ms = 1000;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->count, 3);
	store_op_free(op);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM extra"), 0);
	store_op_free(group);
}

/* One whose members were kept for ever, from before that was mended. */
static void
a_file_of_an_earlier_version_is_brought_up(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "1");
	struct store_op *op;
	sqlite3 *db = NULL;
	uint64_t id;

	row->key = strdup("k");
	id = rig_submit(r, row);
	rig_close(r);
	assert_int_equal(sqlite3_open(r->file, &db), 0);
	assert_int_equal(
	    sqlite3_exec(db,
		"ALTER TABLE extra DROP COLUMN missed; PRAGMA user_version = 2;"
		"INSERT INTO member VALUES (99, 1)",
		NULL, NULL, NULL),
	    0);
	sqlite3_close(db);
	rig_open(r);
	assert_true(r->well);
	op = rig_task(r, id);
	assert_string_equal(op->rows[0].key, "k");
	assert_int_equal(op->rows[0].missed, 0);
	store_op_free(op);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM member"), 0);
	assert_int_equal(
	    rig_number(r, "SELECT user_version FROM pragma_user_version"), 3);
}

/* What follows them is told of so much; the others' results stay on disk. */
static void
results_of_a_group_that_do_not_fit_are_left_out(void **state)
{
	static char text[300001];
	struct rig *r = *state;
	struct store_op *group =
	    group_of(r, 5, "{\"worker\":\"sum\",\"func\":\"all\"}");
	const char *args;
	size_t omitted = 0;

	memset(text, '1', sizeof text - 1);
	for (size_t i = 0; i < 5; i++) {
		struct store_op *op = rig_finish_op(group->rows[i].id,
		    i < 4 ? TASK_DONE : TASK_FAILED, i < 4 ? text : NULL);

		assert_int_equal(rig_do(r, op), QERR_NONE);
		assert_int_equal(op->follow_count, i == 4 ? 1 : 0);
		if (i < 4) {
			store_op_free(op);
			continue;
		}
		args = op->follow[0].payload->data;
		assert_true(op->follow[0].payload->size > 900000);
		assert_true(op->follow[0].payload->size <= 1U << 20);
		for (const char *p = args;
		     (p = strstr(p, "\"result\":null,\"omitted\":true")) !=
		     NULL;
		     p++)
			omitted++;
		assert_int_equal(omitted, 1);
		assert_non_null(
		    strstr(args, "\"state\":\"failed\",\"result\":null}"));
		store_op_free(op);
	}
	assert_int_equal(rig_number(r, "SELECT count(*) FROM member"), 0);
	store_op_free(group);
}

/* How its process died may be told when it has long been run again. */
static void
words_come_too_late_for_what_is_done(void **state)
{
	struct rig *r = *state;
	uint64_t ids[2];

	for (int i = 0; i < 2; i++) {
		struct store_op *op;

		ids[i] = rig_submit(r, rig_row(r, "a", "1"));
		op =
		    rig_finish_op(ids[i], i == 0 ? TASK_DONE : TASK_DEAD, NULL);
		assert_int_equal(rig_do(r, op), QERR_NONE);
		store_op_free(op);
		op = rig_op(STORE_UPDATE);
		op->change.id = ids[i];
		op->change.fields = CHANGE_WORDS;
		op->change.words = strdup("killed by SIGSEGV");
		rig_do(r, op);
		store_op_free(op);
		op = rig_task(r, ids[i]);
		if (i == 0)
			assert_null(op->rows[0].words);
		else
			assert_string_equal(
			    op->rows[0].words, "killed by SIGSEGV");
		store_op_free(op);
	}
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_DONE], 1);
}

static void
who_is_cancelled_is_kept_for_its_own_time(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "1");
	struct store_op *op = rig_op(STORE_CANCEL);

	row->result_ttl_ms = 7000;
	op->change.id = rig_submit(r, row);
	op->change.fields = CHANGE_FINISHED;
	op->change.finished_ms = 5000;
	op->change.expires_ms = 90000;
	assert_int_equal(rig_do(r, op), QERR_NONE);
	assert_int_equal(op->change.expires_ms, 12000);
	store_op_free(op);
	assert_int_equal(rig_number(r, "SELECT expires_ms FROM task"), 12000);
}

static void
where_a_queue_is_full_only_keys_it_has_are_told(void **state)
{
	struct rig *r = *state;
	struct task_row *row = rig_row(r, "a", "1");
	struct store_op *op;
	uint64_t id;

	row->key = strdup("k");
	id = rig_submit(r, row);
	for (int i = 0; i < 2; i++) {
		row = rig_row(r, "a", "1");
		row->key = strdup(i == 0 ? "k" : "other");
		op = rig_submit_op(row);
		op->full = true;
		assert_int_equal(rig_do(r, op), i == 0 ? QERR_NONE : QERR_FULL);
		assert_int_equal(op->existing, i == 0 ? id : 0);
		store_op_free(op);
	}
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(large_tasks_are_read_a_few_at_a_time),
		TEST(what_expires_is_more_than_one_look_deletes),
		TEST(members_of_a_group_nothing_follows_are_not_remembered),
		TEST(a_file_of_an_earlier_version_is_brought_up),
		TEST(results_of_a_group_that_do_not_fit_are_left_out),
		TEST(words_come_too_late_for_what_is_done),
		TEST(who_is_cancelled_is_kept_for_its_own_time),
		TEST(where_a_queue_is_full_only_keys_it_has_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
