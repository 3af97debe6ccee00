/* The growing buffer: its text is always ended, its failure remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/buf.h"

#define TOO_MUCH ((size_t)-1 / 2)

/* The sanitizer's allocator would end the test where malloc returns NULL. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void
an_empty_one_is_the_empty_text(void **state)
{
	struct buf b;
	char *text;

	(void)state;
	buf_init(&b);
	assert_string_equal(buf_text(&b), "");
	text = buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	buf_consume(&b, 0);
	buf_add(&b, "", 0);
	assert_null(b.data);
	buf_done(&b);
}

static void
reserving_adds_nothing_to_the_text(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_true(buf_reserve(&b, 1000));
	assert_string_equal(buf_text(&b), "");
	memcpy(b.data, "read into it", 12);
	b.size = 12;
	assert_true(b.room - b.size > 900);
	buf_char(&b, '!');
	assert_string_equal(buf_text(&b), "read into it!");
	buf_done(&b);
}

static void
every_size_is_ended_by_a_nul(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	for (size_t n = 1; n <= 5000; n++) {
		buf_char(&b, 'x');
		assert_int_equal(b.size, n);
		assert_true(b.room > b.size);
		assert_int_equal(b.data[n], '\0');
	}
	assert_int_equal(strlen(buf_text(&b)), 5000);
	buf_done(&b);
	assert_null(b.data);
	assert_int_equal(b.size, 0);
}

static void
formatted_text_fits_at_every_length(void **state)
{
	struct buf b;

	(void)state;
	for (int n = 0; n < 600; n++) {
		buf_init(&b);
		buf_fmt(&b, "<%*s>", n, "");
		assert_int_equal(b.size, (size_t)n + 2);
		assert_int_equal(b.data[b.size - 1], '>');
		assert_int_equal(b.data[b.size], '\0');
		buf_done(&b);
	}
}

static void
bytes_are_taken_from_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_add(&b, "one\0two", 7);
	buf_consume(&b, 4);
	assert_string_equal(buf_text(&b), "two");
	buf_consume(&b, 3);
	assert_string_equal(buf_text(&b), "");
	buf_str(&b, "three");
	assert_string_equal(buf_text(&b), "three");
	buf_clear(&b);
	assert_string_equal(buf_text(&b), "");
	buf_done(&b);
}

static void
a_failure_is_remembered_until_cleared(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_str(&b, "before");
	assert_false(buf_reserve(&b, TOO_MUCH));
	assert_true(b.failed);
	buf_str(&b, "after");
	buf_fmt(&b, "%d", 7);
	buf_char(&b, 'c');
	assert_int_equal(b.size, 6);
	assert_null(buf_text(&b));
	buf_clear(&b);
	buf_str(&b, "again");
	assert_string_equal(buf_text(&b), "again");
	assert_false(buf_reserve(&b, TOO_MUCH));
	assert_null(buf_take(&b));
	assert_null(b.data); /* freed, and usable again */
	assert_false(b.failed);
}

static void
no_request_overflows(void **state)
{
	static const size_t huge[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2,
		SIZE_MAX / 2 + 1, SIZE_MAX - 255, SIZE_MAX - 256 };

	(void)state;
	for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
		struct buf b;

		buf_init(&b);
		assert_false(buf_reserve(&b, huge[i]));
		buf_clear(&b);
		buf_str(&b, "some");
		assert_false(buf_reserve(&b, huge[i]));
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_is_the_empty_text),
		cmocka_unit_test(reserving_adds_nothing_to_the_text),
		cmocka_unit_test(every_size_is_ended_by_a_nul),
		cmocka_unit_test(formatted_text_fits_at_every_length),
		cmocka_unit_test(bytes_are_taken_from_the_front),
		cmocka_unit_test(a_failure_is_remembered_until_cleared),
		cmocka_unit_test(no_request_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
