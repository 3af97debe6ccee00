/* The runtime's reading and writing of frames: workers/runtime/frames.c and
 * outbox.c, fed to each other. */

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/runtime/frames.h"
#include "workers/runtime/outbox.h"

static struct frames in;
static struct outbox out;

static int
set_up(void **state)
{
	(void)state;
	memset(&out, 0, sizeof out);
	return frames_init(&in);
}

static int
tear_down(void **state)
{
	(void)state;
	frames_done(&in);
	outbox_done(&out);
	return 0;
}

static void
feed(const void *data, size_t size)
{
	size_t room;
	void *to = frames_room(&in, &room);

	assert_true(room >= size);
	memcpy(to, data, size);
	frames_fill(&in, size);
}

static void
feed_frame(
    uint8_t type, uint8_t flags, uint64_t id, const void *body, size_t size)
{
	struct wire_head head = { (uint32_t)size, type, flags, 0, id };
	uint8_t bytes[WIRE_HEAD];

	wire_put_head(bytes, &head);
	feed(bytes, sizeof bytes);
	feed(body, size);
}

/* The most there is to send, into the reader. */
static size_t
send_piece(void)
{
	size_t size;
	const uint8_t *piece = outbox_next(&out, &size);

	if (piece == NULL)
		return 0;
	assert_true(size <= WIRE_HEAD + WIRE_BODY);
	feed(piece, size);
	outbox_took(&out, size);
	return size;
}

static void
byte_by_byte_is_one_frame(void **state)
{
	struct wire_head head = { 3, WIRE_CANCEL, 0, 7, 12 };
	uint8_t bytes[WIRE_HEAD + 3] = { 0 };
	struct frame f;

	(void)state;
	wire_put_head(bytes, &head);
	memcpy(bytes + WIRE_HEAD, "abc", 3);
	for (size_t i = 0; i < sizeof bytes; i++) {
		assert_int_equal(frames_next(&in, &f), 0);
		feed(bytes + i, 1);
	}
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.id, 12);
	assert_int_equal(f.head.slot, 7);
	assert_memory_equal(f.body, "abc", 3);
	assert_int_equal(frames_next(&in, &f), 0);
}

static void
frame_larger_than_allowed_is_refused(void **state)
{
	struct wire_head head = { WIRE_BODY + 1, WIRE_TASK, 0, 0, 1 };
	uint8_t bytes[WIRE_HEAD];
	struct frame f;

	(void)state;
	wire_put_head(bytes, &head);
	feed(bytes, sizeof bytes);
	assert_int_equal(frames_next(&in, &f), -EPROTO);
}

static void
pieces_are_put_together_and_others_come_between(void **state)
{
	struct frame f;

	(void)state;
	feed_frame(WIRE_TASK, WIRE_MORE, 1, "ab", 2);
	feed_frame(WIRE_CANCEL, 0, 9, "", 0);
	feed_frame(WIRE_TASK, 0, 2, "whole", 5);
	feed_frame(WIRE_TASK, WIRE_LATER | WIRE_MORE, 1, "cd", 2);
	feed_frame(WIRE_TASK, WIRE_LATER, 1, "e", 1);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.type, WIRE_CANCEL);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.id, 2);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.id, 1);
	assert_int_equal(f.head.size, 5);
	assert_memory_equal(f.body, "abcde", 5);
	assert_int_equal(frames_next(&in, &f), 0);
}

static void
two_series_at_once_are_refused(void **state)
{
	struct frame f;

	(void)state;
	feed_frame(WIRE_TASK, WIRE_MORE, 1, "ab", 2);
	feed_frame(WIRE_TASK, WIRE_MORE, 2, "cd", 2);
	assert_int_equal(frames_next(&in, &f), -EPROTO);
}

static void
series_without_end_is_refused_at_its_limit(void **state)
{
	static uint8_t body[WIRE_BODY];
	struct frame f;
	int r = 0;

	(void)state;
	for (unsigned i = 0; i < 64 && r == 0; i++) {
		feed_frame(WIRE_TASK,
		    i > 0 ? WIRE_MORE | WIRE_LATER : WIRE_MORE, 1, body,
		    sizeof body);
		r = frames_next(&in, &f);
	}
	assert_int_equal(r, -EPROTO);
}

static void
sync_voids_a_series(void **state)
{
	struct frame f;

	(void)state;
	feed_frame(WIRE_TASK, WIRE_MORE, 1, "ab", 2);
	feed_frame(WIRE_SYNC, 0, 3, "", 0);
	feed_frame(WIRE_TASK, 0, 1, "new", 3);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.type, WIRE_SYNC);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_memory_equal(f.body, "new", 3);
}

static void
pieces_without_their_beginning_are_thrown_away(void **state)
{
	struct frame f;

	(void)state;
	feed_frame(WIRE_TASK, WIRE_MORE | WIRE_LATER, 1, "cd", 2);
	feed_frame(WIRE_TASK, WIRE_LATER, 1, "ef", 2);
	feed_frame(WIRE_TASK, WIRE_MORE, 1, "gh", 2);
	feed_frame(WIRE_TASK, WIRE_MORE, 1, "ij", 2);
	feed_frame(WIRE_TASK, WIRE_LATER, 1, "kl", 2);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.size, 4);
	assert_memory_equal(f.body, "ijkl", 4);
	assert_int_equal(frames_next(&in, &f), 0);
}

static void
task_is_taken_apart(void **state)
{
	struct wire_task head = { htole32(3), htole32(1500), htole16(4), 0, 0 };
	uint8_t body[sizeof head + 4 + 2];
	struct frame f = { .head = { sizeof body, WIRE_TASK, WIRE_JSON, 0, 8 },
		.body = body };
	struct frame_task t;

	(void)state;
	memcpy(body, &head, sizeof head);
	memcpy(body + sizeof head, "func42", 6);
	assert_int_equal(frames_task(&f, &t), 0);
	assert_int_equal(t.id, 8);
	assert_int_equal(t.attempt, 3);
	assert_int_equal(t.timeout_ms, 1500);
	assert_int_equal(t.func_size, 4);
	assert_memory_equal(t.func, "func", 4);
	assert_int_equal(t.size, 2);
	assert_memory_equal(t.payload, "42", 2);
	assert_true(t.is_json);
}

static void
task_that_lies_about_its_sizes_is_refused(void **state)
{
	struct wire_task head = { 1, 0, htole16(4), 0, 0 };
	uint8_t body[sizeof head + 4] = { 0 };
	struct frame f = { .head = { sizeof body, WIRE_TASK, 0, 0, 8 },
		.body = body };
	struct frame_task t;

	(void)state;
	memcpy(body, &head, sizeof head);
	assert_int_equal(frames_task(&f, &t), 0);
	f.head.size = sizeof body - 1;
	assert_int_equal(frames_task(&f, &t), -EPROTO);
	f.head.size = sizeof head - 1;
	assert_int_equal(frames_task(&f, &t), -EPROTO);
	f.head.size = 0;
	assert_int_equal(frames_task(&f, &t), -EPROTO);
}

static void
small_frames_go_in_one_send(void **state)
{
	struct frame f;

	(void)state;
	for (uint64_t id = 1; id <= 100; id++)
		assert_true(
		    outbox_frame(&out, WIRE_CANCEL, 0, 0, id, &id, sizeof id));
	assert_int_equal(send_piece(), 100 * (WIRE_HEAD + 8));
	assert_true(outbox_empty(&out));
	assert_int_equal(out.sent, out.added);
	for (uint64_t id = 1; id <= 100; id++) {
		assert_int_equal(frames_next(&in, &f), 1);
		assert_int_equal(f.head.id, id);
	}
	assert_int_equal(frames_next(&in, &f), 0);
}

static void
pieces_sent_end_at_a_frames_end(void **state)
{
	static uint8_t body[5000];
	struct frame f;
	int frames = 0;

	(void)state;
	for (uint64_t id = 1; id <= 50; id++)
		assert_true(outbox_frame(
		    &out, WIRE_CANCEL, 0, 0, id, body, sizeof body));
	while (send_piece() > 0) {
		while (frames_next(&in, &f) > 0)
			frames++;
		assert_int_equal(in.from, in.to);
	}
	assert_int_equal(frames, 50);
}

static void
large_body_comes_whole(void **state)
{
	size_t size = 300000;
	uint8_t *body = malloc(size);
	struct letter *l;
	struct frame f;
	int r = 0;

	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)(i * 7 / 3);
	assert_true(outbox_frame(&out, WIRE_CANCEL, 0, 0, 1, NULL, 0));
	l = letter_new(WIRE_TASK, WIRE_JSON, 5, 2, body, size);
	assert_non_null(l);
	outbox_add(&out, l);
	assert_true(outbox_frame(&out, WIRE_CANCEL, 0, 0, 3, NULL, 0));
	(void)send_piece();
	assert_int_equal(frames_next(&in, &f), 1);
	while (r == 0 && send_piece() > 0)
		r = frames_next(&in, &f);
	assert_int_equal(r, 1);
	assert_int_equal(f.head.size, size);
	assert_int_equal(f.head.slot, 5);
	assert_memory_equal(f.body, body, size);
	(void)send_piece();
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.id, 3);
	assert_true(outbox_empty(&out));
	free(body);
}

static void
body_of_nothing_and_of_one_frame(void **state)
{
	static uint8_t body[WIRE_BODY];
	struct frame f;

	(void)state;
	outbox_add(&out, letter_new(WIRE_TASK, 0, 0, 1, NULL, 0));
	outbox_add(&out, letter_new(WIRE_TASK, 0, 0, 2, body, sizeof body));
	assert_int_equal(send_piece(), WIRE_HEAD);
	assert_int_equal(send_piece(), WIRE_HEAD + WIRE_BODY);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.size, 0);
	assert_int_equal(frames_next(&in, &f), 1);
	assert_int_equal(f.head.flags, 0);
	assert_int_equal(f.head.size, WIRE_BODY);
}

static void
body_begun_starts_again(void **state)
{
	static uint8_t body[3 * WIRE_BODY];
	size_t first;

	(void)state;
	outbox_add(&out, letter_new(WIRE_DONE, 0, 0, 1, body, sizeof body));
	outbox_again(&out);
	first = send_piece();
	assert_int_equal(out.sent, first);
	(void)send_piece();
	outbox_again(&out);
	(void)send_piece();
	assert_int_equal(out.sent, first);
	while (send_piece() > 0) {
		size_t room;

		in.from = in.to;
		(void)frames_room(&in, &room);
	}
	assert_int_equal(out.sent, out.added);
}

static void
half_a_piece_taken_goes_on_where_it_was(void **state)
{
	size_t size, rest;
	const uint8_t *piece;

	(void)state;
	assert_true(outbox_frame(&out, WIRE_CANCEL, 0, 0, 1, "abcd", 4));
	piece = outbox_next(&out, &size);
	feed(piece, 5);
	outbox_took(&out, 5);
	piece = outbox_next(&out, &rest);
	assert_int_equal(rest, size - 5);
	feed(piece, rest);
	outbox_took(&out, rest);
	assert_null(outbox_next(&out, &rest));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(byte_by_byte_is_one_frame),
		TEST(frame_larger_than_allowed_is_refused),
		TEST(pieces_are_put_together_and_others_come_between),
		TEST(two_series_at_once_are_refused),
		TEST(series_without_end_is_refused_at_its_limit),
		TEST(sync_voids_a_series),
		TEST(pieces_without_their_beginning_are_thrown_away),
		TEST(task_is_taken_apart),
		TEST(task_that_lies_about_its_sizes_is_refused),
		TEST(small_frames_go_in_one_send),
		TEST(pieces_sent_end_at_a_frames_end),
		TEST(large_body_comes_whole),
		TEST(body_of_nothing_and_of_one_frame),
		TEST(body_begun_starts_again),
		TEST(half_a_piece_taken_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
