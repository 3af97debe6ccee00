/*
 * Launches both ways, in this process: shared memory and plain fork have to
 * come to the same. And more of them than there are lanes.
 */
#include "supervisord/guardian/spawn.h"

#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/table.h"
#include "tests/unit/guardian_rig.h"
#include "tests/unit/skip.h"
#include "workers/launch/sys.h"

static void
set_up_book(void)
{
	int fd = rig_book_fd(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);

	assert_int_equal(books_add(1, fd, rig_book.size), 0);
}

static pid_t
spawn_one(uint64_t spec, uint32_t slot, int out_fd)
{
	struct spawn s = { .book = books_get(1),
		.spec = spec,
		.index = 12,
		.slot = slot,
		.tag = 0,
		.out_fd = out_fd,
		.err_fd = 1 };

	return spawn_child(&s);
}

static int
wait_for(pid_t pid)
{
	int status = 0;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	spawn_tidy();
	return status;
}

static void
output_of(uint64_t spec, const char *expected)
{
	char text[256];
	size_t n = 0;
	ssize_t got;
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = spawn_one(spec, 5, pipes[1]);
	assert_int_equal(wait_for(pid), 0);
	while ((got = read(pipes[0], text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	assert_string_equal(text, expected);
	close(pipes[0]);
	assert_int_equal(fcntl(pipes[1], F_GETFD), -1); /* it was taken */
}

/* A memory with a text in it, under that number. */
static int
memory(const char *text, int number)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	if (fd == number)
		return fd;
	assert_int_equal(dup3(fd, number, O_CLOEXEC), number);
	close(fd);
	return number;
}

/* Each lies where another one, or the end of its own output, is to go. */
static void
descriptors_get_their_places(uint64_t spec, int lowest)
{
	int fds[] = { memory("a", 6), memory("b", 5), memory("c", 4),
		memory("d", 200) };
	int pipes[2];
	char text[64];
	size_t n = 0;
	ssize_t got;
	struct spawn s = { .book = books_get(1),
		.spec = spec,
		.slot = 5,
		.err_fd = 1,
		.fds = fds,
		.fd_count = N_ELEMENTS(fds) };

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	/* No low number for its output: a table of its own from the start. */
	s.out_fd = fcntl(pipes[1], F_DUPFD_CLOEXEC, lowest);
	close(pipes[1]);
	assert_int_equal(wait_for(spawn_child(&s)), 0);
	while ((got = read(pipes[0], text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	assert_string_equal(text, "abcd3\n4\n5\n6\n");
	close(pipes[0]);
	assert_int_equal(fcntl(s.out_fd, F_GETFD), -1);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
}

static void
stage_of(uint64_t spec, int stage, int error)
{
	int32_t got_stage, got_error;
	int status = wait_for(spawn_one(spec, 6, LOOP_NULL));

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 127);
	assert_true(spawn_failed(6, &got_stage, &got_error));
	assert_int_equal(got_stage, stage);
	assert_int_equal(got_error, error);
}

static void
launch_all_kinds(void)
{
	struct rig_spec echo = { .argv = { "sh", "-c", "echo $0 $A",
				     "no\x01,\x01" },
		.envp = { "A=x" },
		.path = "/nowhere:/bin",
		.umask = BOOK_NO_UMASK };
	struct rig_spec huge = echo;
	/* The shell's own two, and what it was given: 3 to 6. */
	struct rig_spec cats = { .argv = { "sh", "-c",
				     "cat <&3; cat <&4; cat <&5; cat <&6;"
				     "for i in 3 4 5 6 7 8 9; do "
				     "test ! -e /proc/$$/fd/$i || echo $i;"
				     "done",
				     "sh" },
		.path = "/bin",
		.umask = BOOK_NO_UMASK };
	struct rig_spec none = { .argv = { "/no/program" },
		.umask = BOOK_NO_UMASK };
	uint64_t at_echo, at_huge, at_none, at_cats;
	int32_t stage, error;

	huge.scratch = 1 << 20; /* fits no lane: it has to be a fork */
	rig_book_begin();
	at_echo = rig_book_spec(&echo);
	at_huge = rig_book_spec(&huge);
	at_none = rig_book_spec(&none);
	at_cats = rig_book_spec(&cats);
	set_up_book();
	output_of(at_echo, "no12,12 x\n");
	assert_false(spawn_failed(5, &stage, &error));
	output_of(at_huge, "no12,12 x\n");
	descriptors_get_their_places(at_cats, 10);
	descriptors_get_their_places(at_cats, LOOP_LOW_FDS);
	stage_of(at_none, STAGE_EXEC, ENOENT);
	stage_of(0, STAGE_SPEC, EPROTO);
	stage_of(rig_book.size, STAGE_SPEC, EPROTO);
	stage_of(UINT64_MAX - 7, STAGE_SPEC, EPROTO);
	books_drop(1);
	assert_null(books_get(1));
}

static void
forked(void **state)
{
	enum spawn_way way = spawn_way;

	(void)state;
	spawn_way = SPAWN_FORK;
	launch_all_kinds();
	spawn_way = way;
}

static void
shared(void **state)
{
	(void)state;
	if (!LAUNCH_CAN_SHARE)
		SKIP_BECAUSE("a sanitizer shares no memory with a child");
	assert_int_equal(spawn_way, SPAWN_SHARED);
	launch_all_kinds();
	assert_int_equal(spawn_way, SPAWN_SHARED);
}

static void
more_launches_than_lanes_all_come_off(void **state)
{
	struct rig_spec exits = { .argv = { "sh", "-c", "exit 3" },
		.path = "/bin",
		.umask = BOOK_NO_UMASK };
	pid_t pids[100];
	uint64_t at;

	(void)state;
	rig_book_begin();
	at = rig_book_spec(&exits);
	set_up_book();
	/* All lanes are taken while nobody looks after them. */
	for (uint32_t i = 0; i < N_ELEMENTS(pids); i++) {
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

		pids[i] = spawn_one(at, i, fd);
		assert_true(pids[i] > 0);
	}
	books_drop(1); /* they may be reading it */
	for (uint32_t i = 0; i < N_ELEMENTS(pids); i++) {
		int status = wait_for(pids[i]);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 3);
	}
	assert_false(spawn_tidy());
}

static void
books_are_refused_unless_sealed_and_whole(void **state)
{
	struct rig_spec s = { .argv = { "x" }, .umask = 0 };
	int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW, fd;

	(void)state;
	rig_book_begin();
	rig_book_spec(&s);
	assert_int_equal(
	    books_add(1, rig_book_fd(F_SEAL_WRITE), rig_book.size), -EPERM);
	assert_int_equal(
	    books_add(1, open("/etc/passwd", O_RDONLY), 100), -EPERM);
	assert_int_equal(
	    books_add(1, rig_book_fd(all), rig_book.size + 1), -EPROTO);
	assert_int_equal(books_add(1, rig_book_fd(all), 4), -EPROTO);
	fd = rig_book_fd(0);
	assert_int_equal(pwrite(fd, "junk", 4, 0), 4);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, all), 0);
	assert_int_equal(books_add(1, fd, rig_book.size), -EPROTO);
	assert_null(books_get(1));
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(
		    books_add(i, rig_book_fd(all), rig_book.size), 0);
	assert_int_equal(
	    books_add(8, rig_book_fd(all), rig_book.size), -ENOSPC);
	assert_int_equal(books_add(7, rig_book_fd(all), rig_book.size), 0);
	books_drop_all();
	assert_null(books_get(7));
}

static int
group_setup(void **state)
{
	struct rlimit limit;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	if (fd != LOOP_NULL)
		dup3(fd, LOOP_NULL, O_CLOEXEC);
	getrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(loop_init(), 0);
	table_init();
	assert_int_equal(spawn_init(&limit, -1), 0);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forked),
		cmocka_unit_test(shared),
		cmocka_unit_test(more_launches_than_lanes_all_come_off),
		cmocka_unit_test(books_are_refused_unless_sealed_and_whole),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
