/* A loop that grows while there is no memory for it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ev.h>
#include <stdio.h>
#include <sys/resource.h>

#include "supervisord/base/util.h"
#include "supervisord/proto/ev_memory.h"
#include "tests/unit/skip.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* ends the process where there is no memory */
#else
#define SANITIZED 0
#endif

static ev_timer timers[30000];
static unsigned over;

static void
is_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
	over++;
}

static void
start(struct ev_loop *loop, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		ev_timer_init(&timers[i], is_over, 0.001, 0.);
		ev_timer_start(loop, &timers[i]);
	}
}

/* How much memory this process has, in bytes. */
static rlim_t
in_use(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * 4096;
}

static void
without_memory_there_is_a_reserve(void **state)
{
	struct rlimit before, none;
	struct ev_loop *loop;

	(void)state;
	if (SANITIZED)
		SKIP_BECAUSE("a sanitizer has a malloc of its own");
	ev_memory_setup();
	loop = ev_loop_new(EVFLAG_NOENV);
	assert_non_null(loop);
	start(loop, 0, 10);
	getrlimit(RLIMIT_AS, &before);
	none = (struct rlimit){ in_use(), before.rlim_max };
	setrlimit(RLIMIT_AS, &none);
	start(loop, 10, 10000);
	setrlimit(RLIMIT_AS, &before);
	/* Then there is memory again. */
	start(loop, 10000, N_ELEMENTS(timers));
	ev_run(loop, 0);
	assert_int_equal(over, N_ELEMENTS(timers));
	ev_loop_destroy(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_there_is_a_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
