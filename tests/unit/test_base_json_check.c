/* What is JSON and what is not. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/json_check.h"
#include "supervisord/base/util.h"

/* In memory of exactly that size: nothing is read behind it. */
static int
check(const char *text, size_t size, size_t *ret_at)
{
	char *copy = malloc(size + (size == 0));
	int err;

	memcpy(copy, text, size);
	err = json_check(copy, size, ret_at);
	free(copy);
	return err;
}

static void
values_are_taken(void **state)
{
	static const char *const good[] = { "null", "true", "false", "0", "-0",
		"12", "-1.5", "1e9", "1E+2", "0.5e-3", "\"\"", "[]", "{}",
		" [ ] ", "\t{\r\n}", "[1,2,[3,{}],\"x\"]",
		"{\"a\":1,\"b\":{\"a\":[]},\"\":null}", "[ {} , {} ]",
		"{ \"a\" : 1 , \"b\" : 2 }",
		"\"\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e4\"",
		"\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"\xc3\xa4\"",
		"\"\xf0\x9f\x98\x80\"", "\"\x7f\"", "1e999",
		"123456789012345678901234567890" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		size_t at = 0, size = strlen(good[i]);

		if (check(good[i], size, &at) != 0)
			fail_msg("%s", good[i]);
		assert_int_equal(at, size);
	}
	assert_int_equal(check("[1]", 3, NULL), 0);
}

static void
anything_else_is_not(void **state)
{
	static const struct {
		const char *text;
		size_t at;
	} bad[] = {
		{ "", 0 },
		{ "  ", 2 },
		{ "nul", 3 },
		{ "nulL", 3 },
		{ "True", 0 },
		{ "NaN", 0 },
		{ "Infinity", 0 },
		{ "-", 1 },
		{ "+1", 0 },
		{ ".5", 0 },
		{ "1.", 2 },
		{ "01", 1 },
		{ "1e", 2 },
		{ "1e+", 3 },
		{ "0x10", 1 },
		{ "1 2", 2 },
		{ "[1,]", 3 },
		{ "[,1]", 1 },
		{ "[1 2]", 3 },
		{ "[1", 2 },
		{ "[", 1 },
		{ "]", 0 },
		{ "[}", 1 },
		{ "[1}", 2 },
		{ "{\"a\":1]", 6 },
		{ "{1:2}", 1 },
		{ "{\"a\"}", 4 },
		{ "{\"a\":}", 5 },
		{ "{\"a\":1,}", 7 },
		{ "{a:1}", 1 },
		{ "{'a':1}", 1 },
		{ "[]]", 2 },
		{ "\"", 1 },
		{ "\"a", 2 },
		{ "\"\\", 2 },
		{ "\"\\x\"", 2 },
		{ "\"\\u12\"", 5 },
		{ "\"\\ud800\"", 7 },
		{ "\"\\ud800\\n\"", 8 },
		{ "\"\\ud800\\u0041\"", 13 },
		{ "\"\\udc00\"", 7 },
		{ "\"\n\"", 1 },
		{ "\"\xff\"", 1 },
		{ "\"\xc3\"", 1 },
		{ "\"\xed\xa0\x80\"", 1 },
		{ "\xef\xbb\xbf[]", 0 },
		{ "[] // no", 3 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		size_t at = 99;

		if (check(bad[i].text, strlen(bad[i].text), &at) != -EINVAL ||
		    at != bad[i].at)
			fail_msg("%s: %zu", bad[i].text, at);
	}
	assert_int_equal(check("\"\0\"", 3, NULL), -EINVAL);
	assert_int_equal(check("[]\0", 3, NULL), -EINVAL);
}

static void
depth_has_an_end(void **state)
{
	char text[2 * JSON_DEPTH + 2];

	(void)state;
	memset(text, '[', JSON_DEPTH);
	memset(text + JSON_DEPTH, ']', JSON_DEPTH);
	assert_int_equal(check(text, 2 * JSON_DEPTH, NULL), 0);
	memset(text, '[', JSON_DEPTH + 1);
	memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	assert_int_equal(check(text, 2 * JSON_DEPTH + 2, NULL), -EINVAL);
}

/* Objects and arrays in turn, each level of its own kind. */
static void
each_level_knows_what_it_is(void **state)
{
	char text[4096] = "";
	size_t size;

	(void)state;
	for (int i = 0; i < 200; i++)
		strcat(text, i % 3 == 0 ? "{\"a\":" : "[");
	strcat(text, "1");
	for (int i = 199; i >= 0; i--)
		strcat(text, i % 3 == 0 ? "}" : "]");
	size = strlen(text);
	assert_int_equal(check(text, size, NULL), 0);
	for (size_t i = 0; i < size; i++) {
		char was = text[i];

		if (was == ']' || was == '}') {
			text[i] = was == ']' ? '}' : ']';
			assert_int_equal(check(text, size, NULL), -EINVAL);
			text[i] = was;
		}
		assert_int_equal(check(text, i, NULL), -EINVAL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(anything_else_is_not),
		cmocka_unit_test(depth_has_an_end),
		cmocka_unit_test(each_level_knows_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
