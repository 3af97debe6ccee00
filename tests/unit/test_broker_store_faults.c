/* What the broker's store does about files and disks that are not as they
 * should be. */

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/store_rig.h"
#include "tests/unit/store_vfs.h"

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
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
until(struct rig *r, bool well)
{
	while (r->well != well)
		rig_run(r);
}

static bool
exists(struct rig *r, uint64_t id)
{
	struct store_op *op = rig_task(r, id);

	store_op_free(op);
	return op != NULL;
}

/* Submits without expecting that it succeeds; the id is *ret. */
static enum queue_error
try_submit(struct rig *r, const char *payload, uint64_t *ret)
{
	struct store_op *op = rig_submit_op(rig_row(r, "a", payload));
	enum queue_error e = rig_do(r, op);

	*ret = op->row->id;
	store_op_free(op);
	return e;
}

static void
a_flush_that_failed_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;
	uint64_t before, failed, after;

	rig_open(r);
	assert_int_equal(try_submit(r, "1", &before), QERR_NONE);
	disk_set(&disk.fail_syncs, 1);
	assert_int_equal(try_submit(r, "2", &failed), QERR_STORE);
	until(r, false);
	assert_non_null(strstr(r->words, "input/output error"));
	until(r, true);
	assert_int_equal(try_submit(r, "3", &after), QERR_NONE);
	assert_true(exists(r, before));
	assert_false(exists(r, failed));
	assert_true(exists(r, after));
	assert_false(store_stale(r->store));
	rig_reopen(r);
	assert_false(exists(r, failed));
	assert_true(exists(r, after));
	rig_sound(r);
}

static void
a_failed_flush_that_began_the_log_anew_loses_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t ids[50], failed;

	rig_open(r);
	for (int i = 0; i < 50; i++)
		assert_int_equal(try_submit(r, "1", &ids[i]), QERR_NONE);
	/* Whoever brings all of the log home has the next commit begin it. */
	assert_int_equal(rig_number(r, "PRAGMA wal_checkpoint(PASSIVE)"), 0);
	disk_set(&disk.pass_syncs, 1); /* of the log's header */
	disk_set(&disk.fail_syncs, 1);
	assert_int_equal(try_submit(r, "2", &failed), QERR_STORE);
	until(r, false);
	until(r, true);
	for (int i = 0; i < 50; i++)
		assert_true(exists(r, ids[i]));
	assert_false(exists(r, failed));
	rig_reopen(r);
	assert_int_equal(r->found.pools[0].counts[TASK_QUEUED], 50);
	rig_sound(r);
}

static void
what_failed_may_be_added_again(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id;

	rig_open(r);
	op = rig_submit_op(rig_row(r, "a", "1"));
	disk_set(&disk.fail_writes, 1);
	assert_int_equal(rig_do(r, op), QERR_STORE);
	until(r, false);
	assert_non_null(strstr(r->words, "disk full"));
	until(r, true);
	assert_int_equal(rig_do(r, op), QERR_NONE);
	id = op->row->id;
	store_op_free(op);
	op = rig_finish_op(id, TASK_DONE, "[1]");
	disk_set(&disk.fail_writes, 1);
	assert_int_equal(rig_do(r, op), QERR_STORE);
	until(r, false);
	until(r, true);
	assert_int_equal(rig_do(r, op), QERR_NONE);
	store_op_free(op);
	op = rig_task(r, id);
	assert_int_equal(op->rows[0].state, TASK_DONE);
	assert_string_equal(op->rows[0].result->data, "[1]");
	store_op_free(op);
}

static void
while_it_is_broken_everything_fails_at_once(void **state)
{
	struct rig *r = *state;
	uint64_t id;
	int64_t began;

	rig_open(r);
	disk_set(&disk.fail_writes, 1000000);
	assert_int_equal(try_submit(r, "1", &id), QERR_STORE);
	until(r, false);
	began = clock_mono();
	for (int i = 0; i < 100; i++)
		assert_int_equal(try_submit(r, "1", &id), QERR_STORE);
	/* The pauses between two tries grow; they are not per operation. */
	assert_true(clock_mono() - began < 10 * NS_PER_SEC);
	disk_set(&disk.fail_writes, 0);
	until(r, true);
	assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
}

static void
a_full_disk_refuses_and_recovers(void **state)
{
	struct rig *r = *state;
	struct rlimit old, small = { 600000, 600000 };
	char *payload = malloc(50001);
	uint64_t ids[100], id;
	int n = 0, opens;

	assert_non_null(payload);
	memset(payload, '1', 50000);
	payload[50000] = '\0';
	signal(SIGXFSZ, SIG_IGN);
	rig_open(r);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	while (n < 100 && try_submit(r, payload, &ids[n]) == QERR_NONE)
		n++;
	assert_in_range(n, 1, 99);
	until(r, false);
	/* It is opened again and again, and the little that this writes fits:
	 * it is not well for that. At most its words change. */
	opens = disk_opens();
	while (disk_opens() < opens + 4)
		assert_int_equal(try_submit(r, payload, &id), QERR_STORE);
	assert_true(r->healths <= 2);
	assert_false(r->well);
	setrlimit(RLIMIT_FSIZE, &old);
	until(r, true);
	assert_int_equal(try_submit(r, payload, &id), QERR_NONE);
	for (int i = 0; i < n; i++)
		assert_true(exists(r, ids[i]));
	assert_false(exists(r, ids[n]));
	rig_sound(r);
	free(payload);
}

static void
a_missing_folder_is_waited_for(void **state)
{
	struct rig *r = *state;
	uint64_t id, last;

	snprintf(r->file, sizeof r->file, "%s/none/tasks.db", r->dir);
	rig_open(r);
	assert_true(r->found.unread);
	until(r, false);
	assert_non_null(strstr(r->words, "No such file"));
	assert_int_equal(store_new_id(r->store), 0);
	assert_int_equal(store_schedule_id(r->store, "x", &last), 0);
	assert_int_equal(try_submit(r, "1", &id), QERR_STORE);
	snprintf(r->file, sizeof r->file, "%s/none", r->dir);
	assert_int_equal(mkdir(r->file, 0700), 0);
	until(r, true);
	assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
}

/* Without anybody asking for anything: who asks needs an id first. */
static void
what_could_not_be_opened_is_tried_again(void **state)
{
	struct rig *r = *state;

	snprintf(r->file, sizeof r->file, "%s/none/tasks.db", r->dir);
	rig_open(r);
	until(r, false);
	snprintf(r->file, sizeof r->file, "%s/none", r->dir);
	assert_int_equal(mkdir(r->file, 0700), 0);
	until(r, true);
}

static void
damage(const char *path, off_t at, size_t size)
{
	char junk[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(junk, 0x5a, sizeof junk);
	for (size_t n = 0; n < size; n += sizeof junk)
		assert_int_equal(
		    pwrite(fd, junk, sizeof junk, at + (off_t)n), sizeof junk);
	close(fd);
}

static size_t
broken_files(struct rig *r)
{
	char pattern[PATH_MAX + 16];
	glob_t g;
	size_t n;

	snprintf(pattern, sizeof pattern, "%s.broken-*Z", r->file);
	n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
	globfree(&g);
	return n;
}

static void
a_damaged_file_is_set_aside(void **state)
{
	struct rig *r = *state;
	uint64_t old, id;

	rig_open(r);
	assert_int_equal(try_submit(r, "1", &old), QERR_NONE);
	rig_close(r);
	damage(r->file, 0, 4096);
	rig_open(r);
	assert_false(r->found.unread);
	assert_int_equal(r->found.pools_count, 0);
	while (r->healths == 0)
		rig_run(r);
	assert_true(r->well);
	assert_non_null(strstr(r->words, "set aside as"));
	assert_int_equal(broken_files(r), 1);
	assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
	assert_true(id > old + 100000);
}

static void
run_sql(struct rig *r, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(r->file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
newer_and_foreign_files_are_set_aside(void **state)
{
	struct rig *r = *state;
	uint64_t id;

	for (int i = 0; i < 2; i++) {
		rig_open(r);
		rig_close(r);
		run_sql(r,
		    i == 0 ? "PRAGMA user_version = 99"
			   : "PRAGMA application_id = 5; CREATE TABLE x (y)");
		r->healths = 0;
		rig_open(r);
		while (r->healths == 0)
			rig_run(r);
		assert_non_null(strstr(r->words,
		    i == 0 ? "newer supervisord" : "another program"));
		assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
		rig_close(r);
		assert_int_equal(unlink(r->file), 0);
	}
}

static void
damage_that_shows_later_begins_anew(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id;
	struct stat sb;

	rig_open(r);
	for (int i = 0; i < 20000; i++)
		rig_post(r, rig_submit_op(rig_row(r, "a", "111111111111")));
	rig_wait(r);
	rig_reopen(r);
	/* The writer's cache holds what it has read; the rest is junk now. */
	assert_int_equal(stat(r->file, &sb), 0);
	damage(r->file, 40960, (size_t)sb.st_size / 2);
	do {
		op = rig_op(STORE_REFILL);
		snprintf(op->worker, sizeof op->worker, "a");
		op->after_rank = INT64_MIN;
	} while (rig_do(r, op) == QERR_NONE && (store_op_free(op), true));
	assert_int_equal(op->error, QERR_STORE);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	while (!store_stale(r->store) || !r->well)
		rig_run(r);
	assert_non_null(strstr(r->words, "set aside as"));
	assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM task"), 1);
	rig_sound(r);
}

static void
a_deleted_file_is_written_anew(void **state)
{
	struct rig *r = *state;
	uint64_t ids[3];

	rig_open(r);
	assert_int_equal(try_submit(r, "1", &ids[0]), QERR_NONE);
	assert_int_equal(unlink(r->file), 0);
	assert_int_equal(try_submit(r, "2", &ids[1]), QERR_NONE);
	assert_int_equal(try_submit(r, "3", &ids[2]), QERR_NONE);
	assert_false(store_stale(r->store));
	rig_reopen(r);
	for (int i = 0; i < 3; i++)
		assert_true(exists(r, ids[i]));
	assert_true(store_new_id(r->store) > ids[2]);
	rig_sound(r);
}

static void
a_replaced_file_is_told(void **state)
{
	struct rig *r = *state;
	char other[PATH_MAX + 8];
	uint64_t id;

	rig_open(r);
	rig_close(r);
	snprintf(other, sizeof other, "%s.copy", r->file);
	assert_int_equal(rename(r->file, other), 0);
	rig_open(r);
	assert_int_equal(try_submit(r, "1", &id), QERR_NONE);
	assert_int_equal(rename(other, r->file), 0);
	assert_int_equal(try_submit(r, "2", &id), QERR_NONE);
	assert_true(store_stale(r->store));
	rig_reopen(r);
	assert_true(exists(r, id));
	assert_int_equal(r->found.pools[0].counts[TASK_QUEUED], 1);
	rig_sound(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flush_that_failed_leaves_nothing_behind),
		TEST(a_failed_flush_that_began_the_log_anew_loses_nothing),
		TEST(what_failed_may_be_added_again),
		TEST(while_it_is_broken_everything_fails_at_once),
		TEST(a_full_disk_refuses_and_recovers),
		TEST(a_missing_folder_is_waited_for),
		TEST(what_could_not_be_opened_is_tried_again),
		TEST(a_damaged_file_is_set_aside),
		TEST(newer_and_foreign_files_are_set_aside),
		TEST(damage_that_shows_later_begins_anew),
		TEST(a_deleted_file_is_written_anew),
		TEST(a_replaced_file_is_told),
	};

	disk_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
