/* The JSON writer: commas, escapes, and bytes that are no UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"

#define BAD UTF8_REPLACEMENT

static void
commas_come_by_themselves(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	jw_array(&b);
	jw_int(&b, 1);
	jw_object(&b);
	jw_object_end(&b);
	jw_object(&b);
	jw_kv_string(&b, "a", "x,");
	jw_kv_string(&b, "b", NULL);
	jw_kv_int(&b, "c", INT64_MIN);
	jw_kv_bool(&b, "d", true);
	jw_kv_null(&b, "e");
	jw_kv_time(&b, "f", 0);
	jw_kv_seconds(&b, "g", 1500 * NS_PER_MS);
	jw_key(&b, "h");
	jw_array(&b);
	jw_array_end(&b);
	jw_key(&b, "i");
	jw_raw(&b, "{\"raw\":[]}");
	jw_object_end(&b);
	jw_string(&b, "[");
	jw_string(&b, "{");
	jw_string(&b, ":");
	jw_bool(&b, false);
	jw_array_end(&b);
	assert_string_equal(buf_text(&b),
	    "[1,{},{\"a\":\"x,\",\"b\":null,\"c\":-9223372036854775808,"
	    "\"d\":true,\"e\":null,\"f\":\"1970-01-01T00:00:00.000Z\","
	    "\"g\":1.5,\"h\":[],\"i\":{\"raw\":[]}},"
	    "\"[\",\"{\",\":\",false]");
	buf_done(&b);
}

static void
a_line_end_starts_a_new_document(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	jw_object(&b);
	jw_object_end(&b);
	buf_char(&b, '\n');
	jw_object(&b);
	jw_object_end(&b);
	assert_string_equal(buf_text(&b), "{}\n{}");
	buf_done(&b);
}

static void
seconds_have_at_most_three_decimals(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "0" },
		{ -1, "0" },
		{ NS_PER_MS, "0.001" },
		{ 62125 * NS_PER_MS, "62.125" },
		{ 62120 * NS_PER_MS, "62.12" },
		{ 62100 * NS_PER_MS, "62.1" },
		{ 62 * NS_PER_SEC, "62" },
		{ -500 * NS_PER_MS, "-0.5" },
		{ INT64_MAX, "9223372036.854" },
		{ INT64_MIN, "-9223372036.854" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct buf b;

		buf_init(&b);
		jw_seconds(&b, cases[i].ns);
		assert_string_equal(buf_text(&b), cases[i].text);
		buf_done(&b);
	}
}

static void
strings_are_escaped_and_made_valid(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *text;
	} cases[] = {

#define CASE(bytes, text) { bytes, sizeof(bytes) - 1, "\"" text "\"" }
		CASE("", ""),
		CASE("plain", "plain"),
		CASE("a\"b\\c", "a\\\"b\\\\c"),
		CASE("\n\r\t\b", "\\n\\r\\t\\u0008"),
		CASE("a\0b", "a\\u0000b"),
		CASE("\x1b[31m\x7f", "\\u001b[31m\\u007f"),
		CASE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9",
		    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9"),
		CASE("\xc3", BAD), /* cut off */
		CASE("\xe2\x82", BAD BAD),
		CASE("\xf0\x9f\x92", BAD BAD BAD),
		CASE("\xc3(", BAD "("), /* not continued */
		CASE("\xe2\x82(", BAD BAD "("),
		CASE("\x80\xbf", BAD BAD), /* continues nothing */
		CASE("\xc0\x80", BAD BAD), /* overlong */
		CASE("\xc1\xbf", BAD BAD),
		CASE("\xe0\x9f\xbf", BAD BAD BAD),
		CASE("\xf0\x8f\xbf\xbf", BAD BAD BAD BAD),
		CASE("\xed\xa0\x80", BAD BAD BAD), /* a surrogate */
		CASE("\xed\x9f\xbf", "\xed\x9f\xbf"),
		CASE("\xee\x80\x80", "\xee\x80\x80"),
		CASE("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"),
		CASE("\xf4\x90\x80\x80", BAD BAD BAD BAD), /* too large */
		CASE("\xf5\x80\x80\x80", BAD BAD BAD BAD),
		CASE("\xfe\xff", BAD BAD),
		CASE("x\xff\"y", "x" BAD "\\\"y"),
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct buf b;

		buf_init(&b);
		jw_bytes(&b, cases[i].bytes, cases[i].size);
		assert_string_equal(buf_text(&b), cases[i].text);
		buf_done(&b);
	}
}

/* Whatever the bytes, another reader takes what is written. */
static void
any_bytes_make_valid_json(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		unsigned char bytes[64];
		struct buf b;
		json_t *back;
		size_t n;

		for (n = 0; n < sizeof bytes; n++) {
			seed = seed * 6364136223846793005ULL + 1;
			bytes[n] = (unsigned char)(seed >> 56);
			/* mostly what sequences are made of */
			if (seed >> 40 & 1)
				bytes[n] |= 0xc0;
			else if (seed >> 41 & 1)
				bytes[n] = (bytes[n] & 0x3f) | 0x80;
		}
		buf_init(&b);
		jw_array(&b);
		jw_bytes(&b, bytes, (size_t)round % sizeof bytes);
		jw_array_end(&b);
		back = json_loadb(b.data, b.size, JSON_ALLOW_NUL, NULL);
		assert_non_null(back);
		json_decref(back);
		buf_done(&b);
	}
}

static void
a_failed_buffer_stays_failed(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	jw_object(&b);
	assert_false(buf_reserve(&b, (size_t)-1));
	jw_kv_string(&b, "a", "b");
	jw_kv_seconds(&b, "c", 1);
	jw_object_end(&b);
	assert_null(buf_text(&b));
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_come_by_themselves),
		cmocka_unit_test(a_line_end_starts_a_new_document),
		cmocka_unit_test(seconds_have_at_most_three_decimals),
		cmocka_unit_test(strings_are_escaped_and_made_valid),
		cmocka_unit_test(any_bytes_make_valid_json),
		cmocka_unit_test(a_failed_buffer_stays_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
