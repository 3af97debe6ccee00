/* What the lexer refuses, in which words, and what it makes of the rest. */

#include <errno.h>
#include <libconfig.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/lex.h"
#include "config/report.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"

static const struct {
	const char *text, *error;
} refused[] = {
	/* the traps of libconfig 1.5 */
	{ "a = 1; /* never\nb = 2;\n",
	    "f:1: this comment is never closed: \"*/\" is missing\n" },
	{ "a = 1;\nb = \"never\n\n",
	    "f:2: this string is never closed: a quote is missing\n" },
	{ "a = 4294967296;",
	    "f:1: 4294967296 does not fit into 32 bits: write 4294967296L, or "
	    "a string with a unit (\"4G\")\n" },
	{ "a = -2147483649;",
	    "f:1: -2147483649 does not fit into 32 bits: write -2147483649L, "
	    "or a string with a unit (\"4G\")\n" },
	{ "a = 0x80000000;",
	    "f:1: 0x80000000 does not fit into 32 bits: write 0x80000000L, or "
	    "a string with a unit (\"4G\")\n" },
	{ "a = 9223372036854775808L;",
	    "f:1: 9223372036854775808 is too big a number\n" },
	{ "a = 1e999;", "f:1: 1e999 is too big a number\n" },
	{ "\n  @include \"/etc\"\n",
	    "f:2: @include is not supported: write include = [ \"FILE\" ]; at "
	    "the top of the file\n" },
	{ "a = \"\\x00\";", "f:1: a string can't hold a NUL byte\n" },
	{ "\xef\xbb\xbf"
	  "a = 1;",
	    "f:1: the file starts with a byte order mark (BOM): save it as "
	    "UTF-8 without one\n" },
	/* syntax */
	{ "a = ;", "f:1: expected a value, not \";\"\n" },
	{ "a =", "f:1: the file ends where a value should be\n" },
	{ "a 5;", "f:1: expected \"=\" after \"a\"\n" },
	{ "a = 5;;", "f:1: expected a setting, not \";\"\n" },
	{ "a = always;", "f:1: text needs quotes: \"always\"\n" },
	{ "a = 10s;",
	    "f:1: \"10s\" is not a number; text needs quotes: \"10s\"\n" },
	{ "a = 1.2.3;",
	    "f:1: \"1.2.3\" is not a number; text needs quotes: \"1.2.3\"\n" },
	{ "a = {\n b = 1;\n", "f:1: the \"{\" opened here is never closed\n" },
	{ "a = [ 1\n", "f:1: the \"[\" opened here is never closed\n" },
	{ "a = ( 1, (\n 2 )\n",
	    "f:1: the \"(\" opened here is never closed\n" },
	{ "a = [ 1 2 ];", "f:1: expected \",\", not \"2\"\n" },
	{ "a = [ 1, \"x\" ];",
	    "f:1: an array holds values of one type: a string after an "
	    "integer\n" },
	{ "a = [ [ 1 ] ];",
	    "f:1: an array [ ] holds strings, numbers or booleans only; a list "
	    "is written ( )\n" },
	{ "a = { b = 1; }; }", "f:1: expected a setting, not \"}\"\n" },
	{ "a = \x02;", "f:1: expected a value, not byte 0x02\n" },
	{ "true = 1;", "f:1: \"true\" can't be the name of a setting\n" },
	{ "_a = 1;",
	    "f:1: \"_a\" can't be the name of a setting: a letter, then "
	    "letters, digits, _ and -\n" },
	{ "a.b = 1;",
	    "f:1: \"a.b\" can't be the name of a setting: a letter, then "
	    "letters, digits, _ and -\n" },
	{ "a = \"x;\nb = \"y\";\n",
	    "f:2: expected \"=\" after \"y\" (the string that starts on "
	    "line 1 ends on line 2: is a quote missing?)\n" },
	{ "a* = 1;", "f:1: expected \"=\" after \"a\"\n" },
};

static const struct {
	const char *text, *out;
} taken[] = {
	{ "", "" },
	{ "a = 1", "a=1;" },
	{ "a: 1, b = 2;", "a=1;b=2;" },
	{ "# c\na = 1; // \"\nb = /* {\n */ 2;", "\na=1;\nb=\n2;" },
	{ "a = [ 1, 2, ];", "a=[1,2];" },
	{ "a = \"x\ny\" \"z\";\nb = 1;", "a=\"x\\ny\"\"z\";\n\nb=1;" },
	{ "a = \"x\\\ny\";", "a=\"x\\\\\\ny\";" },
	{ "a = \"\\\"\\\\\";", "a=\"\\\"\\\\\";" },
	{ "a = [ 2147483647, -2147483648 ];", "a=[2147483647,-2147483648];" },
	{ "a = 0xFFFFFFFFL; b = 5000000000LL; c = .5e-3; d = TRUE;",
	    "a=0xFFFFFFFFL;b=5000000000LL;c=.5e-3;d=TRUE;" },
	{ "workers: { web: { a = 1 }; 1.x = {} }",
	    "workers=({*:\"web\";a=1;},{*:\"1.x\";});" },
	{ "workers: { web = 5; }", "workers=({*:\"web\";**=5});" },
	{ "x: { workers: { a = 1; }; };", "x={workers={a=1;};};" },
};

static int
lex(const char *text, size_t size, struct buf *out, struct buf *errors)
{
	struct report report = { 0 };
	int err;

	err = lex_text(text, size, "f", &report, out);
	report_write(&report, errors);
	report_done(&report);
	return err;
}

static void
what_is_wrong_is_said_in_words(void **state)
{
	struct buf out, errors;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(refused); i++) {
		buf_init(&out);
		buf_init(&errors);
		assert_int_equal(lex(refused[i].text, strlen(refused[i].text),
				     &out, &errors),
		    -EINVAL);
		assert_string_equal(buf_text(&errors), refused[i].error);
		buf_done(&out);
		buf_done(&errors);
	}
}

static void
what_is_right_reaches_libconfig(void **state)
{
	struct buf out, errors;
	config_t config;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(taken); i++) {
		buf_init(&out);
		buf_init(&errors);
		assert_int_equal(
		    lex(taken[i].text, strlen(taken[i].text), &out, &errors),
		    0);
		assert_int_equal(errors.size, 0);
		assert_string_equal(buf_text(&out), taken[i].out);
		config_init(&config);
		assert_int_equal(
		    config_read_string(&config, buf_text(&out)), CONFIG_TRUE);
		config_destroy(&config);
		buf_done(&out);
		buf_done(&errors);
	}
}

static void
a_nul_byte_is_told_with_its_line(void **state)
{
	static const char text[] = "a = 1;\nb = \0002;";
	struct buf out, errors;

	(void)state;
	buf_init(&out);
	buf_init(&errors);
	assert_int_equal(lex(text, sizeof text - 1, &out, &errors), -EINVAL);
	assert_string_equal(
	    buf_text(&errors), "f:2: a NUL byte: this is not a text file\n");
	buf_done(&out);
	buf_done(&errors);
}

static void
a_setting_twice_is_told_with_both_places_and_passed_over(void **state)
{
	static const char text[] = "a: { b = 1;\n b = 2;\n b = 3; };\na = 5;";
	struct buf out, errors;
	config_t config;
	int n = 0;

	(void)state;
	buf_init(&out);
	buf_init(&errors);
	assert_int_equal(lex(text, sizeof text - 1, &out, &errors), 0);
	assert_string_equal(buf_text(&errors),
	    "f:2: a.b: set twice, first at f:1\n"
	    "f:3: a.b: set twice, first at f:1\n"
	    "f:4: a: set twice, first at f:1\n");
	config_init(&config);
	assert_int_equal(
	    config_read_string(&config, buf_text(&out)), CONFIG_TRUE);
	assert_int_equal(config_lookup_int(&config, "a.b", &n), CONFIG_TRUE);
	assert_int_equal(n, 1);
	config_destroy(&config);
	buf_done(&out);
	buf_done(&errors);
}

static void
lines_keep_their_numbers(void **state)
{
	static const char text[] = "/* 1\n 2 */ # 2\nworkers: {\n"
				   "web:\n{ a = \"x\ny\"\n\"z\";\nb = 1; } };";
	struct buf out, errors;
	config_t config;
	config_setting_t *s;

	(void)state;
	buf_init(&out);
	buf_init(&errors);
	assert_int_equal(lex(text, sizeof text - 1, &out, &errors), 0);
	config_init(&config);
	assert_int_equal(
	    config_read_string(&config, buf_text(&out)), CONFIG_TRUE);
	s = config_lookup(&config, "workers.[0]");
	assert_non_null(s);
	assert_int_equal(config_setting_source_line(s), 4);
	s = config_setting_get_member(s, "b");
	assert_int_equal(config_setting_source_line(s), 8);
	config_destroy(&config);
	buf_done(&out);
	buf_done(&errors);
}

static void
nesting_ends_somewhere(void **state)
{
	struct buf text, out, errors;

	(void)state;
	buf_init(&text);
	buf_init(&out);
	buf_init(&errors);
	buf_str(&text, "a = ");
	for (int i = 0; i < 100000; i++)
		buf_char(&text, '(');
	assert_int_equal(lex(text.data, text.size, &out, &errors), -EINVAL);
	assert_string_equal(
	    buf_text(&errors), "f:1: nested more than 32 deep\n");
	buf_done(&text);
	buf_done(&out);
	buf_done(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said_in_words),
		cmocka_unit_test(what_is_right_reaches_libconfig),
		cmocka_unit_test(a_nul_byte_is_told_with_its_line),
		cmocka_unit_test(
		    a_setting_twice_is_told_with_both_places_and_passed_over),
		cmocka_unit_test(lines_keep_their_numbers),
		cmocka_unit_test(nesting_ends_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
