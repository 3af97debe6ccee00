/* supervisord's own log: one line, never waited for, never forged. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "supervisord/base/log.h"
#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"

static int out, in;

/* A pipe as the log, its read end in `in`. */
static int
open_log(void **state)
{
	int fd[2];

	(void)state;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	in = fd[0];
	out = fd[1];
	log_init("guardian");
	log_setup(LOG_LEVEL_INFO, false, out);
	return 0;
}

static int
close_log(void **state)
{
	(void)state;
	log_setup(LOG_LEVEL_INFO, false, STDERR_FILENO);
	close(in);
	close(out);
	return 0;
}

/* What has been written since. */
static const char *
written(void)
{
	static char text[65536];
	ssize_t n = read(in, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The message of a text line, checked to be one line. */
static const char *
message(void)
{
	const char *text = written(), *end = strchr(text, '\n');
	const char *at = strstr(text, "guardian ");

	assert_non_null(end);
	assert_int_equal(end[1], '\0');
	assert_non_null(at);
	return at;
}

static void
a_line_says_when_who_and_how_bad(void **state)
{
	const char *line;

	(void)state;
	log_warn("%s has %d", "web:0", 7);
	line = written();
	assert_int_equal(strlen(line),
	    strlen("2026-01-02T03:04:05.678Z guardian warn: web:0 has 7\n"));
	assert_int_equal(line[10], 'T');
	assert_string_equal(line + 24, " guardian warn: web:0 has 7\n");
}

static void
levels_are_named_and_kept(void **state)
{
	static const struct {
		const char *name;
		int level;
	} names[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warn", LOG_LEVEL_WARN },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
		{ "warning", -1 },
		{ "INFO", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		assert_int_equal(log_level_of(names[i].name), names[i].level);
	log_debug("not at this level");
	assert_string_equal(written(), "");
	log_setup(LOG_LEVEL_ERROR, false, -1);
	log_warn("nor this");
	assert_string_equal(written(), "");
	log_error("but this");
	assert_string_equal(message(), "guardian error: but this\n");
}

static void
errno_is_left_alone(void **state)
{
	(void)state;
	errno = EXDEV;
	log_info("%s", "x");
	assert_int_equal(errno, EXDEV);
}

static void
a_message_can_not_forge_a_line(void **state)
{
	(void)state;
	log_info(
	    "%s", "one\n2026-01-01T00:00:00.000Z master error: two\x1b[2J");
	assert_string_equal(message(),
	    "guardian info: one\\u000a2026-01-01T00:00:00.000Z master error: "
	    "two\\u001b[2J\n");
	log_info("%s", "caf\xe9 \xc3\xa9 \"quoted\" \\");
	assert_string_equal(message(),
	    "guardian info: caf" UTF8_REPLACEMENT " \xc3\xa9 \"quoted\" \\\n");
}

/* Fills a message with one byte or sequence up to far beyond what fits. */
static void
log_many(const char *what)
{
	char text[8000];

	text[0] = '\0';
	while (strlen(text) + strlen(what) + 1 < sizeof text)
		strcat(text, what);
	log_info("%s", text);
}

static void
json_lines_are_json_whatever_the_message(void **state)
{
	static const char *const messages[] = { "", "plain", "\"", "\\", "\n",
		"\x01", "\x7f", "\xff", "\xc3\xa9", "\xe2\x82\xac",
		"\xf0\x9f\x92\xa9", "a\"b\\c\nd\xff" };

	(void)state;
	log_setup(LOG_LEVEL_INFO, true, -1);
	for (size_t i = 0; i < 2 * N_ELEMENTS(messages); i++) {
		const char *text = messages[i / 2], *line;
		json_t *back;

		if (i % 2 == 0)
			log_info("%s", text);
		else if (text[0] != '\0')
			log_many(text);
		else
			continue;
		line = written();
		assert_true(strlen(line) <= 2048);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		back = json_loads(line, 0, NULL);
		if (back == NULL)
			fail_msg("not JSON: %s", line);
		assert_string_equal(
		    json_string_value(json_object_get(back, "level")), "info");
		assert_string_equal(
		    json_string_value(json_object_get(back, "process")),
		    "guardian");
		if (i % 2 == 0 && text[0] < 0x7f && text[0] > 0x20 &&
		    text[1] == '\0')
			assert_string_equal(
			    json_string_value(json_object_get(back, "message")),
			    text);
		json_decref(back);
	}
}

static void
a_long_message_is_cut_at_a_character(void **state)
{
	const char *line;
	size_t n;

	(void)state;
	log_many("\xe2\x82\xac");
	line = message();
	n = strlen(line);
	assert_true(n > 1500);
	assert_memory_equal(line + n - 4, "\xe2\x82\xac\n", 4);
}

static void
lines_that_do_not_fit_are_counted(void **state)
{
	char fill[4096];
	const char *text;

	(void)state;
	memset(fill, 'x', sizeof fill);
	while (write(out, fill, sizeof fill) > 0)
		;
	log_info("lost 1");
	log_info("lost 2");
	log_debug("not counted: it is not at this level");
	while (read(in, fill, sizeof fill) > 0)
		;
	log_info("here again");
	text = written();
	assert_non_null(strstr(text, "warn: 2 log lines were lost"));
	assert_non_null(strstr(text, "info: here again\n"));
	assert_null(strstr(text, "lost 1\n"));
	log_info("and on");
	assert_string_equal(message(), "guardian info: and on\n");
}

static void
a_closed_descriptor_harms_nobody(void **state)
{
	int fd = fcntl(out, F_DUPFD_CLOEXEC, 0);

	(void)state;
	log_setup(LOG_LEVEL_INFO, false, fd);
	close(fd);
	log_info("into the void");
	log_setup(LOG_LEVEL_INFO, false, out);
	log_info("back");
	assert_non_null(strstr(written(), "1 log lines were lost"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_says_when_who_and_how_bad),
		TEST(levels_are_named_and_kept),
		TEST(errno_is_left_alone),
		TEST(a_message_can_not_forge_a_line),
		TEST(json_lines_are_json_whatever_the_message),
		TEST(a_long_message_is_cut_at_a_character),
		TEST(lines_that_do_not_fit_are_counted),
		TEST(a_closed_descriptor_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
