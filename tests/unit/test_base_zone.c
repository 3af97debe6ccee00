/* Time zones, from files made here: what is in them, and what is refused. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/base/zone.h"
#include "tests/unit/zone_helper.h"

static int64_t
at(int64_t year, int month, int day, int hour, int minute)
{
	return zone_days(year, month, day) * 86400 + hour * 3600 + minute * 60;
}

static void
days_and_dates_are_each_others_inverse(void **state)
{
	int64_t year, last = 0;
	int month, day;

	(void)state;
	assert_int_equal(zone_days(1970, 1, 1), 0);
	assert_int_equal(zone_days(2000, 3, 1), 11017);
	assert_int_equal(zone_days(1969, 12, 31), -1);
	assert_int_equal(zone_days(0, 3, 1), -719468);
	for (int64_t d = -1000000; d < 1000000; d += 17) {
		zone_date(d, &year, &month, &day);
		assert_int_equal(zone_days(year, month, day), d);
		assert_true(year >= last || d == -1000000);
		last = year;
	}
}

static void
a_rule_says_when_the_clock_is_set(void **state)
{
	static const struct {
		const char *rule;
		int64_t t;
		int32_t offset;
	} cases[] = {
		{ "UTC0", 0, 0 },
		{ "<+0545>-5:45", 1000000000, 20700 },
		{ "<-03>3", -1000000000, -10800 },
		{ "XXX-1:02:03", 0, 3723 },
		/* Berlin 2026: 29 March, 25 October, each at 01:00 UTC */
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1774746000 - 1, 3600 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, 7200 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1792890000 - 1, 7200 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, 3600 },
		/* New York 2026: 8 March 07:00 UTC, 1 November 06:00 UTC */
		{ "EST5EDT,M3.2.0,M11.1.0", 1772953200 - 1, -18000 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1772953200, -14400 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1793512800 - 1, -14400 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1793512800, -18000 },
		/* Lord Howe, half an hour, over the turn of the year */
		{ "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 1767225600, 39600 },
		{ "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 1782864000, 37800 },
		/* Nuuk: times below 0 and beyond a day */
		{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774746000 - 1, -7200 },
		{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774746000, -3600 },
		{ "IST-2IDT,M3.4.4/26,M10.5.0", 1774569600 - 1, 7200 },
		{ "IST-2IDT,M3.4.4/26,M10.5.0", 1774569600, 10800 },
		/* summer time all the year, as RFC 8536 writes it */
		{ "EST5EDT,0/0,J365/25", 1767225600, -14400 },
		{ "EST5EDT,0/0,J365/25", 1767243600, -14400 },
		{ "EST5EDT,0/0,J365/25", 1782864000, -14400 },
		/* days of the year: J60 is the 1st of March, 59 the 60th day */
		{ "AAA0BBB,J60/0,J300", 1709164800, 0 },
		{ "AAA0BBB,J60/0,J300", 1709251200, 3600 },
		{ "AAA0BBB,59/0,J300", 1709164800, 3600 },
	};
	struct zone_span span;
	struct zone *z;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		z = zone_of_rule(cases[i].rule);
		zone_span(z, cases[i].t, &span);
		if (span.offset != cases[i].offset)
			fail_msg("%s at %lld: %d", cases[i].rule,
			    (long long)cases[i].t, span.offset);
		assert_true(span.from <= cases[i].t && cases[i].t < span.to);
		zone_free(z);
	}
}

static void
the_table_counts_before_the_rule(void **state)
{
	static const int64_t times[] = { -1000, 0, 1000, 1792890000 };
	static const uint8_t kinds[] = { 1, 2, 1, 0 };
	static const int32_t offsets[] = { 3600, 100, -200 };
	const struct tzif file = { times, kinds, 4, offsets, 3,
		"CET-1CEST,M3.5.0,M10.5.0/3" };
	struct zone *z = zone_of(&file);
	struct zone_span span;

	(void)state;
	zone_span(z, -1001, &span);
	assert_int_equal(span.offset, 3600);
	assert_true(span.from == INT64_MIN && span.to == -1000);
	zone_span(z, -1000, &span);
	assert_int_equal(span.offset, 100);
	zone_span(z, 999, &span);
	assert_int_equal(span.offset, -200);
	assert_int_equal(span.to, 1000);
	zone_span(z, 1000, &span);
	assert_int_equal(span.to, 1792890000);
	zone_span(z, 1792890000, &span);
	assert_int_equal(span.offset, 3600);
	assert_int_equal(span.from, 1792890000);
	/* 2027: 28 March */
	assert_int_equal(span.to, at(2027, 3, 28, 1, 0));
	zone_free(z);
}

static void
a_table_without_a_rule_ends_with_its_last_offset(void **state)
{
	static const int64_t times[] = { 100 };
	static const uint8_t kinds[] = { 1 };
	static const int32_t offsets[] = { 0, 7200 };
	const struct tzif file = { times, kinds, 1, offsets, 2, "" };
	struct zone *z = zone_of(&file);
	struct zone_span span;

	(void)state;
	zone_span(z, 4000000000, &span);
	assert_int_equal(span.offset, 7200);
	assert_true(span.from == 100 && span.to == INT64_MAX);
	zone_free(z);
	zone_span(NULL, 5, &span);
	assert_int_equal(span.offset, 0);
	assert_int_equal(zone_when(NULL, 5), 5);
}

static void
a_local_time_is_found(void **state)
{
	struct zone *z = zone_of_rule("CET-1CEST,M3.5.0,M10.5.0/3");

	(void)state;
	assert_int_equal(
	    zone_when(z, at(2026, 1, 1, 0, 0)), at(2025, 12, 31, 23, 0));
	assert_int_equal(
	    zone_when(z, at(2026, 7, 1, 0, 0)), at(2026, 6, 30, 22, 0));
	/* jumped over */
	assert_int_equal(
	    zone_when(z, at(2026, 3, 29, 1, 59)), at(2026, 3, 29, 0, 59));
	assert_int_equal(
	    zone_when(z, at(2026, 3, 29, 2, 0)), at(2026, 3, 29, 1, 0));
	assert_int_equal(
	    zone_when(z, at(2026, 3, 29, 2, 59)), at(2026, 3, 29, 1, 0));
	assert_int_equal(
	    zone_when(z, at(2026, 3, 29, 3, 0)), at(2026, 3, 29, 1, 0));
	/* twice: the first */
	assert_int_equal(
	    zone_when(z, at(2026, 10, 25, 2, 30)), at(2026, 10, 25, 0, 30));
	assert_int_equal(
	    zone_when(z, at(2026, 10, 25, 3, 0)), at(2026, 10, 25, 2, 0));
	/* far away, where nothing overflows */
	zone_when(z, INT64_MAX);
	zone_when(z, INT64_MIN);
	zone_free(z);
}

/* --- what is refused
 * ---------------------------------------------------------- */

static void
names_lead_nowhere_else(void **state)
{
	static const char *const names[] = { "", "/etc/passwd", "..",
		"../zoneinfo/UTC", "Europe//Berlin", "Europe/", "a.b", "a b",
		"Europe/Berlin\n" };
	struct zone *z = NULL;
	char longest[300];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		assert_int_equal(zone_load(names[i], &z), -EINVAL);
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(zone_load(longest, &z), -EINVAL);
	setenv("TZDIR", "/nonexistent", 1);
	assert_int_equal(zone_load("Europe/Berlin", &z), -ENOENT);
	assert_int_equal(zone_load("UTC", &z), 0);
	zone_free(z);
	setenv("TZDIR", "/proc", 1);
	assert_int_equal(zone_load("self", &z), -ENOENT);
	assert_int_equal(zone_load("version/x", &z), -ENOENT);
	assert_int_equal(zone_load("version", &z), -EINVAL);
	unsetenv("TZDIR");
}

static void
rules_that_are_none_are_refused(void **state)
{
	static const char *const rules[] = { "CE-1", "CET", "CET-25",
		"CET-1:60", "CET-1CEST", "CET-1CEST,M3.5.0",
		"CET-1CEST,M13.5.0,J1", "CET-1CEST,M3.6.0,J1",
		"CET-1CEST,M3.0.0,J1", "CET-1CEST,M3.5.7,J1", "CET-1CEST,J0,J1",
		"CET-1CEST,366,J1", "CET-1CEST,J366,J1",
		"CET-1CEST,M3.5.0/168,J1", "CET-1CEST,M3.5.0,M10.5.0/3x",
		"<+01-1", "<+>-1", "1", "CET-", "CET-99999999999999999999" };
	struct tzif file = { NULL, NULL, 0, (const int32_t[]){ 0 }, 1, NULL };
	struct zone *z = NULL;
	unsigned char bytes[4096];
	size_t n;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rules); i++) {
		file.rule = rules[i];
		n = tzif_write(&file, bytes);
		if (zone_parse(bytes, n, &z) != -EINVAL)
			fail_msg("%s", rules[i]);
	}
}

/* Every file cut short, and every byte of one changed: an error or a zone that
 * can be asked, never more. */
static void
no_file_is_trusted(void **state)
{
	static const int64_t times[] = { -1000, 0, 1000 };
	static const uint8_t kinds[] = { 1, 2, 0 };
	static const int32_t offsets[] = { 3600, 100, -200 };
	const struct tzif file = { times, kinds, 3, offsets, 3,
		"CET-1CEST,M3.5.0,M10.5.0/3" };
	static const unsigned char flips[] = { 0x01, 0x80, 0xff };
	unsigned char bytes[4096], *copy;
	size_t n = tzif_write(&file, bytes);
	struct zone_span span;
	struct zone *z;

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		/* of exactly that size, for the sanitizer's eyes */
		copy = malloc(cut + 1);
		memcpy(copy, bytes, cut);
		assert_int_equal(zone_parse(copy, cut, &z), -EINVAL);
		free(copy);
	}
	for (size_t i = 0; i < 3 * n; i++) {
		bytes[i / 3] ^= flips[i % 3];
		if (zone_parse(bytes, n, &z) == 0) {
			for (int64_t t = -5000; t < 5000; t += 500) {
				zone_span(z, t, &span);
				zone_when(z, t);
			}
			zone_when(z, 1792890000);
			zone_free(z);
		}
		bytes[i / 3] ^= flips[i % 3];
	}
	assert_int_equal(zone_parse(bytes, n, &z), 0);
	zone_free(z);
}

static void
files_that_make_no_sense_are_refused(void **state)
{
	static const int64_t descending[] = { 5, 5 };
	static const uint8_t kinds[] = { 0, 0 }, unknown[] = { 0, 1 };
	static const int64_t times[] = { 5, 6 };
	static const int32_t offsets[] = { 0 }, far[] = { 26 * 3600 + 1 };
	const struct tzif cases[] = {
		{ descending, kinds, 2, offsets, 1, "" },
		{ times, unknown, 2, offsets, 1, "" },
		{ times, kinds, 2, far, 1, "" },
		{ times, kinds, 2, offsets, 0, "" },
	};
	unsigned char bytes[4096];
	struct zone *z;
	size_t n;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		n = tzif_write(&cases[i], bytes);
		assert_int_equal(zone_parse(bytes, n, &z), -EINVAL);
	}
	assert_int_equal(zone_parse("", 0, &z), -EINVAL);
	assert_int_equal(zone_parse("TZif", 4, &z), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_and_dates_are_each_others_inverse),
		cmocka_unit_test(a_rule_says_when_the_clock_is_set),
		cmocka_unit_test(the_table_counts_before_the_rule),
		cmocka_unit_test(
		    a_table_without_a_rule_ends_with_its_last_offset),
		cmocka_unit_test(a_local_time_is_found),
		cmocka_unit_test(names_lead_nowhere_else),
		cmocka_unit_test(rules_that_are_none_are_refused),
		cmocka_unit_test(no_file_is_trusted),
		cmocka_unit_test(files_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
