#include "workers/launch/spec.h"

#include <errno.h>
#include <stdbool.h>

#include "supervisord/proto/book.h"

/* A hole takes one byte in the book and at most ten in memory. */
#define HOLE_DIGITS 10

struct digits {
	char text[HOLE_DIGITS];
	unsigned count;
};

struct reader {
	const char *book;
	uint64_t size;
	char *room; /* what is left of scratch */
	char *room_end;
	struct digits index, pid;
};

static const struct book_spec *
spec_at(const char *book, uint64_t size, uint64_t at)
{
	const struct book_spec *s;
	uint64_t refs;

	if (at % 8 != 0 || at < sizeof(struct book_head) || at > size ||
	    size - at < sizeof *s)
		return NULL;
	s = (const void *)(book + at);
	refs = (uint64_t)s->argc + s->envc + s->sockets;
	if (s->argc == 0 || s->sockets > BOOK_SOCKETS ||
	    refs > (size - at - sizeof *s) / sizeof(uint32_t))
		return NULL;
	return s;
}

/* Both arrays with their NULLs. */
static uint64_t
array_bytes(const struct book_spec *s)
{
	return ((uint64_t)s->argc + s->envc + 2) * sizeof(char *);
}

size_t
launch_scratch(const char *book, uint64_t size, uint64_t spec)
{
	const struct book_spec *s = spec_at(book, size, spec);

	if (s == NULL)
		return 0;
	return array_bytes(s) + s->scratch + PATH_ROOM + 16;
}

unsigned
launch_sockets(const char *book, uint64_t size, uint64_t spec)
{
	const struct book_spec *s = spec_at(book, size, spec);

	return s != NULL ? s->sockets : 0;
}

static void *
take(struct reader *r, size_t size)
{
	char *p = r->room;

	if ((size_t)(r->room_end - r->room) < size)
		return NULL;
	r->room += size;
	return p;
}

static void
write_digits(struct digits *ret, uint32_t n)
{
	char reversed[HOLE_DIGITS];
	unsigned count = 0;

	do {
		reversed[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	ret->count = count;
	for (unsigned i = 0; i < count; i++)
		ret->text[i] = reversed[count - 1 - i];
}

/* What stands at this place of a string with such holes; NULL: itself. */
static const struct digits *
hole_at(const struct reader *r, const char *s, uint32_t holes)
{
	if (*s == BOOK_HOLE && (holes & BOOK_HOLES) != 0)
		return &r->index;
	if (*s == BOOK_PID && (holes & BOOK_PIDS) != 0)
		return &r->pid;
	return NULL;
}

/* A copy with every hole filled. `end` is the string's NUL. */
static int
fill(struct reader *r, const char *s, const char *end, uint32_t holes,
    char **ret)
{
	char *out = r->room;

	for (; s <= end; s++) {
		const struct digits *hole = hole_at(r, s, holes);
		const char *from = hole != NULL ? hole->text : s;
		unsigned n = hole != NULL ? hole->count : 1;

		if ((size_t)(r->room_end - out) < n)
			return -E2BIG;
		while (n-- > 0)
			*out++ = *from++;
	}
	*ret = r->room;
	r->room = out;
	return 0;
}

/* Where it ends; 0: it does not, or is none. */
static uint64_t
string_end(const char *book, uint64_t size, uint64_t at)
{
	if (at < sizeof(struct book_head))
		return 0;
	while (at < size && book[at] != '\0')
		at++;
	return at < size ? at : 0;
}

static int
string_at(struct reader *r, uint32_t ref, char **ret)
{
	uint32_t holes = ref & (BOOK_HOLES | BOOK_PIDS);
	uint64_t at = ref & ~holes, end = string_end(r->book, r->size, at);

	if (end == 0)
		return -EPROTO;
	if (holes != 0)
		return fill(r, r->book + at, r->book + end, holes, ret);
	*ret = (char *)(uintptr_t)(r->book + at);
	return 0;
}

static int
strings_at(struct reader *r, const uint32_t *refs, uint32_t n, char **out)
{
	for (uint32_t i = 0; i < n; i++) {
		int error = string_at(r, refs[i], &out[i]);

		if (error < 0)
			return error;
	}
	out[n] = NULL;
	return 0;
}

static int
optional_at(struct reader *r, uint32_t ref, const char **ret)
{
	char *s = NULL;
	int error = ref != 0 ? string_at(r, ref, &s) : 0;

	*ret = s;
	return error;
}

int
spec_read(const struct launch_order *o, struct spec *ret)
{
	struct reader r = { .book = o->book,
		.size = o->book_size,
		.room = o->scratch,
		.room_end = o->scratch + o->scratch_size };
	const struct book_spec *s = spec_at(o->book, o->book_size, o->spec);
	const uint32_t *refs;
	char **arrays;
	int error;

	if (s == NULL)
		return -EPROTO;
	refs = (const void *)(s + 1);
	arrays = take(&r, array_bytes(s));
	ret->program = take(&r, PATH_ROOM);
	if (arrays == NULL || ret->program == NULL)
		return -E2BIG;
	ret->argv = arrays;
	ret->envp = ret->argv + s->argc + 1;
	ret->umask = s->umask;
	write_digits(&r.index, o->index);
	write_digits(&r.pid, o->pid);
	error = strings_at(&r, refs, s->argc, ret->argv);
	if (error == 0)
		error = strings_at(&r, refs + s->argc, s->envc, ret->envp);
	if (error == 0)
		error = optional_at(&r, s->directory, &ret->directory);
	if (error == 0)
		error = optional_at(&r, s->path, &ret->path);
	return error;
}

const char *
launch_socket(const char *book, uint64_t size, uint64_t spec, unsigned n)
{
	const struct book_spec *s = spec_at(book, size, spec);
	const uint32_t *refs;

	if (s == NULL || n >= s->sockets)
		return NULL;
	refs = (const uint32_t *)(const void *)(s + 1) + s->argc + s->envc;
	return string_end(book, size, refs[n]) != 0 ? book + refs[n] : NULL;
}
