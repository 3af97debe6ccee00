#include "supervisord/master/book.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#undef uthash_fatal
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"
#include "supervisord/proto/book.h"
#include "supervisord/proto/messages.h"

/* Digits of the largest index: what a hole may grow to. */
#define INDEX_DIGITS 10

/* Where a program is searched for a worker that has no PATH, as execvp(3) and
 * every shell do. */
#define DEFAULT_PATH                                                           \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* SUPERVISOR_WORKER, _INSTANCE, _INDEX, and _SOCKET, by which a process is
 * known as ours even when everything else about it is lost. */
#define OWN_VARIABLES 4

_Static_assert(FLEET_HOLE == BOOK_HOLE, "one byte marks a hole everywhere");

/* A string that is in the book already. */
struct interned {
	uint32_t reference;
	uint32_t length;
	UT_hash_handle hh;
	char text[];
};

struct writer {
	struct buf book;
	struct interned *strings;
	bool failed;
};

/* A reference to the string, which is written once however often it is used. */
static uint32_t
intern(struct writer *w, const char *text)
{
	size_t length = strlen(text);
	struct interned *it;

	HASH_FIND(hh, w->strings, text, length, it);
	if (it != NULL)
		return it->reference;
	it = malloc(sizeof *it + length + 1);
	if (it == NULL || w->book.size + length >= BOOK_HOLES) {
		free(it);
		w->failed = true;
		return 0;
	}
	memcpy(it->text, text, length + 1);
	it->length = (uint32_t)length;
	it->reference = (uint32_t)w->book.size;
	if (strchr(text, BOOK_HOLE) != NULL)
		it->reference |= BOOK_HOLES;
	HASH_ADD(hh, w->strings, text, length, it);
	if (it->hh.tbl == NULL) {
		w->failed = true;
		free(it);
		return 0;
	}
	buf_add(&w->book, text, length + 1);
	return it->reference;
}

/* The most a string takes once its holes are filled. */
static size_t
filled_size(const char *text)
{
	size_t n = strlen(text) + 1;

	for (const char *s = strchr(text, BOOK_HOLE); s != NULL;
	     s = strchr(s + 1, BOOK_HOLE))
		n += INDEX_DIGITS;
	return n;
}

static size_t
count(char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

/* One of the variables that each instance gets from here. */
static bool
is_own(const char *variable)
{
	static const char *const names[OWN_VARIABLES] = { "SUPERVISOR_WORKER=",
		"SUPERVISOR_INSTANCE=", "SUPERVISOR_INDEX=",
		"SUPERVISOR_SOCKET=" };

	for (size_t i = 0; i < OWN_VARIABLES; i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static uint64_t
add_spec(
    struct writer *w, const struct fleet *fleet, const struct worker *worker)
{
	struct book_spec spec = { .umask = worker->umask };
	char own[OWN_VARIABLES][PATH_MAX];
	size_t argc = count(worker->argv), envc = count(worker->environment);
	size_t skipped = 0;
	uint32_t *refs = calloc(argc + envc + OWN_VARIABLES, sizeof *refs),
		 *ref = refs;
	uint64_t at;

	if (refs == NULL) {
		w->failed = true;
		return 0;
	}
	snprintf(own[0], sizeof own[0], "SUPERVISOR_WORKER=%s", worker->name);
	snprintf(own[1], sizeof own[1], "SUPERVISOR_INSTANCE=%s:%c",
	    worker->name, BOOK_HOLE);
	snprintf(own[2], sizeof own[2], "SUPERVISOR_INDEX=%c", BOOK_HOLE);
	snprintf(own[3], sizeof own[3], "SUPERVISOR_SOCKET=%s/control.sock",
	    fleet->settings.run_dir);

	spec.scratch =
	    (uint32_t)((argc + envc + OWN_VARIABLES + 2) * sizeof(char *));
	for (size_t i = 0; i < argc; i++) {
		*ref++ = intern(w, worker->argv[i]);
		spec.scratch += (uint32_t)filled_size(worker->argv[i]);
	}
	for (size_t i = 0; i < envc; i++) {
		/* A supervisord's that runs this one, say. */
		if (is_own(worker->environment[i])) {
			skipped++;
			continue;
		}
		*ref++ = intern(w, worker->environment[i]);
		spec.scratch += (uint32_t)filled_size(worker->environment[i]);
		if (strncmp(worker->environment[i], "PATH=", 5) == 0)
			spec.path = intern(w, worker->environment[i] + 5);
	}
	if (spec.path == 0)
		spec.path = intern(w, DEFAULT_PATH);
	for (size_t i = 0; i < OWN_VARIABLES; i++) {
		*ref++ = intern(w, own[i]);
		spec.scratch += (uint32_t)filled_size(own[i]);
	}
	if (worker->directory != NULL) {
		spec.directory = intern(w, worker->directory);
		spec.scratch += (uint32_t)filled_size(worker->directory);
	}
	spec.argc = (uint32_t)argc;
	spec.envc = (uint32_t)(envc - skipped) + OWN_VARIABLES;
	/* A path tried from PATH: directory, slash, name. */
	spec.scratch += 4096 + (uint32_t)filled_size(worker->argv[0]);

	while (w->book.size % 8 != 0)
		buf_char(&w->book, '\0');
	at = w->book.size;
	buf_add(&w->book, &spec, sizeof spec);
	buf_add(&w->book, refs, (size_t)(ref - refs) * sizeof *refs);
	free(refs);
	return at;
}

static void
forget_strings(struct writer *w)
{
	struct interned *it, *tmp;

	HASH_ITER(hh, w->strings, it, tmp)
	{
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links */
		HASH_DEL(w->strings, it);
		free(it);
	}
}

static int
seal(const struct buf *book)
{
	int fd =
	    memfd_create("supervisord-book", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;
	int error;

	if (fd < 0)
		return -errno;
	while (at < book->size) {
		ssize_t n = write(fd, book->data + at, book->size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			goto failed;
		at += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto failed;
	return fd;
failed:
	error = errno;
	close(fd);
	return -error;
}

int
book_make(const struct fleet *fleet, uint64_t *offsets, uint64_t *ret_size)
{
	struct book_head head = { BOOK_MAGIC, PROTO_VERSION, 0 };
	struct writer w = { .failed = false };
	int fd;

	buf_init(&w.book);
	buf_add(&w.book, &head, sizeof head);
	for (size_t i = 0; i < fleet->count; i++)
		offsets[i] = add_spec(&w, fleet, fleet->workers[i]);
	forget_strings(&w);
	if (w.failed || w.book.failed) {
		buf_done(&w.book);
		return -ENOMEM;
	}
	head.size = *ret_size = w.book.size;
	memcpy(w.book.data, &head, sizeof head);
	fd = seal(&w.book);
	buf_done(&w.book);
	return fd;
}
