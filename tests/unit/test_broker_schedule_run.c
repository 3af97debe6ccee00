/*
 * A schedule's runs over a store and clocks that are made up: each due time is
 * run once, whatever the store, the broker and the clock do meanwhile.
 * (test_broker_schedule.c has when it is due.)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisord/broker/schedule.h"
#include "supervisord/broker/schedule_int.h"
#include "tests/unit/core_calls.h"

#define MINUTE   60000
#define RUNS_MAX 512

/* What the store has of it. */
static struct {
	bool unwell; /* it gives no id for a schedule */
	struct store_schedule schedule;
	int64_t fired[RUNS_MAX];
	uint64_t ids[RUNS_MAX];
	size_t count;
} disk;

static struct schedule_config config;

uint32_t
store_schedule_id(struct store *s, const char *name, uint64_t *ret_last)
{
	(void)s;
	*ret_last = disk.schedule.last_task;
	if (disk.unwell)
		return 0;
	snprintf(disk.schedule.name, sizeof disk.schedule.name, "%s", name);
	disk.schedule.id = 1;
	return 1;
}

/* FIRE, as SQLite's half does it. */
static void
on_write(struct store *s, const struct store_op *op)
{
	/* NOLINTNEXTLINE(bugprone-casting-through-void): its own operation */
	struct store_op *own = (struct store_op *)(uintptr_t)op;

	if (op->kind != STORE_FIRE)
		return;
	assert_int_equal(op->schedule, 1);
	for (size_t i = 0; op->row != NULL && i < disk.count; i++) {
		if (disk.fired[i] == op->fire_ms)
			own->existing = disk.ids[i];
	}
	if (op->row != NULL && op->existing == 0) {
		assert_true(disk.count < RUNS_MAX);
		disk.fired[disk.count] = op->fire_ms;
		disk.ids[disk.count++] = op->row->id;
		disk.schedule.last_task = op->row->id;
		rig_store_row(s, op->row);
	}
	disk.schedule.next_ms = op->next_fire_ms;
	disk.schedule.anchor_ms = op->now_ms;
}

static struct schedule *
only(struct rig *r)
{
	return LIST_ENTRY(r->b.schedules->all.next, struct schedule, link);
}

static void
begin(struct rig *r)
{
	struct store_found found = { .schedules = &disk.schedule,
		.schedules_count = disk.schedule.id != 0 };

	assert_int_equal(schedules_new(&r->b, &found), 0);
	schedules_configure(&r->b);
	rig_settle(r);
}

static struct rig *
start(enum overlap overlap)
{
	static char func[] = "f", args[] = "[1]";
	struct rig *r = one_pool();

	memset(&disk, 0, sizeof disk);
	config = (struct schedule_config){ .name = "tick",
		.worker = "w",
		.func = func,
		.args = args,
		.every_ms = MINUTE,
		.overlap = overlap,
		.timeout_ms = -1 };
	r->store.watch = on_write;
	/* Never run: the test says when a timer fires. */
	r->b.loop = ev_loop_new(0);
	r->b.schedules_config = &config;
	r->b.schedules_count = 1;
	begin(r);
	return r;
}

static void
end(struct rig *r)
{
	struct ev_loop *loop = r->b.loop;

	schedules_free(&r->b);
	rig_free(r);
	ev_loop_destroy(loop);
}

/* Time goes on by so much, the timer firing when it is due. */
static void
pass(struct rig *r, int64_t ms)
{
	int64_t until = rig_wall + ms;

	for (int fires = 0;; fires++) {
		struct schedule *s = only(r);
		int64_t at = (int64_t)(s->timer.offset * 1000.);

		assert_true(fires < 10000);
		if (!ev_is_active(&s->timer) || at > until)
			break;
		if (at > rig_wall)
			rig_pass(r, at - rig_wall);
		ev_periodic_stop(r->b.loop, &s->timer);
		schedule_timer(r->b.loop, &s->timer, 0);
		rig_settle(r);
	}
	rig_pass(r, until - rig_wall);
}

/* The broker is killed; what was written in it is there. */
static void
killed(struct rig *r)
{
	struct ev_loop *loop = r->b.loop;

	rig_write(&r->store);
	schedules_free(&r->b);
	rig_kill(r);
	core_adopted(&r->b);
	r->b.loop = loop;
	begin(r);
}

static void
no_due_time_twice(void)
{
	for (size_t i = 0; i < disk.count; i++) {
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(disk.fired[i], disk.fired[k]);
	}
}

static void
each_minute_is_run_once_as_it_is_asked_for(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);
	int64_t first = rig_wall;
	const struct task_row *row;

	(void)state;
	pass(r, 10 * MINUTE + 100);
	assert_int_equal(disk.count, 10);
	for (size_t i = 0; i < disk.count; i++)
		assert_int_equal(
		    disk.fired[i], first + (int64_t)(i + 1) * MINUTE);
	row = rig_row(&r->store, disk.ids[3]);
	assert_string_equal(row->func, "f");
	assert_string_equal(row->payload->data, "[1]");
	assert_true(row->json);
	assert_int_equal(row->schedule, 1);
	end(r);
}

static void
it_goes_on_when_the_one_before_has_ended(void **state)
{
	struct rig *r = start(OVERLAP_SKIP);
	struct hand *h = rig_hand(r, 0, "w", 1);

	(void)state;
	pass(r, 5 * MINUTE + 100);
	assert_int_equal(disk.count, 1);
	assert_int_equal(h->held, 1);
	done(r, disk.ids[0]);
	rig_settle(r);
	assert_int_equal(disk.count, 1);
	pass(r, MINUTE);
	assert_int_equal(disk.count, 2);
	no_due_time_twice();
	end(r);
}

static void
a_run_that_cannot_be_stored_is_tried_again_for_its_time(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);
	int64_t due = rig_wall + MINUTE;

	(void)state;
	pass(r, MINUTE - 10);
	r->store.broken = true;
	pass(r, 20000);
	assert_int_equal(disk.count, 0);
	assert_true(only(r)->troubled);
	r->store.broken = false;
	pass(r, 2000);
	assert_int_equal(disk.count, 1);
	assert_int_equal(disk.fired[0], due);
	assert_false(only(r)->troubled);
	end(r);
}

static void
a_store_that_does_not_know_it_yet_is_asked_again(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);

	(void)state;
	schedules_free(&r->b);
	memset(&disk, 0, sizeof disk);
	disk.unwell = true;
	begin(r);
	pass(r, 5000);
	assert_int_equal(only(r)->id, 0);
	disk.unwell = false;
	pass(r, 2000);
	assert_int_equal(only(r)->id, 1);
	pass(r, MINUTE);
	assert_int_equal(disk.count, 1);
	end(r);
}

static void
killed_at_any_step_it_runs_nothing_twice_and_leaves_nothing_out(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);
	int64_t first = rig_wall;

	(void)state;
	for (int n = 1; n <= 60; n++) {
		/* Just before it is due, at that, and behind it; told or not */
		pass(r, MINUTE - 7 - n % 3);
		if (n % 2 == 0) {
			rig_wall += 10;
			rig_mono += 10 * NS_PER_MS;
			schedule_timer(r->b.loop, &only(r)->timer, 0);
		}
		killed(r);
		pass(r, first + (int64_t)n * MINUTE + 20 - rig_wall);
	}
	no_due_time_twice();
	assert_int_equal(disk.count, 60);
	end(r);
}

static void
one_that_leaves_the_config_in_the_middle_of_a_step_goes_then(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);

	(void)state;
	pass(r, MINUTE - 10);
	rig_wall += 20;
	rig_mono += 20 * NS_PER_MS;
	schedule_timer(r->b.loop, &only(r)->timer, 0);
	r->b.schedules_count = 0;
	schedules_configure(&r->b);
	assert_true(list_empty(&r->b.schedules->all));
	rig_settle(r);
	/* It was on its way, and is a task as any. */
	assert_int_equal(disk.count, 1);
	assert_non_null(find(r, disk.ids[0]));
	/* Nothing of it is missed if it comes back. */
	assert_int_equal(disk.schedule.next_ms, 0);
	r->b.schedules_count = 1;
	schedules_configure(&r->b);
	rig_settle(r);
	pass(r, MINUTE + 100);
	assert_int_equal(disk.count, 2);
	end(r);
}

static void
one_that_comes_back_knows_that_its_last_run_goes_on(void **state)
{
	struct rig *r = start(OVERLAP_SKIP);
	struct hand *h = rig_hand(r, 0, "w", 2);

	(void)state;
	pass(r, MINUTE + 100);
	assert_int_equal(h->held, 1);
	for (size_t i = 0; i < 2; i++) {
		r->b.schedules_count = i;
		schedules_configure(&r->b);
		rig_settle(r);
	}
	pass(r, 3 * MINUTE);
	assert_int_equal(disk.count, 1);
	done(r, disk.ids[0]);
	rig_settle(r);
	pass(r, MINUTE + 100);
	assert_int_equal(disk.count, 2);
	end(r);
}

static void
a_wall_clock_that_is_set_runs_nothing_twice(void **state)
{
	struct rig *r = start(OVERLAP_ALLOW);
	size_t before;

	(void)state;
	pass(r, 5 * MINUTE + 100);
	rig_wall -= 3 * MINUTE;
	pass(r, 3 * MINUTE);
	assert_int_equal(disk.count, 5);
	pass(r, MINUTE);
	assert_int_equal(disk.count, 6);
	/* Forward by an hour: one run makes up for it. */
	before = disk.count;
	rig_wall += 60 * MINUTE;
	pass(r, 100);
	assert_int_equal(disk.count, before + 1);
	assert_int_equal(rig_row(&r->store, disk.ids[before])->missed, 59);
	assert_int_equal(rig_row(&r->store, disk.ids[0])->missed, 0);
	no_due_time_twice();
	end(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_minute_is_run_once_as_it_is_asked_for),
		cmocka_unit_test(it_goes_on_when_the_one_before_has_ended),
		cmocka_unit_test(
		    a_run_that_cannot_be_stored_is_tried_again_for_its_time),
		cmocka_unit_test(
		    a_store_that_does_not_know_it_yet_is_asked_again),
		cmocka_unit_test(
		    killed_at_any_step_it_runs_nothing_twice_and_leaves_nothing_out),
		cmocka_unit_test(
		    one_that_leaves_the_config_in_the_middle_of_a_step_goes_then),
		cmocka_unit_test(
		    one_that_comes_back_knows_that_its_last_run_goes_on),
		cmocka_unit_test(a_wall_clock_that_is_set_runs_nothing_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
