/* The slots' memory: workers/runtime/slots.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/log.h"
#include "workers/runtime/slots.h"

#define THREADS 3

static int
memory(uint32_t threads, size_t size)
{
	struct wire_slots head = { .magic = WIRE_SLOTS_MAGIC,
		.threads = threads };
	int fd = memfd_create("slots", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, &head, sizeof head, 0), sizeof head);
	return fd;
}

static struct wire_slot
read_slot(int fd, unsigned thread)
{
	struct wire_slot slot;

	assert_int_equal(
	    pread(fd, &slot, sizeof slot,
		(off_t)(sizeof(struct wire_slots) + thread * sizeof slot)),
	    sizeof slot);
	return slot;
}

static void
what_a_thread_does_is_seen_from_outside(void **state)
{
	int fd = memory(THREADS, wire_slots_size(THREADS));
	struct slots s;

	(void)state;
	assert_int_equal(slots_open(&s, fd, THREADS), 0);
	assert_true(s.shared);
	slot_hello(&s.slot[1]);
	assert_int_equal(read_slot(fd, 1).tid, gettid());
	slot_task(&s.slot[1], 12, 3, 1000);
	assert_int_equal(read_slot(fd, 1).task, 12);
	assert_int_equal(read_slot(fd, 1).attempt, 3);
	assert_int_equal(read_slot(fd, 1).since, 1000);
	assert_int_equal(read_slot(fd, 1).busy, SLOT_TASK);
	assert_int_equal(read_slot(fd, 1).share, WIRE_NO_SHARE);
	slot_share(&s.slot[1], 500);
	assert_int_equal(read_slot(fd, 1).share, 500);
	slot_idle(&s.slot[1], 2000);
	assert_int_equal(read_slot(fd, 1).task, 0);
	assert_int_equal(read_slot(fd, 1).busy, SLOT_IDLE);
	slot_connection(&s.slot[1], 3000);
	assert_int_equal(read_slot(fd, 1).connections, 1);
	assert_int_equal(read_slot(fd, 1).busy, SLOT_CONNECTION);
	assert_int_equal(read_slot(fd, 0).busy, SLOT_IDLE);
	munmap(s.memory, s.size);
	close(fd);
}

static void
cancel_is_for_the_task_it_names(void **state)
{
	struct wire_slot slot = { .cancel = 12 };

	(void)state;
	assert_true(slot_cancelled(&slot, 12));
	assert_false(slot_cancelled(&slot, 13));
}

static void
memory_that_is_not_right_is_done_without(void **state)
{
	struct slots s;
	int fds[] = { -1, memory(THREADS, wire_slots_size(THREADS) - 1),
		memory(THREADS + 1, wire_slots_size(THREADS + 1)) };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(slots_open(&s, fds[i], THREADS), 0);
		assert_false(s.shared);
		slot_task(&s.slot[THREADS - 1], 1, 1, 1);
		munmap(s.memory, s.size);
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static void
a_child_writes_into_its_own(void **state)
{
	int fd = memory(THREADS, wire_slots_size(THREADS));
	struct slots s;
	int status = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(slots_open(&s, fd, THREADS), 0);
	slot_task(&s.slot[0], 5, 1, 1);
	pid = fork();
	if (pid == 0) {
		slots_disown(&s);
		slot_idle(&s.slot[0], 2);
		_exit(s.slot[0].task == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read_slot(fd, 0).task, 5);
	munmap(s.memory, s.size);
	close(fd);
}

static int
quiet(void **state)
{
	(void)state;
	log_setup(LOG_LEVEL_ERROR, false, -1);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_thread_does_is_seen_from_outside),
		cmocka_unit_test(cancel_is_for_the_task_it_names),
		cmocka_unit_test(memory_that_is_not_right_is_done_without),
		cmocka_unit_test(a_child_writes_into_its_own),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
