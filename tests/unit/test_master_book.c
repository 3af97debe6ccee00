/* The book, read back the way the launch reads it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/util.h"
#include "supervisord/master/book.h"
#include "supervisord/proto/book.h"
#include "supervisord/proto/messages.h"

static char *argv[] = { (char[]){ "/bin/app" }, (char[]){ "--n=\x01" },
	(char[]){ "" }, NULL };
static char *environment[] = { (char[]){ "HOME=/" },
	(char[]){ "PATH=/bin:/usr/bin" },
	(char[]){ "SUPERVISOR_INSTANCE=outer:0" },
	(char[]){ "SUPERVISOR_SOCKET=/outer/control.sock" }, NULL };

static struct worker one = { .name = (char[]){ "one" },
	.argv = argv,
	.umask = 022,
	.directory = (char[]){ "/srv/\x01" },
	.environment = environment };
static struct worker two = { .name = (char[]){ "two" },
	.argv = argv,
	.umask = FLEET_NO_UMASK,
	.environment = environment };
static struct worker *workers[] = { &one, &two };
static struct fleet fleet = {
	.settings = { .run_dir = (char[]){ "/run/x" } },
	.workers = workers,
	.count = 2,
};

static bool tasks;

struct book {
	int fd;
	const char *data;
	uint64_t size, offsets[4];
};

static void
make_book(struct book *b)
{
	const struct book_setting set = { &fleet, "/lib/x", tasks };

	b->fd = book_make(&set, b->offsets, &b->size);
	assert_true(b->fd >= 0);
	b->data = mmap(NULL, b->size, PROT_READ, MAP_PRIVATE, b->fd, 0);
	assert_ptr_not_equal(b->data, MAP_FAILED);
}

static void
close_book(struct book *b)
{
	munmap((void *)(uintptr_t)b->data, b->size);
	close(b->fd);
}

static const struct book_spec *
spec_of(const struct book *b, int i)
{
	assert_int_equal(b->offsets[i] % 8, 0);
	assert_true(b->offsets[i] + sizeof(struct book_spec) <= b->size);
	return (const void *)(b->data + b->offsets[i]);
}

static const char *
text_of(const struct book *b, uint32_t reference)
{
	uint32_t at = reference & ~(BOOK_HOLES | BOOK_PIDS);

	assert_true(at >= sizeof(struct book_head) && at < b->size);
	assert_non_null(memchr(b->data + at, '\0', b->size - at));
	assert_true((strchr(b->data + at, BOOK_HOLE) != NULL) ==
		    ((reference & BOOK_HOLES) != 0));
	return b->data + at;
}

static void
all_is_read_back(void **state)
{
	const struct book_spec *spec;
	const struct book_head *head;
	const uint32_t *refs;
	struct book b;

	(void)state;
	make_book(&b);
	head = (const void *)b.data;
	assert_int_equal(head->magic, BOOK_MAGIC);
	assert_int_equal(head->version, PROTO_VERSION);
	assert_int_equal(head->size, b.size);
	spec = spec_of(&b, 0);
	refs = (const void *)(spec + 1);
	assert_int_equal(spec->argc, 3);
	for (uint32_t i = 0; i < spec->argc; i++)
		assert_string_equal(text_of(&b, refs[i]), argv[i]);
	assert_int_equal(spec->umask, 022);
	assert_string_equal(text_of(&b, spec->directory), "/srv/\x01");
	assert_string_equal(text_of(&b, spec->path), "/bin:/usr/bin");
	assert_int_equal(spec_of(&b, 1)->umask, BOOK_NO_UMASK);
	assert_int_equal(spec_of(&b, 1)->directory, 0);
	close_book(&b);
}

static void
an_instance_knows_its_own_supervisord_only(void **state)
{
	static const char *const expected[] = { "HOME=/", "PATH=/bin:/usr/bin",
		"SUPERVISOR_WORKER=one", "SUPERVISOR_INSTANCE=one:\x01",
		"SUPERVISOR_INDEX=\x01",
		"SUPERVISOR_SOCKET=/run/x/control.sock" };
	const struct book_spec *spec;
	const uint32_t *refs;
	struct book b;

	(void)state;
	make_book(&b);
	spec = spec_of(&b, 0);
	refs = (const void *)(spec + 1);
	assert_int_equal(spec->envc, 6);
	for (uint32_t i = 0; i < spec->envc; i++)
		assert_string_equal(
		    text_of(&b, refs[spec->argc + i]), expected[i]);
	close_book(&b);
}

static char *sockets[] = { (char[]){ "http" }, (char[]){ "ftp" }, NULL };

/* A spec of worker `one` as it is by now, compared word for word. */
static void
expect_spec(const char *const *args, const char *const *variables)
{
	const struct book_spec *spec;
	const uint32_t *ref;
	uint32_t n = 0;
	struct book b;

	make_book(&b);
	spec = spec_of(&b, 0);
	ref = (const void *)(spec + 1);
	for (; args[n] != NULL; n++)
		assert_string_equal(text_of(&b, *ref++), args[n]);
	assert_int_equal(spec->argc, n);
	for (n = 0; variables[n] != NULL; n++, ref++) {
		assert_string_equal(text_of(&b, *ref), variables[n]);
		assert_true((strchr(variables[n], BOOK_PID) != NULL) ==
			    ((*ref & BOOK_PIDS) != 0));
	}
	assert_int_equal(spec->envc, n);
	for (n = 0; one.sockets != NULL && one.sockets[n] != NULL; n++)
		assert_string_equal(text_of(&b, *ref++), one.sockets[n]);
	assert_int_equal(spec->sockets, n);
	close_book(&b);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define OWN                                                                    \
	"HOME=/", "PATH=/bin:/usr/bin", "SUPERVISOR_WORKER=one",               \
	    "SUPERVISOR_INSTANCE=one:\x01", "SUPERVISOR_INDEX=\x01",           \
	    "SUPERVISOR_SOCKET=/run/x/control.sock"

#define LISTENS "LISTEN_FDS=2", "LISTEN_PID=\x02", "LISTEN_FDNAMES=http:ftp"

static void
a_command_that_scales_is_no_instance(void **state)
{
	static char many[] = "/bin/many", n[] = "-n";
	static char *command[] = { many, n, NULL };
	static const char *const expected[] = { "/bin/many", "-n", "HOME=/",
		"PATH=/bin:/usr/bin", "SUPERVISOR_WORKER=one",
		"SUPERVISOR_SOCKET=/run/x/control.sock" };
	const struct book_spec *spec;
	const uint32_t *refs;
	struct book b;

	(void)state;
	one.autoscale = (struct autoscale){ .on = true, .command = command };
	make_book(&b);
	spec = spec_of(&b, 2);
	refs = (const void *)(spec + 1);
	assert_int_equal(spec->argc, 2);
	assert_int_equal(spec->envc, 4);
	assert_int_equal(spec->sockets, 0);
	for (uint32_t i = 0; i < N_ELEMENTS(expected); i++)
		assert_string_equal(text_of(&b, refs[i]), expected[i]);
	assert_string_equal(text_of(&b, spec->directory), "/srv/\x01");
	assert_int_equal(b.offsets[3], 0);
	close_book(&b);
	one.autoscale = (struct autoscale){ .on = false };
}

static void
sockets_are_told_as_systemd_does(void **state)
{
	static char listen_fds[] = "LISTEN_FDS=7", worker_fd[] = "WORKER_FD=7";
	char *before = environment[3];

	(void)state;
	one.sockets = sockets;
	expect_spec(WORDS("/bin/app", "--n=\x01", ""), WORDS(OWN, LISTENS));
	one.sockets = NULL;
	/* Another's would be misunderstood. */
	environment[3] = listen_fds;
	expect_spec(WORDS("/bin/app", "--n=\x01", ""), WORDS(OWN));
	environment[3] = worker_fd;
	expect_spec(WORDS("/bin/app", "--n=\x01", ""), WORDS(OWN));
	environment[3] = before;
}

static void
hybrid_workers_are_run_by_the_runtime_or_speak_for_themselves(void **state)
{
	static char module[] = "/srv/thumbs.so";

	(void)state;
	tasks = true;
	one.hybrid = true;
	one.threads = 8;
	one.sockets = sockets;
	expect_spec(WORDS("/bin/app", "--n=\x01", ""),
	    WORDS(OWN, "SUPERVISOR_TASKS=/run/x/tasks.sock", LISTENS,
		"WORKER_FD=5", "WORKER_SLOTS=6", "WORKER_THREADS=8"));
	one.sockets = NULL;
	one.module = module;
	expect_spec(WORDS("/lib/x/worker", "--module", "/srv/thumbs.so",
			"--threads", "8"),
	    WORDS(OWN, "SUPERVISOR_TASKS=/run/x/tasks.sock", "WORKER_FD=3",
		"WORKER_SLOTS=4", "WORKER_THREADS=8"));
	one.module = NULL;
	one.threads = 1;
	one.tasks.mode = TASK_MODE_EXEC;
	expect_spec(
	    WORDS("/lib/x/worker", "--exec", "--", "/bin/app", "--n=\x01", ""),
	    WORDS(OWN, "SUPERVISOR_TASKS=/run/x/tasks.sock", "WORKER_FD=3",
		"WORKER_SLOTS=4", "WORKER_THREADS=1"));
	one.tasks.mode = TASK_MODE_WORKER;
	one.hybrid = tasks = false;
}

static void
the_scratch_suffices(void **state)
{
	const struct book_spec *spec;
	const uint32_t *refs;
	size_t needed;
	struct book b;

	(void)state;
	make_book(&b);
	spec = spec_of(&b, 0);
	refs = (const void *)(spec + 1);
	needed = (spec->argc + spec->envc + 2) * sizeof(char *);
	for (uint32_t i = 0; i < spec->argc + spec->envc; i++) {
		char filled[4096];

		assert_int_equal(fleet_fill(text_of(&b, refs[i]), 4294967295U,
				     filled, sizeof filled),
		    0);
		needed += strlen(filled) + 1;
	}
	assert_true(spec->scratch >= needed);
	close_book(&b);
}

static void
equal_strings_are_written_once(void **state)
{
	const uint32_t *first, *second;
	struct book b;

	(void)state;
	make_book(&b);
	first = (const void *)(spec_of(&b, 0) + 1);
	second = (const void *)(spec_of(&b, 1) + 1);
	assert_int_equal(first[0], second[0]);
	close_book(&b);
}

static void
it_is_sealed(void **state)
{
	struct book b;

	(void)state;
	make_book(&b);
	assert_int_equal(pwrite(b.fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(b.fd, 0), -1);
	assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	close_book(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_read_back),
		cmocka_unit_test(an_instance_knows_its_own_supervisord_only),
		cmocka_unit_test(a_command_that_scales_is_no_instance),
		cmocka_unit_test(sockets_are_told_as_systemd_does),
		cmocka_unit_test(
		    hybrid_workers_are_run_by_the_runtime_or_speak_for_themselves),
		cmocka_unit_test(the_scratch_suffices),
		cmocka_unit_test(equal_strings_are_written_once),
		cmocka_unit_test(it_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
