/* Rows that outlive a master: steps taken whole, names and indexes together. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisord/master/memory.h"

static struct memory *open_masters[32];
static unsigned opened;

/* Kept until the end, as a master would: memory has no close. */
static struct memory *
open_memory(int fd, int *ret_fd, bool *ret_fresh)
{
	struct memory *m = memory_open(fd, ret_fd, ret_fresh);

	assert_non_null(m);
	open_masters[opened++] = m;
	return m;
}

static struct memory *
new_memory(int *ret_fd)
{
	bool fresh;
	struct memory *m = open_memory(-1, ret_fd, &fresh);

	assert_true(fresh);
	assert_true(*ret_fd >= 0);
	return m;
}

static struct memory *
next_master(int fd)
{
	struct memory *m;
	bool fresh;
	int made;

	m = open_memory(fd, &made, &fresh);
	assert_false(fresh);
	assert_int_equal(made, -1);
	return m;
}

static void
rows_outlive_the_master(void **state)
{
	struct memory_row *row;
	struct memory *m;
	int fd;

	(void)state;
	m = new_memory(&fd);
	row = memory_new(m, "web:3", 3);
	row->by_user = 1;
	m = next_master(fd);
	row = memory_named(m, "web:3");
	assert_non_null(row);
	assert_int_equal(row->index, 3);
	assert_int_equal(row->by_user, 1);
	assert_null(memory_named(m, "web:4"));
}

static void
a_step_without_commit_is_undone(void **state)
{
	struct memory_row *row, *other;
	struct memory *m;
	int fd;

	(void)state;
	m = new_memory(&fd);
	row = memory_new(m, "a:0", 0);
	other = memory_new(m, "b:0", 0);
	memory_begin(m, row);
	row->pid = 1;
	memory_commit(m);
	other->pid = 5;
	memory_begin(m, row);
	row->pid = 2;
	memory_begin(m, row); /* the same step still */
	row->life.alive = 1;
	m = next_master(fd);
	assert_int_equal(memory_named(m, "a:0")->pid, 1);
	assert_int_equal(memory_named(m, "a:0")->life.alive, 0);
	assert_int_equal(memory_named(m, "b:0")->pid, 5);
}

static void
a_committed_step_is_not_undone(void **state)
{
	struct memory_row *row;
	struct memory *m;
	int fd;

	(void)state;
	m = new_memory(&fd);
	row = memory_new(m, "a:0", 0);
	memory_begin(m, row);
	row->pid = 2;
	memory_commit(m);
	m = next_master(fd);
	assert_int_equal(memory_named(m, "a:0")->pid, 2);
}

static void
freed_rows_are_used_again(void **state)
{
	struct memory_row *first, *again;
	struct memory *m;
	int fd;

	(void)state;
	m = new_memory(&fd);
	first = memory_new(m, "a:0", 0);
	first->pid = 9;
	memory_new(m, "b:0", 0);
	memory_free(m, first);
	assert_null(memory_named(m, "a:0"));
	again = memory_new(m, "c:1", 1);
	assert_ptr_equal(again, first);
	assert_int_equal(again->pid, 0);
	memory_free(m, again);
	/* The next master finds the hole, too. */
	m = next_master(fd);
	memory_new(m, "d:0", 0);
	memory_new(m, "e:0", 0);
	assert_non_null(memory_named(m, "b:0"));
}

static void
count_row(struct memory_row *row, void *arg)
{
	(void)row;
	++*(unsigned *)arg;
}

static void
when_it_is_full_there_is_no_row(void **state)
{
	struct memory *m;
	unsigned n = 0;
	int fd;

	(void)state;
	m = new_memory(&fd);
	for (unsigned i = 0; i < MEMORY_ROWS; i++)
		assert_non_null(memory_new(m, "x", i));
	assert_null(memory_new(m, "x", 0));
	memory_each(m, count_row, &n);
	assert_int_equal(n, MEMORY_ROWS);
}

static void
another_layout_is_not_taken(void **state)
{
	uint32_t magic = 1;
	struct memory *m;
	bool fresh;
	int fd, made;

	(void)state;
	m = new_memory(&fd);
	memory_new(m, "a:0", 0);
	assert_int_equal(pwrite(fd, &magic, sizeof magic, 0), sizeof magic);
	m = open_memory(fd, &made, &fresh);
	assert_true(fresh);
	assert_null(memory_named(m, "a:0"));
	assert_int_equal(ftruncate(fd, 100), 0);
	open_memory(fd, &made, &fresh);
	assert_true(fresh);
}

static void
events_are_told_once_in_order(void **state)
{
	static struct memory_event out[MEMORY_EVENTS];
	struct memory *m;
	int fd;

	(void)state;
	m = new_memory(&fd);
	for (uint64_t i = 1; i <= MEMORY_EVENTS + 10; i++)
		memory_next_event(m)->sequence = i;
	memory_next_event(m); /* not valid yet */
	m = next_master(fd);
	assert_int_equal(memory_take_events(m, MEMORY_EVENTS + 7, out), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(out[i].sequence, MEMORY_EVENTS + 8 + i);
	assert_int_equal(memory_take_events(m, 0, out), 0);
}

static void
a_shutdown_is_remembered(void **state)
{
	struct memory *m;
	int fd, status;

	(void)state;
	m = new_memory(&fd);
	assert_false(memory_is_stopping(m, &status));
	memory_set_stopping(m, 7);
	assert_true(memory_is_stopping(next_master(fd), &status));
	assert_int_equal(status, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_outlive_the_master),
		cmocka_unit_test(a_step_without_commit_is_undone),
		cmocka_unit_test(a_committed_step_is_not_undone),
		cmocka_unit_test(freed_rows_are_used_again),
		cmocka_unit_test(when_it_is_full_there_is_no_row),
		cmocka_unit_test(another_layout_is_not_taken),
		cmocka_unit_test(events_are_told_once_in_order),
		cmocka_unit_test(a_shutdown_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
