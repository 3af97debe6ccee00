/* Times as cron has them: reading them, and the next one in a time zone. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/cron.h"
#include "supervisord/base/util.h"
#include "tests/unit/skip.h"
#include "tests/unit/zone_helper.h"

#define BERLIN    "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK  "EST5EDT,M3.2.0,M11.1.0"
#define LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"

/* "2026-03-29 02:30" as it is in UTC; more digits are seconds. */
static int64_t
utc(const char *text)
{
	int y, mo, d, h, mi, s = 0;

	assert_true(
	    sscanf(text, "%d-%d-%d %d:%d:%d", &y, &mo, &d, &h, &mi, &s) >= 5);
	return zone_days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
}

static struct cron
cron_of(const char *text)
{
	struct cron c;
	char why[160];

	if (cron_parse(text, &c, why, sizeof why) < 0)
		fail_msg("%s: %s", text, why);
	return c;
}

static const struct {
	const char *text, *why;
} refused[] = {
	{ "", "0 fields, not 5: minute, hour, day of month, month, day of "
	      "week" },
	{ "*", "1 field, not 5: minute, hour, day of month, month, day of "
	       "week" },
	{ "0 0 0 * * *", "6 fields, not 5: minute, hour, day of month, month, "
			 "day of week" },
	{ "60 * * * *", "minute \"60\": not within 0 to 59" },
	{ "* 24 * * *", "hour \"24\": not within 0 to 23" },
	{ "* * 0 * *", "day of month \"0\": not within 1 to 31" },
	{ "* * 32 * *", "day of month \"32\": not within 1 to 31" },
	{ "* * * 13 *", "month \"13\": not within 1 to 12" },
	{ "* * * * 8", "day of week \"8\": not within 0 to 7" },
	{ "99999999999999999999 * * * *",
	    "minute \"99999999999999999999\": not within 0 to 59" },
	{ "-1 * * * *", "minute \"-1\": not a number, a range (1-5), a list "
			"(1,3) or a step (*/2) of them" },
	{ "* * * JUNE *", "month \"JUNE\": neither a number nor a name from "
			  "JAN to DEC" },
	{ "* * * * MO", "day of week \"MO\": neither a number nor a name from "
			"SUN to SAT" },
	{ "* * L * *", "day of month \"L\": not a number, a range (1-5), a "
		       "list (1,3) or a step (*/2) of them" },
	{ "* * ? * *", "day of month \"?\": not a number, a range (1-5), a "
		       "list (1,3) or a step (*/2) of them" },
	{ "30-10 * * * *", "minute \"30-10\": the range runs backwards" },
	{ "* * * * FRI-MON",
	    "day of week \"FRI-MON\": the range runs backwards" },
	{ "*/0 * * * *", "minute \"*/0\": a step of 0 leads nowhere" },
	{ "*/60 * * * *",
	    "minute \"*/60\": the step is larger than the range" },
	{ "*/ * * * *", "minute \"*/\": a number is missing behind the \"/\"" },
	{ "1, * * * *", "minute \"1,\": not a number, a range (1-5), a list "
			"(1,3) or a step (*/2) of them" },
	{ "1x * * * *", "minute \"1x\": not a number, a range (1-5), a list "
			"(1,3) or a step (*/2) of them" },
	{ "1-2-3 * * * *", "minute \"1-2-3\": not a number, a range (1-5), a "
			   "list (1,3) or a step (*/2) of them" },
	{ "@reboot", "\"@reboot\" is not @hourly, @daily, @weekly, @monthly "
		     "or @yearly" },
};

static void
what_is_no_time_is_refused_in_words(void **state)
{
	struct cron c;
	char why[160];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(refused); i++) {
		assert_int_equal(
		    cron_parse(refused[i].text, &c, why, sizeof why), -EINVAL);
		assert_string_equal(why, refused[i].why);
	}
	/* whatever the room for the reason is */
	assert_int_equal(cron_parse("60 * * * *", &c, why, 8), -EINVAL);
	assert_string_equal(why, "minute ");
}

static void
what_means_the_same_reads_the_same(void **state)
{
	static const char *const pairs[][2] = {
		{ "@hourly", "0 * * * *" },
		{ "@daily", "0 0 * * *" },
		{ "@midnight", " 0\t0 * * * " },
		{ "@weekly", "0 0 * * SUN" },
		{ "@monthly", "0 0 1 * *" },
		{ "@yearly", "0 0 1 JAN *" },
		{ "@ANNUALLY", "00 000 01 jan *" },
		{ "1 1 1 1 7", "1 1 1 1 0" },
		{ "1 1 1 1 5-7", "1 1 1 1 FRI,SAT,SUN" },
		{ "1 1 1 1 SAT-SUN", "1 1 1 1 0,6" },
		{ "1 1 1 1 0-7", "1 1 1 1 0-6" },
		{ "0-59/15 */6 * * *", "0,15,30,45 0,6,12,18 * * *" },
		{ "50/5 10-12,20 * * *", "50,55 10,11,12,20 * * *" },
		{ "0 0 1-31/10 JAN-DEC/5 *", "0 0 1,11,21,31 1,6,11 *" },
		{ "0 0 1 1 5/1", "0 0 1 1 5,6" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		struct cron a = cron_of(pairs[i][0]), b = cron_of(pairs[i][1]);

		if (a.minutes != b.minutes || a.hours != b.hours ||
		    a.days != b.days || a.months != b.months ||
		    a.weekdays != b.weekdays || a.either_day != b.either_day)
			fail_msg("%s is not %s", pairs[i][0], pairs[i][1]);
	}
}

/* All in UTC, as are the zones' times: `times` of the next ones. */
static const struct {
	const char *cron, *rule, *after;
	const char *times[4];
} cases[] = {
	/* strictly after */
	{ "* * * * *", NULL, "2026-01-01 00:00",
	    { "2026-01-01 00:01", "2026-01-01 00:02" } },
	{ "* * * * *", NULL, "2026-01-01 00:00:59",
	    { "2026-01-01 00:01", "2026-01-01 00:02" } },
	{ "0 3 * * *", NULL, "2026-12-31 03:00",
	    { "2027-01-01 03:00", "2027-01-02 03:00" } },
	{ "*/20 9-10 * * MON-FRI", NULL, "2026-11-20 10:40", /* a Friday */
	    { "2026-11-23 09:00", "2026-11-23 09:20", "2026-11-23 09:40",
		"2026-11-23 10:00" } },
	{ "59 23 31 12 *", NULL, "2026-12-31 23:59", { "2027-12-31 23:59" } },
	{ "0 0 31 * *", NULL, "2026-01-31 00:00",
	    { "2026-03-31 00:00", "2026-05-31 00:00" } },
	{ "* * * * *", NULL, "1969-12-31 23:58:30",
	    { "1969-12-31 23:59", "1970-01-01 00:00" } },
	/* leap years, the one that is left out included */
	{ "0 0 29 2 *", NULL, "2026-01-01 00:00",
	    { "2028-02-29 00:00", "2032-02-29 00:00" } },
	{ "0 0 29 2 *", NULL, "2096-02-29 00:00", { "2104-02-29 00:00" } },
	{ "0 0 29 FEB *", NULL, "1999-01-01 00:00", { "2000-02-29 00:00" } },
	{ "0 0 29 2 */7", NULL, "2032-03-01 00:00", /* a Sunday as well */
	    { "2060-02-29 00:00", "2088-02-29 00:00", "2128-02-29 00:00" } },
	/* Vixie's rule: the 13th or a Friday, and both where one is a "*" */
	{ "0 0 13 * FRI", NULL, "2026-03-01 00:00",
	    { "2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00",
		"2026-03-27 00:00" } },
	{ "0 0 13 * 5", NULL, "2026-06-11 00:00",
	    { "2026-06-12 00:00", "2026-06-13 00:00" } },
	{ "0 0 13 * *", NULL, "2026-06-12 00:00",
	    { "2026-06-13 00:00", "2026-07-13 00:00" } },
	{ "0 0 */10 * FRI", NULL, "2026-01-01 00:00", /* 1, 11, 21, 31 */
	    { "2026-05-01 00:00", "2026-07-31 00:00", "2026-08-21 00:00",
		"2026-09-11 00:00" } },
	/* Berlin: 29 March 2026, 02:00 to 03:00 is not there */
	{ "30 2 * * *", BERLIN, "2026-03-28 00:00",
	    { "2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30" } },
	{ "0 3 * * *", BERLIN, "2026-03-28 12:00",
	    { "2026-03-29 01:00", "2026-03-30 01:00" } },
	{ "30 2,3 * * *", BERLIN, "2026-03-29 00:00",
	    { "2026-03-29 01:00", "2026-03-29 01:30", "2026-03-30 00:30" } },
	{ "0 2,3 * * *", BERLIN, "2026-03-29 00:00", /* both at the jump */
	    { "2026-03-29 01:00", "2026-03-30 00:00" } },
	{ "*/30 * * * *", BERLIN, "2026-03-29 00:00",
	    { "2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30" } },
	/* 25 October 2026, 02:00 to 03:00 comes twice */
	{ "30 2 * * *", BERLIN, "2026-10-24 12:00",
	    { "2026-10-25 00:30", "2026-10-26 01:30" } },
	{ "30 2 * * *", BERLIN, "2026-10-25 01:00", /* the second 02:00 */
	    { "2026-10-26 01:30" } },
	{ "0 3 * * *", BERLIN, "2026-10-25 00:00",
	    { "2026-10-25 02:00", "2026-10-26 02:00" } },
	{ "*/30 * * * *", BERLIN, "2026-10-25 00:00",
	    { "2026-10-25 00:30", "2026-10-25 02:00" } },
	/* New York: 8 March, 1 November */
	{ "30 2 * * *", NEW_YORK, "2026-03-07 12:00",
	    { "2026-03-08 07:00", "2026-03-09 06:30" } },
	{ "30 1 * * *", NEW_YORK, "2026-10-31 12:00",
	    { "2026-11-01 05:30", "2026-11-02 06:30" } },
	{ "0 0 1 * *", NEW_YORK, "2026-02-15 00:00",
	    { "2026-03-01 05:00", "2026-04-01 04:00" } },
	/* Lord Howe: half an hour, at 02:00 on 4 October and 5 April */
	{ "15 2 * * *", LORD_HOWE, "2026-10-02 20:00",
	    { "2026-10-03 15:30", "2026-10-04 15:15" } },
	{ "30 2 * * *", LORD_HOWE, "2026-10-02 20:00",
	    { "2026-10-03 15:30", "2026-10-04 15:30" } },
	{ "45 1 * * *", LORD_HOWE, "2026-04-03 20:00",
	    { "2026-04-04 14:45", "2026-04-05 15:15" } },
	{ "0 12 * * *", LORD_HOWE, "2026-04-04 00:00",
	    { "2026-04-04 01:00", "2026-04-05 01:30" } },
	/* a day in a zone is not one in UTC */
	{ "0 5 * * MON", "<+0545>-5:45", "2026-11-20 00:00",
	    { "2026-11-22 23:15", "2026-11-29 23:15" } },
};

static void
the_next_times_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct cron c = cron_of(cases[i].cron);
		struct zone *z =
		    cases[i].rule != NULL ? zone_of_rule(cases[i].rule) : NULL;
		int64_t t = utc(cases[i].after);

		for (size_t n = 0; n < 4 && cases[i].times[n] != NULL; n++) {
			t = cron_next(&c, z, t);
			if (t != utc(cases[i].times[n]))
				fail_msg("%s after %s, time %zu: %lld, not %s",
				    cases[i].cron, cases[i].after, n,
				    (long long)t, cases[i].times[n]);
		}
		zone_free(z);
	}
}

static void
what_never_comes_is_said_to(void **state)
{
	static const char *const never[] = { "0 0 31 2 *", "0 0 30 FEB *",
		"0 0 31 4,6,9,11 *" };
	struct zone *z = zone_of_rule(BERLIN);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(never); i++) {
		struct cron c = cron_of(never[i]);

		assert_int_equal(cron_next(&c, NULL, 0), -1);
		assert_int_equal(cron_next(&c, z, utc("2026-11-22 20:00")), -1);
	}
	zone_free(z);
}

/* Each time is after the one before, from any moment, through any jump. */
static void
time_goes_forward(void **state)
{
	static const char *const texts[] = { "*/7 * * * *", "30 2 * * *",
		"0 0 * * *", "59 1-3 * * 0" };
	static const int64_t sets[] = { 0, 1000, 5000, 90000, 95000, 100000 };
	static const uint8_t kinds[] = { 1, 2, 3, 0, 2, 1 };
	static const int32_t offsets[] = { 0, 50400, -43200, 27 };
	const struct tzif odd = { sets, kinds, 6, offsets, 4, BERLIN };
	struct zone *z = zone_of(&odd);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		struct cron c = cron_of(texts[i]);

		for (int64_t t = -100000; t < 300000; t += 997) {
			int64_t next = cron_next(&c, z, t);

			assert_true(next > t);
			assert_true(next < t + 15 * 86400);
		}
	}
	assert_true(cron_next(&(struct cron){ 1, 1, 2, 2, 127, false }, z,
			INT64_MAX) == -1);
	assert_true(cron_next(&(struct cron){ 1, 1, 2, 2, 127, false }, z,
			INT64_MIN) > INT64_MIN);
	zone_free(z);
}

/* The system's own files, where they are. */
static void
the_systems_zones_agree(void **state)
{
	static const char *const names[][2] = { { "Europe/Berlin", BERLIN },
		{ "America/New_York", NEW_YORK },
		{ "Australia/Lord_Howe", LORD_HOWE } };
	struct cron c = cron_of("15 2 * * *");

	(void)state;
	unsetenv("TZDIR");
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		struct zone *z, *same = zone_of_rule(names[i][1]);
		int64_t t = utc("2024-01-01 00:00");

		if (zone_load(names[i][0], &z) < 0) {
			zone_free(same);
			SKIP_BECAUSE("no zone files here (tzdata)");
		}
		while (t < utc("2030-01-01 00:00")) {
			assert_int_equal(
			    cron_next(&c, z, t), cron_next(&c, same, t));
			t = cron_next(&c, z, t);
		}
		zone_free(z);
		zone_free(same);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_time_is_refused_in_words),
		cmocka_unit_test(what_means_the_same_reads_the_same),
		cmocka_unit_test(the_next_times_are_found),
		cmocka_unit_test(what_never_comes_is_said_to),
		cmocka_unit_test(time_goes_forward),
		cmocka_unit_test(the_systems_zones_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
