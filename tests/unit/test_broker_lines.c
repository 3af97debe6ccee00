/* The worker protocol as JSON lines. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "supervisord/broker/lines.h"

static struct said said;

static int
parse(const char *line)
{
	/* Of its size exactly, so that a sanitizer sees a byte too far. */
	size_t size = strlen(line);
	char *copy = malloc(size > 0 ? size : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, line, size);
	r = lines_parse(copy, size, &said);
	/* What is borrowed is looked at by the tests. */
	if (r == 0 && said.data != NULL && said.own.data == NULL) {
		buf_add(&said.own, said.data, said.size);
		said.data = said.own.data;
	}
	free(copy);
	return r;
}

static void
expect(const char *line, enum wire_type type, uint64_t id, const char *data)
{
	assert_int_equal(parse(line), 0);
	assert_int_equal(said.type, type);
	assert_int_equal(said.id, id);
	assert_int_equal(said.size, strlen(data));
	if (said.size > 0)
		assert_memory_equal(said.data, data, said.size);
	said_done(&said);
}

static void
each_message_is_understood(void **state)
{
	(void)state;
	expect("{\"hello\":1}", WIRE_HELLO, 0, "{\"hello\":1}");
	expect("{\"done\":12,\"result\":{\"a\":[1,\"}\"]}}", WIRE_DONE, 12,
	    "{\"a\":[1,\"}\"]}");
	expect(" { \"result\" : -1.5e3 , \"done\" : 12 } ", WIRE_DONE, 12,
	    "-1.5e3");
	expect(
	    "{\"done\":12,\"result\":\"a\\\"b\"}", WIRE_DONE, 12, "\"a\\\"b\"");
	expect("{\"done\":12,\"result\":null}", WIRE_DONE, 12, "null");
	expect("{\"done\":12}", WIRE_DONE, 12, "");
	expect("{\"done\":12,\"data\":\"aGk=\"}", WIRE_DONE, 12, "hi");
	expect(
	    "{\"done\":12,\"data\":\"\\/\\/4=\"}", WIRE_DONE, 12, "\xff\xfe");
	expect("{\"failed\":3,\"error\":\"n\\u00f6\"}", WIRE_FAILED, 3,
	    "n\xc3\xb6");
	expect("{\"failed\":3,\"error\":\"plain\"}", WIRE_FAILED, 3, "plain");
	expect("{\"failed\":3}", WIRE_FAILED, 3, "");
	/* Half a pair, as Python writes a file name that is no UTF-8. */
	expect("{\"failed\":3,\"error\":\"no a\\udcff\\\\udcff\"}", WIRE_FAILED,
	    3, "no a\xef\xbf\xbd\\udcff");
	expect("{\"failed\":3,\"error\":\"\\ud83d\\udc7d\\ud83d\"}",
	    WIRE_FAILED, 3, "\xf0\x9f\x91\xbd\xef\xbf\xbd");
	expect("{\"done\":12,\"result\":\"\\udcff\"}", WIRE_DONE, 12,
	    "\"\\ufffd\"");
	expect("{\"progress\":4,\"text\":\"so\"}", WIRE_PROGRESS, 4, "so");
	expect("{\"start\":5,\"thread\":3}", WIRE_START, 5, "");
	expect("{\"returned\":6}", WIRE_RETURNED, 6, "");
	expect("{\"draining\":true}", WIRE_DRAINING, 0, "");
	expect("{\"sync\":77,\"held\":[ ]}", WIRE_SYNC, 77, "");
	expect("{\"sync\":77}", WIRE_SYNC, 77, "");
	expect("{\"done\":9223372036854775807}", WIRE_DONE, INT64_MAX, "");
}

static void
flags_and_numbers_are_understood(void **state)
{
	uint64_t ids[2];

	(void)state;
	assert_int_equal(parse("{\"failed\":3,\"retry\":false}"), 0);
	assert_true(said.for_good);
	assert_int_equal(parse("{\"failed\":3,\"retry\":true}"), 0);
	assert_false(said.for_good);
	assert_int_equal(parse("{\"progress\":3,\"share\":0.25}"), 0);
	assert_int_equal(said.share, 250);
	assert_int_equal(parse("{\"progress\":3,\"share\":null}"), 0);
	assert_int_equal(said.share, WIRE_NO_SHARE);
	assert_int_equal(
	    parse("{\"progress\":3,\"share\":1.0000000000000002}"), 0);
	assert_int_equal(said.share, 1000);
	assert_int_equal(parse("{\"progress\":3,\"share\":-1}"), 0);
	assert_int_equal(said.share, WIRE_NO_SHARE);
	assert_int_equal(parse("{\"start\":3,\"thread\":7}"), 0);
	assert_int_equal(said.thread, 7);
	assert_int_equal(parse("{\"done\":3,\"result\":1}"), 0);
	assert_true(said.json);
	said_done(&said);
	assert_int_equal(parse("{\"done\":3,\"data\":\"\"}"), 0);
	assert_false(said.json);
	said_done(&said);
	assert_int_equal(parse("{\"sync\":1,\"held\":[5 , 6]}"), 0);
	assert_int_equal(said.size, sizeof ids);
	memcpy(ids, said.data, sizeof ids);
	assert_int_equal(ids[0], 5);
	assert_int_equal(ids[1], 6);
	said_done(&said);
}

static void
nonsense_is_refused(void **state)
{
	static const struct {
		const char *line;
		int error;
	} rows[] = {
		{ "", -EINVAL },
		{ "hello", -EINVAL },
		{ "[1]", -EINVAL },
		{ "{\"done\":1", -EINVAL },
		{ "xxx\"}", -EINVAL },
		{ "{\"done\":1}}", -EINVAL },
		{ "{\"done\":NaN}", -EINVAL },
		{ "{}", -EPROTO },
		{ "{\"else\":1}", -EPROTO },
		{ "{\"done\":-1}", -EPROTO },
		{ "{\"done\":1.5}", -EPROTO },
		{ "{\"done\":\"1\"}", -EPROTO },
		{ "{\"done\":99999999999999999999}", -EPROTO },
		{ "{\"done\":1,\"data\":\"a\"}", -EPROTO },
		{ "{\"done\":1,\"data\":5}", -EPROTO },
		{ "{\"done\":1,\"data\":\"aGk=\",\"result\":1}", -EPROTO },
		{ "{\"failed\":1,\"error\":[]}", -EPROTO },
		{ "{\"progress\":1,\"share\":\"\"}", -EPROTO },
		{ "{\"failed\":1,\"error\":\"\\udc0\"}", -EINVAL },
		{ "{\"failed\":1,\"error\":\"\\udcff}", -EINVAL },
		{ "{\"start\":1,\"thread\":1024}", -EPROTO },
		{ "{\"sync\":1,\"held\":[\"a\"]}", -EPROTO },
		{ "{\"sync\":1,\"held\":[[1]]}", -EPROTO },
		{ "{\"sync\":1,\"held\":{}}", -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(parse(rows[i].line), rows[i].error);
		said_done(&said);
	}
}

static void
a_task_is_one_line(void **state)
{
	static char func[] = "re\"size";
	struct task_row row = { .id = 12, .func = func, .json = true };
	struct buf out;

	(void)state;
	buf_init(&out);
	row.payload = body_new("{\n\"a\":\r\n1}", 10);
	row.timeout_ms = 1500;
	lines_task(&out, &row, 2);
	assert_string_equal(buf_text(&out),
	    "{\"task\":12,\"attempt\":2,\"func\":\"re\\\"size\","
	    "\"args\":{ \"a\":\r 1},\"timeout\":1.5}\n");
	buf_clear(&out);
	body_release(row.payload);
	row.payload = body_new("\0\1\2", 3);
	row.json = false;
	row.timeout_ms = 0;
	lines_task(&out, &row, 1);
	assert_string_equal(buf_text(&out),
	    "{\"task\":12,\"attempt\":1,\"func\":\"re\\\"size\","
	    "\"data\":\"AAEC\",\"timeout\":null}\n");
	buf_clear(&out);
	body_release(row.payload);
	row.payload = NULL;
	lines_task(&out, &row, 1);
	assert_string_equal(buf_text(&out),
	    "{\"task\":12,\"attempt\":1,\"func\":\"re\\\"size\","
	    "\"args\":null,\"timeout\":null}\n");
	buf_clear(&out);
	row.missed = 17;
	lines_task(&out, &row, 1);
	assert_non_null(
	    strstr(buf_text(&out), ",\"timeout\":null,\"missed\":17}\n"));
	buf_clear(&out);
	lines_id(&out, "cancel", 12);
	assert_string_equal(buf_text(&out), "{\"cancel\":12}\n");
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_is_understood),
		cmocka_unit_test(flags_and_numbers_are_understood),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_task_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
