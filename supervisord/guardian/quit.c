#include "supervisord/guardian/quit.h"

#include <signal.h>
#include <stdint.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/reap.h"
#include "supervisord/guardian/tree.h"

#define MASTER_PATIENCE (10 * NS_PER_SEC)
#define HELPER_PATIENCE (5 * NS_PER_SEC)
#define KILLED_PATIENCE (5 * NS_PER_SEC) /* some can't die: a dead disk */

static enum {
	RUNNING,
	FINISHING,
	KILLING
} phase;

static int exit_status;
static uint64_t ends_seen;

bool
quit_under_way(void)
{
	return phase != RUNNING;
}

void
quit(int status)
{
	if (phase != RUNNING)
		return;
	phase = FINISHING;
	exit_status = status;
	helpers_finish();
	loop_timer_off(TIMER_BROKER_PATIENCE);
	loop_timer_off(TIMER_PATIENCE);
	loop_timer(TIMER_PATIENCE, clock_mono() + HELPER_PATIENCE);
}

static void
start_killing(void)
{
	phase = KILLING;
	helpers_kill();
	ends_seen = reap_count();
	tree_kill_all();
	loop_timer_off(TIMER_PATIENCE);
	loop_timer(TIMER_PATIENCE, clock_mono() + KILLED_PATIENCE);
}

void
quit_step(void)
{
	if (phase == FINISHING && helpers_are_gone())
		start_killing();
	if (phase != KILLING)
		return;
	reap_sweep();
	if (!reap_has_children())
		guardian_exit(exit_status);
	/* Each end may have brought orphans. */
	if (reap_count() != ends_seen) {
		ends_seen = reap_count();
		tree_kill_all();
	}
}

void
quit_expected(void)
{
	if (phase == RUNNING)
		loop_timer(TIMER_PATIENCE, clock_mono() + MASTER_PATIENCE);
}

void
quit_patience_over(void)
{
	switch (phase) {
	case RUNNING:
		log_error("the master has not ended supervisord: killing all");
		quit(1);
		start_killing();
		break;
	case FINISHING:
		start_killing();
		break;
	case KILLING:
		log_error("some processes can't be killed: leaving them");
		guardian_exit(exit_status);
	}
}
