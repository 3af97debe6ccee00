#include "supervisord/logger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/pack.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/rotate.h"

/* The pipe is locked during a splice: shorter ones let its writer on between.
 */
#define SPLICE_CHUNK (128 << 10)
#define ROTATE_AGAIN (60 * NS_PER_SEC)
#define OPEN_FLAGS   (O_NOCTTY | O_NONBLOCK)

static int
open_path(const char *path)
{
	struct stat st;
	int fd;

	/* A fifo opened for both would be its own reader. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC | OPEN_FLAGS);
		return fd < 0 ? -errno : fd;
	}
	/* Read too: where lines end, and the last ones. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | OPEN_FLAGS, 0640);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		fd = open(
		    path, O_WRONLY | O_CREAT | O_CLOEXEC | OPEN_FLAGS, 0640);
	return fd < 0 ? -errno : fd;
}

int
file_open(struct sink *s)
{
	struct stat st;
	int fd = open_path(s->key);

	if (fd == -ENOENT && rotate_make_folder(s->key) == 0)
		fd = open_path(s->key);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	s->fd = fd;
	s->regular = S_ISREG(st.st_mode);
	s->size = st.st_size;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int
file_look(struct sink *s)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->size = st.st_size;
	return 0;
}

bool
file_at_line(struct sink *s)
{
	char last;

	if (s->size == 0)
		return true;
	/* Unreadable for us: take it as it is. */
	return pread(s->fd, &last, 1, s->size - 1) != 1 || last == '\n';
}

int
file_append(struct sink *s, const void *data, size_t size)
{
	ssize_t n = pwrite(s->fd, data, size, s->size);
	int err = n < 0 ? errno : ENOSPC;

	if (n == (ssize_t)size) {
		s->size += n;
		return 0;
	}
	if (n > 0 && ftruncate(s->fd, s->size) < 0)
		return -errno;
	return -err;
}

int
file_write_line(struct sink *s, const char *line)
{
	char text[512], when[CLOCK_TEXT] = "";
	int n, r = file_look(s);

	if (r < 0)
		return r;
	if ((s->flags & SINK_TIMESTAMPS) != 0)
		clock_format(clock_wall_ms(), when, sizeof when);
	n = snprintf(text, sizeof text, "%s%s%s%s\n",
	    file_at_line(s) ? "" : "\n", when, when[0] != '\0' ? " " : "",
	    line);
	return file_append(s, text, MIN_OF((size_t)n, sizeof text - 1));
}

int
file_has_room(struct sink *s)
{
	int r = file_look(s);

	if (r < 0)
		return r;
	if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, s->size, PEEK_MAX) < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	return ftruncate(s->fd, s->size) < 0 ? -errno : 0;
}

bool
file_rotates(const struct sink *s)
{
	return s->max_size > 0 &&
	       (s->rotate_after == 0 || clock_mono() >= s->rotate_after);
}

/* The path's file in place of the one that is open. */
static int
follow_path(struct sink *s)
{
	int old = s->fd, r = file_open(s);

	if (r == 0)
		close(old);
	return r;
}

int
file_rotate(struct sink *s)
{
	struct stat st;
	int r;

	if (s->keep == 0) {
		s->size = 0;
		return ftruncate(s->fd, 0) < 0 ? -errno : 0;
	}
	/* Somebody else has already moved it away: the path is free. */
	if (stat(s->key, &st) < 0 || st.st_ino != s->ino || st.st_dev != s->dev)
		return follow_path(s);
	r = rotate_shift(s->key, s->keep, &s->pack_index);
	if (r < 0) {
		/* Better too large a file than none. */
		log_warn("%s can't be rotated, it grows on: %s", s->key,
		    strerror(-r));
		s->rotate_after = clock_mono() + ROTATE_AGAIN;
		return 0;
	}
	s->rotate_after = 0;
	if ((s->flags & SINK_COMPRESS) != 0)
		pack_want(s);
	return follow_path(s);
}

/* For file systems that can't splice: a kill between the two repeats bytes. */
static ssize_t
copy_some(struct sink *s, int pipe, size_t size)
{
	const char *bytes;
	ssize_t n = peek(pipe, size, &bytes);
	int r;

	if (n <= 0)
		return n;
	r = file_append(s, bytes, (size_t)n);
	if (r < 0)
		return r;
	return peek_drop(pipe, (size_t)n);
}

static ssize_t
move_some(struct sink *s, int pipe, size_t size)
{
	size_t done = 0;

	while (done < size) {
		off_t at = s->size;
		ssize_t n = splice(pipe, NULL, s->fd, &at,
		    MIN_OF(size - done, (size_t)SPLICE_CHUNK),
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINVAL)
			return copy_some(s, pipe, size - done);
		if (n < 0 && errno != EAGAIN)
			return done > 0 ? (ssize_t)done : -errno;
		if (n <= 0)
			break;
		s->size += n;
		done += (size_t)n;
	}
	return done > 0 ? (ssize_t)done : -EAGAIN;
}

/* The file is nearly full: how much may still go in; 0: rotate. */
static ssize_t
last_piece(struct sink *s, int pipe, size_t avail)
{
	int64_t room = s->max_size - s->size;
	const char *bytes, *end;
	ssize_t n = peek(pipe, avail, &bytes);

	if (n <= 0)
		return n < 0 ? n : -EAGAIN;
	end = room > 0 ? memrchr(bytes, '\n', MIN_OF((size_t)room, (size_t)n))
		       : NULL;
	if (end != NULL)
		return end - bytes + 1;
	if (n < room)
		return n; /* scattered bytes: more of them fit */
	if (s->size > 0 &&
	    (file_at_line(s) || s->size + n > s->max_size + PEEK_MAX))
		return 0;
	end = memchr(bytes, '\n', (size_t)n);
	return end != NULL ? end - bytes + 1 : n;
}

ssize_t
file_move(struct sink *s, int pipe, size_t avail, size_t budget)
{
	size_t want = MIN_OF(avail, budget);
	int64_t room;
	ssize_t n;
	int r = file_look(s);

	if (r < 0)
		return r;
	room = s->max_size - s->size;
	if (!file_rotates(s) || (int64_t)avail <= room)
		return move_some(s, pipe, want);
	if (room > PEEK_MAX)
		return move_some(
		    s, pipe, MIN_OF(want, (size_t)(room - PEEK_MAX)));
	n = last_piece(s, pipe, avail);
	if (n < 0)
		return n;
	if (n == 0)
		return file_rotate(s);
	return move_some(s, pipe, (size_t)n);
}
