/* Schedules and the config: what a change of it changes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisord/broker/schedule.h"
#include "supervisord/broker/schedule_int.h"
#include "tests/unit/core_calls.h"

/* The store is not well: nothing begins. */
uint32_t
store_schedule_id(struct store *s, const char *name, uint64_t *ret_last)
{
	(void)s;
	(void)name;
	*ret_last = 0;
	return 0;
}

static void
each_setting_of_a_running_schedule_can_change(void **state)
{
	static char func[] = "f";
	struct schedule_config c = { .name = "nightly",
		.worker = "w",
		.func = func,
		.every_ms = 60000,
		.catch_up = CATCH_UP_ALL,
		.catch_up_max = 5,
		.overlap = OVERLAP_SKIP,
		.timeout_ms = -1 };
	struct store_found found = { 0 };
	struct rig *r = one_pool();
	struct schedule *s;

	(void)state;
	r->b.loop = ev_default_loop(0);
	r->b.schedules_config = &c;
	r->b.schedules_count = 1;
	assert_int_equal(schedules_new(&r->b, &found), 0);
	schedules_configure(&r->b);
	s = LIST_ENTRY(r->b.schedules->all.next, struct schedule, link);
	assert_int_equal(s->rule.most, 5);
	c.catch_up_max = 7;
	c.overlap = OVERLAP_ALLOW;
	c.priority = 2;
	schedules_configure(&r->b);
	assert_int_equal(s->rule.most, 7);
	assert_int_equal(s->rule.overlap, OVERLAP_ALLOW);
	assert_int_equal(s->priority, 2);
	c.catch_up_max = 0;
	c.every_ms = 30000;
	schedules_configure(&r->b);
	assert_int_equal(s->rule.most, PLAN_CATCH_UP);
	assert_int_equal(s->rule.every_ms, 30000);
	assert_true(s->changed);
	schedules_free(&r->b);
	r->b.loop = NULL;
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_setting_of_a_running_schedule_can_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
