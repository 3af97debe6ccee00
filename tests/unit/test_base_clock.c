/* Two clocks, and how a wall time is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

static void
times_are_rfc_3339_in_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1, "1970-01-01T00:00:00.001Z" },
		{ 999, "1970-01-01T00:00:00.999Z" },
		{ 1767323045678, "2026-01-02T03:04:05.678Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -1000, "1969-12-31T23:59:59.000Z" },
		{ -1001, "1969-12-31T23:59:58.999Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char text[CLOCK_TEXT];

		assert_string_equal(
		    clock_format(cases[i].ms, text, sizeof text),
		    cases[i].text);
	}
}

static void
any_number_can_be_written(void **state)
{
	static const int64_t numbers[] = { INT64_MIN, INT64_MIN + 1, INT64_MAX,
		INT64_MAX - 999, INT64_MIN / 1000, INT64_MAX / 1000,
		-62135596800001 };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
		char text[CLOCK_TEXT];

		clock_format(numbers[i], text, sizeof text);
		assert_true(strlen(text) > 20);
		assert_int_equal(text[strlen(text) - 1], 'Z');
	}
}

static void
a_short_buffer_is_respected(void **state)
{
	char text[8];

	(void)state;
	assert_string_equal(clock_format(0, text, sizeof text), "1970-01");
}

static void
monotonic_time_never_goes_back(void **state)
{
	int64_t last = clock_mono();

	(void)state;
	assert_true(last > 0);
	for (int i = 0; i < 100000; i++) {
		int64_t now = clock_mono();

		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_wall_ms() > 1700000000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_rfc_3339_in_utc),
		cmocka_unit_test(any_number_can_be_written),
		cmocka_unit_test(a_short_buffer_is_respected),
		cmocka_unit_test(monotonic_time_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
