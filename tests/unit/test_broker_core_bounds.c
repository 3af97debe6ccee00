/* The broker's core: how much of a queue is in memory, and what a queue that is
 * full takes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_calls.h"

#define LARGE (1U << 20)

static struct submission *
large(const char *limit_key)
{
	struct submission *s = submission("w");

	s->payload = body_new(NULL, LARGE);
	s->limit_key = rig_copy(limit_key);
	return s;
}

static struct pool *
pool(struct rig *r)
{
	return pool_find(r->b.core, "w");
}

/* Of many large tasks whose key is at its cap only so many are in memory, and
 * they are done all the same. */
static void
parked_tasks_take_so_much_memory_and_no_more(void **state)
{
	struct rig *r = rig_new(1);
	unsigned many = ASIDE_BYTES / LARGE + 100, ended = 0;
	struct core_sizes before = core_sizes;

	(void)state;
	core_sizes.window_chunk = 8;
	r->pools[0].key_concurrency = 1;
	rig_boot(r);
	core_adopted(&r->b);
	for (unsigned i = 0; i < many; i++)
		submit(r, large("k"));
	rig_kill(r);
	rig_hand(r, 0, "w", 4);
	core_adopted(&r->b);
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 1);
	assert_true(pool(r)->aside >= ASIDE_BYTES);
	assert_true(pool(r)->aside <= ASIDE_BYTES + 8 * LARGE);
	assert_true(pool(r)->parked < many - 1);
	for (; ended < many; ended++) {
		assert_int_equal(r->hands[0].held, 1);
		done(r, r->last_given);
		rig_settle(r);
	}
	assert_int_equal(pool(r)->counts[TASK_DONE], many);
	assert_int_equal(pool(r)->aside, 0);
	assert_int_equal(pool(r)->bytes, 0);
	core_sizes = before;
	rig_free(r);
}

static void
what_memory_has_no_room_for_is_stored_though_nobody_asked(void **state)
{
	struct rig *r = rig_new(1);
	struct core_sizes before = core_sizes;
	struct submission *s;
	unsigned many = WINDOW_BYTES / LARGE;

	(void)state;
	core_sizes.window_keep = 50;
	r->pools[0].durability = DURABLE_NONE;
	rig_boot(r);
	core_adopted(&r->b);
	for (unsigned i = 0; i < many; i++)
		submit(r, large(NULL));
	assert_int_equal(r->store.puts[STORE_SUBMIT], 0);
	submit(r, large(NULL));
	assert_int_equal(r->store.puts[STORE_SUBMIT], 1);
	rig_free(r);
	r = rig_new(1);
	r->pools[0].durability = DURABLE_NONE;
	rig_boot(r);
	core_adopted(&r->b);
	for (unsigned i = 0; i < 101; i++) {
		s = submission("w");
		s->delay_ms = 1000;
		submit(r, s);
	}
	assert_int_equal(r->store.puts[STORE_SUBMIT], 1);
	assert_int_equal(r->b.core->fleeting.count, 100);
	rig_free(r);
	r = rig_new(1);
	r->pools[0].durability = DURABLE_NONE;
	rig_boot(r);
	core_adopted(&r->b);
	for (unsigned i = 0; i < many + 1; i++) {
		s = large(NULL);
		s->delay_ms = 1000;
		submit(r, s);
	}
	assert_int_equal(r->store.puts[STORE_SUBMIT], 1);
	/* Those that wait for their time hold up nobody. */
	s = submission("w");
	s->key = strdup("stored");
	submit(r, s);
	rig_hand(r, 0, "w", 128);
	rig_settle(r);
	assert_int_equal(r->hands[0].held, 1);
	/* Each is done when its time has come. */
	rig_pass(r, 1001);
	assert_int_equal(r->hands[0].held, many + 2);
	assert_int_equal(pool(r)->later, 0);
	core_sizes = before;
	rig_free(r);
}

/* Who has not heard that a task was taken submits it again. */
static void
a_full_queue_knows_the_keys_it_has(void **state)
{
	struct rig *r = rig_new(1);
	struct submission *s = submission("w");
	uint64_t id;

	(void)state;
	r->pools[0].max_queue = 1;
	rig_boot(r);
	core_adopted(&r->b);
	s->key = strdup("k");
	id = submit(r, s);
	s = submission("w");
	s->key = strdup("k");
	put(r, s);
	rig_settle(r);
	assert_int_equal(told.error, QERR_NONE);
	assert_int_equal(told.id, id);
	assert_true(told.existed);
	s = submission("w");
	s->key = strdup("other");
	put(r, s);
	rig_settle(r);
	assert_int_equal(told.error, QERR_FULL);
	assert_int_equal(pool(r)->submitting, 0);
	assert_int_equal(pool(r)->counts[TASK_QUEUED], 1);
	put(r, submission("w"));
	assert_int_equal(told.error, QERR_FULL);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parked_tasks_take_so_much_memory_and_no_more),
		cmocka_unit_test(
		    what_memory_has_no_room_for_is_stored_though_nobody_asked),
		cmocka_unit_test(a_full_queue_knows_the_keys_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
