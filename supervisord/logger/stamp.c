#include "supervisord/logger/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/file.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/rotate.h"
#include "supervisord/logger/sink.h"
#include "supervisord/logger/stream.h"

#define STAGE_MAX (256 << 10)
#define PIECE     (64 << 10)
#define MAGIC     0x31706d6174736470ULL /* "pdstamp1" */

/* The head of FILE.stamping; the raw bytes follow it. */
struct head {
	uint64_t magic;
	uint64_t from,
	    to; /* the raw piece on its way, counted behind the head */
	uint64_t at, after; /* where it is put in the file, and its end there */
	uint64_t ino;       /* of the file; 0: no piece is on its way */
	uint64_t unused[2];
};

_Static_assert(sizeof(struct head) == 64, "on disk");

static struct buf out;

size_t
stamp_format(struct buf *to, const char *raw, size_t size, const char *when,
    bool at_line, int64_t room, bool force)
{
	size_t used = 0, stamp = strlen(when) + 1, start = to->size;

	while (used < size) {
		const char *nl = memchr(raw + used, '\n', size - used);
		size_t line =
		    nl != NULL ? (size_t)(nl - raw) + 1 - used : size - used;
		size_t need = line + (at_line ? stamp : 0);

		if (room >= 0 && to->size - start + need > (uint64_t)room &&
		    !(force && used == 0))
			break;
		if (at_line) {
			buf_str(to, when);
			buf_char(to, ' ');
		}
		buf_add(to, raw + used, line);
		used += line;
		at_line = true;
	}
	return used;
}

static char *
name_of(const struct sink *s, char *name)
{
	snprintf(name, ROTATE_PATH, "%s.stamping", s->key);
	return name;
}

static int
write_head(struct sink *s, const struct head *h)
{
	/* Within one page: a kill does not tear it. */
	ssize_t n = pwrite(s->pos, h, sizeof *h, 0);

	if (n == (ssize_t)sizeof *h)
		return 0;
	return n < 0 ? -errno : -ENOSPC;
}

static int
set_done(struct sink *s, uint64_t done)
{
	struct head h = { .magic = MAGIC, .from = done };

	s->staged_done = done;
	return write_head(s, &h);
}

/* Raw bytes behind the head, or -errno. */
static int64_t
staged(const struct sink *s)
{
	struct stat st;

	if (fstat(s->pos, &st) < 0)
		return -errno;
	return st.st_size - (off_t)sizeof(struct head);
}

/* One piece: how many raw bytes, 0: after a rotation, -errno. */
static ssize_t
put_piece(struct sink *s, const char *raw, size_t size)
{
	struct head h = { .magic = MAGIC, .from = s->staged_done };
	char when[CLOCK_TEXT];
	int64_t room = -1;
	bool line;
	size_t used;
	int r = file_look(s);

	if (r < 0)
		return r;
	line = file_at_line(s);
	if (file_rotates(s))
		room = MAX_OF(s->max_size - s->size, (int64_t)0);
	buf_clear(&out);
	used = stamp_format(&out, raw, size,
	    clock_format(clock_wall_ms(), when, sizeof when), line, room,
	    s->size == 0 || (!line && s->size < s->max_size + PEEK_MAX));
	if (out.failed) {
		buf_done(&out);
		return -ENOMEM;
	}
	if (used == 0) {
		r = set_done(s, s->staged_done);
		return r < 0 ? r : file_rotate(s);
	}
	h.to = h.from + used;
	h.at = (uint64_t)s->size;
	h.after = h.at + out.size;
	h.ino = s->ino;
	r = write_head(s, &h);
	if (r < 0)
		return r;
	r = file_append(s, out.data, out.size);
	if (r < 0) {
		(void)set_done(s, s->staged_done);
		return r;
	}
	s->staged_done += used;
	return (ssize_t)used;
}

/* All that is staged into the file. */
static int
flush(struct sink *s, int64_t size)
{
	static char raw[PIECE];

	while (s->staged_done < (uint64_t)size) {
		size_t left = (size_t)size - s->staged_done, at = 0;
		ssize_t got = pread(s->pos, raw, MIN_OF(left, sizeof raw),
		    (off_t)(sizeof(struct head) + s->staged_done));

		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		while (at < (size_t)got) {
			ssize_t n = put_piece(s, raw + at, (size_t)got - at);

			if (n < 0)
				return (int)n;
			at += (size_t)n;
		}
	}
	/* First the bytes, then the number: an empty stage has nothing done. */
	if (ftruncate(s->pos, sizeof(struct head)) < 0)
		return -errno;
	return set_done(s, 0);
}

static int
open_stage(struct sink *s, int more)
{
	char name[ROTATE_PATH];

	s->pos = open(
	    name_of(s, name), O_RDWR | O_CLOEXEC | O_NOFOLLOW | more, 0640);
	return s->pos < 0 ? -errno : 0;
}

static int
remove_stage(struct sink *s)
{
	char name[ROTATE_PATH];

	if (unlink(name_of(s, name)) < 0 && errno != ENOENT)
		return -errno;
	close(s->pos);
	s->pos = -1;
	return 0;
}

static int
resume(struct sink *s, int64_t size)
{
	struct head h;

	if (pread(s->pos, &h, sizeof h, 0) != (ssize_t)sizeof h)
		return -EIO;
	if (h.magic != MAGIC) {
		log_error(
		    "%s.stamping is not supervisord's: move it away", s->key);
		return -EEXIST;
	}
	s->staged_done = h.from;
	if (h.ino == s->ino) {
		if ((uint64_t)s->size >= h.after)
			s->staged_done = h.to;
		else if ((uint64_t)s->size > h.at &&
			 ftruncate(s->fd, (off_t)h.at) < 0)
			return -errno;
	}
	if (s->staged_done > (uint64_t)size)
		s->staged_done = 0; /* killed between the two in flush() */
	return set_done(s, s->staged_done);
}

int
stamp_recover(struct sink *s)
{
	bool wanted = (s->flags & SINK_TIMESTAMPS) != 0;
	int64_t size;
	int r = open_stage(s, wanted ? O_CREAT : 0);

	if (r < 0)
		return r == -ENOENT && !wanted ? 0 : r;
	size = staged(s);
	if (size == -(int64_t)sizeof(struct head)) /* new, or died just so */
		return wanted ? set_done(s, 0) : remove_stage(s);
	if (size < 0)
		return -EIO;
	r = resume(s, size);
	if (r == 0)
		r = flush(s, size);
	if (r == 0 && !wanted)
		r = remove_stage(s);
	return r;
}

void
stamp_close(struct sink *s)
{
	if (s->pos < 0)
		return;
	if (staged(s) <= 0 && remove_stage(s) == 0)
		return;
	close(s->pos);
	s->pos = -1;
}

ssize_t
stamp_move(struct sink *s, struct pipe *p, size_t want)
{
	int64_t size = staged(s);
	ssize_t n = 0;
	int r;

	if (size < 0)
		return size == -(int64_t)sizeof(struct head) ? -EIO : size;
	if (size == 0) {
		off_t at = sizeof(struct head);

		n = splice(p->fd, NULL, s->pos, &at,
		    MIN_OF(want, (size_t)STAGE_MAX),
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n <= 0)
			return n < 0 ? -errno : -EAGAIN;
		size = n;
	}
	r = flush(s, size);
	return r < 0 ? r : n;
}
