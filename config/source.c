#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"
#include "supervisord/base/zone.h"

#define FILE_MAX (256u << 20)

static const char magic[8] = "svdcfg01";

struct head {
	uint32_t kind;
	int32_t result;
	uint64_t name_size, data_size;
};

/* Takes over nothing: name and data are copied. */
static struct record *
record_add(struct source *s, enum record_kind kind, const char *name,
    size_t name_size, int result, const char *data, size_t size)
{
	struct record *r = arena_alloc(&s->arena, sizeof *r);
	char *key = arena_copy(&s->arena, name, name_size);
	char *copy = arena_copy(&s->arena, data, size);

	if (r == NULL || key == NULL || copy == NULL ||
	    map_put(&s->maps[kind], key, name_size, r) < 0)
		return NULL;
	*r = (struct record){ .kind = kind,
		.result = result,
		.name = key,
		.name_size = name_size,
		.data = copy,
		.size = size };
	*s->last = r;
	s->last = &r->next;
	return r;
}

static struct record *
record_find(const struct source *s, enum record_kind kind, const char *name)
{
	return map_get(&s->maps[kind], name, strlen(name));
}

int
source_init(struct source *s, const void *from, size_t size)
{
	const char *p, *end;
	struct head h;

	memset(s, 0, sizeof *s);
	s->last = &s->first;
	s->from = from;
	if (from == NULL)
		return 0;
	p = from;
	end = p + size;
	if (size < sizeof magic || memcmp(p, magic, sizeof magic) != 0)
		return -EINVAL;
	for (p += sizeof magic; p < end; p += h.name_size + h.data_size) {
		if ((size_t)(end - p) < sizeof h)
			return -EINVAL;
		memcpy(&h, p, sizeof h);
		p += sizeof h;
		if (h.name_size > (size_t)(end - p) ||
		    h.data_size > (size_t)(end - p) - h.name_size ||
		    h.kind < RECORD_FILE || h.kind > RECORD_NUMBER ||
		    h.result > 0 || memchr(p, '\0', h.name_size) != NULL)
			return -EINVAL;
		if (record_add(s, h.kind, p, h.name_size, h.result,
			p + h.name_size, h.data_size) == NULL)
			return -ENOMEM;
	}
	return 0;
}

void
source_done(struct source *s)
{
	for (size_t i = 0; i < N_ELEMENTS(s->maps); i++)
		map_done(&s->maps[i]);
	arena_done(&s->arena);
}

void
source_write(const struct source *s, struct buf *out)
{
	buf_add(out, magic, sizeof magic);
	for (const struct record *r = s->first; r != NULL; r = r->next) {
		struct head h = { .kind = r->kind,
			.result = r->result,
			.name_size = r->name_size,
			.data_size = r->size };

		buf_add(out, &h, sizeof h);
		buf_add(out, r->name, r->name_size);
		buf_add(out, r->data, r->size);
	}
}

/* --- files ------------------------------------------------------------------
 */

/* Non-blocking, so that a FIFO is refused and not waited for. */
static int
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
	    err = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = -ENOTSUP;
	while (err == 0) {
		if (!buf_reserve(out, 65536)) {
			err = -ENOMEM;
			break;
		}
		n = read(fd, out->data + out->size, 65536);
		if (n == 0)
			break;
		if (n > 0)
			out->size += (size_t)n;
		else if (errno != EINTR)
			err = -errno;
		if (out->size > FILE_MAX)
			err = -EFBIG;
	}
	close(fd);
	return err;
}

const char *
source_words(int result)
{
	switch (result) {
	case -EISDIR:
		return "is a folder";
	case -ENOTSUP:
	case -ENXIO:
		return "is not a regular file";
	case -EFBIG:
		return "is larger than 256 MiB";
	case -ENOENT:
		return "does not exist";
	case -EACCES:
		return "can't be read: permission denied";
	case -EMFILE:
	case -ENFILE:
		return "can't be read: too many open files";
	case -EIO:
		return "can't be read: input/output error";
	default:
		return strerror(-result);
	}
}

int
source_file(struct source *s, const char *path, const struct record **ret)
{
	struct record *r = record_find(s, RECORD_FILE, path);
	struct buf text;
	int err;

	if (r == NULL && s->from != NULL)
		return -ENOENT;
	if (r == NULL) {
		buf_init(&text);
		err = read_file(path, &text);
		if (err != -ENOMEM)
			r = record_add(s, RECORD_FILE, path, strlen(path), err,
			    text.data, err == 0 ? text.size : 0);
		buf_done(&text);
		if (r == NULL)
			return -ENOMEM;
	}
	*ret = r;
	return r->result;
}

/* --- globs -------------------------------------------------------------------
 */

static _Thread_local int glob_errno;

/* A folder that is not there has no match; one that can't be read is an
 * error, for files would be missed silently. */
static int
glob_failed(const char *path, int err)
{
	(void)path;
	if (err == ENOENT || err == ENOTDIR)
		return 0;
	glob_errno = err;
	return 1;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
read_glob(const char *pattern, struct buf *out)
{
	glob_t g = { 0 };
	int err = 0;

	glob_errno = 0;
	switch (glob(pattern, GLOB_NOSORT, glob_failed, &g)) {
	case 0:
		qsort(g.gl_pathv, g.gl_pathc, sizeof *g.gl_pathv, by_bytes);
		for (size_t i = 0; i < g.gl_pathc; i++)
			buf_add(out, g.gl_pathv[i], strlen(g.gl_pathv[i]) + 1);
		break;
	case GLOB_NOSPACE:
		err = -ENOMEM;
		break;
	case GLOB_ABORTED:
		err = glob_errno > 0 ? -glob_errno : -EIO;
		break;
	default:
		break;
	}
	globfree(&g);
	return out->failed ? -ENOMEM : err;
}

int
source_glob(struct source *s, const char *pattern, const struct record **ret)
{
	struct record *r = record_find(s, RECORD_GLOB, pattern);
	struct buf paths;
	int err;

	if (r == NULL && s->from != NULL)
		return -ENOENT;
	if (r == NULL) {
		buf_init(&paths);
		err = read_glob(pattern, &paths);
		if (err != -ENOMEM)
			r = record_add(s, RECORD_GLOB, pattern, strlen(pattern),
			    err, paths.data, err == 0 ? paths.size : 0);
		buf_done(&paths);
		if (r == NULL)
			return -ENOMEM;
	}
	/* A snapshot is only as good as the one who wrote it. */
	if (r->size > 0 && r->data[r->size - 1] != '\0')
		return -EINVAL;
	*ret = r;
	return r->result;
}

/* --- numbers
 * ------------------------------------------------------------------ */

static int64_t
count_cores(void)
{
	/* Large enough for any kernel: 16,384 processors. */
	struct {
		cpu_set_t sets[16];
	} all;

	if (sched_getaffinity(0, sizeof all, all.sets) == 0)
		return CPU_COUNT_S(sizeof all, all.sets);
	return sysconf(_SC_NPROCESSORS_ONLN);
}

static int
group_number(const char *name, int64_t *ret)
{
	size_t size = 1024;
	struct group g, *found = NULL;
	char *room = NULL, *more;
	int err;

	do {
		size *= 2;
		more = realloc(room, size);
		if (more == NULL) {
			free(room);
			return -ENOMEM;
		}
		room = more;
		err = getgrnam_r(name, &g, room, size, &found);
	} while (err == ERANGE && size < 16 << 20);
	if (found != NULL)
		*ret = g.gr_gid;
	free(room);
	return found != NULL ? 0 : -ENOENT;
}

/* What a name is on this machine; a snapshot has it already. */
static int
look_up(const char *what, int64_t *ret)
{
	struct zone *zone = NULL;
	int err;

	if (strncmp(what, "group:", 6) == 0)
		return group_number(what + 6, ret);
	err = zone_load(what + sizeof "zone:" - 1, &zone);
	zone_free(zone);
	return err;
}

int
source_number(struct source *s, const char *what, int64_t *ret)
{
	struct record *r = record_find(s, RECORD_NUMBER, what);
	int64_t n = 0;
	int err = 0;

	if (r == NULL) {
		if (strcmp(what, "cores") == 0)
			n = count_cores();
		else
			err = s->from != NULL ? -ENOENT : look_up(what, &n);
		if (err == -ENOMEM)
			return err;
		r = record_add(s, RECORD_NUMBER, what, strlen(what), err,
		    (const char *)&n, sizeof n);
		if (r == NULL)
			return -ENOMEM;
	}
	if (r->size != sizeof n)
		return -EINVAL;
	memcpy(ret, r->data, sizeof n);
	return r->result;
}
