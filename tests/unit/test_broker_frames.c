/* tasks.sock: clients that speak frames. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/clients_rig.h"

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
	assert_int_equal(b.clients->conns.count, 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_submit_and_hear_the_result),
		TEST(bad_submits_are_refused_by_their_tag),
		TEST(what_is_no_frame_ends_the_connection),
		TEST(large_bodies_come_and_go_in_pieces),
		TEST(too_large_a_payload_is_swallowed_and_refused),
		TEST(a_call_in_a_frame_is_answered_in_one),
		TEST(who_does_not_read_is_not_read_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
