#include "supervisord/guardian/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/table.h"
#include "workers/launch/launch.h"
#include "workers/launch/sys.h"

/*
 * A lane is what one launch under way needs: a stack and scratch to run on, and
 * two low descriptors. There are as many as low descriptors suffice for; when a
 * launch needs more and there are none left, it is a dearer one.
 */
#define LANES      ((LOOP_LOW_FDS - LOOP_NULL - 1) / 2)
#define LANE_STACK 16384
#define LANE_ROOM  49152
#define LOW_MOST   8 /* descriptors beyond its output, of one launch */

/* Often enough to let go of a log pipe soon, rare enough not to be seen. */
#define STAGED_DELAY (5 * NS_PER_MS)

struct lane {
	struct launch_order order;
	struct book *book; /* NULL: the lane is free */
	int tid; /* the kernel clears it once the memory is ours again */
	uint32_t unshared; /* the child sets it once the descriptors are */
	bool staged; /* order.out_fd and err_fd, and low, are to be closed */
	int fds[SPAWN_FDS]; /* the child's to overwrite */
	int low[LOW_MOST];
	unsigned low_count;
};

static _Alignas(4096) char rooms[LANES][LANE_STACK + LANE_ROOM];
static struct lane lanes[LANES];
static unsigned lanes_busy;

static struct launch_report *reports; /* shared memory, one for each slot */
static int reports_fd = -1;
static struct rlimit worker_nofile;

enum spawn_way spawn_way = SPAWN_SHARED;

int
spawn_init(const struct rlimit *nofile, int report_fd)
{
	size_t size = TABLE_SLOTS * sizeof *reports;
	void *p;

	worker_nofile = *nofile;
	/* Closes nothing; it only says whether it would. */
	if (!LAUNCH_CAN_SHARE ||
	    sys3(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		spawn_way = SPAWN_FORK;
	if (report_fd < 0) {
		report_fd = memfd_create("reports", MFD_CLOEXEC);
		if (report_fd < 0 || ftruncate(report_fd, (off_t)size) < 0)
			return -errno;
	}
	reports_fd = loop_move_up(report_fd);
	if (reports_fd < 0)
		return reports_fd;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, reports_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	reports = p;
	(void)madvise(rooms, sizeof rooms, MADV_NOHUGEPAGE);
	return 0;
}

int
spawn_report_fd(void)
{
	return reports_fd;
}

bool
spawn_failed(uint32_t slot, int32_t *ret_stage, int32_t *ret_error)
{
	*ret_stage = reports[slot].stage;
	*ret_error = reports[slot].error;
	return reports[slot].stage != 0;
}

void
spawn_forget(uint32_t slot)
{
	reports[slot] = (struct launch_report){ 0, 0 };
}

static void
close_staged(const struct launch_order *o)
{
	if (o->out_fd > LOOP_NULL)
		close(o->out_fd);
	if (o->err_fd > LOOP_NULL)
		close(o->err_fd);
}

static void
close_low(struct lane *l)
{
	while (l->low_count > 0)
		close(l->low[--l->low_count]);
}

bool
spawn_tidy(void)
{
	bool shared = false;

	for (unsigned i = 0; lanes_busy > 0 && i < LANES; i++) {
		struct lane *l = &lanes[i];
		bool gone = __atomic_load_n(&l->tid, __ATOMIC_ACQUIRE) == 0;

		if (l->book == NULL)
			continue;
		if (l->staged &&
		    (gone || __atomic_load_n(&l->unshared, __ATOMIC_ACQUIRE))) {
			close_staged(&l->order);
			close_low(l);
			l->staged = false;
		}
		shared = shared || l->staged;
		if (gone) {
			books_release(l->book);
			l->book = NULL;
			lanes_busy--;
		}
	}
	if (shared)
		loop_timer(TIMER_STAGED, clock_mono() + STAGED_DELAY);
	return shared;
}

static struct lane *
free_lane(void)
{
	for (unsigned i = 0; i < LANES; i++) {
		if (lanes[i].book == NULL)
			return &lanes[i];
	}
	return NULL;
}

static bool
fits_a_lane(const struct spawn *s)
{
	size_t scratch = launch_scratch(s->book->data, s->book->size, s->spec);

	return spawn_way == SPAWN_SHARED && scratch <= LANE_ROOM;
}

/*
 * A child that shares the descriptors gives up all but the low ones: whatever
 * it is to have gets a copy there. False: that cannot be.
 */
static bool
stage_low(struct lane *l, const struct launch_order *o)
{
	if (o->out_fd >= LOOP_LOW_FDS || o->err_fd >= LOOP_LOW_FDS ||
	    o->fd_count > LOW_MOST)
		return false;
	for (unsigned i = 0; i < o->fd_count; i++) {
		int fd = fcntl(o->fds[i], F_DUPFD_CLOEXEC, LOOP_NULL + 1);

		if (fd >= 0)
			l->low[l->low_count++] = l->fds[i] = fd;
		if (fd < 0 || fd >= LOOP_LOW_FDS) {
			close_low(l);
			return false;
		}
	}
	return true;
}

/*
 * Where the low descriptors do not suffice, the child has a descriptor table of
 * its own from the start: a copy of all, which is dearer in a large fleet.
 */
static pid_t
spawn_shared(struct lane *l, const struct launch_order *o, struct book *book)
{
	char *room = rooms[l - lanes];
	bool low = stage_low(l, o);
	pid_t pid;
	int error;

	for (unsigned i = 0; !low && i < o->fd_count; i++)
		l->fds[i] = o->fds[i];
	l->order = *o;
	l->order.fds = l->fds;
	l->order.unshare_from = low ? LOOP_LOW_FDS : 0;
	l->order.ret_unshared = &l->unshared;
	l->order.scratch = room + LANE_STACK;
	l->order.scratch_size = LANE_ROOM;
	l->unshared = 0;
	l->tid = 1;
	pid = clone(launch_child, room + LANE_STACK,
	    CLONE_VM | (low ? CLONE_FILES : 0) | CLONE_CHILD_CLEARTID | SIGCHLD,
	    &l->order, NULL, NULL, &l->tid);
	error = errno;
	if (pid < 0) {
		l->tid = 0;
		close_low(l);
		return -error;
	}
	l->book = book;
	l->staged = low;
	if (!low)
		close_staged(o);
	lanes_busy++;
	books_hold(book);
	return pid;
}

static pid_t
spawn_fork(struct launch_order *o)
{
	pid_t pid = fork();
	int error = errno;

	if (pid == 0)
		_exit(launch_child(o));
	close_staged(o);
	return pid > 0 ? pid : -error;
}

pid_t
spawn_child(const struct spawn *s)
{
	int fds[SPAWN_FDS];
	struct launch_order o = { .book = s->book->data,
		.book_size = s->book->size,
		.spec = s->spec,
		.index = s->index,
		.null_fd = LOOP_NULL,
		.out_fd = s->out_fd,
		.err_fd = s->err_fd,
		.fds = fds,
		.fd_count = s->fd_count,
		.tag = s->tag,
		.nofile = { worker_nofile.rlim_cur, worker_nofile.rlim_max },
		.report = &reports[s->slot] };
	struct lane *l;
	pid_t pid;

	for (unsigned i = 0; i < s->fd_count; i++)
		fds[i] = s->fds[i];
	spawn_forget(s->slot);
	spawn_tidy();
	l = fits_a_lane(s) ? free_lane() : NULL;
	if (l != NULL) {
		pid = spawn_shared(l, &o, s->book);
		if (pid > 0)
			return pid;
		/* No room for a process; or not this way, in a sandbox. */
		if (pid == -EAGAIN || pid == -ENOMEM) {
			close_staged(&o);
			return pid;
		}
		spawn_way = SPAWN_FORK;
	}
	return spawn_fork(&o);
}
