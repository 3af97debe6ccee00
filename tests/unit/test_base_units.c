/* Durations, sizes and signals as people write them. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"

#define DAY (86400 * NS_PER_SEC)

struct number {
	const char *text;
	int result;
	int64_t value;
};

static void
check(int (*parse)(const char *, int64_t *), const struct number *n)
{
	int64_t value = -7;
	int r = parse(n->text, &value);

	if (r != n->result || value != (r == 0 ? n->value : -7))
		fail_msg("\"%s\": %d, %" PRId64, n->text, r, value);
}

static void
durations_are_read(void **state)
{
	static const struct number cases[] = {
		{ "0", 0, 0 },
		{ "1", 0, NS_PER_SEC },
		{ "1.5", 0, 1500 * NS_PER_MS },
		{ "250ms", 0, 250 * NS_PER_MS },
		{ "7us", 0, 7000 },
		{ "10s", 0, 10 * NS_PER_SEC },
		{ "5m", 0, 300 * NS_PER_SEC },
		{ "2h", 0, 7200 * NS_PER_SEC },
		{ "1d", 0, DAY },
		{ "0.5d", 0, DAY / 2 },
		{ ".5s", 0, NS_PER_SEC / 2 },
		{ "5.s", 0, 5 * NS_PER_SEC },
		{ "0.000000001", 0, 1 },
		{ "0.0000000001", 0, 0 },
		{ "0.1us", 0, 100 },
		{ "1.000000001s", 0, NS_PER_SEC + 1 },
		{ "1.9999999999999999999999999999s", 0, 1999999999 },
		{ "00000000000000000000000000000010s", 0, 10 * NS_PER_SEC },
		{ "36600d", 0, 36600 * DAY },
		{ "36600.1d", -ERANGE, 0 },
		{ "36601d", -ERANGE, 0 },
		{ "99999999999999999999999999999999999999999999d", -ERANGE, 0 },
		{ "-1s", -ERANGE, 0 },
		{ "-0", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ ".s", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "--1", -EINVAL, 0 },
		{ "-s", -EINVAL, 0 },
		{ "+1s", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "10 s", -EINVAL, 0 },
		{ " 10s", -EINVAL, 0 },
		{ "10s ", -EINVAL, 0 },
		{ "10S", -EINVAL, 0 },
		{ "10sec", -EINVAL, 0 },
		{ "1h30m", -EINVAL, 0 },
		{ "1e5", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1,5s", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "10K", -EINVAL, 0 },
		{ "1\xc2\xb5s", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		check(units_duration, &cases[i]);
}

static void
sizes_are_read(void **state)
{
	static const struct number cases[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "1B", 0, 1 },
		{ "64K", 0, 64 << 10 },
		{ "1.5K", 0, 1536 },
		{ "512M", 0, 512 << 20 },
		{ "2G", 0, 2LL << 30 },
		{ "1T", 0, 1LL << 40 },
		{ "1024T", 0, 1LL << 50 },
		{ "1125899906842623", 0, (1LL << 50) - 1 },
		{ "1025T", -ERANGE, 0 },
		{ "1125899906842625", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "18446744073709551616T", -ERANGE, 0 },
		{ "-1K", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "64k", -EINVAL, 0 },
		{ "64KB", -EINVAL, 0 },
		{ "64KiB", -EINVAL, 0 },
		{ "64 K", -EINVAL, 0 },
		{ "10s", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		check(units_size, &cases[i]);
}

static void
a_duration_is_written_in_its_shortest_form(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 250 * NS_PER_MS, "250ms" },
		{ NS_PER_SEC, "1s" },
		{ 1500 * NS_PER_MS, "1.5s" },
		{ 1001 * NS_PER_MS, "1.001s" },
		{ 90 * NS_PER_SEC, "90s" },
		{ 300 * NS_PER_SEC, "5m" },
		{ 7200 * NS_PER_SEC, "2h" },
		{ 2 * DAY, "2d" },
		{ 1500000, "1500us" },
		{ 1, "0.000000001s" },
		{ NS_PER_SEC + 1, "1.000000001s" },
		{ -250 * NS_PER_MS, "-250ms" },
		{ -1500 * NS_PER_MS, "-1.5s" },
		{ INT64_MIN, "-9223372036.854775808s" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char text[UNITS_TEXT];

		units_format_duration(cases[i].ns, text, sizeof text);
		assert_string_equal(text, cases[i].text);
	}
}

static void
what_is_written_reads_back(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		char text[UNITS_TEXT];
		int64_t ns, back;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		ns = (int64_t)((seed >> 1) % (uint64_t)(36600 * DAY));
		ns >>= seed % 60;
		units_format_duration(ns, text, sizeof text);
		if (units_duration(text, &back) != 0 || back != ns)
			fail_msg("%" PRId64 " as %s", ns, text);
	}
}

static void
signals_are_read(void **state)
{
	const struct {
		const char *text;
		int result;
	} cases[] = {
		{ "TERM", SIGTERM },
		{ "SIGTERM", SIGTERM },
		{ "term", SIGTERM },
		{ "sigTerm", SIGTERM },
		{ "15", SIGTERM },
		{ "1", SIGHUP },
		{ "IO", SIGIO },
		{ "POLL", SIGIO },
		{ "CLD", SIGCHLD },
		{ "SIGIOT", SIGABRT },
		{ "WINCH", SIGWINCH },
		{ "64", 64 },
		{ "RTMIN", SIGRTMIN },
		{ "RTMIN+1", SIGRTMIN + 1 },
		{ "SIGRTMIN+30", SIGRTMAX },
		{ "RTMAX", SIGRTMAX },
		{ "rtmax-30", SIGRTMIN },
		{ "", -EINVAL },
		{ "0", -EINVAL },
		{ "-1", -EINVAL },
		{ "65", -EINVAL },
		{ "15x", -EINVAL },
		{ "99999999999999999999", -EINVAL },
		{ "SIG", -EINVAL },
		{ "SIGSIGTERM", -EINVAL },
		{ "TERMINATE", -EINVAL },
		{ "TER", -EINVAL },
		{ " TERM", -EINVAL },
		{ "RTMIN+", -EINVAL },
		{ "RTMIN-1", -EINVAL },
		{ "RTMIN+31", -EINVAL },
		{ "RTMIN5", -EINVAL },
		{ "RTMIN 5", -EINVAL },
		{ "RTMIN++5", -EINVAL },
		{ "RTMIN+5x", -EINVAL },
		{ "RTMIN+9223372036854775807", -EINVAL },
		{ "RTMAX+1", -EINVAL },
		{ "RTMAX-31", -EINVAL },
		{ "RT", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		int r = units_signal(cases[i].text);

		if (r != cases[i].result)
			fail_msg("\"%s\": %d", cases[i].text, r);
	}
}

static void
signals_are_written_and_read_back(void **state)
{
	static const int odd[] = { 0, -1, 65, INT32_MAX, INT32_MIN };
	char text[UNITS_TEXT];

	(void)state;
	assert_string_equal(
	    units_signal_name(SIGTERM, text, sizeof text), "SIGTERM");
	assert_string_equal(
	    units_signal_name(SIGRTMIN, text, sizeof text), "SIGRTMIN");
	for (int signo = 1; signo <= SIGRTMAX; signo++) {
		if (signo == 32 || signo == 33) /* the C library's own */
			continue;
		units_signal_name(signo, text, sizeof text);
		assert_int_equal(units_signal(text), signo);
	}
	for (size_t i = 0; i < N_ELEMENTS(odd); i++) {
		char want[UNITS_TEXT];

		snprintf(want, sizeof want, "signal %d", odd[i]);
		units_signal_name(odd[i], text, sizeof text);
		assert_string_equal(text, want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(a_duration_is_written_in_its_shortest_form),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(signals_are_read),
		cmocka_unit_test(signals_are_written_and_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
