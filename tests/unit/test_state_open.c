/* Every kind of file found at the start: old, new, foreign, damaged, none. */

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

#include "state/schema.h"
#include "tests/unit/skip.h"
#include "tests/unit/state_help.h"

static void
make_old_version(const char *file)
{
	sqlite3 *db = look(file);
	char mark[128];

	snprintf(mark, sizeof mark,
	    "PRAGMA application_id = %d; PRAGMA user_version = 1",
	    SCHEMA_APPLICATION);
	execute(db, state_schema.steps[0]);
	execute(db, mark);
	execute(db, "INSERT INTO instances (name, worker, wanted_up)"
		    " VALUES ('web:0', 'web', 0)");
	execute(db, "INSERT INTO events (seq, at_ms, kind)"
		    " VALUES (41, unixepoch() * 1000, 'old')");
	sqlite3_close(db);
}

static void
an_older_version_is_migrated(void **unused)
{
	const struct state_saved *row;
	struct place p;
	struct state *s;
	char *json;

	(void)unused;
	place_make(&p);
	make_old_version(p.file);
	s = open_at(p.dir);
	assert_null(state_health(s));
	assert_true(state_saved_instance(s, "web:0", &row));
	assert_int_equal(put_event(s, "web:0", "new"), 42);
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 2);
	free(json);
	state_close(s, 10000);
	assert_int_equal(
	    number_in(p.file, "PRAGMA user_version"), SCHEMA_VERSION);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM recent_events"), 2);
	place_remove(&p);
}

static void
a_migration_that_fails_leaves_the_file_as_it_was(void **unused)
{
	struct place p;
	struct state *s;
	sqlite3 *db;

	(void)unused;
	place_make(&p);
	make_old_version(p.file);
	db = look(p.file);
	execute(db, "CREATE TABLE history (mine INTEGER)");
	sqlite3_close(db);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "state is kept in memory"));
	until_committed(s, put_event(s, "web:0", "in memory"));
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "PRAGMA user_version"), 1);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM sqlite_schema WHERE "
			      "type = 'view'"),
	    0);
	place_remove(&p);
}

static char *
contents(const char *file, size_t *size)
{
	FILE *f = fopen(file, "re");
	char *data = malloc(1 << 20);

	assert_non_null(f);
	assert_non_null(data);
	*size = fread(data, 1, 1 << 20, f);
	fclose(f);
	return data;
}

/* With a file that says sql: memory only, the words, and no byte changed. */
static void
check_left_alone(const char *sql, const char *words)
{
	size_t before_size, after_size;
	char *before, *after, *json;
	struct place p;
	struct state *s;
	sqlite3 *db;

	place_make(&p);
	db = look(p.file);
	execute(db, "PRAGMA journal_mode = WAL");
	execute(db, sql);
	sqlite3_close(db);
	before = contents(p.file, &before_size);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "state is kept in memory"));
	assert_non_null(strstr(state_health(s), words));
	put_instance(s, "web:0", true);
	until_committed(s, put_event(s, "web:0", "x"));
	until_committed(s, put_event(s, "web:0", "y"));
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 2);
	free(json);
	assert_non_null(strstr(state_health(s), words));
	state_close(s, 10000);
	after = contents(p.file, &after_size);
	assert_int_equal(before_size, after_size);
	assert_memory_equal(before, after, before_size);
	free(before);
	free(after);
	place_remove(&p);
}

static void
a_newer_version_is_not_touched(void **unused)
{
	char sql[256];

	(void)unused;
	snprintf(sql, sizeof sql,
	    "PRAGMA application_id = %d; PRAGMA user_version = %d;"
	    "CREATE TABLE events (future TEXT)",
	    SCHEMA_APPLICATION, SCHEMA_VERSION + 1);
	check_left_alone(sql, "made by a newer supervisord");
}

static void
another_programs_database_is_not_touched(void **unused)
{
	(void)unused;
	check_left_alone("CREATE TABLE notes (text TEXT)", "another program");
	check_left_alone("PRAGMA application_id = 77; PRAGMA user_version = 1;"
			 "CREATE TABLE notes (text TEXT)",
	    "another program");
}

static size_t
count_aside(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strstr(e->d_name, "state.db.corrupt-") != NULL &&
		     strstr(e->d_name, "-wal") == NULL;
	closedir(d);
	return n;
}

static void
a_file_of_rubbish_is_set_aside(void **unused)
{
	struct place p;
	struct state *s;
	FILE *f;

	(void)unused;
	place_make(&p);
	f = fopen(p.file, "we");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		fputs("rubbish ", f);
	fclose(f);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "was damaged"));
	assert_int_equal(next_news(s).said, STATE_HEALTH);
	until_committed(s, put_event(s, "web:0", "x"));
	assert_int_equal(count_aside(p.dir), 1);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	s = open_at(p.dir);
	assert_null(state_health(s));
	state_close(s, 10000);
	place_remove(&p);
}

/* Overwrites the table's first page. */
static void
smash(const char *file, const char *table)
{
	char sql[128], junk[4096];
	int64_t page;
	int fd;

	snprintf(sql, sizeof sql,
	    "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
	page = number_in(file, sql);
	memset(junk, 0x5a, sizeof junk);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
	    pwrite(fd, junk, sizeof junk, (page - 1) * 4096), sizeof junk);
	close(fd);
}

static void
fill(const char *dir)
{
	struct state *s = open_at(dir);

	put_instance(s, "web:0", false);
	state_put_fact(s, "scale.web", "4");
	put_exit(s, 1, "web:0", 3);
	put_event(s, "web:0", "before");
	state_close(s, 10000);
}

static void
a_damaged_page_seen_at_open_costs_only_its_table(void **unused)
{
	const struct state_saved *row;
	struct place p;
	struct state *s;
	char *json;

	(void)unused;
	place_make(&p);
	fill(p.dir);
	smash(p.file, "facts");
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "was damaged"));
	assert_int_equal(count_aside(p.dir), 1);
	assert_true(state_saved_instance(s, "web:0", &row));
	assert_false(row->wanted_up);
	assert_null(state_saved_fact(s, "scale.web"));
	json = ask(s, "history", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"name\""), 1);
	free(json);
	state_close(s, 10000);
	place_remove(&p);
}

static void
a_damaged_page_seen_by_a_question_is_survived(void **unused)
{
	struct place p;
	struct state *s;
	char *json;

	(void)unused;
	place_make(&p);
	fill(p.dir);
	smash(p.file, "exits");
	s = open_at(p.dir);
	assert_null(state_health(s));
	json = ask(s, "history", NULL, 0, 0);
	assert_string_equal(json, "[]");
	free(json);
	until_health(s, "was damaged");
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 1);
	free(json);
	state_close(s, 10000);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM instances"), 1);
	place_remove(&p);
}

static void
a_damaged_page_seen_by_a_write_is_survived(void **unused)
{
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	fill(p.dir);
	smash(p.file, "exits");
	s = open_at(p.dir);
	until_committed(s, put_exit(s, 5, "db:0", 1));
	until_health(s, "was damaged");
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM exits"), 1);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	place_remove(&p);
}

static void
a_cut_off_file_is_survived(void **unused)
{
	struct stat sb;

	(void)unused;
	for (int cut = 1; cut <= 16; cut++) {
		struct place p;
		struct state *s;

		place_make(&p);
		fill(p.dir);
		assert_int_equal(stat(p.file, &sb), 0);
		assert_int_equal(truncate(p.file, sb.st_size * cut / 17), 0);
		s = open_at(p.dir);
		until_committed(s, put_exit(s, 5, "db:0", 1));
		free(ask(s, "events", NULL, 0, 0));
		until_committed(s, put_exit(s, 6, "db:0", 1));
		state_close(s, 10000);
		assert_int_equal(
		    number_in(p.file, "SELECT count(*) FROM exits WHERE "
				      "name = 'db:0'"),
		    2);
		place_remove(&p);
	}
}

static void
missing_folders_are_made(void **unused)
{
	char dir[PATH_MAX];
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	snprintf(dir, sizeof dir, "%.2000s/a/b/c", p.dir);
	s = open_at(dir);
	assert_null(state_health(s));
	state_close(s, 10000);
	place_remove(&p);
}

static void
a_file_in_place_of_the_folder_is_told_and_recovered_from(void **unused)
{
	char dir[PATH_MAX], file[PATH_MAX + 16];
	struct place p;
	struct state *s;
	int fd;

	(void)unused;
	place_make(&p);
	snprintf(dir, sizeof dir, "%.2000s/folder", p.dir);
	snprintf(file, sizeof file, "%s/state.db", dir);
	fd = open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	s = open_at(dir);
	assert_non_null(strstr(state_health(s), "Not a directory"));
	put_instance(s, "web:0", true);
	until_committed(s, put_event(s, "web:0", "x"));
	assert_int_equal(unlink(dir), 0);
	until_health(s, NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(file, "SELECT count(*) FROM events"), 1);
	assert_int_equal(number_in(file, "SELECT count(*) FROM instances"), 1);
	place_remove(&p);
}

static void
what_is_no_file_is_told(void **unused)
{
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	assert_int_equal(mkdir(p.file, 0700), 0);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "not a regular file"));
	until_committed(s, put_event(s, "web:0", "x"));
	state_close(s, 10000);
	place_remove(&p);
}

/* A small disk of our own, where that is allowed. */
static bool
mount_small(const char *dir)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", dir, "tmpfs", 0, "size=2m") == 0;
}

static void
a_read_only_disk_is_read_and_recovered_from(void **unused)
{
	const struct state_saved *row;
	struct place p;
	struct state *s;
	char *json;

	(void)unused;
	place_make(&p);
	if (!mount_small(p.dir)) {
		place_remove(&p);
		SKIP_BECAUSE("no file system can be mounted here");
	}
	fill(p.dir);
	assert_int_equal(
	    mount("none", p.dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	s = open_at(p.dir);
	assert_non_null(strstr(state_health(s), "read-only"));
	assert_true(state_saved_instance(s, "web:0", &row));
	assert_string_equal(state_saved_fact(s, "scale.web"), "4");
	put_event(s, "web:0", "after");
	put_event(s, "web:0", "after");
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 3);
	assert_true(strstr(json, "before") < strstr(json, "after"));
	free(json);
	assert_int_equal(mount("none", p.dir, NULL, MS_REMOUNT, "size=2m"), 0);
	until_health(s, NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 3);
	umount2(p.dir, MNT_DETACH);
	place_remove(&p);
}

static void
a_full_disk_is_told_and_recovered_from(void **unused)
{
	char junk[PATH_MAX + 16], block[4096] = "";
	struct place p;
	struct state *s;
	char *json;
	int fd, n = 0;

	(void)unused;
	place_make(&p);
	if (!mount_small(p.dir)) {
		place_remove(&p);
		SKIP_BECAUSE("no file system can be mounted here");
	}
	fill(p.dir);
	s = open_at(p.dir);
	snprintf(junk, sizeof junk, "%s/junk", p.dir);
	fd = open(junk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof block) > 0)
		continue;
	close(fd);
	while (state_health(s) == NULL) {
		until_committed(s, put_exit(s, 0, "web:0", n++));
		assert_true(n < 100000);
	}
	assert_non_null(strstr(state_health(s), "disk full"));
	until_committed(s, put_exit(s, 0, "web:0", n++));
	json = ask(s, "history", NULL, 0, 100000);
	assert_int_equal(count_of(json, "\"name\""), n + 1);
	free(json);
	assert_int_equal(unlink(junk), 0);
	until_health(s, NULL);
	until_committed(s, put_exit(s, 0, "web:0", n++));
	state_close(s, 10000);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM exits"), n + 1);
	umount2(p.dir, MNT_DETACH);
	place_remove(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_version_is_migrated),
		cmocka_unit_test(
		    a_migration_that_fails_leaves_the_file_as_it_was),
		cmocka_unit_test(a_newer_version_is_not_touched),
		cmocka_unit_test(another_programs_database_is_not_touched),
		cmocka_unit_test(a_file_of_rubbish_is_set_aside),
		cmocka_unit_test(
		    a_damaged_page_seen_at_open_costs_only_its_table),
		cmocka_unit_test(a_damaged_page_seen_by_a_question_is_survived),
		cmocka_unit_test(a_damaged_page_seen_by_a_write_is_survived),
		cmocka_unit_test(a_cut_off_file_is_survived),
		cmocka_unit_test(missing_folders_are_made),
		cmocka_unit_test(
		    a_file_in_place_of_the_folder_is_told_and_recovered_from),
		cmocka_unit_test(what_is_no_file_is_told),
		cmocka_unit_test(a_read_only_disk_is_read_and_recovered_from),
		cmocka_unit_test(a_full_disk_is_told_and_recovered_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
