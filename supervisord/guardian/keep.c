#include "supervisord/guardian/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/guardian/loop.h"
#include "supervisord/proto/channel.h"

#define BUCKETS 32768U

static _Alignas(4096) struct kept entries[KEEP_ENTRIES];

static struct {
	uint32_t used;
	uint32_t free;
	uint32_t todo_first, todo_last;
	uint32_t dropped; /* dropped pipes that may not be empty yet */
	uint32_t dropped_count;
	uint32_t broker;  /* those of the broker: a few */
	uint32_t tidy_at; /* look through them when there are so many */
	uint64_t last_id;
	bool no_reopen; /* no /proc: write ends are kept too */
	uint32_t buckets[BUCKETS];
} keep = { .tidy_at = 64 };

void
keep_init(void)
{
	(void)madvise(entries, sizeof entries, MADV_NOHUGEPAGE);
}

uint32_t
keep_index(const struct kept *k)
{
	return (uint32_t)(k - entries);
}

static uint32_t *
bucket(const char *name)
{
	uint32_t h = 2166136261U; /* FNV-1a */

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619U;
	return &keep.buckets[(h ^ h >> 15) % BUCKETS];
}

static struct kept *
find(const char *name)
{
	for (uint32_t i = *bucket(name); i != 0; i = entries[i - 1].next) {
		if (strcmp(entries[i - 1].name, name) == 0)
			return &entries[i - 1];
	}
	return NULL;
}

static void
link_name(struct kept *k)
{
	uint32_t *head = bucket(k->name);

	k->next = *head;
	*head = keep_index(k) + 1;
}

static void
unlink_name(struct kept *k)
{
	uint32_t *at = bucket(k->name);

	while (*at != 0 && *at != keep_index(k) + 1)
		at = &entries[*at - 1].next;
	if (*at != 0)
		*at = k->next;
}

static void
add_todo(struct kept *k)
{
	uint32_t me = keep_index(k) + 1;

	if (k->todo)
		return;
	k->todo = true;
	k->todo_next = 0;
	if (keep.todo_last != 0)
		entries[keep.todo_last - 1].todo_next = me;
	else
		keep.todo_first = me;
	keep.todo_last = me;
}

static struct kept *
alloc(const char *name)
{
	struct kept *k;

	if (keep.free != 0) {
		k = &entries[keep.free - 1];
		keep.free = k->next;
	} else if (keep.used < KEEP_ENTRIES) {
		k = &entries[keep.used++];
	} else {
		return NULL;
	}
	memset(k, 0, sizeof *k);
	snprintf(k->name, sizeof k->name, "%s", name);
	k->flags = KEEP_USED;
	k->fd = k->write_fd = -1;
	return k;
}

static void
link_broker(struct kept *k)
{
	const char prefix[] = KEEP_BROKER_PREFIX;

	if ((k->flags & KEEP_PIPE) != 0 ||
	    strncmp(k->name, prefix, sizeof prefix - 1) != 0)
		return;
	k->flags |= KEEP_BROKER;
	k->broker_next = keep.broker;
	keep.broker = keep_index(k) + 1;
}

static void
unlink_broker(struct kept *k)
{
	uint32_t *at = &keep.broker;

	if ((k->flags & KEEP_BROKER) == 0)
		return;
	while (*at != 0 && *at != keep_index(k) + 1)
		at = &entries[*at - 1].broker_next;
	if (*at != 0)
		*at = k->broker_next;
}

static void
release(struct kept *k)
{
	unlink_broker(k);
	close(k->fd);
	if (k->write_fd >= 0)
		close(k->write_fd);
	k->flags = 0;
	k->next = keep.free;
	keep.free = keep_index(k) + 1;
}

/* Nothing is in the pipe and nobody can write into it any more. */
static bool
exhausted(const struct kept *k)
{
	struct pollfd p = { .fd = k->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0 &&
	       (p.revents & POLLIN) == 0;
}

/*
 * A dropped pipe may hold what a logger has yet to write, and loggers can be
 * killed: it goes once it is empty. Nobody waits for that; it is looked at
 * when many have gathered.
 */
static void
tidy_dropped(void)
{
	uint32_t *at = &keep.dropped;

	while (*at != 0) {
		struct kept *k = &entries[*at - 1];

		if (!k->todo && exhausted(k)) {
			*at = k->dropped_next;
			keep.dropped_count--;
			release(k);
		} else {
			at = &k->dropped_next;
		}
	}
	keep.tidy_at = 2 * keep.dropped_count + 64;
}

static void
link_dropped(struct kept *k)
{
	k->dropped_next = keep.dropped;
	keep.dropped = keep_index(k) + 1;
	keep.dropped_count++;
}

static void
drop(struct kept *k)
{
	unlink_name(k);
	if ((k->flags & KEEP_PIPE) == 0) {
		release(k);
		return;
	}
	if (k->write_fd >= 0)
		close(k->write_fd);
	k->write_fd = -1;
	k->flags |= KEEP_DROPPED;
	link_dropped(k);
	add_todo(k);
	if (keep.dropped_count >= keep.tidy_at)
		tidy_dropped();
}

void
keep_drop(const char *name)
{
	struct kept *k = find(name);

	if (k != NULL)
		drop(k);
}

void
keep_drop_broker(void)
{
	while (keep.broker != 0)
		drop(&entries[keep.broker - 1]);
}

static int
set(const char *name, int fd, struct kept **ret)
{
	struct kept *old = find(name), *k;

	fd = loop_move_up(fd);
	if (fd < 0)
		return fd;
	if (old != NULL)
		drop(old);
	k = alloc(name);
	if (k == NULL) {
		close(fd);
		return -ENOSPC;
	}
	k->fd = fd;
	link_name(k);
	*ret = k;
	return 0;
}

int
keep_set(const char *name, int fd)
{
	struct kept *k = NULL;
	int error = set(name, fd, &k);

	if (error == 0)
		link_broker(k);
	return error;
}

int
keep_set_pipe(const char *name, int fd)
{
	struct kept *k = NULL;
	struct stat st;
	int error;

	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	error = set(name, fd, &k);
	if (error < 0)
		return error;
	k->flags |= KEEP_PIPE;
	k->id = ++keep.last_id;
	add_todo(k);
	return 0;
}

int
keep_get(const char *name)
{
	const struct kept *k = find(name);

	return k != NULL ? k->fd : -1;
}

static int
make_pipe(const char *name)
{
	struct kept *k;
	int fd[2], error;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	/* Only the read end: the worker must get an ordinary, waiting pipe. */
	(void)fcntl(fd[0], F_SETFL, O_NONBLOCK);
	error = keep_set_pipe(name, fd[0]);
	if (error == 0 && keep.no_reopen) {
		k = find(name);
		k->write_fd = fcntl(fd[1], F_DUPFD_CLOEXEC, LOOP_LOW_FDS);
		if (k->write_fd < 0) {
			error = -errno;
			drop(k);
		}
	}
	if (error == 0)
		return fd[1];
	close(fd[1]);
	return error;
}

/*
 * Opened again through /proc, a pipe that nobody has written to for a while
 * costs one descriptor, not two, and each worker has file status flags of its
 * own: one that sets O_NONBLOCK does it to itself alone.
 */
static int
reopen(const struct kept *k)
{
	char path[40];
	int fd;

	if (k->write_fd >= 0) {
		fd = fcntl(k->write_fd, F_DUPFD_CLOEXEC, LOOP_NULL + 1);
		return fd >= 0 ? fd : -errno;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", k->fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

static int
writer(const char *name)
{
	struct kept *k = find(name);
	int fd;

	if (k == NULL || (k->flags & KEEP_PIPE) == 0)
		return make_pipe(name);
	fd = reopen(k);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES) {
		/* Its readers see the end of the old pipe in time. */
		keep.no_reopen = true;
		drop(k);
		fd = make_pipe(name);
	}
	return fd;
}

int
keep_writer(const char *name)
{
	int fd = writer(name);

	if (fd != -EMFILE && fd != -ENFILE)
		return fd;
	tidy_dropped();
	return writer(name);
}

struct kept *
keep_next(uint32_t from)
{
	for (; from < keep.used; from++) {
		if ((entries[from].flags & KEEP_USED) != 0)
			return &entries[from];
	}
	return NULL;
}

static int
tell(int logger, struct kept *k)
{
	struct msg_pipe m = { .id = k->id };
	int error;

	snprintf(m.name, sizeof m.name, "%s", k->name);
	if ((k->flags & KEEP_TOLD) == 0) {
		error = channel_send(logger, MSG_PIPE, &m, NULL, 0, k->fd);
		if (error < 0)
			return error;
		k->flags |= KEEP_TOLD;
	}
	if ((k->flags & (KEEP_DROPPED | KEEP_TOLD_DROP)) == KEEP_DROPPED) {
		error = channel_send(logger, MSG_PIPE_DROP, &m, NULL, 0, -1);
		if (error < 0)
			return error;
		k->flags |= KEEP_TOLD_DROP;
	}
	return 0;
}

int
keep_tell(int logger)
{
	while (keep.todo_first != 0) {
		struct kept *k = &entries[keep.todo_first - 1];
		int error = tell(logger, k);

		if (error < 0)
			return error;
		k->todo = false;
		keep.todo_first = k->todo_next;
		if (keep.todo_first == 0)
			keep.todo_last = 0;
	}
	return 0;
}

void
keep_untold(void)
{
	for (uint32_t i = 0; i < keep.used; i++) {
		struct kept *k = &entries[i];

		if ((k->flags & KEEP_PIPE) == 0)
			continue;
		k->flags &= (uint16_t) ~(KEEP_TOLD | KEEP_TOLD_DROP);
		add_todo(k);
	}
}

int
keep_tell_broker(int broker)
{
	for (uint32_t i = keep.broker; i != 0; i = entries[i - 1].broker_next) {
		struct kept *k = &entries[i - 1];
		struct msg_name m;
		int error;

		if ((k->flags & KEEP_TOLD) != 0)
			continue;
		memcpy(m.name, k->name, sizeof m.name);
		error = channel_send(broker, MSG_BROKER_FD, &m, NULL, 0, k->fd);
		if (error < 0)
			return error;
		k->flags |= KEEP_TOLD;
	}
	return 0;
}

void
keep_untold_broker(void)
{
	for (uint32_t i = keep.broker; i != 0; i = entries[i - 1].broker_next)
		entries[i - 1].flags &= (uint16_t)~KEEP_TOLD;
}

void
keep_broker_knows(const char *name)
{
	struct kept *k = find(name);

	if (k != NULL && (k->flags & KEEP_BROKER) != 0)
		k->flags |= KEEP_TOLD;
}

int
keep_restore(const struct kept *saved)
{
	struct kept *k = alloc(saved->name);

	if (k == NULL)
		return -ENOSPC;
	k->id = saved->id;
	k->fd = saved->fd;
	k->write_fd = saved->write_fd;
	k->flags = saved->flags & (KEEP_USED | KEEP_PIPE | KEEP_DROPPED);
	if ((k->flags & KEEP_DROPPED) != 0)
		link_dropped(k);
	else
		link_name(k);
	link_broker(k);
	return 0;
}

uint64_t
keep_last_id(void)
{
	return keep.last_id;
}

void
keep_set_last_id(uint64_t id)
{
	keep.last_id = id;
}
