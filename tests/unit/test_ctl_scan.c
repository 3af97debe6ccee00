/* Walking JSON in place, and reading the messages of the control socket. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/ctl/conn.h"
#include "supervisord/ctl/scan.h"

static bool
whole_value(const char *text)
{
	struct ctl_span span;
	struct ctl_scan s;

	ctl_scan_init(&s, text, strlen(text));
	ctl_scan_value(&s, &span);
	return !s.bad && ctl_scan_at_end(&s);
}

static void
values_are_walked_to_their_end(void **state)
{
	static const char *const good[] = { "1", "-1.5e+3", "true", "false",
		"null", "\"\"", "\"a\\\"b\"", "\"\\\\\"", "[]", "{}",
		" [1, 2 , {\"a\":[]}] ",
		"\"a long string without anything in it\"",
		"\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"" };
	static const char *const bad[] = { "", " ", "tru", "nulll", "-x", "\"",
		"\"a", "\"a\\\"", "\"a\n\"", "[", "[}", "{]", "]", "[1", "1 2",
		"\"0123456789abcdef", "\"0123456789abcde\\", "+1", ",", ":",
		"\"0123456\x01zzzzzzzz\"" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		if (!whole_value(good[i]))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		if (whole_value(bad[i]))
			fail_msg("taken: %s", bad[i]);
	}
}

static void
nesting_has_a_limit(void **state)
{
	char text[6001];
	struct ctl_scan s;

	(void)state;
	memset(text, '[', 3000);
	memset(text + 3000, ']', 3000);
	text[6000] = '\0';
	assert_false(whole_value(text));
	ctl_scan_init(&s, text + 1000, 4000);
	assert_true(ctl_scan_value(&s, NULL));
}

static void
elements_of_an_array(void **state)
{
	static const struct {
		const char *text;
		int n; /* -1: malformed */
	} cases[] = { { "[]", 0 }, { "[ ]", 0 }, { "[1]", 1 }, { "[1,2]", 2 },
		{ "[1,]", -1 }, { "[,1]", -1 }, { "[1 2]", -1 }, { "[1", -1 },
		{ "[1,", -1 }, { "{}", -1 } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct ctl_scan s;
		bool first = true;
		int n = 0;

		ctl_scan_init(&s, cases[i].text, strlen(cases[i].text));
		ctl_scan_open(&s, '[');
		while (ctl_scan_more(&s, ']', &first)) {
			ctl_scan_value(&s, NULL);
			n++;
		}
		assert_int_equal(s.bad ? -1 : n, cases[i].n);
	}
}

static void
numbers(void **state)
{
	static const struct {
		const char *text;
		double n;
	} cases[] = { { "0", 0 }, { "62.125", 62.125 }, { "-4", -4 },
		{ "1e3", 1000 }, { "123456789012345678", 123456789012345678.0 },
		{ "0.001", 0.001 }, { "99999.999", 99999.999 } };
	struct ctl_scan s;
	double n;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		ctl_scan_init(&s, cases[i].text, strlen(cases[i].text));
		assert_true(ctl_scan_number(&s, &n));
		assert_true(n == cases[i].n);
	}
	for (const char *bad = "1.\0--\0"
			       "1..2\0.5\0x\0\0";
	     *bad != '\0'; bad += strlen(bad) + 1) {
		ctl_scan_init(&s, bad, strlen(bad));
		/* "1." is strtod's to judge: it takes it. */
		assert_int_equal(
		    ctl_scan_number(&s, &n), strcmp(bad, "1.") == 0);
	}
}

static void
strings_are_unescaped(void **state)
{
	static const struct {
		const char *raw, *text;
	} cases[] = { { "", "" }, { "plain", "plain" },
		{ "a\\n\\t\\\"\\\\\\/\\b\\f\\r", "a\n\t\"\\/\b\f\r" },
		{ "\\u0041\\u00e9\\u20ac", "A\xc3\xa9\xe2\x82\xac" },
		{ "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
		{ "\\ud83d", "\xef\xbf\xbd" }, { "\\ude00x", "\xef\xbf\xbdx" },
		{ "\\u12", "u12" }, { "\\", "\\" }, { "\\q", "q" } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct buf out;

		buf_init(&out);
		ctl_scan_unescape(&out,
		    (struct ctl_span){ cases[i].raw, strlen(cases[i].raw) });
		assert_string_equal(buf_text(&out), cases[i].text);
		buf_done(&out);
	}
}

static void
messages_are_told_apart(void **state)
{
	static const struct {
		const char *line;
		int kind; /* -1: malformed */
		int id;
		const char *body;
	} cases[] = {
		{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":[1]}",
		    CTL_MSG_RESULT, 7, "[1]" },
		{ "{\"result\":null,\"id\":7}", CTL_MSG_RESULT, 7, "null" },
		{ "{\"id\":1,\"error\":null,\"result\":2}", CTL_MSG_RESULT, 1,
		    "2" },
		{ "{\"id\":null,\"error\":{\"code\":1}}", CTL_MSG_ERROR, 0,
		    "{\"code\":1}" },
		{ "{\"method\":\"event\",\"params\":{}}", CTL_MSG_NOTIFY, 0,
		    "{}" },
		{ "{\"id\":1}", -1, 0, NULL },
		{ "{\"id\":-1,\"result\":1}", -1, 0, NULL },
		{ "{\"id\":\"x\",\"result\":1}", -1, 0, NULL },
		{ "{\"id\":1,\"result\":1}}", -1, 0, NULL },
		{ "{\"id\":1,\"error\":\"x\"}", -1, 0, NULL },
		{ "[]", -1, 0, NULL },
		{ "", -1, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct ctl_msg msg;
		int r =
		    ctl_msg_parse(cases[i].line, strlen(cases[i].line), &msg);

		if (r < 0) {
			assert_int_equal(cases[i].kind, -1);
			continue;
		}
		assert_int_equal(msg.kind, cases[i].kind);
		assert_int_equal(msg.id, cases[i].id);
		assert_true(ctl_span_is(msg.body, cases[i].body));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_walked_to_their_end),
		cmocka_unit_test(nesting_has_a_limit),
		cmocka_unit_test(elements_of_an_array),
		cmocka_unit_test(numbers),
		cmocka_unit_test(strings_are_unescaped),
		cmocka_unit_test(messages_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
