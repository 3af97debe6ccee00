#include "supervisord/ctl/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/ctl/wait.h"

#define BLOCK   (64 << 10)
#define POLL_MS 500 /* between looks where inotify is not to be had */

/* Where the last n lines of the first `end` bytes begin. */
static int
find_start(int fd, off_t end, long n, off_t *ret)
{
	char block[BLOCK];
	off_t at = end;
	long found = 0;

	*ret = end;
	while (at > 0 && n > 0) {
		off_t from = at > BLOCK ? at - BLOCK : 0;
		ssize_t got = pread(fd, block, (size_t)(at - from), from);

		if (got < 0)
			return -errno;
		for (ssize_t i = got - 1; i >= 0; i--) {
			/* The newline at the very end begins no line. */
			if (block[i] != '\n' || from + i + 1 == end)
				continue;
			if (++found == n) {
				*ret = from + i + 1;
				return 0;
			}
		}
		at = from;
		*ret = from;
	}
	return 0;
}

int
ctl_tail_last(int fd, long n, struct buf *out, off_t *ret_end)
{
	struct stat st;
	off_t at;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_end = st.st_size;
	r = find_start(fd, st.st_size, n, &at);
	while (r == 0 && at < st.st_size) {
		size_t want = (size_t)(st.st_size - at);
		ssize_t got;

		if (want > BLOCK)
			want = BLOCK;
		if (!buf_reserve(out, want))
			return -ENOMEM;
		got = pread(fd, out->data + out->size, want, at);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		out->size += (size_t)got;
		at += got;
	}
	return r;
}

/* --- following --------------------------------------------------------------
 */

static void
emit_whole(struct ctl_tails *tails, struct ctl_tail *t, bool at_end)
{
	const char *last;
	size_t size;

	if (t->part.size == 0)
		return;
	last = memrchr(t->part.data, '\n', t->part.size);
	size = last != NULL ? (size_t)(last + 1 - t->part.data) : 0;
	/* A rotated file's rest, or a line too long to wait for. */
	if (at_end || t->part.size > (1U << 20))
		size = t->part.size;
	if (size == 0)
		return;
	tails->emit(tails->arg, t, t->part.data, size);
	buf_consume(&t->part, size);
}

/* Everything that is in the open file now. */
static void
drain(struct ctl_tails *tails, struct ctl_tail *t)
{
	char block[BLOCK];
	struct stat st;
	ssize_t n;

	if (t->fd < 0)
		return;
	if (fstat(t->fd, &st) == 0 && st.st_size < t->offset)
		t->offset = 0; /* it was cut: copytruncate and the like */
	while ((n = pread(t->fd, block, sizeof block, t->offset)) > 0) {
		t->offset += n;
		if (!tails->whole) {
			tails->emit(tails->arg, t, block, (size_t)n);
			continue;
		}
		buf_add(&t->part, block, (size_t)n);
		if (t->part.failed)
			buf_done(&t->part);
		emit_whole(tails, t, false);
	}
}

static void
take_file(struct ctl_tails *tails, struct ctl_tail *t, int fd, int in)
{
	if (t->watch >= 0)
		inotify_rm_watch(in, t->watch);
	if (t->fd >= 0) {
		emit_whole(tails, t, true);
		close(t->fd);
	}
	t->fd = fd;
	t->offset = 0;
	t->watch = -1;
	if (in >= 0 && fd >= 0) {
		char path[64];

		/* The file itself, not whatever the name means by now. */
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		t->watch = inotify_add_watch(in, path, IN_MODIFY);
		if (t->watch < 0)
			t->watch = inotify_add_watch(in, t->path, IN_MODIFY);
	}
	drain(tails, t);
}

/*
 * A rotation that was over before we looked left files between the one we hold
 * and the new one: PATH.1 (the newest), PATH.2, ... up to the one we hold.
 */
static void
take_skipped(struct ctl_tails *tails, struct ctl_tail *t, int in)
{
	char path[PATH_MAX];
	struct stat held, st;
	int n = 0;

	if (t->fd < 0 || fstat(t->fd, &held) < 0)
		return;
	do {
		if (++n > 100 ||
		    snprintf(path, sizeof path, "%s.%d", t->path, n) >=
			(int)sizeof path ||
		    stat(path, &st) < 0)
			return;
	} while (st.st_ino != held.st_ino || st.st_dev != held.st_dev);
	while (--n > 0) {
		int fd;

		snprintf(path, sizeof path, "%s.%d", t->path, n);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0)
			take_file(tails, t, fd, in);
	}
}

/* Reads on, and goes over to the new file where the name has got one. */
static void
look(struct ctl_tails *tails, struct ctl_tail *t, int in)
{
	struct stat held, named;
	int fd;

	drain(tails, t);
	if (stat(t->path, &named) < 0)
		return;
	if (t->fd >= 0 && fstat(t->fd, &held) == 0 &&
	    held.st_ino == named.st_ino && held.st_dev == named.st_dev)
		return;
	fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	/* What was written to the old file after the first look, before the
	 * new one was made. */
	drain(tails, t);
	take_skipped(tails, t, in);
	take_file(tails, t, fd, in);
}

static void
watch_all(struct ctl_tails *tails, int in)
{
	for (size_t i = 0; i < tails->n; i++) {
		struct ctl_tail *t = &tails->all[i];
		const char *slash = strrchr(t->path, '/');
		char dir[PATH_MAX] = ".";

		t->watch = t->dir_watch = -1;
		if (in < 0)
			continue;
		if (slash != NULL && (size_t)(slash - t->path) < sizeof dir)
			snprintf(dir, sizeof dir, "%.*s",
			    (int)(slash - t->path) + (slash == t->path),
			    t->path);
		t->dir_watch = inotify_add_watch(
		    in, dir, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
		if (t->fd >= 0)
			t->watch = inotify_add_watch(in, t->path, IN_MODIFY);
	}
}

static bool
concerns(const struct ctl_tail *t, const struct inotify_event *ev)
{
	const char *base = strrchr(t->path, '/');

	if (ev->mask & IN_Q_OVERFLOW)
		return true;
	if (ev->wd == t->watch)
		return true;
	return ev->wd == t->dir_watch && ev->len > 0 &&
	       strcmp(ev->name, base != NULL ? base + 1 : t->path) == 0;
}

static void
take_events(struct ctl_tails *tails, int in)
{
	union {
		struct inotify_event first;
		char bytes[16 << 10];
	} u;

	ssize_t n = read(in, &u, sizeof u), at = 0;

	while (at < n) {
		struct inotify_event ev_head;
		const struct inotify_event *ev = (const void *)(u.bytes + at);

		memcpy(&ev_head, ev, sizeof ev_head);
		for (size_t i = 0; i < tails->n; i++) {
			if (concerns(&tails->all[i], ev))
				look(tails, &tails->all[i], in);
		}
		at += (ssize_t)sizeof *ev + ev_head.len;
	}
}

/* A watch may have been refused (fs.inotify.max_user_watches). */
static bool
is_watched(const struct ctl_tails *tails)
{
	for (size_t i = 0; i < tails->n; i++) {
		if (tails->all[i].dir_watch < 0 ||
		    (tails->all[i].fd >= 0 && tails->all[i].watch < 0))
			return false;
	}
	return true;
}

int
ctl_tails_follow(struct ctl_tails *tails)
{
	int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int r = 0;

	watch_all(tails, in);
	/* What came between the last lines and the watches. */
	for (size_t i = 0; i < tails->n; i++)
		look(tails, &tails->all[i], in);
	while (r == 0) {
		bool watched = in >= 0 && is_watched(tails);

		tails->flush(tails->arg);
		r = ctl_wait(in, POLLIN, watched ? -1 : POLL_MS);
		if (r == 0)
			take_events(tails, in);
		for (size_t i = 0; r == -ETIMEDOUT && i < tails->n; i++)
			look(tails, &tails->all[i], in);
		if (r == -ETIMEDOUT)
			r = 0;
	}
	if (in >= 0)
		close(in);
	return r == -EINTR ? 0 : r;
}
