/*
 * tasks.sock with real clients: both framings, many requests at once, what is
 * malformed, too large, half sent, and clients that leave or do not read.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/clients_rig.h"
#include "tests/unit/skip.h"

/* --- lines ---------------------------------------------------------------- */

static void
a_task_is_submitted_and_looked_at(void **state)
{
	int fd = client();
	const char *answer;

	(void)state;
	answer = ask(fd,
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"submit\",\"params\":"
	    "{\"worker\":\"web\",\"func\":\"f\",\"args\":{\"a\":[1,2.5]},"
	    "\"priority\":\"high\",\"key\":\"k\"}}");
	assert_string_equal(answer,
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"id\":1,\"existed\":"
	    "false}}\n");
	assert_string_equal(fake.rows[0].func, "f");
	answer =
	    ask(fd, "{\"id\":\"x\",\"method\":\"task\",\"params\":{\"id\":1}}");
	HAS(answer, "\"id\":\"x\"");
	HAS(answer, "\"state\":\"queued\"");
	HAS(answer, "\"args\":{\"a\":[1,2.5]}");
	HAS(answer, "\"result\":null");
	HAS(answer, "\"priority\":\"high\"");
	close(fd);
}

static void
what_is_no_request_is_refused_in_words(void **state)
{
	static const struct {
		const char *line, *code, *words;
	} cases[] = {
		{ "{", "-32700", "not JSON" },
		{ "{\"id\":1,\"id\":2,\"method\":\"task\"}", "-32700", "" },
		{ "[]", "-32600", "batches" },
		{ "{\"id\":1}", "-32600", "not a request" },
		{ "{\"id\":{},\"method\":\"task\"}", "-32600", "" },
		{ "{\"id\":1,\"method\":\"dance\"}", "-32601",
		    "\\\"dance\\\"" },
		{ "{\"id\":1,\"method\":\"task\",\"params\":7}", "-32602",
		    "named" },
		{ "{\"id\":1,\"method\":\"task\"}", "-32602", "which task" },
		{ "{\"id\":1,\"method\":\"task\",\"params\":{\"id\":99}}", "4",
		    "no task 99" },
		{ "{\"id\":1,\"method\":\"task\",\"params\":{\"id\":-1}}",
		    "-32602", "" },
		{ "{\"id\":1,\"method\":\"cancel\",\"params\":{\"id\":99}}",
		    "4", "unknown-task" },
		{ "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		  "\"web\"}}",
		    "2", "which function" },
		{ "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		  "\"nope\",\"func\":\"f\"}}",
		    "4", "unknown-worker" },
		{ "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		  "\"web\",\"func\":\"f\",\"timout\":1}}",
		    "2", "timout" },
		{ "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		  "\"web\",\"func\":\"f\",\"wait\":1}}",
		    "-32602", "wait" },
		{ "{\"id\":1,\"method\":\"pause\"}", "-32602", "worker" },
		{ "{\"id\":1,\"method\":\"pause\",\"params\":{\"worker\":"
		  "\"web\",\"for\":-1}}",
		    "-32602", "for" },
		{ "{\"id\":1,\"method\":\"tasks\",\"params\":{\"state\":"
		  "\"happy\"}}",
		    "-32602", "state" },
		{ "{\"id\":1,\"method\":\"submit.group\",\"params\":{\"tasks\":"
		  "[]}}",
		    "-32602", "tasks" },
		{ "{\"id\":1,\"method\":\"submit.group\",\"params\":{\"tasks\":"
		  "[{\"worker\":\"web\",\"func\":\"f\"},{\"worker\":\"no\","
		  "\"func\":\"f\"}]}}",
		    "4", "task 1" },
		{ "{\"id\":1,\"method\":\"why\"}", "-32602", "why what" },
	};

	int fd = client();

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char code[40];
		const char *answer = ask(fd, cases[i].line);

		snprintf(code, sizeof code, "\"code\":%s,", cases[i].code);
		HAS(answer, code);
		HAS(answer, cases[i].words);
	}
	assert_int_equal(fake.last_id, 0);
	close(fd);
}

static void
waiting_is_told_progress_and_the_end(void **state)
{
	static char half[] = "half";
	int fd = client();
	const char *answer;

	(void)state;
	say(fd, "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		"\"web\",\"func\":\"f\",\"wait\":true}}\n");
	run();
	fake_progress(1, 500, half);
	answer = hear(fd);
	HAS(answer, "\"method\":\"progress\",\"params\":{\"id\":1,"
		    "\"share\":0.5,\"text\":\"half\"}");
	fake_end(1, TASK_DONE, "{\"a\":\n1}", true);
	answer = hear(fd);
	HAS(answer, "\"state\":\"done\"");
	HAS(answer, "\"result\":{\"a\": 1}");
	/* Who asks later hears the same at once. */
	HAS(ask(fd, "{\"id\":2,\"method\":\"task\",\"params\":{\"id\":1,"
		    "\"wait\":true}}"),
	    "\"state\":\"done\"");
	close(fd);
}

static void
a_result_that_is_no_json_breaks_no_line(void **state)
{
	int fd = client();
	const char *answer;

	(void)state;
	ask(fd, "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		"\"web\",\"func\":\"f\"}}");
	fake_end(1, TASK_DONE, "{oops\n", true);
	answer =
	    ask(fd, "{\"id\":1,\"method\":\"task\",\"params\":{\"id\":1}}");
	HAS(answer, "\"result\":{\"base64\":\"e29vcHMK\"}");
	close(fd);
}

static void
every_method_answers(void **state)
{
	static const struct {
		const char *line, *part;
	} cases[] = {
		{ "\"queue\"", "\"worker\":\"mail\"" },
		{ "\"queue\",\"params\":{\"worker\":\"web\"}",
		    "\"functions\":[\"f\",\"g\"]" },
		{ "\"queue\",\"params\":{\"worker\":\"web\"}",
		    "\"wait_p50\":1.500000" },
		{ "\"tasks\"", "\"result\":[{\"id\":1," },
		{ "\"tasks\",\"params\":{\"state\":\"queued\"}", "\"id\":1" },
		{ "\"tasks\",\"params\":{\"state\":[\"done\",\"dead\"]}",
		    "\"result\":[]" },
		{ "\"cancel\",\"params\":{\"id\":1}", "\"result\":{\"id\":1," },
		{ "\"requeue\",\"params\":{\"id\":1}", "wrong-state" },
		{ "\"pause\",\"params\":{\"worker\":\"web\",\"for\":1.5}",
		    "\"paused\":true" },
		{ "\"queue\",\"params\":{\"worker\":\"web\"}",
		    "\"paused_why\":\"by command, until 2" },
		{ "\"resume\",\"params\":{\"worker\":\"web\"}",
		    "{\"worker\":\"web\",\"paused\":false}" },
		{ "\"threads\"", "\"instance\":\"web:0\",\"thread\":1,"
				 "\"state\":\"task\",\"task\":12" },
		{ "\"threads\",\"params\":{\"targets\":[\"mail\"]}",
		    "\"result\":[]" },
		{ "\"threads\",\"params\":{\"targets\":\"web\"}",
		    "\"for\":4.2" },
		{ "\"why\",\"params\":{\"instance\":\"web:0\"}",
		    "Thread 1 has run task 12 (?) for 4.2s and is stuck" },
		{ "\"why\",\"params\":{\"task\":1}",
		    "Task 1 (f of web) is queued" },
		{ "\"why\",\"params\":{\"instance\":\"no:0\"}",
		    "unknown-worker" },
		{ "\"schedules\"", "\"result\":[]" },
		{ "\"submit.group\",\"params\":{\"tasks\":[{\"worker\":"
		  "\"web\",\"func\":\"f\"},{\"worker\":\"web\",\"func\":"
		  "\"g\"}],\"then\":{\"worker\":\"mail\",\"func\":\"h\"}}",
		    "{\"group\":77,\"ids\":[2,3]}" },
	};

	int fd = client();

	(void)state;
	ask(fd, "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		"\"web\",\"func\":\"f\"}}");
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char line[512];

		snprintf(line, sizeof line, "{\"id\":1,\"method\":%s}",
		    cases[i].line);
		HAS(ask(fd, line), cases[i].part);
	}
	close(fd);
}

static void
a_line_comes_in_any_pieces(void **state)
{
	static const char line[] = " \t{\"id\":1,\"method\":\"queue\"}\n\r\n\n";
	int fd = client();

	(void)state;
	/* The first byte must be '{'. */
	HAS(ask(fd, "{\"id\":0,\"method\":\"queue\"}"), "\"id\":0");
	for (size_t i = 0; i < sizeof line - 1; i++) {
		say_bytes(fd, line + i, 1);
		run();
	}
	HAS(hear(fd), "\"id\":1");
	close(fd);
}

static void
a_line_longer_than_a_mebibyte_ends_the_connection(void **state)
{
	char *big = malloc(CONN_LINE + 2);
	int fd = client();
	const char *answer;
	size_t size = 0;

	(void)state;
	memset(big, 'x', CONN_LINE + 2);
	memcpy(big, "{", 1);
	while (size < CONN_LINE + 2) {
		ssize_t n =
		    send(fd, big + size, CONN_LINE + 2 - size, MSG_NOSIGNAL);

		if (n < 0)
			break;
		size += (size_t)n;
		run();
	}
	answer = hear(fd);
	HAS(answer, "1 MiB");
	assert_int_equal(recv(fd, big, 1, 0), 0);
	free(big);
	close(fd);
}

static void
who_shuts_his_side_is_still_answered(void **state)
{
	int fd = client();

	(void)state;
	fake.later = true;
	say(fd, "{\"id\":1,\"method\":\"submit\",\"params\":{\"worker\":"
		"\"web\",\"func\":\"f\"}}\n{\"id\":2,\"meth");
	shutdown(fd, SHUT_WR);
	run();
	fake_commit(&b);
	HAS(hear(fd), "\"id\":1,\"existed\"");
	assert_string_equal(hear(fd), "");
	assert_int_equal(b.clients->conns.count, 0);
	close(fd);
}

static void
who_leaves_costs_nobody_anything(void **state)
{
	int fd = client();

	(void)state;
	fake.later = true;
	for (int i = 0; i < 10; i++)
		say(fd, "{\"id\":1,\"method\":\"submit\",\"params\":{"
			"\"worker\":\"web\",\"func\":\"f\",\"wait\":true}}\n");
	run();
	close(fd);
	/* The answers find nobody, and nobody waits for the ends. */
	run();
	fake_commit(&b);
	run();
	assert_int_equal(b.clients->conns.count, 0);
	assert_int_equal(fake.waiting, 0);
	assert_int_equal(fake.last_id, 10);
}

/* --- who may -------------------------------------------------------------- */

static void
an_inherited_socket_is_used_again(void **state)
{
	struct stat before, after;
	int fd = client(), kept = dup(b.clients->conns.fd);

	(void)state;
	assert_int_equal(stat(b.tasks_path, &before), 0);
	assert_int_equal(before.st_mode & 0777, 0600);
	run();
	clients_free(&b);
	assert_string_equal(hear(fd), "");
	close(fd);
	/* Who connects meanwhile waits in its queue. */
	fd = client();
	b.socket_mode = 0660;
	assert_int_equal(clients_new(&b, kept), 0);
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "[]");
	assert_int_equal(stat(b.tasks_path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode & 0777, 0660);
	close(fd);
	/* One whose name is gone is found by nobody: another is made. */
	unlink(b.tasks_path);
	clients_configure(&b);
	fd = client();
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "[]");
	close(fd);
}

static void
strangers_get_an_error_and_viewers_may_look(void **state)
{
	static uid_t me;
	static struct frame f;
	char body[64];
	int fd, framed;
	size_t n = make_submit(body, &plain, "webfunc", "", 0);

	(void)state;
	if (getuid() != 0)
		SKIP_BECAUSE("only root may be another user");
	fd = client();
	framed = framed_client();
	run();
	/* Root is always an admin: the connections are made a stranger's. */
	for (struct list *l = b.clients->conns.all.next;
	     l != &b.clients->conns.all; l = l->next) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		c->who.may_look = c->who.may_change = false;
	}
	HAS(ask(fd, "{\"id\":1,\"method\":\"queue\"}"), "denied");
	say_frame(framed, WIRE_SUBMIT, 0, 1, body, n);
	assert_true(hear_frame(framed, &f));
	assert_memory_equal(f.body + 4, "denied", 6);
	for (struct list *l = b.clients->conns.all.next;
	     l != &b.clients->conns.all; l = l->next)
		LIST_ENTRY(l, struct conn, link)->who.may_look = true;
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "result");
	HAS(ask(fd, "{\"id\":1,\"method\":\"pause\",\"params\":{\"worker\":"
		    "\"web\"}}"),
	    "denied");
	me = getuid();
	b.access.admins.uids = &me;
	b.access.admins.uids_count = 1;
	clients_configure(&b);
	HAS(ask(fd, "{\"id\":1,\"method\":\"pause\",\"params\":{\"worker\":"
		    "\"web\"}}"),
	    "true");
	close(fd);
	close(framed);
}

static void
a_thousand_idle_connections_are_fine(void **state)
{
	static int fds[1000];
	int fd;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
		fds[i] = client();
		run();
	}
	assert_int_equal(b.clients->conns.count, N_ELEMENTS(fds));
	fd = client();
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "[]");
	close(fd);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		close(fds[i]);
	run();
	assert_int_equal(b.clients->conns.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_task_is_submitted_and_looked_at),
		TEST(what_is_no_request_is_refused_in_words),
		TEST(waiting_is_told_progress_and_the_end),
		TEST(a_result_that_is_no_json_breaks_no_line),
		TEST(every_method_answers),
		TEST(a_line_comes_in_any_pieces),
		TEST(a_line_longer_than_a_mebibyte_ends_the_connection),
		TEST(who_shuts_his_side_is_still_answered),
		TEST(who_leaves_costs_nobody_anything),
		TEST(an_inherited_socket_is_used_again),
		TEST(strangers_get_an_error_and_viewers_may_look),
		TEST(a_thousand_idle_connections_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
