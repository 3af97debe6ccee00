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
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "supervisord/broker/clients.h"
#include "supervisord/broker/clients_int.h"
#include "tests/unit/broker_fake.h"

static struct broker b;
static char folder[64];

/* As the broker does when a turn of its loop ends. */
static void
turn(struct ev_loop *loop, ev_prepare *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
	clients_turn(&b);
}

static int
start(void **state)
{
	(void)state;
	memset(&b, 0, sizeof b);
	fake_reset();
	b.loop = ev_default_loop(0);
	peer_init(&b.guardian, b.loop, NULL, NULL, NULL);
	b.socket_mode = 0600;
	b.socket_group = (gid_t)-1;
	b.store_well = true;
	snprintf(folder, sizeof folder, "/tmp/svcliXXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(b.tasks_path, sizeof b.tasks_path, "%s/tasks.sock", folder);
	assert_int_equal(clients_new(&b, -1), 0);
	ev_prepare_init(&b.turn, turn);
	ev_prepare_start(b.loop, &b.turn);
	return 0;
}

static void
run(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(b.loop, EVRUN_NOWAIT);
}

static int
end(void **state)
{
	(void)state;
	run();
	ev_prepare_stop(b.loop, &b.turn);
	clients_free(&b);
	assert_int_equal(fake.waiting, 0);
	unlink(b.tasks_path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static int
client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, b.tasks_path, strlen(b.tasks_path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

/* All of it, the broker reading meanwhile. */
static void
say_bytes(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			run();
			continue;
		}
		assert_true(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

static void
say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* One line; "" when the connection has ended or nothing comes. */
static const char *
hear(int fd)
{
	static char line[3 << 20];
	size_t n = 0;

	for (int i = 0; i < 400; i++) {
		ssize_t got;

		ev_run(b.loop, EVRUN_NOWAIT);
		while ((got = recv(fd, line + n, 1, 0)) == 1) {
			if (line[n++] == '\n') {
				line[n] = '\0';
				return line;
			}
		}
		if (got == 0)
			break;
	}
	line[n] = '\0';
	return line;
}

static const char *
ask(int fd, const char *text)
{
	say(fd, text);
	say(fd, "\n");
	return hear(fd);
}

#define HAS(answer, part) assert_non_null(strstr(answer, part))

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
	char *big = malloc(CLIENT_LINE + 2);
	int fd = client();
	const char *answer;
	size_t size = 0;

	(void)state;
	memset(big, 'x', CLIENT_LINE + 2);
	memcpy(big, "{", 1);
	while (size < CLIENT_LINE + 2) {
		ssize_t n =
		    send(fd, big + size, CLIENT_LINE + 2 - size, MSG_NOSIGNAL);

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
	assert_int_equal(b.clients->count, 0);
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
	assert_int_equal(b.clients->count, 0);
	assert_int_equal(fake.waiting, 0);
	assert_int_equal(fake.last_id, 10);
}

/* --- frames --------------------------------------------------------------- */

struct frame {
	struct wire_head head;
	char body[WIRE_BODY + 1];
};

static void
say_frame(int fd, enum wire_type type, uint8_t flags, uint64_t id,
    const void *body, size_t size)
{
	char head[WIRE_HEAD];

	wire_put_head(head,
	    &(struct wire_head){ (uint32_t)size, (uint8_t)type, flags, 0, id });
	say_bytes(fd, head, sizeof head);
	if (size > 0)
		say_bytes(fd, body, size);
}

static bool
hear_bytes(int fd, void *to, size_t size)
{
	char *at = to;

	for (int i = 0; i < 100 && size > 0; i++) {
		ssize_t n = recv(fd, at, size, 0);

		if (n == 0)
			return false;
		if (n < 0) {
			ev_run(b.loop, EVRUN_NOWAIT);
			continue;
		}
		at += n;
		size -= (size_t)n;
	}
	return size == 0;
}

static bool
hear_frame(int fd, struct frame *f)
{
	char head[WIRE_HEAD];

	if (!hear_bytes(fd, head, sizeof head))
		return false;
	wire_get_head(head, &f->head);
	assert_true(f->head.size < sizeof f->body);
	if (!hear_bytes(fd, f->body, f->head.size))
		return false;
	f->body[f->head.size] = '\0';
	return true;
}

static int
framed_client(void)
{
	static struct frame f;
	int fd = client();

	say_frame(fd, WIRE_HELLO, 0, 0, "{\"hello\":1}", 11);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_HELLO);
	assert_string_equal(f.body, "{\"hello\":1}");
	return fd;
}

/* The body of a SUBMIT; its size. */
static size_t
make_submit(char *to, const struct wire_submit *w, const char *texts,
    const void *payload, size_t size)
{
	struct wire_submit h = *w;

	memcpy(to, &h, sizeof h);
	memcpy(to + sizeof h, texts, strlen(texts));
	if (size > 0)
		memcpy(to + sizeof h + strlen(texts), payload, size);
	return sizeof h + strlen(texts) + size;
}

static const struct wire_submit plain = { .priority = 1,
	.worker_size = 3,
	.func_size = 4,
	.retries = -1,
	.timeout_ms = -1 };

static void
frames_submit_and_hear_the_result(void **state)
{
	struct wire_submit w = plain;
	static struct frame f;
	char body[256];
	int fd = framed_client();
	size_t n;

	(void)state;
	w.flags = WIRE_WAIT;
	w.key_size = 2;
	w.limit_key_size = 1;
	w.delay_ms = 5;
	n = make_submit(body, &w, "webfuncKKL", "[1,\n2]", 6);
	say_frame(fd, WIRE_SUBMIT, WIRE_JSON, 4711, body, n);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_ACCEPTED);
	assert_int_equal(f.head.id, 1);
	assert_int_equal(f.head.size, 16);
	assert_int_equal(*(uint64_t *)(void *)f.body, 4711);
	assert_string_equal(fake.rows[0].func, "func");
	assert_string_equal(fake.rows[0].key, "KK");
	assert_string_equal(fake.rows[0].limit_key, "L");
	assert_string_equal(fake.rows[0].payload->data, "[1, 2]");
	assert_int_equal(fake.rows[0].timeout_ms, -1);
	fake_end(1, TASK_FAILED, "no luck", false);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_RESULT);
	assert_int_equal(f.head.id, 1);
	assert_int_equal(
	    ((struct wire_result *)(void *)f.body)->state, TASK_FAILED);
	assert_string_equal(f.body + sizeof(struct wire_result), "no luck");
	close(fd);
}

static void
bad_submits_are_refused_by_their_tag(void **state)
{
	static const struct {
		struct wire_submit w;
		const char *texts, *payload, *words;
		uint8_t flags;
	} cases[] = {
		{ { .worker_size = 200, .func_size = 4 }, "webfunc", "",
		    "bad-value: ", 0 },
		{ { .worker_size = 2, .func_size = 4 }, "wefunc", "",
		    "unknown-worker: ", 0 },
		{ { .worker_size = 0, .func_size = 4 }, "func", "",
		    "unknown-worker: ", 0 },
		{ { .worker_size = 3, .func_size = 0 }, "web", "",
		    "bad-value: \"func\" is empty", 0 },
		{ { .worker_size = 3, .func_size = 2 }, "web\x01x", "",
		    "bad-value: ", 0 },
		{ { .worker_size = 3, .func_size = 1, .priority = 3 }, "webf",
		    "", "bad-value: ", 0 },
		{ { .worker_size = 3, .func_size = 1, .retries = -2 }, "webf",
		    "", "bad-value: ", 0 },
		{ { .worker_size = 3, .func_size = 1, .delay_ms = UINT64_MAX },
		    "webf", "", "bad-value: ", 0 },
		{ { .worker_size = 3, .func_size = 1 }, "webf", "[1,",
		    "not-json: ", WIRE_JSON },
		{ { .worker_size = 3, .func_size = 1, .key_size = 300 }, "webf",
		    "", "bad-value: ", 0 },
	};

	int fd = framed_client();
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char body[256];
		size_t n = make_submit(body, &cases[i].w, cases[i].texts,
		    cases[i].payload, strlen(cases[i].payload));

		say_frame(fd, WIRE_SUBMIT, cases[i].flags, 100 + i, body, n);
		assert_true(hear_frame(fd, &f));
		assert_int_equal(f.head.type, WIRE_REFUSED);
		assert_int_equal(f.head.id, 100 + i);
		assert_memory_equal(
		    f.body + 4, cases[i].words, strlen(cases[i].words));
	}
	assert_int_equal(fake.last_id, 0);
	close(fd);
}

static void
what_is_no_frame_ends_the_connection(void **state)
{
	static struct frame f;
	char head[WIRE_HEAD];

	(void)state;
	for (int i = 0; i < 4; i++) {
		int fd = i == 0 ? client() : framed_client();

		if (i == 0)
			say_frame(fd, WIRE_SYNC, 0, 1, NULL, 0);
		else if (i == 1)
			say_frame(fd, 200, 0, 1, NULL, 0);
		else if (i == 2)
			say_frame(fd, WIRE_SUBMIT, 0, 1, "short", 5);
		else {
			wire_put_head(head, &(struct wire_head){ WIRE_BODY + 1,
						WIRE_SUBMIT, 0, 0, 1 });
			say_bytes(fd, head, sizeof head);
		}
		assert_true(hear_frame(fd, &f));
		assert_int_equal(f.head.type, WIRE_REFUSED);
		assert_false(hear_frame(fd, &f));
		close(fd);
	}
	run();
	assert_int_equal(b.clients->count, 0);
}

static void
large_bodies_come_and_go_in_pieces(void **state)
{
	enum {
		PAYLOAD = 900000
	};

	char *body = malloc(PAYLOAD + 256), *big = malloc(2 * PAYLOAD);
	static struct frame f;
	struct wire_submit w = plain;
	int fd = framed_client();
	size_t n, got = 0;

	(void)state;
	w.flags = WIRE_WAIT;
	memset(big, 'z', 2 * PAYLOAD);
	n = make_submit(body, &w, "webfunc", big, PAYLOAD);
	for (size_t at = 0; at < n; at += 30000) {
		size_t piece = n - at < 30000 ? n - at : 30000;

		say_frame(fd, WIRE_SUBMIT,
		    (at > 0 ? WIRE_LATER : 0) |
			(at + piece < n ? WIRE_MORE : 0),
		    9, body + at, piece);
		/* Others come between. */
		say_frame(fd, WIRE_SYNC, 0, 5, NULL, 0);
		assert_true(hear_frame(fd, &f));
		if (at > 60000)
			break; /* SYNC voids it: from the start again. */
	}
	for (size_t at = 0; at < n; at += 30000) {
		size_t piece = n - at < 30000 ? n - at : 30000;

		say_frame(fd, WIRE_SUBMIT,
		    (at > 0 ? WIRE_LATER : 0) |
			(at + piece < n ? WIRE_MORE : 0),
		    9, body + at, piece);
	}
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_ACCEPTED);
	assert_int_equal(fake.rows[0].payload->size, PAYLOAD);
	big[2 * PAYLOAD - 1] = '\0';
	fake_end(1, TASK_DONE, big, false);
	do {
		assert_true(hear_frame(fd, &f));
		assert_int_equal(f.head.type, WIRE_RESULT);
		assert_int_equal((f.head.flags & WIRE_LATER) != 0, got > 0);
		got += f.head.size;
	} while (f.head.flags & WIRE_MORE);
	assert_int_equal(got, 2 * PAYLOAD - 1 + 8);
	free(big);
	free(body);
	close(fd);
}

static void
too_large_a_payload_is_swallowed_and_refused(void **state)
{
	static char body[30000];
	static struct frame f;
	int fd = framed_client();
	size_t n = make_submit(body, &plain, "webfunc", "", 0);

	(void)state;
	for (int i = 0; i < 50; i++)
		say_frame(fd, WIRE_SUBMIT,
		    (i > 0 ? WIRE_LATER : 0) | (i < 49 ? WIRE_MORE : 0), 3,
		    body, sizeof body);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_REFUSED);
	assert_memory_equal(f.body + 4, "too-large", 9);
	/* SYNC in pieces voids even itself. */
	say_frame(fd, WIRE_SYNC, WIRE_MORE, 1, "a", 1);
	say_frame(fd, WIRE_SUBMIT, WIRE_MORE, 2, body, n);
	say_frame(fd, WIRE_SYNC, WIRE_LATER, 1, "b", 1);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_SYNC);
	/* A piece without its beginning is nothing. */
	say_frame(fd, WIRE_SUBMIT, WIRE_LATER, 4, body, n);
	say_frame(fd, WIRE_SUBMIT, 0, 5, body, n);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_ACCEPTED);
	assert_int_equal(*(uint64_t *)(void *)f.body, 5);
	close(fd);
}

static void
a_call_in_a_frame_is_answered_in_one(void **state)
{
	static const char call[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"schedules\"}";
	static const char wrong[] =
	    "{\"id\":3,\"method\":\"cancel\",\"params\":{\"id\":5}}";
	uint64_t id = 1;
	static struct frame f;
	char body[64];
	int fd = framed_client();

	(void)state;
	say_frame(fd, WIRE_CALL, 0, 42, call, sizeof call - 1);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_ANSWER);
	assert_int_equal(f.head.id, 42);
	assert_string_equal(
	    f.body, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[]}");
	say_frame(fd, WIRE_CALL, 0, 43, wrong, sizeof wrong - 1);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_REFUSED);
	assert_int_equal(f.head.id, 43);
	assert_memory_equal(f.body + 4, "unknown-task: ", 14);
	say_frame(fd, WIRE_AWAIT, 0, 44, &id, sizeof id);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_REFUSED);
	assert_int_equal(f.head.id, 44);
	say_frame(fd, WIRE_SUBMIT, 0, 45, body,
	    make_submit(body, &plain, "webfunc", "", 0));
	assert_true(hear_frame(fd, &f));
	say_frame(fd, WIRE_AWAIT, 0, 46, &id, sizeof id);
	run();
	fake_end(1, TASK_DONE, "yes", false);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_RESULT);
	assert_string_equal(f.body + 8, "yes");
	close(fd);
}

static void
who_does_not_read_is_not_read_from(void **state)
{
	enum {
		MANY = 60000
	};

	char body[64], one[128];
	static struct frame f;
	size_t n = make_submit(body, &plain, "webfunc", "", 0), sent = 0,
	       size = n + WIRE_HEAD, total = size * MANY, got = 0;
	int fd = framed_client();

	(void)state;
	wire_put_head(
	    one, &(struct wire_head){ (uint32_t)n, WIRE_SUBMIT, 0, 0, 1 });
	memcpy(one + WIRE_HEAD, body, n);
	for (int idle = 0; sent < total && idle < 50;) {
		ssize_t w = send(fd, one + sent % size, size - sent % size,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w < 0) {
			run();
			idle++;
		} else {
			sent += (size_t)w;
			idle = 0;
		}
	}
	/* Answers fill its socket and then our limit: it is left alone. */
	assert_true(sent < total);
	assert_true(fake.last_id < MANY);
	while (got < MANY) {
		if (sent < total) {
			ssize_t w = send(fd, one + sent % size,
			    size - sent % size, MSG_NOSIGNAL | MSG_DONTWAIT);
			sent += w > 0 ? (size_t)w : 0;
		}
		assert_true(hear_frame(fd, &f));
		got++;
	}
	assert_int_equal(fake.last_id, MANY);
	close(fd);
}

/* --- who may -------------------------------------------------------------- */

static void
an_inherited_socket_is_used_again(void **state)
{
	struct stat before, after;
	int fd = client(), kept = dup(b.clients->fd);

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
		skip();
	fd = client();
	framed = framed_client();
	run();
	/* Root is always an admin: the connections are made a stranger's. */
	for (struct list *l = b.clients->all.next; l != &b.clients->all;
	     l = l->next) {
		struct client *c = LIST_ENTRY(l, struct client, link);

		c->may_look = c->may_change = false;
	}
	HAS(ask(fd, "{\"id\":1,\"method\":\"queue\"}"), "denied");
	say_frame(framed, WIRE_SUBMIT, 0, 1, body, n);
	assert_true(hear_frame(framed, &f));
	assert_memory_equal(f.body + 4, "denied", 6);
	for (struct list *l = b.clients->all.next; l != &b.clients->all;
	     l = l->next)
		LIST_ENTRY(l, struct client, link)->may_look = true;
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "result");
	HAS(ask(fd, "{\"id\":1,\"method\":\"pause\",\"params\":{\"worker\":"
		    "\"web\"}}"),
	    "denied");
	me = getuid();
	b.admin_uids = &me;
	b.admin_uids_count = 1;
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
	assert_int_equal(b.clients->count, N_ELEMENTS(fds));
	fd = client();
	HAS(ask(fd, "{\"id\":1,\"method\":\"schedules\"}"), "[]");
	close(fd);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		close(fds[i]);
	run();
	assert_int_equal(b.clients->count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

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
		TEST(frames_submit_and_hear_the_result),
		TEST(bad_submits_are_refused_by_their_tag),
		TEST(what_is_no_frame_ends_the_connection),
		TEST(large_bodies_come_and_go_in_pieces),
		TEST(too_large_a_payload_is_swallowed_and_refused),
		TEST(a_call_in_a_frame_is_answered_in_one),
		TEST(who_does_not_read_is_not_read_from),
		TEST(an_inherited_socket_is_used_again),
		TEST(strangers_get_an_error_and_viewers_may_look),
		TEST(a_thousand_idle_connections_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
