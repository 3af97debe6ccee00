/* Where a Redis is, as people write it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/redis_url.h"
#include "supervisord/base/util.h"

struct right {
	const char *text;
	struct redis_url is;
	const char *shown;
};

static void
urls_are_read(void **state)
{
	static const struct right cases[] = {
		{ "redis://h", { .host = "h", .port = 6379 },
		    "redis://h:6379/0" },
		{ "redis://h/", { .host = "h", .port = 6379 },
		    "redis://h:6379/0" },
		{ "redis://h:7000/12", { .host = "h", .port = 7000, .db = 12 },
		    "redis://h:7000/12" },
		{ "redis://[::1]/3", { .host = "::1", .port = 6379, .db = 3 },
		    "redis://[::1]:6379/3" },
		{ "redis://[::1]:5", { .host = "::1", .port = 5 },
		    "redis://[::1]:5/0" },
		{ "redis://u:p@h",
		    { .host = "h", .port = 6379, .user = "u", .password = "p" },
		    "redis://h:6379/0" },
		{ "redis://:p%40%2f%25@h/1",
		    { .host = "h", .port = 6379, .db = 1, .password = "p@/%" },
		    "redis://h:6379/1" },
		{ "redis://:a@b/c:d@h/1",
		    { .host = "h",
			.port = 6379,
			.db = 1,
			.password = "a@b/c:d" },
		    "redis://h:6379/1" },
		{ "unix:///run/r.sock", { .path = "/run/r.sock", .port = 6379 },
		    "unix:///run/r.sock?db=0" },
		{ "unix:///run/a%20b@c?db=65535",
		    { .path = "/run/a b@c", .port = 6379, .db = 65535 },
		    "unix:///run/a b@c?db=65535" },
		{ "unix://u:p@/r.sock?db=2",
		    { .path = "/r.sock",
			.port = 6379,
			.db = 2,
			.user = "u",
			.password = "p" },
		    "unix:///r.sock?db=2" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const struct redis_url *is = &cases[i].is;
		char why[256] = "", shown[REDIS_URL_TEXT];
		struct redis_url u;

		if (redis_url_parse(cases[i].text, &u, why, sizeof why) != 0)
			fail_msg("%s: %s", cases[i].text, why);
		assert_true(redis_url_meant(cases[i].text));
		assert_string_equal(u.host, is->host);
		assert_string_equal(u.path, is->path);
		assert_string_equal(u.user, is->user);
		assert_string_equal(u.password, is->password);
		assert_int_equal(u.port, is->port);
		assert_int_equal(u.db, is->db);
		assert_string_equal(
		    redis_url_show(&u, shown, sizeof shown), cases[i].shown);
	}
}

struct bad {
	const char *text, *words;
};

static void
what_is_wrong_is_said(void **state)
{
	static const struct bad cases[] = {
		{ "rediss://h/0", "TLS" },
		{ "http://h", "neither" },
		{ "redis:h", "neither" },
		{ "redis://", "host is missing" },
		{ "redis:///0", "host is missing" },
		{ "redis://:1", "host is missing" },
		{ "redis://h:", "port" },
		{ "redis://h:0", "port" },
		{ "redis://h:65536", "port" },
		{ "redis://h:99999999999999999999", "port" },
		{ "redis://h:x", "port" },
		{ "redis://h/x", "database's number" },
		{ "redis://h/65536", "database's number" },
		{ "redis://h/-1", "database's number" },
		{ "redis://h/0?db=1", "nothing behind it" },
		{ "redis://h/0/1", "database's number" },
		{ "redis://secret@h", "user:password" },
		{ "redis://u:@h", "password before the @ is empty" },
		{ "redis://u:%zz@h", "two hex digits" },
		{ "redis://u:%4@h", "two hex digits" },
		{ "redis://u:%00@h", "NUL" },
		{ "redis://h h", "host" },
		{ "redis://[::1", "]" },
		{ "redis://[::1]x", ":port" },
		{ "redis://h\n", "control" },
		{ "unix://", "path" },
		{ "unix://run/redis.sock", "begin with a /" },
		{ "unix://?db=1", "path" },
		{ "unix:///r?x=1", "db=NUMBER" },
		{ "unix:///r?db=", "database's number" },
		{ "unix:///r?db=1&x", "database's number" },
		{ "unix:///"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    "longer than 107" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char why[256] = "";
		struct redis_url u;

		assert_int_equal(
		    redis_url_parse(cases[i].text, &u, why, sizeof why),
		    -EINVAL);
		if (strstr(why, cases[i].words) == NULL)
			fail_msg("%s: \"%s\"", cases[i].text, why);
		assert_null(strstr(why, "secret"));
	}
}

static void
a_path_is_not_meant_as_one(void **state)
{
	(void)state;
	assert_true(redis_url_meant("rediss://h"));
	assert_true(redis_url_meant("redis:h"));
	assert_true(redis_url_meant("http://h"));
	assert_false(redis_url_meant("sqlite"));
	assert_false(redis_url_meant("/var/lib/tasks.db"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_read),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_path_is_not_meant_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
