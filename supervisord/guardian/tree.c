#include "supervisord/guardian/tree.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/reap.h"

#define SCAN_DELAY    (200 * 1000)
#define STRANGE_DELAY (20 * NS_PER_MS)
#define SCAN_SHARE    10 /* scan for one part of the time in so many */

static struct {
	uint32_t first;     /* watched slots */
	unsigned adopted;   /* watches on adopted children in this scan */
	int64_t not_before; /* when the next scan may be */
} tree = { .first = TABLE_NONE };

static void
scan_at(int64_t at)
{
	loop_timer(TIMER_TREE, MAX_OF(at, tree.not_before));
}

static void
watch(struct slot *s)
{
	if ((s->tree & TREE_WATCHED) != 0)
		return;
	s->tree = TREE_WATCHED;
	s->tree_next = tree.first;
	tree.first = s->child.slot;
}

void
tree_request(const struct msg_tree *m)
{
	struct slot *s = table_get(m->slot, m->gen);

	if (s == NULL || (s->child.state == CHILD_EXITED && !proc_mounted())) {
		if (m->tell)
			news_tree_empty(m->slot, m->gen);
		return;
	}
	watch(s);
	if (m->signo > 0 && m->signo <= 64) {
		s->tree_sign = (uint8_t)m->signo;
		s->tree |= TREE_FRESH;
	}
	if (m->tell)
		s->tree |= TREE_TELL;
	scan_at(clock_mono() + SCAN_DELAY);
}

void
tree_child_ended(struct slot *s)
{
	if ((s->tree & TREE_WATCHED) != 0)
		scan_at(clock_mono() + SCAN_DELAY);
}

void
tree_changed(int64_t at)
{
	if (tree.first != TABLE_NONE)
		scan_at(at);
}

void
tree_untell(void)
{
	for (uint32_t i = tree.first; i != TABLE_NONE;
	     i = table_slots[i].tree_next)
		table_slots[i].tree |=
		    TREE_FRESH; /* the next master waits, too */
}

/* The watched slot with that tag. */
static struct slot *
watched_by_tag(uint64_t tag)
{
	uint32_t slot, gen;

	if (tag_read(tag, &slot, &gen)) {
		struct slot *s = &table_slots[slot];

		return (s->tree & TREE_WATCHED) != 0 && s->child.tag == tag
			   ? s
			   : NULL;
	}
	/* One of a guardian before us: of an adopted child. */
	for (uint32_t i = tree.adopted > 0 ? tree.first : TABLE_NONE;
	     i != TABLE_NONE; i = table_slots[i].tree_next) {
		if (table_slots[i].child.tag == tag)
			return &table_slots[i];
	}
	return NULL;
}

/* The pid may be another process by now, unless the tag still is the same. */
static void
signal_tagged(pid_t pid, uint64_t tag, int signo)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOSYS)
			kill(pid, signo);
		return;
	}
	if (proc_tag(pid) == tag)
		(void)pidfd_send_signal(fd, signo, NULL, 0);
	close(fd);
}

static void
look_at(pid_t pid)
{
	struct slot *s;
	uint64_t tag;

	if (table_by_pid(pid) != NULL || helper_is(pid))
		return;
	tag = proc_tag(pid);
	s = tag != 0 ? watched_by_tag(tag) : NULL;
	if (s == NULL)
		return;
	s->tree |= TREE_SEEN;
	if ((s->tree & TREE_FRESH) != 0 || s->tree_sign == SIGKILL)
		signal_tagged(pid, tag, s->tree_sign);
}

static unsigned
start_scan(void)
{
	unsigned adopted = 0;

	for (uint32_t i = tree.first; i != TABLE_NONE;
	     i = table_slots[i].tree_next) {
		table_slots[i].tree &= (uint8_t)~TREE_SEEN;
		if ((table_slots[i].child.flags & CHILD_ADOPTED) != 0)
			adopted++;
	}
	return adopted;
}

/*
 * A watch ends when its child and all that the child left are gone, or when
 * its signal has gone out once and nobody waits for the end.
 */
static bool
watch_over(const struct slot *s, bool changed)
{
	if ((s->tree & TREE_TELL) == 0 && s->tree_sign != SIGKILL)
		return true;
	return s->child.state == CHILD_EXITED && (s->tree & TREE_SEEN) == 0 &&
	       !changed;
}

static void
end_watches(bool changed)
{
	uint32_t *at = &tree.first;

	while (*at != TABLE_NONE) {
		struct slot *s = &table_slots[*at];

		s->tree &= (uint8_t)~TREE_FRESH;
		if (!watch_over(s, changed)) {
			at = &s->tree_next;
			continue;
		}
		*at = s->tree_next;
		if ((s->tree & TREE_TELL) != 0)
			news_mark(s, NEWS_TREE_EMPTY);
		s->tree = 0;
		s->tree_sign = 0;
		news_free_if_done(s);
	}
}

void
tree_scan(void)
{
	int64_t began = clock_mono(), now;
	uint64_t before;
	bool changed;
	int error;

	if (tree.first == TABLE_NONE)
		return;
	reap_sweep();
	before = reap_count();
	tree.adopted = start_scan();
	error = proc_each(tree.adopted > 0, look_at);
	if (error < 0)
		log_warn(
		    "cannot look for descendants: %s", strerrordesc_np(-error));
	/* One that ended meanwhile may have left others behind. */
	reap_sweep();
	changed = reap_count() != before || error < 0;
	end_watches(changed);
	now = clock_mono();
	tree.not_before = now + (now - began) * SCAN_SHARE;
	/* The end of what an adopted child left is told to somebody else. */
	if (tree.first != TABLE_NONE && (changed || tree.adopted > 0))
		scan_at(now + STRANGE_DELAY);
}

static void
kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

static void
kill_child(pid_t pid)
{
	siginfo_t info;

	/* Where all of /proc is walked: only what this process may reap. */
	info.si_pid = 0;
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		kill_one(pid);
}

void
tree_kill_all(void)
{
	if (guardian.pid1)
		kill(-1, SIGKILL);
	else
		(void)proc_each(false, kill_child);
}
