/* What is put comes back, in order, bounded, after a kill -9 too. */

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/skip.h"
#include "tests/unit/state_help.h"

static void
an_instance_comes_back_as_it_was_put(void **unused)
{
	const struct state_saved *row;
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	assert_null(state_health(s));
	assert_false(state_saved_instance(s, "web:3", &row));
	put_instance(s, "web:3", true);
	put_instance(s, "web:4", true);
	put_instance(s, "web:4", false);
	put_instance(s, "gone", true);
	state_drop_instance(s, "gone");
	until_committed(s, state_put_fact(s, "scale.web", "4"));
	state_put_fact(s, "old", "x");
	state_put_fact(s, "old", NULL);
	state_close(s, 10000);

	s = open_at(p.dir);
	assert_true(state_saved_instance(s, "web:3", &row));
	assert_string_equal(row->name, "web:3");
	assert_string_equal(row->worker, "web");
	assert_string_equal(row->state, "RUNNING");
	assert_string_equal(row->boot_id, "boot");
	assert_string_equal(row->reason, "because");
	assert_int_equal(row->index, 3);
	assert_true(row->wanted_up);
	assert_true(row->wanted_by_user);
	assert_int_equal(row->pid, 1234);
	assert_true(row->start_ticks == UINT64_MAX - 5);
	assert_true(row->started_ms == 1767323045678);
	assert_int_equal(row->restarts, 7);
	assert_true(state_saved_instance(s, "web:4", &row));
	assert_false(row->wanted_up);
	assert_int_equal(row->pid, 0);
	assert_false(state_saved_instance(s, "gone", &row));
	assert_string_equal(state_saved_fact(s, "scale.web"), "4");
	assert_null(state_saved_fact(s, "old"));
	state_forget_saved(s);
	assert_false(state_saved_instance(s, "web:3", &row));
	state_close(s, 10000);
	place_remove(&p);
}

static void
events_are_answered_oldest_first(void **unused)
{
	struct state_event e = {
		.at_ms = 1767323045678,
		.name = "web:0",
		.kind = "state",
		.from = "RUNNING",
		.to = "STOPPING",
		.reason = "a \"user\"",
		.actor_uid = 0,
		.actor_pid = 42,
		.actor_command = "supervisorctl stop web",
	};
	char *names[] = { (char[]){ "web:0" }, (char[]){ "web:1" }, NULL };
	struct state *s;
	char *json;

	(void)unused;
	s = open_with((struct state_options){ .keep_days = 36500 }, NULL);
	assert_int_equal(state_put_event(s, &e), 1);
	e = (struct state_event){
		.at_ms = 1767323045679, .kind = "reload", .actor_uid = -1
	};
	assert_int_equal(state_put_event(s, &e), 2);
	e.name = "db:0";
	assert_int_equal(state_put_event(s, &e), 3);

	json = ask(s, "events", NULL, 0, 0);
	assert_string_equal(json,
	    "[{\"seq\":1,\"at\":\"2026-01-02T03:04:05.678Z\",\"name\":\"web:0\","
	    "\"kind\":\"state\",\"from\":\"RUNNING\",\"to\":\"STOPPING\","
	    "\"reason\":\"a \\\"user\\\"\",\"actor\":{\"uid\":0,\"pid\":42,"
	    "\"command\":\"supervisorctl stop web\"}},"
	    "{\"seq\":2,\"at\":\"2026-01-02T03:04:05.679Z\",\"name\":null,"
	    "\"kind\":\"reload\",\"from\":null,\"to\":null,\"reason\":null,"
	    "\"actor\":null},"
	    "{\"seq\":3,\"at\":\"2026-01-02T03:04:05.679Z\",\"name\":\"db:0\","
	    "\"kind\":\"reload\",\"from\":null,\"to\":null,\"reason\":null,"
	    "\"actor\":null}]");
	free(json);
	/* Of named instances: no rows of others, none of supervisord's. */
	json = ask(s, "events", names, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 1);
	assert_non_null(strstr(json, "\"seq\":1,"));
	free(json);
	/* The newest so many; since a time. */
	json = ask(s, "events", NULL, 0, 2);
	assert_int_equal(strncmp(json, "[{\"seq\":2,", 10), 0);
	assert_int_equal(count_of(json, "\"seq\""), 2);
	free(json);
	json = ask(s, "events", NULL, 1767323045679, 0);
	assert_int_equal(count_of(json, "\"seq\""), 2);
	free(json);
	names[0] = names[1] = NULL;
	json = ask(s, "events", names, 0, 0);
	assert_string_equal(json, "[]");
	free(json);
	assert_int_equal(
	    state_ask(s, &(struct state_question){ .what = "weather" }),
	    -EINVAL);
	state_close(s, 10000);
}

static void
history_has_exits_with_their_last_lines(void **unused)
{
	struct state_exit e = {
		.key = 99,
		.name = "web:0",
		.pid = 77,
		.started_ms = 1767323045678,
		.ended_ms = 1767323045978,
		.duration_ms = 300,
		.code = -1,
		.signo = SIGSEGV,
		.core = true,
		.cause = "killed by SIGSEGV (core dumped)",
		.user_us = 1500000,
		.system_us = 2000,
		.maxrss_kb = 4096,
	};
	char *names[] = { (char[]){ "web:0" }, NULL };
	struct place p;
	struct state *s;
	char *json;

	(void)unused;
	place_make(&p);
	s = open_with((struct state_options){ .keep_days = 36500 }, p.dir);
	state_put_exit(s, &e);
	state_put_exit(s, &e); /* told twice: stored once */
	put_exit(s, 0, "db:0", 5);
	put_exit(s, 0, "db:0", 5);
	state_put_last_lines(s, "web:0", 77, "boom\n\xff");
	json = ask(s, "history", names, 0, 0);
	assert_string_equal(json,
	    "[{\"name\":\"web:0\",\"pid\":77,"
	    "\"started_at\":\"2026-01-02T03:04:05.678Z\","
	    "\"ended_at\":\"2026-01-02T03:04:05.978Z\",\"duration\":0.3,"
	    "\"exit\":{\"code\":null,\"signal\":\"SIGSEGV\",\"core\":true},"
	    "\"cause\":\"killed by SIGSEGV (core dumped)\",\"user\":1.5,"
	    "\"system\":0.002,\"maxrss_kb\":4096,"
	    "\"last_lines\":\"boom\\n\xef\xbf\xbd\"}]");
	free(json);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM exits"), 3);
	s = open_at(p.dir);
	json = ask(s, "history", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"name\""), 3);
	assert_non_null(strstr(json, "\"exit\":{\"code\":1,\"signal\":null,"
				     "\"core\":false}"));
	free(json);
	state_close(s, 10000);
	place_remove(&p);
}

static void
a_run_that_did_not_end_in_order_is_told(void **unused)
{
	uint64_t incarnation, run = UINT64_MAX - 1;
	struct place p;
	struct state *s;
	bool clean;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	state_begin(s, run, 10, "0.1.0", "boot", &clean, &incarnation);
	assert_true(clean); /* there was none before */
	assert_int_equal(incarnation, 1);
	state_close(s, 10000);

	/* The master came back, under the same guardian. */
	s = open_at(p.dir);
	state_begin(s, run, 11, "0.1.0", "boot", &clean, &incarnation);
	assert_true(clean);
	assert_int_equal(incarnation, 2);
	state_close(s, 10000);

	s = open_at(p.dir);
	state_begin(s, 5, 12, "0.1.0", "boot", &clean, &incarnation);
	assert_false(clean);
	assert_int_equal(incarnation, 3);
	state_end(s, true, "shutdown");
	state_close(s, 10000);

	s = open_at(p.dir);
	state_begin(s, 6, 13, "0.1.0", "boot", &clean, &incarnation);
	assert_true(clean);
	assert_int_equal(incarnation, 4);
	state_close(s, 10000);
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM incarnations WHERE "
			      "in_order = 1 AND why = 'shutdown' AND id = 3"),
	    1);
	place_remove(&p);
}

static void
sequence_numbers_go_on_after_a_reopen(void **unused)
{
	struct place p;
	struct state *s;
	uint64_t last;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	put_event(s, "a", NULL);
	last = put_event(s, "b", NULL);
	state_close(s, 10000);
	s = open_at(p.dir);
	assert_true(put_event(s, "c", NULL) > last);
	state_close(s, 10000);
	place_remove(&p);
}

static void
rows_are_bounded_by_number_and_age(void **unused)
{
	struct state_options o = { .keep_events = 100, .keep_exits = 10 };
	struct place p;
	struct state *s;
	uint64_t last = 0;
	char text[16], *json;

	(void)unused;
	place_make(&p);
	s = open_with(o, p.dir);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof text, "w:%d", i);
		put_exit(s, 0, text, i);
		last = put_event(s, text, NULL);
		if (i % 300 == 0)
			until_committed(s, last);
	}
	json = ask(s, "events", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"seq\""), 100);
	assert_non_null(strstr(json, "\"w:999\""));
	free(json);
	json = ask(s, "history", NULL, 0, 0);
	assert_int_equal(count_of(json, "\"duration\""), 10);
	free(json);
	state_close(s, 10000);
	place_remove(&p);
}

static void
rows_older_than_keep_days_go(void **unused)
{
	struct state_event old = {
		.at_ms = 1000, .kind = "old", .actor_uid = -1
	};
	struct place p;
	struct state *s;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	/* The first commit looks for age; these are its own rows. */
	for (int i = 0; i < 20; i++)
		state_put_event(s, &old);
	put_event(s, "new", NULL);
	state_close(s, 10000);
	assert_int_equal(number_in(p.file, "SELECT count(*) FROM events"), 1);
	place_remove(&p);
}

static void
the_sqlite3_program_reads_meanwhile(void **unused)
{
	char command[PATH_MAX + 512], line[256] = "";
	struct place p;
	struct state *s;
	FILE *f;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	put_exit(s, 1, "web:0", 9);
	until_committed(s, put_event(s, "web:0", "it \xc3\xa9"));
	snprintf(command, sizeof command,
	    "command -v sqlite3 >/dev/null || exit 99; sqlite3 '%s' \"SELECT"
	    " (SELECT reason FROM recent_events), (SELECT cause FROM history),"
	    " (SELECT at LIKE '20__-__-__T__:__:__.___Z' FROM recent_events)\"",
	    p.file);
	f = popen(command, "re");
	assert_non_null(f);
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	if (pclose(f) == 99 << 8) {
		state_close(s, 10000);
		place_remove(&p);
		SKIP_BECAUSE("no sqlite3 program here");
	}
	assert_string_equal(line, "it \xc3\xa9|exited 1|1\n");
	assert_null(state_health(s));
	until_committed(s, put_event(s, "web:0", "after"));
	assert_null(state_health(s));
	state_close(s, 10000);
	place_remove(&p);
}

static void
a_long_reader_breaks_nothing(void **unused)
{
	sqlite3_stmt *reading;
	struct place p;
	struct state *s;
	sqlite3 *db;
	uint64_t last = 0;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	put_event(s, "web:0", NULL);
	until_committed(s, put_event(s, "web:0", NULL));
	db = look(p.file);
	sqlite3_prepare_v2(db, "SELECT * FROM events", -1, &reading, NULL);
	assert_int_equal(sqlite3_step(reading), SQLITE_ROW);
	for (int i = 0; i < 40; i++) {
		for (int n = 0; n < 500; n++)
			last = put_exit(s, 0, "web:0", n);
		until_committed(s, last);
	}
	assert_null(state_health(s));
	assert_int_equal(sqlite3_step(reading), SQLITE_ROW);
	assert_int_equal(sqlite3_step(reading), SQLITE_DONE);
	sqlite3_finalize(reading);
	assert_int_equal(number(db, "SELECT count(*) FROM exits"), 20000);
	sqlite3_close(db);
	state_close(s, 10000);
	place_remove(&p);
}

/* Puts events for ever, and says into fd how far they are committed. */
static void
write_until_killed(const char *dir, int fd)
{
	struct state_options o = { .dir = dir };
	struct state_news n;
	struct state *s;

	if (state_open(&o, &s) < 0)
		_exit(1);
	for (;;) {
		struct pollfd p = { .fd = state_fd(s), .events = POLLIN };

		for (int i = 0; i < 50; i++)
			put_event(s, "web:0", "some words");
		state_flush(s);
		poll(&p, 1, 20);
		while (state_poll(s, &n) != STATE_NOTHING)
			if (n.said == STATE_COMMITTED &&
			    write(fd, &n.committed, sizeof n.committed) !=
				sizeof n.committed)
				_exit(1);
	}
}

static void
what_was_committed_is_there_after_kill_9(void **unused)
{
	uint64_t first = 1, told = 0, one;
	struct place p;

	(void)unused;
	place_make(&p);
	for (int round = 0; round < 15; round++) {
		int fds[2], messages = 0, r;
		pid_t pid;

		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0)
			write_until_killed(p.dir, fds[1]);
		close(fds[1]);
		while (
		    messages <= round * 2 &&
		    (r = (int)read(fds[0], &one, sizeof one)) == sizeof one) {
			told = one;
			messages++;
		}
		kill(pid, SIGKILL);
		while (read(fds[0], &one, sizeof one) == sizeof one)
			told = one;
		close(fds[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		{
			char sql[128];

			snprintf(sql, sizeof sql,
			    "SELECT count(*) FROM events WHERE seq BETWEEN "
			    "%llu AND %llu",
			    (unsigned long long)first,
			    (unsigned long long)told);
			assert_int_equal(
			    number_in(p.file, sql), told - first + 1);
		}
		first =
		    (uint64_t)number_in(p.file, "SELECT max(seq) FROM events") +
		    1;
	}
	assert_int_equal(
	    number_in(p.file, "SELECT count(*) FROM pragma_integrity_check"
			      " WHERE integrity_check <> 'ok'"),
	    0);
	place_remove(&p);
}

static void
count_one(const struct state_saved *row, void *arg)
{
	assert_non_null(row->name);
	++*(int *)arg;
}

static void
ten_thousand_instances_are_read_quickly(void **unused)
{
	const struct state_saved *row;
	struct place p;
	struct state *s;
	int64_t start;
	char name[32];
	int n = 0;

	(void)unused;
	place_make(&p);
	s = open_at(p.dir);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "web:%d", i);
		put_instance(s, name, true);
	}
	state_close(s, 60000);
	start = clock_mono();
	s = open_at(p.dir);
	print_message(
	    "opened in %lld us\n", (long long)(clock_mono() - start) / 1000);
	state_each_saved(s, count_one, &n);
	assert_int_equal(n, 10000);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "web:%d", i);
		assert_true(state_saved_instance(s, name, &row));
		assert_string_equal(row->name, name);
	}
	state_close(s, 10000);
	place_remove(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_committed_is_there_after_kill_9),
		cmocka_unit_test(an_instance_comes_back_as_it_was_put),
		cmocka_unit_test(events_are_answered_oldest_first),
		cmocka_unit_test(history_has_exits_with_their_last_lines),
		cmocka_unit_test(a_run_that_did_not_end_in_order_is_told),
		cmocka_unit_test(sequence_numbers_go_on_after_a_reopen),
		cmocka_unit_test(rows_are_bounded_by_number_and_age),
		cmocka_unit_test(rows_older_than_keep_days_go),
		cmocka_unit_test(the_sqlite3_program_reads_meanwhile),
		cmocka_unit_test(a_long_reader_breaks_nothing),
		cmocka_unit_test(ten_thousand_instances_are_read_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
