#include "supervisord/master/book.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef uthash_fatal
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"
#include "supervisord/master/memfd.h"
#include "supervisord/proto/book.h"
#include "supervisord/proto/messages.h"
#include "supervisord/proto/wire.h"

/* Digits of the largest index, or pid: what a hole may grow to. */
#define NUMBER_DIGITS 10

/* Where a program is searched for a worker that has no PATH, as execvp(3) and
 * every shell do. */
#define DEFAULT_PATH                                                           \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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
	if (it == NULL || w->book.size + length >= BOOK_PIDS) {
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
		n += NUMBER_DIGITS;
	return n;
}

static size_t
count(char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

/* Variables that an instance has from here, or not at all. */
static bool
is_own(const char *variable)
{
	static const char *const names[] = { "SUPERVISOR_WORKER=",
		"SUPERVISOR_INSTANCE=", "SUPERVISOR_INDEX=",
		"SUPERVISOR_SOCKET=", "SUPERVISOR_TASKS=", "LISTEN_FDS=",
		"LISTEN_PID=", "LISTEN_FDNAMES=", WIRE_ENV_FD "=",
		WIRE_ENV_SLOTS "=", WIRE_ENV_THREADS "=" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* A spec on its way into the book: references, and room for their text. */
struct sheet {
	struct writer *w;
	struct book_spec spec;
	struct buf refs;
};

/* text NULL: there was no memory for it. */
static void
put(struct sheet *s, const char *text, uint32_t bits)
{
	uint32_t ref;

	if (text == NULL) {
		s->w->failed = true;
		return;
	}
	ref = intern(s->w, text) | bits;
	buf_add(&s->refs, &ref, sizeof ref);
	s->spec.scratch += (uint32_t)(filled_size(text) + sizeof(char *));
}

static void
put_arg(struct sheet *s, const char *text)
{
	put(s, text, 0);
	s->spec.argc++;
}

static void
put_variable(struct sheet *s, const char *text)
{
	put(s, text, 0);
	s->spec.envc++;
}

static void put_made(struct sheet *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
put_made(struct sheet *s, const char *fmt, ...)
{
	char text[PATH_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put_variable(s, text);
}

/* What is run: the command, or the runtime around a module or a command that
 * is to be run once per task. */
static void
put_argv(struct sheet *s, const struct book_setting *set,
    const struct worker *worker)
{
	char runtime[PATH_MAX + 16], threads[16];
	bool exec = worker->hybrid && worker->tasks.mode == TASK_MODE_EXEC;

	snprintf(runtime, sizeof runtime, "%s/worker", set->libexec);
	snprintf(threads, sizeof threads, "%u", worker->threads);
	if (worker->module != NULL) {
		put_arg(s, runtime);
		put_arg(s, "--module");
		put_arg(s, worker->module);
		put_arg(s, "--threads");
		put_arg(s, threads);
		return;
	}
	if (exec) {
		put_arg(s, runtime);
		put_arg(s, "--exec");
		put_arg(s, "--");
	}
	for (size_t i = 0; worker->argv[i] != NULL; i++)
		put_arg(s, worker->argv[i]);
}

static void
put_listening(struct sheet *s, const struct worker *worker, size_t n)
{
	struct buf names;

	buf_init(&names);
	for (size_t i = 0; i < n; i++)
		buf_fmt(&names, "%s%s",
		    i > 0 ? ":" : "LISTEN_FDNAMES=", worker->sockets[i]);
	put_made(s, "LISTEN_FDS=%zu", n);
	put(s, "LISTEN_PID=\x02", BOOK_PIDS);
	s->spec.envc++;
	s->spec.scratch += NUMBER_DIGITS;
	put_variable(s, buf_text(&names));
	buf_done(&names);
}

static void
put_own(struct sheet *s, const struct book_setting *set,
    const struct worker *worker, bool instance)
{
	const char *run_dir = set->fleet->settings.run_dir;

	put_made(s, "SUPERVISOR_WORKER=%s", worker->name);
	if (instance) {
		put_made(
		    s, "SUPERVISOR_INSTANCE=%s:%c", worker->name, BOOK_HOLE);
		put_made(s, "SUPERVISOR_INDEX=%c", BOOK_HOLE);
	}
	put_made(s, "SUPERVISOR_SOCKET=%s/control.sock", run_dir);
	if (set->tasks)
		put_made(s, "SUPERVISOR_TASKS=%s/tasks.sock", run_dir);
}

/* The descriptors an instance is handed. */
static void
put_handed(struct sheet *s, const struct worker *worker)
{
	size_t n = count(worker->sockets);

	if (n > 0)
		put_listening(s, worker, n);
	if (!worker->hybrid)
		return;
	put_made(s, "%s=%zu", WIRE_ENV_FD, BOOK_FIRST_FD + n);
	put_made(s, "%s=%zu", WIRE_ENV_SLOTS, BOOK_FIRST_FD + n + 1);
	put_made(s, "%s=%u", WIRE_ENV_THREADS, worker->threads);
}

static void
put_environment(struct sheet *s, const struct book_setting *set,
    const struct worker *worker, bool instance)
{
	for (size_t i = 0; worker->environment[i] != NULL; i++) {
		const char *variable = worker->environment[i];

		/* A supervisord's that runs this one, say. */
		if (is_own(variable))
			continue;
		put_variable(s, variable);
		if (strncmp(variable, "PATH=", 5) == 0)
			s->spec.path = intern(s->w, variable + 5);
	}
	if (s->spec.path == 0)
		s->spec.path = intern(s->w, DEFAULT_PATH);
	put_own(s, set, worker, instance);
}

/* What is left to be said of it, then all of it into the book. */
static uint64_t
finish_spec(struct sheet *s, const struct worker *worker, const char *program)
{
	struct writer *w = s->w;
	uint64_t at;

	s->spec.umask = worker->umask;
	if (worker->directory != NULL) {
		s->spec.directory = intern(w, worker->directory);
		s->spec.scratch += (uint32_t)filled_size(worker->directory);
	}
	/* The ends of both arrays; a path tried from PATH: directory, slash,
	 * name. */
	s->spec.scratch += (uint32_t)(2 * sizeof(char *)) + 4096 +
			   (uint32_t)filled_size(program);
	w->failed = w->failed || s->refs.failed;

	buf_add(&w->book, "\0\0\0\0\0\0\0", -w->book.size % 8);
	at = w->book.size;
	buf_add(&w->book, &s->spec, sizeof s->spec);
	buf_add(&w->book, s->refs.data, s->refs.size);
	buf_done(&s->refs);
	return at;
}

static uint64_t
add_spec(struct writer *w, const struct book_setting *set,
    const struct worker *worker)
{
	struct sheet s = { .w = w };
	size_t sockets = count(worker->sockets);

	buf_init(&s.refs);
	put_argv(&s, set, worker);
	put_environment(&s, set, worker, true);
	put_handed(&s, worker);
	for (size_t i = 0; i < sockets; i++) {
		uint32_t ref = intern(w, worker->sockets[i]);

		buf_add(&s.refs, &ref, sizeof ref);
		s.spec.sockets++;
	}
	w->failed = w->failed || sockets > BOOK_SOCKETS;
	return finish_spec(&s, worker, worker->argv[0]);
}

/* autoscale.command: in the worker's surroundings, but no instance. */
static uint64_t
add_scaler(struct writer *w, const struct book_setting *set,
    const struct worker *worker)
{
	char **argv = worker->autoscale.on ? worker->autoscale.command : NULL;
	struct sheet s = { .w = w };

	if (argv == NULL)
		return 0;
	buf_init(&s.refs);
	for (size_t i = 0; argv[i] != NULL; i++)
		put_arg(&s, argv[i]);
	put_environment(&s, set, worker, false);
	return finish_spec(&s, worker, argv[0]);
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

int
book_make(const struct book_setting *set, uint64_t *offsets, uint64_t *ret_size)
{
	struct book_head head = { BOOK_MAGIC, PROTO_VERSION, 0 };
	struct writer w = { .failed = false };
	size_t n = set->fleet->count;
	int fd;

	buf_init(&w.book);
	buf_add(&w.book, &head, sizeof head);
	for (size_t i = 0; i < n; i++) {
		offsets[i] = add_spec(&w, set, set->fleet->workers[i]);
		offsets[n + i] = add_scaler(&w, set, set->fleet->workers[i]);
	}
	forget_strings(&w);
	if (w.failed || w.book.failed) {
		buf_done(&w.book);
		return -ENOMEM;
	}
	head.size = *ret_size = w.book.size;
	memcpy(w.book.data, &head, sizeof head);
	fd = memfd_sealed("supervisord-book", &w.book);
	buf_done(&w.book);
	return fd;
}
