/* What a task is told that follows another, or a group. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json_check.h"
#include "supervisord/broker/follow.h"
#include "supervisord/broker/submission.h"
#include "supervisord/proto/wire.h"

#define LONGEST UINT64_C(18446744073709551615)

static char head[] = "{\"worker\":\"w\",\"func\":\"f\",\"args\":\"";

/* A `then` of this many bytes; to be freed. */
static char *
then_of(size_t size)
{
	char *text = malloc(size + 1);

	memset(text, 'x', size);
	memcpy(text, head, sizeof head - 1);
	memcpy(text + size - 2, "\"}", 3);
	return text;
}

static void
check(const struct submission *s)
{
	assert_true(s->json);
	assert_int_equal(
	    json_check(s->payload->data, s->payload->size, NULL), 0);
	assert_true(s->payload->size <= WIRE_PAYLOAD_MAX);
}

static void
arguments_and_result_are_one_object(void **state)
{
	struct submission *s =
	    follow_parse(1, "{\"worker\":\"w\",\"func\":\"f\",\"args\":[1]}");
	struct body *result = body_new("{\"a\":2}", 7);

	(void)state;
	assert_true(follow_task(s, 12, result, true));
	assert_string_equal(s->payload->data,
	    "{\"args\":[1],\"task\":12,\"result\":{\"a\":2}}");
	submission_free(s);
	s = follow_parse(1, "{\"worker\":\"w\",\"func\":\"f\"}");
	assert_true(follow_task(s, 12, result, false));
	assert_string_equal(s->payload->data,
	    "{\"args\":null,\"task\":12,"
	    "\"result\":{\"base64\":\"eyJhIjoyfQ==\"}}");
	submission_free(s);
	body_release(result);
}

static void
the_longest_that_fits_can_be_handed_on(void **state)
{
	size_t size = WIRE_PAYLOAD_MAX;
	struct body *result;
	struct submission *s;
	char *then;

	(void)state;
	for (;; size--) {
		bool fits;

		then = then_of(size);
		fits = follow_fits(then, 0);
		if (fits)
			break;
		free(then);
	}
	result = body_new(NULL, 1 << 20);
	memset(result->data, '1', 1 << 20);
	s = follow_parse(1, then);
	assert_non_null(s);
	assert_true(follow_task(s, LONGEST, result, true));
	check(s);
	assert_non_null(strstr(s->payload->data, "\"omitted\":true"));
	submission_free(s);
	body_release(result);
	free(then);
}

static void
the_largest_group_that_fits_can_be_handed_on(void **state)
{
	char *then = then_of(1000);
	struct submission *s = follow_parse(1, then);
	size_t most = 0;
	struct follow_group g;

	(void)state;
	while (follow_fits(then, most + 1))
		most++;
	assert_true(most >= 10000);
	follow_group_begin(&g, s, LONGEST, most);
	for (size_t i = 0; i < most; i++)
		follow_group_member(
		    &g, LONGEST, TASK_CANCELLED, "1", 1, true, true);
	assert_true(follow_group_end(s, &g));
	check(s);
	submission_free(s);
	/* With results as long as there is room. */
	s = follow_parse(1, then);
	follow_group_begin(&g, s, LONGEST, most);
	for (size_t i = 0; i < most; i++)
		follow_group_member(&g, LONGEST, TASK_DONE,
		    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22]",
		    58, true, false);
	assert_true(follow_group_end(s, &g));
	check(s);
	assert_null(strstr(s->payload->data, "],\"omitted\""));
	submission_free(s);
	/* One larger than that, from before there was a limit. */
	s = follow_parse(1, then);
	follow_group_begin(&g, s, LONGEST, 2 * most);
	for (size_t i = 0; i < 2 * most; i++)
		follow_group_member(
		    &g, LONGEST, TASK_CANCELLED, NULL, 0, true, false);
	assert_true(follow_group_end(s, &g));
	check(s);
	assert_non_null(strstr(s->payload->data, "],\"omitted\":true}"));
	submission_free(s);
	free(then);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_and_result_are_one_object),
		cmocka_unit_test(the_longest_that_fits_can_be_handed_on),
		cmocka_unit_test(the_largest_group_that_fits_can_be_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
