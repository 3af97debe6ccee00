#include "supervisord/guardian/reap.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/broker.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/hybrid.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"

#define FEW_CHILDREN    256 /* a walk over them is not felt */
#define WALK_NS         60  /* per child, in the kernel */
#define WALK_SHARE      20  /* walk for one part of the time in so many */
#define SWEEP_DELAY     (200 * 1000)
#define SWEEP_AT_A_TIME 128
#define WALK_AT_A_TIME  2048
#define FEW_DEAD        8 /* found one by one; more are worth a walk */

static uint64_t count;

static struct {
	bool walking,
	    useless; /* useless: the last walk found next to nothing */
	uint32_t at, found;
} sweep;

static int64_t
microseconds(struct timeval t)
{
	return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

static void
child_ended(struct slot *s, const siginfo_t *info, const struct rusage *used)
{
	struct msg_child *c = &s->child;

	table_forget_pid(s);
	c->state = CHILD_EXITED;
	c->ended_mono = clock_mono();
	c->code = info->si_code;
	c->status = info->si_status;
	c->user_us = microseconds(used->ru_utime);
	c->system_us = microseconds(used->ru_stime);
	c->maxrss_kb = used->ru_maxrss;
	if (spawn_failed(c->slot, &c->stage, &c->error))
		c->flags |= CHILD_NO_EXEC;
	news_mark(s, NEWS_EXITED);
	hybrid_ended(s, broker_reads());
	tree_child_ended(s);
}

/* One dead child. Its pid; 0: there is none; -ECHILD: no children at all. */
static pid_t
reap_one(idtype_t type, pid_t pid)
{
	struct rusage used;
	siginfo_t info;
	struct slot *s;

	info.si_pid = 0;
	if (syscall(SYS_waitid, type, pid, &info, WEXITED | WNOHANG, &used) < 0)
		return -errno;
	if (info.si_pid == 0)
		return 0;
	count++;
	s = table_by_pid(info.si_pid);
	if (s != NULL)
		child_ended(s, &info, &used);
	else
		helper_ended(info.si_pid, &info); /* or an orphan's end */
	return info.si_pid;
}

static int64_t
sweep_delay(void)
{
	return MAX_OF(
	    (int64_t)table_alive() * WALK_NS * WALK_SHARE, SWEEP_DELAY);
}

void
reap_signalled(pid_t pid)
{
	reap_one(P_PID, pid);
	if (table_alive() < FEW_CHILDREN)
		reap_sweep();
	else
		loop_timer(TIMER_SWEEP, clock_mono() + sweep_delay());
	tree_changed(clock_mono() + sweep_delay());
}

/*
 * Asking for any child walks the kernel's list up to the first dead one, which
 * is dear when many have ended far down a long list. Then each child is asked
 * by its pid instead, a part of the table at a time.
 */
static void
walk(void)
{
	uint32_t end = MIN_OF(sweep.at + WALK_AT_A_TIME, table_used());

	for (; sweep.at < end; sweep.at++) {
		const struct slot *s = &table_slots[sweep.at];

		if (s->child.state == CHILD_ALIVE && s->pidfd < 0 &&
		    reap_one(P_PID, s->child.pid) > 0)
			sweep.found++;
	}
	if (sweep.at < table_used())
		return;
	/* Those that are left are orphans, which no walk finds. */
	sweep.walking = false;
	sweep.useless = sweep.found < FEW_DEAD;
}

void
reap_sweep(void)
{
	bool many = table_alive() >= FEW_CHILDREN;

	if (sweep.walking) {
		walk();
		loop_timer(TIMER_SWEEP, clock_mono());
		return;
	}
	for (int i = 0; i < SWEEP_AT_A_TIME; i++) {
		if (reap_one(P_ALL, 0) <= 0) {
			sweep.useless = false;
			return;
		}
		if (many && !sweep.useless && i + 1 == FEW_DEAD) {
			sweep.walking = true;
			sweep.at = sweep.found = 0;
			break;
		}
	}
	loop_timer(TIMER_SWEEP, clock_mono());
}

uint64_t
reap_count(void)
{
	return count;
}

bool
reap_has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ||
	       errno != ECHILD;
}

void
reap_adopted(uint32_t slot)
{
	static const struct rusage nothing;
	siginfo_t unknown = { .si_code = 0 };
	struct slot *s = &table_slots[slot];

	if (s->pidfd < 0 || s->child.state != CHILD_ALIVE)
		return;
	loop_unwatch(s->pidfd);
	close(s->pidfd);
	s->pidfd = -1;
	unknown.si_status = 0;
	count++;
	child_ended(s, &unknown, &nothing);
	tree_changed(clock_mono());
}
