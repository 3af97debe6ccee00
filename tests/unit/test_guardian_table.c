/* The child table and the keep, up to their limits and back. */
#include "supervisord/guardian/table.h"

#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "tests/unit/guardian_rig.h"

static void
slots_are_used_again_last_in_first_out(void **state)
{
	struct slot *a = table_alloc("a"), *b = table_alloc("b"), *c;
	uint32_t gen;

	(void)state;
	assert_int_equal(a->child.slot, 0);
	assert_int_equal(b->child.slot, 1);
	table_set_pid(a, 100);
	table_set_pid(b, 100 + 65536); /* the same chain */
	assert_ptr_equal(table_by_pid(100), a);
	assert_ptr_equal(table_by_pid(100 + 65536), b);
	assert_null(table_by_pid(101));
	assert_int_equal(table_alive(), 2);
	gen = a->child.gen;
	assert_ptr_equal(table_get(0, gen), a);
	table_free(a);
	assert_null(table_get(0, gen));
	assert_null(table_by_pid(100));
	assert_ptr_equal(table_by_pid(100 + 65536), b);
	c = table_alloc("c");
	assert_ptr_equal(c, a);
	assert_int_equal(c->child.gen, gen + 1);
	assert_null(table_get(0, gen));
	assert_ptr_equal(table_next(0), c);
	assert_ptr_equal(table_next(1), b);
	assert_null(table_next(2));
	table_free(b);
	table_free(c);
	assert_int_equal(table_alive(), 0);
}

static void
a_full_table_says_so_and_recovers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
		struct slot *s = table_alloc("many");

		assert_non_null(s);
		table_set_pid(s, (int32_t)(i * 7 + 1));
	}
	assert_null(table_alloc("one more"));
	for (uint32_t i = 0; i < TABLE_SLOTS; i += 997)
		assert_non_null(table_by_pid((int32_t)(i * 7 + 1)));
	table_free(&table_slots[4711]);
	assert_int_equal(table_alloc("again")->child.slot, 4711);
	assert_null(table_alloc("one more"));
	for (uint32_t i = 0; i < TABLE_SLOTS; i++)
		table_free(&table_slots[i]);
	assert_null(table_next(0));
	assert_int_equal(table_alive(), 0);
}

static void
rows_come_back_as_they_were(void **state)
{
	struct msg_child row = { .slot = 70,
		.gen = 9,
		.pid = 4242,
		.state = CHILD_ALIVE,
		.name = "back" };
	struct msg_child gone = { .slot = 71, .gen = 5 };
	struct slot *s;

	(void)state;
	assert_non_null(table_restore(&row));
	assert_non_null(table_restore(&gone));
	row.slot = TABLE_SLOTS;
	assert_null(table_restore(&row));
	table_restored();
	s = table_by_pid(4242);
	assert_non_null(s);
	assert_string_equal(s->child.name, "back");
	assert_ptr_equal(table_get(70, 9), s);
	/* Generations go on, so an old order can't hit a new child. */
	for (;;) {
		struct slot *other = table_alloc("new");

		if (other->child.slot != 71)
			continue;
		assert_int_equal(other->child.gen, 6);
		break;
	}
	table_forget_pid(s);
}

static int
null_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static unsigned
count_kept(void)
{
	const struct kept *k;
	unsigned n = 0;

	for (uint32_t i = 0; (k = keep_next(i)) != NULL; i = keep_index(k) + 1)
		n++;
	return n;
}

static void
a_name_holds_one_descriptor(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(keep_get("config"), -1);
	assert_int_equal(keep_set("config", null_fd()), 0);
	fd = keep_get("config");
	assert_true(fd >= LOOP_LOW_FDS);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(keep_set("config", null_fd()), 0);
	assert_int_equal(count_kept(), 1);
	fd = keep_get("config");
	keep_drop("config");
	keep_drop("config");
	assert_int_equal(keep_get("config"), -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(count_kept(), 0);
	assert_true(keep_set("none", -EBADF) < 0);
}

/* All messages on the logger's channel: how often each type. */
static void
count_told(int sock, unsigned *pipes, unsigned *drops)
{
	static struct msg m;

	*pipes = *drops = 0;
	while (channel_receive(sock, &m) == 1) {
		*pipes += m.type == MSG_PIPE;
		*drops += m.type == MSG_PIPE_DROP;
		if (m.fd >= 0)
			close(m.fd);
	}
}

static void
logger_is_told_each_pipe_once(void **state)
{
	unsigned pipes, drops;
	char name[40], byte;
	int logger[2], fd;

	(void)state;
	assert_int_equal(channel_pair(logger), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "w:%d", i);
		fd = keep_writer(name);
		assert_true(fd >= 0);
		/* A worker's end waits; the logger's does not. */
		assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		close(fd);
		fd = keep_writer(name);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		assert_int_equal(write(fd, "x", 1), 1);
		close(fd);
		assert_int_equal(read(keep_get(name), &byte, 1), 1);
		assert_int_equal(byte, 'x');
	}
	assert_int_equal(keep_tell(logger[0]), 0);
	count_told(logger[1], &pipes, &drops);
	assert_int_equal(pipes, 100);
	assert_int_equal(keep_tell(logger[0]), 0);
	count_told(logger[1], &pipes, &drops);
	assert_int_equal(pipes, 0);
	/* A new logger knows nothing. */
	keep_untold();
	assert_int_equal(keep_tell(logger[0]), 0);
	count_told(logger[1], &pipes, &drops);
	assert_int_equal(pipes, 100);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "w:%d", i);
		keep_drop(name);
		assert_int_equal(keep_get(name), -1);
	}
	assert_int_equal(keep_tell(logger[0]), 0);
	count_told(logger[1], &pipes, &drops);
	assert_int_equal(pipes, 0);
	assert_int_equal(drops, 100);
	/* They go when the next ones are dropped. */
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof name, "v:%d", i);
		fd = keep_writer(name);
		assert_true(fd >= 0);
		close(fd);
		keep_drop(name);
		assert_int_equal(keep_tell(logger[0]), 0);
		count_told(logger[1], &pipes, &drops);
	}
	assert_true(count_kept() < 200);
	close(logger[0]);
	close(logger[1]);
}

static void
what_a_dropped_pipe_holds_is_not_lost(void **state)
{
	static struct msg m;
	int logger[2], fd;
	char byte;

	(void)state;
	assert_int_equal(channel_pair(logger), 0);
	keep_untold();
	(void)keep_tell(logger[0]);
	while (channel_receive(logger[1], &m) == 1) {
		if (m.fd >= 0)
			close(m.fd);
	}
	fd = keep_writer("full");
	assert_int_equal(write(fd, "z", 1), 1);
	close(fd);
	keep_drop("full");
	(void)keep_tell(logger[0]); /* to a logger that then is killed */
	while (channel_receive(logger[1], &m) == 1) {
		if (m.fd >= 0)
			close(m.fd);
	}
	keep_untold();
	(void)keep_tell(logger[0]);
	do {
		assert_int_equal(channel_receive(logger[1], &m), 1);
		if (m.fd >= 0 && strcmp(m.u.PIPE.name, "full") != 0)
			close(m.fd);
	} while (strcmp(m.u.PIPE.name, "full") != 0);
	assert_int_equal(m.type, MSG_PIPE);
	assert_int_equal(read(m.fd, &byte, 1), 1);
	assert_int_equal(byte, 'z');
	close(m.fd);
	close(logger[0]);
	close(logger[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_used_again_last_in_first_out),
		cmocka_unit_test(a_full_table_says_so_and_recovers),
		cmocka_unit_test(rows_come_back_as_they_were),
		cmocka_unit_test(a_name_holds_one_descriptor),
		cmocka_unit_test(logger_is_told_each_pipe_once),
		cmocka_unit_test(what_a_dropped_pipe_holds_is_not_lost),
	};
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	table_init();
	keep_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
