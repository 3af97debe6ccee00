/*
 * Disks that fail, fill, hang and vanish while the state is in use. SQLite's
 * own table of system calls is where they fail, so no privilege is needed.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/inotify.h>

#include "tests/unit/state_help.h"

/* Which call fails, and how. */
static struct {
	_Atomic int error;     /* 0: none */
	_Atomic int countdown; /* calls that go well before */
	_Atomic int times;     /* calls that fail then; -1: all */
	_Atomic int hits;
	_Atomic bool in_writes, in_opens;
	_Atomic bool hung;
} fault;

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static bool
strikes(bool here)
{
	if (atomic_load(&fault.hung)) {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	if (!here || atomic_load(&fault.error) == 0)
		return false;
	if (atomic_fetch_sub(&fault.countdown, 1) > 0)
		return false;
	if (atomic_load(&fault.times) >= 0 &&
	    atomic_fetch_sub(&fault.times, 1) <= 0)
		return false;
	atomic_fetch_add(&fault.hits, 1);
	errno = atomic_load(&fault.error);
	return true;
}

static ssize_t
fake_write(int fd, const void *data, size_t size)
{
	return strikes(fault.in_writes) ? -1 : write(fd, data, size);
}

static ssize_t
fake_pwrite(int fd, const void *data, size_t size, off_t at)
{
	return strikes(fault.in_writes) ? -1 : pwrite(fd, data, size, at);
}

static int
fake_open(const char *path, int flags, int mode)
{
	return strikes(fault.in_opens) ? -1 : open(path, flags, (mode_t)mode);
}

static void
replace(const char *name, sqlite3_syscall_ptr with)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	vfs->xSetSystemCall(vfs, name, with);
}

static int
install(void **unused)
{
	(void)unused;
	sqlite3_initialize();
	replace("write", (sqlite3_syscall_ptr)fake_write);
	replace("pwrite", (sqlite3_syscall_ptr)fake_pwrite);
	replace("pwrite64", (sqlite3_syscall_ptr)fake_pwrite);
	replace("open", (sqlite3_syscall_ptr)fake_open);
	return 0;
}

static void
break_writes(int error)
{
	fault.in_writes = true;
	fault.countdown = 0;
	fault.times = -1;
	fault.hits = 0;
	fault.error = error;
}

static int
repair(void **unused)
{
	(void)unused;
	fault.error = 0;
	fault.in_writes = fault.in_opens = false;
	return 0;
}

/* Everything that can happen to rows while the store is broken. */
static void
check_broken_and_back(int error, const char *words)
{
	const struct state_saved *row;
	uint64_t incarnation;
	struct place p;
	struct state *s;
	char *json;
	bool clean;

	place_make(&p);
	s = open_at(p.dir);
	state_begin(s, 9, 10, "0.1.0", "boot", &clean, &incarnation);
	put_instance(s, "stays", true);
	put_instance(s, "goes", true);
	put_instance(s, "comes back", true);
	state_put_fact(s, "fact.goes", "1");
	put_exit(s, 7, "web:0", 70);
	until_committed(s, put_event(s, "web:0", "before"));
	break_writes(error);
	until_committed(s, put_event(s, "web:0", "broken 1"));
	until_health(s, words);
	put_instance(s, "stays", false);
	state_drop_instance(s, "goes");
	state_drop_instance(s, "comes back");
	put_exit(s, 7, "web:0", 70); /* told again */
	put_exit(s, 8, "web:0", 80);
	until_committed(s, put_event(s, "web:0", "broken 2"));
	put_instance(s, "comes back", false);
	state_put_fact(s, "fact.goes", NULL);
	state_put_fact(s, "fact.comes", "2");
	state_put_last_lines(s, "web:0", 70, "last of 70");
	state_put_last_lines(s, "web:0", 80, "last of 80");
	state_end(s, false, "broken end");
	/* What the file holds is answered along with what memory does. */
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 3);
	assert_true(strstr(json, "before") < strstr(json, "broken 1"));
	assert_true(strstr(json, "broken 1") < strstr(json, "broken 2"));
	free(json);
	json = ask(s, "events", NULL, 0, 2);
	assert_int_equal(count_of(json, "broken"), 2);
	free(json);
	assert_non_null(strstr(state_health(s), words));
	repair(NULL);
	until_health(s, NULL);
	until_committed(s, put_event(s, "web:0", "after"));
	state_close(s, 10000);

	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 4);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM events a JOIN events b ON "
			      "a.id < b.id AND a.seq >= b.seq"),
	    0);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM exits WHERE (key = 7 AND "
			      "last_lines = 'last of 70') OR (key = 8 AND "
			      "last_lines = 'last of 80')"),
	    2);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM incarnations WHERE "
			      "why = 'broken end' AND in_order = 0"),
	    1);
	s = open_at(p.dir);
	assert_true(state_saved_instance(s, "stays", &row));
	assert_false(row->wanted_up);
	assert_true(state_saved_instance(s, "comes back", &row));
	assert_false(row->wanted_up);
	assert_false(state_saved_instance(s, "goes", &row));
	assert_null(state_saved_fact(s, "fact.goes"));
	assert_string_equal(state_saved_fact(s, "fact.comes"), "2");
	state_close(s, 10000);
	place_remove(&p);
}

static void
a_full_disk_is_survived_and_caught_up_with(void **unused)
{
	(void)unused;
	check_broken_and_back(ENOSPC, "disk full");
}

static void
a_failing_disk_is_survived_and_caught_up_with(void **unused)
{
	(void)unused;
	check_broken_and_back(EIO, "input/output error");
}

static void
a_store_that_never_opened_is_made_when_it_can_be(void **unused)
{
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	fault.in_opens = true;
	break_writes(EMFILE);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "state is kept in memory"));
	put_instance(s, "web:0", true);
	until_committed(s, put_event(s, "web:0", "x"));
	repair(NULL);
	until_health(s, NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	place_remove(&p);
}

static void
closing_tries_a_last_time(void **unused)
{
	struct state_options o = { .retry_ms = 3600 * 1000 };
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	s = open_with(o, p.dir);
	break_writes(ENOSPC);
	until_committed(s, put_event(s, "web:0", "x"));
	until_health(s, "disk full");
	repair(NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	place_remove(&p);
}

static void
remove_store(const struct place *p)
{
	char path[PATH_MAX + 8];

	unlink(p->file);
	snprintf(path, sizeof path, "%s-wal", p->file);
	unlink(path);
	snprintf(path, sizeof path, "%s-shm", p->file);
	unlink(path);
}

static void
a_deleted_file_is_written_anew_with_all_it_held(void **unused)
{
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	put_instance(s, "web:0", false);
	put_exit(s, 1, "web:0", 1);
	until_committed(s, put_event(s, "web:0", "before"));
	remove_store(&p);
	until_committed(s, put_event(s, "web:0", "after"));
	until_health(s, "was deleted");
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 2);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM exits"), 1);
	/* The folder too, and its path blocked for a while. */
	remove_store(&p);
	assert_int_equal(rmdir(p.dir), 0);
	close(open(p.dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	put_instance(s, "web:1", false);
	until_committed(s, put_event(s, "web:0", "in memory"));
	until_health(s, "state is kept in memory");
	assert_int_equal(unlink(p.dir), 0);
	until_health(s, "was deleted"); /* a note, when it works again */
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 3);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM exits"), 1);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM instances"), 2);
	place_remove(&p);
}

static void
a_lock_held_by_another_program_is_waited_out_in_memory(void **unused)
{
	struct place p;
	struct state *s;
	sqlite3 *db;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	until_committed(s, put_event(s, "web:0", "before"));
	db = look(p.file);
	execute(db, "BEGIN IMMEDIATE");
	until_committed(s, put_event(s, "web:0", "meanwhile"));
	until_health(s, "locked by another program");
	execute(db, "COMMIT");
	sqlite3_close(db);
	until_health(s, NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 2);
	place_remove(&p);
}

static void
rows_that_find_no_room_are_counted(void **unused)
{
	struct state_options o = { .keep_exits = 10, .keep_events = 10 };
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	s = open_with(o, p.dir);
	break_writes(ENOSPC);
	for (int i = 0; i < 25; i++)
		put_exit(s, 0, "web:0", i);
	until_committed(s, put_event(s, "web:0", "x"));
	until_health(s, "the oldest 15 rows had no room");
	repair(NULL);
	until_health(s, "15 events and exits of that time had no room");
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM exits"), 10);
	place_remove(&p);
}

/* Waits until the writer has let go of the file. */
static void
until_closed(int watch)
{
	char buffer[4096];
	struct pollfd p = { .fd = watch, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_true(read(watch, buffer, sizeof buffer) > 0);
}

static void
a_hung_disk_never_holds_up_the_caller(void **unused)
{
	struct state_options o = { .memory_rows = 100 };
	struct state_question q = { .token = 1, .what = "events" };
	int watch = inotify_init1(IN_CLOEXEC);
	struct place p;
	struct state *s;
	char name[32];

	(void)unused;
	place_make(&p);
	s = open_with(o, p.dir);
	until_committed(s, put_event(s, "web:0", "before"));
	assert_true(inotify_add_watch(watch, p.file, IN_CLOSE_WRITE) >= 0);
	pthread_mutex_lock(&gate);
	fault.hung = true;
	put_event(s, "web:0", "hangs");
	state_flush(s);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "web:%d", i);
		assert_true(put_event(s, name, "waits") > 0);
		assert_true(put_instance(s, name, true) > 0);
		state_flush(s);
	}
	assert_int_equal(state_ask(s, &q), 0);
	state_health(s);
	state_close(s, 20);
	fault.hung = false;
	pthread_mutex_unlock(&gate);
	until_closed(watch);
	close(watch);
	/* Of the events the newest are there, of the instances all. */
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM instances"), 1000);
	assert_true(
	    number_in(p.file,
		"SELECT count(*) FROM events WHERE reason = 'waits'") >= 100);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events WHERE "
					   "name = 'web:999'"),
	    1);
	place_remove(&p);
}

/* One life of a store; at its end everything must be in the file. */
static void
live_once(int round)
{
	struct place p;
	struct state *s;
	uint64_t last = 0;
	char name[32];

	place_make(&p);
	s = open_at(p.dir);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "web:%d", i);
		put_instance(s, name, true);
		put_exit(s, (uint64_t)i + 1, name, i);
		last = put_event(s, name, "x");
		until_committed(s, last);
	}
	repair(NULL);
	until_committed(s, put_event(s, "web:0", "last"));
	state_close(s, 10000);
	if (number_in(p.file, "SELECT count(*) FROM events") != 4 ||
	    number_in(p.file, "SELECT count(*) FROM exits") != 3 ||
	    number_in(p.file, "SELECT count(*) FROM instances") != 3)
		fail_msg("rows are missing after fault %d", round);
	place_remove(&p);
}

static void
every_single_call_may_fail(void **unused)
{
	static const struct {
		int error, times;
		bool writes, opens;
	} kinds[] = {
		{ EIO, 1, true, false },
		{ ENOSPC, -1, true, false },
		{ EMFILE, 1, false, true },
		{ EACCES, -1, false, true },
	};

	(void)unused;
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		int n = 0;

		do {
			fault.hits = 0;
			fault.countdown = n;
			fault.times = kinds[k].times;
			fault.in_writes = kinds[k].writes;
			fault.in_opens = kinds[k].opens;
			fault.error = kinds[k].error;
			live_once(n++);
		} while (fault.hits > 0);
		assert_true(n > 1);
		print_message("%s: %d faults survived\n",
		    strerrorname_np(kinds[k].error), n - 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    a_full_disk_is_survived_and_caught_up_with, repair),
		cmocka_unit_test_teardown(
		    a_failing_disk_is_survived_and_caught_up_with, repair),
		cmocka_unit_test_teardown(
		    a_store_that_never_opened_is_made_when_it_can_be, repair),
		cmocka_unit_test_teardown(closing_tries_a_last_time, repair),
		cmocka_unit_test(
		    a_deleted_file_is_written_anew_with_all_it_held),
		cmocka_unit_test(
		    a_lock_held_by_another_program_is_waited_out_in_memory),
		cmocka_unit_test_teardown(
		    rows_that_find_no_room_are_counted, repair),
		cmocka_unit_test(a_hung_disk_never_holds_up_the_caller),
		cmocka_unit_test_teardown(every_single_call_may_fail, repair),
	};

	return cmocka_run_group_tests(tests, install, NULL);
}
