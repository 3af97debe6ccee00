/* What clients say about a task, and what is not to be taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/base64.h"
#include "supervisord/broker/submission.h"

static char why[256];

static int
parse(const char *text, struct submission **ret)
{
	why[0] = '\0';
	return submission_parse(text, strlen(text), ret, why, sizeof why);
}

static void
all_settings_are_read(void **state)
{
	struct submission *s;

	(void)state;
	assert_int_equal(
	    parse("{\"worker\":\"web\",\"func\":\"f\",\"args\":{\"b\": 0.1, "
		  "\"a\":[1,true,null,\"\\u00e9\\n\"]},\"priority\":\"low\","
		  "\"delay\":1.5,\"timeout\":0.25,\"retries\":3,\"key\":\"k\","
		  "\"limit_key\":\"l\",\"result_ttl\":60}",
		&s),
	    0);
	assert_string_equal(s->worker, "web");
	assert_string_equal(s->func, "f");
	assert_true(s->json);
	assert_string_equal(s->payload->data,
	    "{\"b\":0.1,\"a\":[1,true,null,\"\xc3\xa9\\n\"]}");
	assert_int_equal(s->priority, PRIORITY_LOW);
	assert_int_equal(s->delay_ms, 1500);
	assert_int_equal(s->timeout_ms, 250);
	assert_int_equal(s->retries, 3);
	assert_string_equal(s->key, "k");
	assert_string_equal(s->limit_key, "l");
	assert_int_equal(s->result_ttl_ms, 60000);
	assert_null(s->then);
	submission_free(s);
}

static void
what_is_not_said_is_the_workers(void **state)
{
	struct submission *s;

	(void)state;
	assert_int_equal(
	    parse("{\"worker\":\"w\",\"func\":\"f\",\"args\":null}", &s), 0);
	assert_int_equal(s->priority, PRIORITY_MIDDLE);
	assert_int_equal(s->timeout_ms, -1);
	assert_int_equal(s->result_ttl_ms, -1);
	assert_int_equal(s->retries, -1);
	assert_int_equal(s->due_ms, 0);
	assert_null(s->payload);
	assert_true(s->json);
	submission_free(s);
	assert_int_equal(
	    parse("{\"worker\":\"w\",\"func\":\"f\",\"data\":\"AAEC/w==\","
		  "\"at\":1700000000.5,\"timeout\":0}",
		&s),
	    0);
	assert_false(s->json);
	assert_int_equal(s->payload->size, 4);
	assert_memory_equal(s->payload->data, "\0\1\2\xff", 4);
	assert_int_equal(s->due_ms, 1700000000500);
	assert_int_equal(s->timeout_ms, 0);
	submission_free(s);
}

#define T "{\"worker\":\"w\",\"func\":\"f\""

static void
what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text;
		enum queue_error e;
		const char *words;
	} cases[] = {
		{ "", QERR_NOT_JSON, "not JSON" },
		{ "{", QERR_NOT_JSON, "not JSON" },
		{ "7", QERR_NOT_JSON, "" },
		{ "[]", QERR_BAD_VALUE, "1 to 1000" },
		{ "[7]", QERR_BAD_VALUE, "a task or a list" },
		{ "{}", QERR_BAD_VALUE, "func" },
		{ "{\"func\":\"f\"}", QERR_BAD_VALUE, "worker" },
		{ "{\"worker\":7,\"func\":\"f\"}", QERR_BAD_VALUE, "worker" },
		{ T ",\"func\":\"g\"}", QERR_NOT_JSON, "duplicate" },
		{ T ",\"timout\":1}", QERR_BAD_VALUE, "\"timout\"" },
		{ T ",\"wait\":true}", QERR_BAD_VALUE, "\"wait\"" },
		{ T ",\"priority\":1}", QERR_BAD_VALUE, "priority" },
		{ T ",\"priority\":\"urgent\"}", QERR_BAD_VALUE, "priority" },
		{ T ",\"delay\":-1}", QERR_BAD_VALUE, "delay" },
		{ T ",\"delay\":\"1\"}", QERR_BAD_VALUE, "delay" },
		{ T ",\"delay\":1e300}", QERR_BAD_VALUE, "delay" },
		{ T ",\"delay\":1,\"at\":1}", QERR_BAD_VALUE, "exclude" },
		{ T ",\"at\":1700000000000}", QERR_BAD_VALUE, "at" },
		{ T ",\"timeout\":1e9}", QERR_BAD_VALUE, "timeout" },
		{ T ",\"retries\":1.5}", QERR_BAD_VALUE, "retries" },
		{ T ",\"retries\":-2}", QERR_BAD_VALUE, "retries" },
		{ T ",\"key\":\"\"}", QERR_BAD_VALUE, "key" },
		{ T ",\"key\":\"a\\u0007\"}", QERR_BAD_VALUE, "key" },
		{ T ",\"args\":1,\"data\":\"\"}", QERR_BAD_VALUE, "exclude" },
		{ T ",\"data\":\"a\"}", QERR_BAD_VALUE, "base64" },
		{ T ",\"data\":\"a!bc\"}", QERR_BAD_VALUE, "base64" },
		{ T ",\"then\":7}", QERR_BAD_VALUE, "then" },
		{ T ",\"then\":{\"worker\":\"w\"}}", QERR_BAD_VALUE, "func" },
		{ T ",\"then\":[" T ",\"then\":" T "}}," T "}]}",
		    QERR_BAD_VALUE, "last" },
		{ "{\"worker\":"
		  "\"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"
		  "wwwwwwwwwwwwww\",\"func\":\"f\"}",
		    QERR_NO_WORKER, "no such" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct submission *s;

		assert_int_equal(parse(cases[i].text, &s), cases[i].e);
		assert_non_null(strstr(why, cases[i].words));
	}
}

static void
too_large_is_refused(void **state)
{
	static const char head[] = T ",\"args\":\"";
	size_t size = (1 << 20) + 64;
	char *text = malloc(size + sizeof head);
	struct submission *s;

	(void)state;
	memset(text, 'x', size);
	memcpy(text, head, sizeof head - 1);
	memcpy(text + size - 3, "\"}", 3);
	assert_int_equal(parse(text, &s), QERR_TOO_LARGE);
	free(text);
}

static void
a_chain_is_unrolled_from_its_start(void **state)
{
	struct submission *a, *b, *c;

	(void)state;
	assert_int_equal(
	    parse(T ",\"then\":[{\"worker\":\"w\",\"func\":\"g\"},"
		    "{\"worker\":\"w\",\"func\":\"h\",\"args\":1},"
		    "{\"worker\":\"w\",\"func\":\"i\",\"then\":" T "}}]}",
		&a),
	    0);
	assert_int_equal(parse(a->then, &b), 0);
	assert_string_equal(b->func, "g");
	assert_int_equal(parse(b->then, &c), 0);
	assert_string_equal(c->func, "h");
	assert_string_equal(c->payload->data, "1");
	submission_free(a);
	a = c;
	assert_int_equal(parse(a->then, &c), 0);
	assert_string_equal(c->func, "i");
	submission_free(a);
	assert_int_equal(parse(c->then, &a), 0);
	assert_string_equal(a->func, "f");
	assert_null(a->then);
	submission_free(a);
	submission_free(b);
	submission_free(c);
}

static void
nesting_has_an_end(void **state)
{
	struct submission *s;

	(void)state;
	for (int depth = 1; depth < 3000;
	     depth = depth < 40 ? depth + 1 : depth * 4) {
		struct buf b;
		int e;

		buf_init(&b);
		for (int i = 0; i < depth; i++)
			buf_str(&b, T ",\"then\":");
		buf_str(&b, T "}");
		for (int i = 0; i < depth; i++)
			buf_char(&b, '}');
		e = parse(buf_text(&b), &s);
		if (depth <= SUBMISSION_DEPTH) {
			assert_int_equal(e, 0);
			submission_free(s);
		} else {
			assert_true(e == QERR_BAD_VALUE || e == QERR_NOT_JSON);
		}
		buf_done(&b);
	}
}

static void
numbers_read_back_as_they_were(void **state)
{
	static const double values[] = { 0.1, 1e300, 5e-324, 1.0, -0.0,
		123456.75, 1.0 / 3.0, 1e15, 123456789012345678. };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(values); i++) {
		json_t *v = json_real(values[i]), *back;
		struct buf b;

		buf_init(&b);
		submission_put_json(&b, v);
		back = json_loads(buf_text(&b), JSON_DECODE_ANY, NULL);
		assert_true(json_is_real(back));
		assert_true(json_real_value(back) == values[i]);
		json_decref(v);
		json_decref(back);
		buf_done(&b);
	}
}

static void
base64_goes_both_ways(void **state)
{
	static const char bytes[] = "\0\1\2\xff\xfe"
				    "any bytes";

	(void)state;
	for (size_t n = 0; n < sizeof bytes; n++) {
		struct buf text, back;

		buf_init(&text);
		buf_init(&back);
		base64_put(&text, bytes, n);
		assert_int_equal(
		    base64_take(&back, buf_text(&text), text.size), 0);
		assert_int_equal(back.size, n);
		if (n > 0)
			assert_memory_equal(back.data, bytes, n);
		buf_clear(&back);
		/* Without padding, too. */
		while (text.size > 0 && text.data[text.size - 1] == '=')
			text.size--;
		assert_int_equal(
		    base64_take(&back, buf_text(&text), text.size), 0);
		assert_int_equal(back.size, n);
		buf_done(&text);
		buf_done(&back);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_settings_are_read),
		cmocka_unit_test(what_is_not_said_is_the_workers),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(a_chain_is_unrolled_from_its_start),
		cmocka_unit_test(nesting_has_an_end),
		cmocka_unit_test(numbers_read_back_as_they_were),
		cmocka_unit_test(base64_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
