/* Memory that the guardian keeps for the next process. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisord/base/kept.h"
#include "supervisord/base/log.h"

#define SIZE 100000

static bool
usable(const void *p)
{
	return memcmp(p, "mine", 4) == 0;
}

static char *
open_it(int fd, int *ret_fd, bool *ret_fresh)
{
	return kept_open("test", SIZE, fd, usable, "oh", ret_fd, ret_fresh);
}

static void
the_next_one_reads_on(void **state)
{
	int fd, none;
	bool fresh;
	char *p = open_it(-1, &fd, &fresh);

	(void)state;
	assert_non_null(p);
	assert_true(fresh && fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	memcpy(p, "mine", 4);
	p[SIZE - 1] = 'x';
	munmap(p, SIZE);
	p = open_it(fd, &none, &fresh);
	assert_non_null(p);
	assert_false(fresh);
	assert_int_equal(none, -1);
	assert_int_equal(p[SIZE - 1], 'x');
	munmap(p, SIZE);
	close(fd);
}

static void
what_is_not_its_own_is_not_taken(void **state)
{
	int fd = memfd_create("other", MFD_CLOEXEC), made;
	bool fresh;
	char *p;

	(void)state;
	for (off_t size = 0; size <= SIZE; size += SIZE) {
		assert_int_equal(ftruncate(fd, size), 0);
		p = open_it(fd, &made, &fresh);
		assert_non_null(p);
		assert_true(fresh && made >= 0 && made != fd);
		assert_int_equal(p[0], 0);
		munmap(p, SIZE);
		close(made);
	}
	close(fd);
}

static void
without_a_descriptor_it_is_private(void **state)
{
	struct rlimit all, none;
	int fd;
	bool fresh;
	char *p;

	(void)state;
	log_setup(LOG_LEVEL_ERROR, false, -1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = all;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	p = open_it(-1, &fd, &fresh);
	setrlimit(RLIMIT_NOFILE, &all);
	assert_non_null(p);
	assert_true(fresh);
	assert_int_equal(fd, -1);
	p[SIZE - 1] = 'x';
	munmap(p, SIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_one_reads_on),
		cmocka_unit_test(what_is_not_its_own_is_not_taken),
		cmocka_unit_test(without_a_descriptor_it_is_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
