/* What Redis says, for people. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/broker/redis/words.h"

static void
expect(const char *said, const char *begins, const char *has)
{
	char words[384];

	words_of_redis(said, words, sizeof words);
	if (strncmp(words, begins, strlen(begins)) != 0 ||
	    strstr(words, has) == NULL)
		fail_msg("%s", words);
	assert_null(strstr(words, "user_script"));
	assert_null(strstr(words, ".."));
	assert_true(words[strlen(words) - 1] != '.');
}

static void
scripts_are_left_out(void **state)
{
	(void)state;
	expect("NOREPLICAS Not enough good replicas to write. script: "
	       "d7d09b63e38a71b2bff18e955589cf71a33787e7, on "
	       "@user_script:61.",
	    "NOREPLICAS Not enough good replicas to write; ",
	    "min-replicas-to-write");
	expect("ERR Error running script (call to f_d7d09b63e38a): "
	       "@user_script:17: @user_script: 17: -READONLY You can't write "
	       "against a read only replica.",
	    "READONLY You can't write against a read only replica; ",
	    "primary");
	expect("ERR Error running script (call to f_d7d09b63e38a): "
	       "@user_script:17: WRONGTYPE Operation against a key",
	    "WRONGTYPE Operation against a key", "");
	expect("ERR user_script:3: it broke script: abc, on @user_script:3.",
	    "it broke", "");
}

static void
what_is_to_be_done_is_said(void **state)
{
	(void)state;
	expect("AUTH: WRONGPASS invalid username-password pair or user is "
	       "disabled.",
	    "AUTH: WRONGPASS", "the password in tasks.store");
	expect("NOAUTH Authentication required.", "NOAUTH", ":PASSWORD@");
	expect("SELECT: ERR DB index is out of range",
	    "SELECT: ERR DB index is out of range; ", "databases");
	expect("Connection refused", "Connection refused; ", "port");
	expect("the connection was closed", "the connection was closed", "");
}

static void
what_is_long_is_cut(void **state)
{
	char words[32];

	(void)state;
	words_of_redis("NOAUTH Authentication required.", words, sizeof words);
	assert_string_equal(words, "NOAUTH Authentication required;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts_are_left_out),
		cmocka_unit_test(what_is_to_be_done_is_said),
		cmocka_unit_test(what_is_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
