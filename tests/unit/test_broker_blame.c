/* Who is to blame for the end of a process: every case there is, against what
 * is to hold of it, and the cases by name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/broker/blame.h"

enum bits {
	IN_SLOT = 1,
	BEGUN = 2,
	OVERRUN = 4,
	CANCELLED = 8,
	DOOMED = 16,
	ALL_BITS = 32
};

#define TASKS 3

static struct blame_task tasks[TASKS];

static void
ask(bool stopping, bool replaced, bool has_slots, const unsigned *bits,
    size_t count)
{
	uint64_t slots[TASKS + 1] = { 0 };
	struct blame_end end = { stopping, replaced, has_slots, slots,
		TASKS + 1 };

	slots[TASKS] = 999; /* of a task it does not hold */
	for (size_t i = 0; i < count; i++) {
		tasks[i] = (struct blame_task){ .id = 10 + i,
			.begun = (bits[i] & BEGUN) != 0,
			.overrun = (bits[i] & OVERRUN) != 0,
			.cancelled = (bits[i] & CANCELLED) != 0,
			.doomed = (bits[i] & DOOMED) != 0 };
		slots[count - 1 - i] =
		    (bits[i] & IN_SLOT) != 0 ? tasks[i].id : 0;
	}
	blame(&end, tasks, count);
}

static bool
ran(bool has_slots, unsigned bits)
{
	return (bits & (has_slots ? IN_SLOT : BEGUN)) != 0;
}

/* What each verdict asks for. */
static bool
fits(enum lost lost, bool stopping, bool replaced, unsigned bits, bool run,
    size_t runners)
{
	bool crash = !stopping && !replaced, cancelled = bits & CANCELLED;

	switch (lost) {
	case LOST_UNBEGUN:
		return !run && !cancelled && !(replaced && (bits & DOOMED));
	case LOST_STOPPED:
		return stopping && !replaced && run && !cancelled;
	case LOST_VICTIM:
		return replaced && run && !cancelled && !(bits & DOOMED);
	case LOST_SUSPECT:
		return crash && run && runners > 1 && !cancelled;
	case LOST_GUILTY:
		return crash && run && runners == 1 && !cancelled &&
		       !(bits & OVERRUN);
	case LOST_OVERRUN:
		return !cancelled &&
		       ((replaced && (bits & DOOMED)) ||
			   (crash && run && runners == 1 && (bits & OVERRUN)));
	case LOST_CANCELLED:
		return cancelled;
	}
	return false;
}

static void
check(unsigned how, const unsigned *bits, size_t count)
{
	bool stopping = how & 1, replaced = how & 2, has_slots = how & 4;
	size_t runners = 0, guilty = 0;

	for (size_t i = 0; i < count; i++)
		runners += ran(has_slots, bits[i]);
	ask(stopping, replaced, has_slots, bits, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(fits(tasks[i].lost, stopping, replaced, bits[i],
		    ran(has_slots, bits[i]), runners));
		guilty += tasks[i].lost == LOST_GUILTY;
	}
	assert_true(guilty <= 1);
}

static void
every_case_is_as_it_should_be(void **state)
{
	unsigned bits[TASKS];

	(void)state;
	for (unsigned how = 0; how < 8; how++) {
		for (unsigned n = 0; n < ALL_BITS * ALL_BITS * ALL_BITS; n++) {
			bits[0] = n % ALL_BITS;
			bits[1] = n / ALL_BITS % ALL_BITS;
			bits[2] = n / ALL_BITS / ALL_BITS;
			check(how, bits, TASKS);
			if (n < ALL_BITS * ALL_BITS)
				check(how, bits, 2);
			if (n < ALL_BITS)
				check(how, bits, 1);
		}
	}
	ask(false, false, true, bits, 0);
}

static void
the_cases_by_name(void **state)
{
	static const struct {
		bool stopping, replaced, has_slots;
		unsigned bits[TASKS];
		enum lost lost[TASKS];
	} rows[] = {
		/* a crash with one in a slot */
		{ false, false, true, { IN_SLOT, 0, BEGUN },
		    { LOST_GUILTY, LOST_UNBEGUN, LOST_UNBEGUN } },
		/* with two: each is run alone next time */
		{ false, false, true, { IN_SLOT, IN_SLOT, 0 },
		    { LOST_SUSPECT, LOST_SUSPECT, LOST_UNBEGUN } },
		/* with none */
		{ false, false, true, { 0, 0, BEGUN },
		    { LOST_UNBEGUN, LOST_UNBEGUN, LOST_UNBEGUN } },
		/* without slots START counts */
		{ false, false, false, { IN_SLOT, BEGUN, 0 },
		    { LOST_UNBEGUN, LOST_GUILTY, LOST_UNBEGUN } },
		/* asked to stop */
		{ true, false, true, { IN_SLOT, IN_SLOT, 0 },
		    { LOST_STOPPED, LOST_STOPPED, LOST_UNBEGUN } },
		/* killed for an overrun */
		{ false, true, true, { IN_SLOT | OVERRUN | DOOMED, IN_SLOT, 0 },
		    { LOST_OVERRUN, LOST_VICTIM, LOST_UNBEGUN } },
		/* for a cancelled one, a sibling overran but had its grace */
		{ false, true, true,
		    { IN_SLOT | CANCELLED | DOOMED, IN_SLOT | OVERRUN, 0 },
		    { LOST_CANCELLED, LOST_VICTIM, LOST_UNBEGUN } },
		/* it overran and crashed when it was asked to end */
		{ false, false, true, { IN_SLOT | OVERRUN, 0, 0 },
		    { LOST_OVERRUN, LOST_UNBEGUN, LOST_UNBEGUN } },
	};

	(void)state;
	for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
		ask(rows[r].stopping, rows[r].replaced, rows[r].has_slots,
		    rows[r].bits, TASKS);
		for (size_t i = 0; i < TASKS; i++)
			assert_int_equal(tasks[i].lost, rows[r].lost[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(every_case_is_as_it_should_be),
		cmocka_unit_test(the_cases_by_name),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
