/* What people see: escapes, durations, times, tables, and status itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/ctl/status.h"
#include "supervisord/ctl/term.h"

static void
nothing_reaches_a_terminal_unescaped(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = { { "plain", "plain" }, { "tab\tstays", "tab\tstays" },
		{ "\x1b[31m", "\\x1b[31m" }, { "\x7f", "\\x7f" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" }, { "\xc2\x9b", "\\u009b" },
		{ "\xe2\x80\xae", "\\u202e" }, { "\xff\xc3", "\\xff\\xc3" },
		{ "\xc0\x80", "\\xc0\\x80" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "a\nb", "a\\x0ab" } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct buf out;

		buf_init(&out);
		ctl_escape(&out, cases[i].in, strlen(cases[i].in), false);
		assert_string_equal(buf_text(&out), cases[i].out);
		buf_clear(&out);
		ctl_escape(&out, "a\nb", 3, true);
		assert_string_equal(buf_text(&out), "a\nb");
		buf_done(&out);
	}
}

static void
uptimes_are_written_as_python_does(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = { { 0, "0:00:00" }, { 62.9, "0:01:02" },
		{ 3600 * 23 + 59, "23:00:59" }, { 86400, "1 day, 0:00:00" },
		{ 86400 * 2 - 1, "1 day, 23:59:59" },
		{ 86400 * 400.0 + 3661, "400 days, 1:01:01" },
		{ -5, "0:00:00" }, { 1e300, "0 days, 0:00:00" } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct buf out;

		buf_init(&out);
		ctl_put_uptime(&out, cases[i].seconds);
		assert_string_equal(buf_text(&out), cases[i].text);
		buf_done(&out);
	}
}

static void
times_are_local(void **state)
{
	struct buf out;

	(void)state;
	setenv("TZ", "UTC-2", 1);
	tzset();
	buf_init(&out);
	ctl_put_time(&out, "2026-01-02T23:04:05.678Z", false);
	buf_char(&out, '|');
	ctl_put_time(&out, "2026-01-02T03:04:05.678Z", true);
	buf_char(&out, '|');
	ctl_put_time(&out, "2026-01-02T03:04:05Z", true);
	buf_char(&out, '|');
	ctl_put_time(&out, "yesterday\x1b", true);
	assert_string_equal(buf_text(&out),
	    "2026-01-03 01:04:05|2026-01-02 05:04:05.678|"
	    "2026-01-02 05:04:05.000|yesterday\\x1b");
	buf_done(&out);
}

static void
columns_are_aligned(void **state)
{
	static const char *const cells[] = { "a", "bb", "c", "ddd", "",
		"e\x1b" };
	struct ctl_table t;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	ctl_table_init(&t, 3);
	for (size_t i = 0; i < N_ELEMENTS(cells); i++)
		ctl_table_cell(&t, cells[i]);
	ctl_table_print(&t, f);
	fclose(f);
	assert_string_equal(text, "a    bb  c\nddd      e\\x1b\n");
	free(text);
}

static int
draw(const char *json, struct buf *out)
{
	buf_clear(out);
	return ctl_status_draw(
	    out, (struct ctl_span){ json, strlen(json) }, false);
}

static void
status_is_drawn_from_columns(void **state)
{
	static const char *const bad[] = { "", "{}", "[1]", "[[]]", "[[\"a\"]]",
		"[[\"a\",\"b\",\"c\"]]", "[[\"a\",\"b\"]", "[[\"a\",\"b\"]]x",
		"[[\"a\",\"b\",1,2,3,\"c\" \"d\"]]" };
	struct buf out;

	(void)state;
	buf_init(&out);
	assert_int_equal(draw("[]", &out), CTL_DONE);
	assert_int_equal(
	    draw("[[\"a:0\",\"RUNNING\",5,61.5,2,null]]", &out), CTL_DONE);
	assert_string_equal(buf_text(&out),
	    "a:0                  RUNNING   pid 5, uptime 0:01:01, restarts 2\n");
	assert_int_equal(
	    draw("[[\"a:0\",\"FATAL\",null,null,0,\"x\\u001b\"]]", &out),
	    CTL_NOT_RUNNING);
	assert_string_equal(
	    buf_text(&out), "a:0                  FATAL     x\\x1b\n");
	/* Columns of a later version are passed over, missing ones missed. */
	assert_int_equal(
	    draw("[[\"a\",\"STOPPED\",null,null,0,\"\",{\"b\":[]}],"
		 "[\"b\",\"STOPPED\"]]",
		&out),
	    CTL_NOT_RUNNING);
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_int_equal(draw(bad[i], &out), -1);
	buf_done(&out);
}

static void
status_is_judged_from_objects(void **state)
{
	static const struct {
		const char *json;
		int status;
	} cases[] = { { "[]", CTL_DONE },
		{ "[{\"name\":\"a\",\"state\":\"RUNNING\"}]", CTL_DONE },
		{ "[{\"state\":\"RUNNING\"},{\"state\":\"FATAL\"}]",
		    CTL_NOT_RUNNING },
		{ "[{\"x\":{\"state\":\"RUNNING\"}}]", CTL_NOT_RUNNING },
		{ "[{}]", CTL_NOT_RUNNING }, { "[1]", -1 }, { "{}", -1 },
		{ "[{\"state\":\"RUNNING\"}", -1 } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(ctl_status_judge((struct ctl_span){
				     cases[i].json, strlen(cases[i].json) }),
		    cases[i].status);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_reaches_a_terminal_unescaped),
		cmocka_unit_test(uptimes_are_written_as_python_does),
		cmocka_unit_test(times_are_local),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(status_is_drawn_from_columns),
		cmocka_unit_test(status_is_judged_from_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
