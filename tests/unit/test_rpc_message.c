/* JSON-RPC messages, in and out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "supervisord/base/util.h"
#include "supervisord/rpc/message.h"

static void
what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text;
		bool lists;
		int code;
		const char *words;
	} cases[] = {
		{ "{", false, RPC_PARSE, "not JSON: " },
		{ "7", false, RPC_PARSE, "not JSON: " },
		{ "", false, RPC_PARSE, "not JSON: " },
		{ "{\"id\":1,\"id\":2,\"method\":\"m\"}", false, RPC_PARSE,
		    "not JSON: " },
		{ "[]", false, RPC_INVALID, "batches are not supported" },
		{ "{}", false, RPC_INVALID, "not a request" },
		{ "{\"id\":1,\"method\":2}", false, RPC_INVALID,
		    "not a request" },
		{ "{\"id\":1.5,\"method\":\"m\"}", false, RPC_INVALID,
		    "not a request" },
		{ "{\"id\":1,\"method\":\"m\",\"params\":7}", true, RPC_PARAMS,
		    "\"params\" must be an object with named parameters, or" },
		{ "{\"id\":1,\"method\":\"m\",\"params\":[]}", false,
		    RPC_PARAMS,
		    "\"params\" must be an object with named parameters" },
		{ "{\"id\":1,\"method\":\"m\",\"params\":[]}", true, 0, NULL },
		{ "{\"id\":1,\"method\":\"m\",\"params\":{}}", false, 0, NULL },
		{ "{\"id\":\"x\",\"method\":\"m\"}", false, 0, NULL },
		{ "{\"id\":null,\"method\":\"m\"}", false, 0, NULL },
		{ "{\"method\":\"m\"}", false, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char words[RPC_WORDS] = "";
		struct rpc_message m;

		assert_int_equal(
		    rpc_message_read(&m, cases[i].text, strlen(cases[i].text),
			cases[i].lists, words),
		    cases[i].code);
		if (cases[i].words != NULL)
			assert_memory_equal(
			    words, cases[i].words, strlen(cases[i].words));
		else
			assert_string_equal(m.method, "m");
		/* An answer names the request where it can. */
		if (cases[i].code != 0 && cases[i].code != RPC_PARAMS)
			assert_null(m.id);
		if (cases[i].code == RPC_PARAMS)
			assert_int_equal(json_integer_value(m.id), 1);
		rpc_message_done(&m);
	}
}

static void
only_its_own_bytes_are_read(void **state)
{
	static const char two[] = "{\"method\":\"a\"}{\"method\":\"b\"}";
	char words[RPC_WORDS];
	struct rpc_message m;

	(void)state;
	assert_int_equal(
	    rpc_message_read(&m, two, sizeof two / 2, false, words), 0);
	assert_string_equal(m.method, "a");
	rpc_message_done(&m);
}

static void
depth_has_an_end(void **state)
{
	static char deep[200000];
	char words[RPC_WORDS];
	struct rpc_message m;

	(void)state;
	memset(deep, '[', sizeof deep);
	assert_int_equal(
	    rpc_message_read(&m, deep, sizeof deep, true, words), RPC_PARSE);
	rpc_message_done(&m);
}

static void
answers_have_their_form(void **state)
{
	json_t *number = json_integer(7), *text = json_string("a\"\n");
	struct buf b, value;

	(void)state;
	buf_init(&b);
	buf_init(&value);
	buf_str(&value, "[1]");
	rpc_put_result(&b, number, &value);
	assert_string_equal(
	    buf_text(&b), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":[1]}");
	buf_clear(&b);
	rpc_put_result(&b, text, &value);
	assert_string_equal(buf_text(&b),
	    "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"\\n\",\"result\":[1]}");
	buf_clear(&b);
	rpc_put_error(&b, NULL, RPC_PARSE, "why\n", NULL);
	assert_string_equal(buf_text(&b),
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
	    "\"message\":\"why\\n\"}}");
	buf_clear(&b);
	rpc_put_error(&b, number, 1, "why", "{\"error\":\"full\"}");
	assert_string_equal(buf_text(&b),
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":1,"
	    "\"message\":\"why\",\"data\":{\"error\":\"full\"}}}");
	buf_clear(&b);
	rpc_put_notification(&b, "event", &value);
	assert_string_equal(buf_text(&b),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":[1]}");
	buf_done(&b);
	buf_done(&value);
	json_decref(number);
	json_decref(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(only_its_own_bytes_are_read),
		cmocka_unit_test(depth_has_an_end),
		cmocka_unit_test(answers_have_their_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
