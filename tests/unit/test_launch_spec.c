/*
 * A launch spec is read from a book that may hold anything. The reader is
 * included, so that the sanitizers, which the code between clone and exec goes
 * without, see it here.
 */
#include "workers/launch/spec.c"

#include "tests/unit/guardian_rig.h"

static char scratch[16384];

static int
read_at(uint64_t at, struct spec *ret)
{
	/* A copy of just the book's size: a step beyond is noticed. */
	char *book = malloc(rig_book.size);
	struct launch_order o = { .book = book,
		.book_size = rig_book.size,
		.spec = at,
		.index = 4294967295U,
		.pid = 4194304,
		.scratch = scratch,
		.scratch_size = sizeof scratch };
	int error;

	assert_non_null(book);
	memcpy(book, rig_book.data, rig_book.size);
	error = spec_read(&o, ret);
	(void)launch_scratch(book, rig_book.size, at);
	for (unsigned i = 0; i < BOOK_SOCKETS + 1; i++) {
		const char *name = launch_socket(book, rig_book.size, at, i);

		assert_true(name == NULL || strlen(name) < sizeof rig_book);
		assert_true(name == NULL ||
			    i < launch_sockets(book, rig_book.size, at));
	}
	if (error == 0) {
		for (char **s = ret->argv; *s != NULL; s++)
			assert_true(strlen(*s) < sizeof rig_book.data);
		for (char **s = ret->envp; *s != NULL; s++)
			assert_true(strlen(*s) < sizeof rig_book.data);
	}
	free(book);
	return error;
}

static uint64_t
make_book(void)
{
	struct rig_spec s = { .argv = { "run", "--port", "80\x01",
				  "\x01-\x01\x01" },
		.envp = { "SUPERVISOR_INDEX=\x01", "HOME=/",
		    "LISTEN_PID=\x02" },
		.sockets = { "http", "https" },
		.directory = "/var/\x01",
		.path = "/bin",
		.umask = 022 };

	rig_book_begin();
	return rig_book_spec(&s);
}

static void
holes_are_filled_with_the_index(void **state)
{
	struct launch_order o = { .spec = make_book(),
		.index = 907,
		.pid = 4711,
		.scratch = scratch,
		.scratch_size = sizeof scratch };
	struct spec s;

	(void)state;
	o.book = rig_book.data;
	o.book_size = rig_book.size;
	assert_int_equal(spec_read(&o, &s), 0);
	assert_string_equal(s.argv[0], "run");
	assert_string_equal(s.argv[2], "80907");
	assert_string_equal(s.argv[3], "907-907907");
	assert_null(s.argv[4]);
	assert_string_equal(s.envp[0], "SUPERVISOR_INDEX=907");
	assert_string_equal(s.envp[1], "HOME=/");
	assert_string_equal(s.envp[2], "LISTEN_PID=4711");
	assert_null(s.envp[3]);
	assert_string_equal(s.directory, "/var/907");
	assert_string_equal(s.path, "/bin");
	assert_int_equal(s.umask, 022);
	/* What needs no filling is not copied. */
	assert_true(s.argv[0] >= rig_book.data &&
		    s.argv[0] < rig_book.data + rig_book.size);
	o.index = 0;
	assert_int_equal(spec_read(&o, &s), 0);
	assert_string_equal(s.argv[3], "0-00");
	/* Too little room is an error at any size, never an overrun. */
	for (size_t room = 0; room < 4500; room += 13) {
		int error;

		o.scratch_size = room;
		memset(scratch, 0x55, sizeof scratch);
		error = spec_read(&o, &s);
		assert_true(error == 0 || error == -E2BIG);
		for (size_t i = room; i < sizeof scratch; i++)
			assert_int_equal(scratch[i], 0x55);
	}
}

static void
only_a_marked_string_gets_the_pid(void **state)
{
	struct rig_spec s = { .argv = { "a\x02", "b\x02\x01\x02" },
		.umask = BOOK_NO_UMASK };
	struct launch_order o = { .index = 5,
		.pid = 77,
		.scratch = scratch,
		.scratch_size = sizeof scratch };
	struct spec got;
	uint32_t *refs;

	(void)state;
	rig_book_begin();
	o.spec = rig_book_spec(&s);
	refs = (void *)(rig_book.data + o.spec + sizeof(struct book_spec));
	refs[0] &= ~BOOK_PIDS;
	o.book = rig_book.data;
	o.book_size = rig_book.size;
	assert_int_equal(spec_read(&o, &got), 0);
	assert_string_equal(got.argv[0], "a\x02");
	assert_string_equal(got.argv[1], "b77577");
	refs[1] &= ~BOOK_PIDS;
	assert_int_equal(spec_read(&o, &got), 0);
	assert_string_equal(got.argv[1], "b\x02"
					 "5\x02");
}

static void
sockets_are_found_by_their_place(void **state)
{
	uint64_t at = make_book(), size = rig_book.size;
	struct book_spec *b = (void *)(rig_book.data + at);

	(void)state;
	assert_int_equal(launch_sockets(rig_book.data, size, at), 2);
	assert_string_equal(launch_socket(rig_book.data, size, at, 0), "http");
	assert_string_equal(launch_socket(rig_book.data, size, at, 1), "https");
	assert_null(launch_socket(rig_book.data, size, at, 2));
	assert_null(launch_socket(rig_book.data, size, at + 4, 0));
	assert_int_equal(launch_sockets(rig_book.data, size, at + 4), 0);
	b->sockets = BOOK_SOCKETS + 1;
	assert_int_equal(launch_sockets(rig_book.data, size + 4096, at), 0);
}

static void
any_bent_byte_is_an_error_or_harmless(void **state)
{
	uint64_t at = make_book();
	static struct rig_book good;
	struct spec s;

	(void)state;
	good = rig_book;
	for (size_t i = 0; i < good.size; i++) {
		const unsigned char bent[] = { 0, 1, 0x7f, 0x80, 0xff };

		for (size_t k = 0; k < N_ELEMENTS(bent); k++) {
			int error;

			rig_book = good;
			rig_book.data[i] = (char)bent[k];
			error = read_at(at, &s);
			assert_true(
			    error == 0 || error == -EPROTO || error == -E2BIG);
		}
	}
	for (uint64_t where = 0; where < good.size + 64; where++) {
		rig_book = good;
		(void)read_at(where, &s);
	}
	for (uint64_t size = sizeof(struct book_head); size < good.size;
	     size++) {
		rig_book = good;
		rig_book.size = size;
		assert_int_not_equal(read_at(at, &s), 0);
	}
	assert_int_equal(read_at(UINT64_MAX & ~7ULL, &s), -EPROTO);
}

static void
counts_that_overflow_are_refused(void **state)
{
	static const uint32_t counts[][3] = { { 0, 0, 0 }, { 0, 1, 0 },
		{ UINT32_MAX, UINT32_MAX, 1 }, { UINT32_MAX, 1, 0 },
		{ 1, UINT32_MAX, UINT32_MAX }, { 0x40000000, 0x40000000, 0 },
		{ 0x80000000, 0x80000000, 2 }, { 1, 1, UINT32_MAX },
		{ 1, 1, 40 }, { 1, 1, BOOK_SOCKETS + 1 } };
	uint64_t at = make_book();
	struct book_spec *b = (void *)(rig_book.data + at);
	struct spec s;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
		b->argc = counts[i][0];
		b->envc = counts[i][1];
		b->sockets = counts[i][2];
		assert_int_equal(read_at(at, &s), -EPROTO);
		assert_int_equal(
		    launch_scratch(rig_book.data, rig_book.size, at), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_are_filled_with_the_index),
		cmocka_unit_test(only_a_marked_string_gets_the_pid),
		cmocka_unit_test(sockets_are_found_by_their_place),
		cmocka_unit_test(any_bent_byte_is_an_error_or_harmless),
		cmocka_unit_test(counts_that_overflow_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
