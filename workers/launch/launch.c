#include "workers/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "supervisord/proto/book.h"
#include "supervisord/proto/stages.h"
#include "workers/launch/spec.h"
#include "workers/launch/sys.h"

#define KERNEL_SIGSET 8

_Noreturn static void
fail(const struct launch_order *o, enum launch_stage stage, long error)
{
	o->report->error = (int32_t)-error;
	o->report->stage = stage;
	for (;;)
		sys1(SYS_exit_group, 127);
}

/*
 * The table is still the guardian's: nothing may be opened, closed or moved
 * before this. The copy holds the low descriptors only, so that its price
 * does not grow with the fleet; what is left in it is close-on-exec.
 */
static void
own_descriptors(const struct launch_order *o)
{
	long error;

	if (o->unshare_from == 0)
		return;
	error =
	    sys3(SYS_close_range, o->unshare_from, ~0U, CLOSE_RANGE_UNSHARE);
	__atomic_store_n(o->ret_unshared, 1, __ATOMIC_RELEASE);
	if (error < 0)
		fail(o, STAGE_OUTPUT, error);
}

static void
own_scratch(struct launch_order *o)
{
	long p;

	if (o->scratch != NULL)
		return;
	o->scratch_size = launch_scratch(o->book, o->book_size, o->spec);
	if (o->scratch_size == 0)
		fail(o, STAGE_SPEC, -EPROTO);
	p = sys6(SYS_mmap, 0, (long)o->scratch_size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p < 0 && p > -4096)
		fail(o, STAGE_SPEC, p);
	o->scratch = (char *)(intptr_t)p;
}

static void
connect(const struct launch_order *o, int from, int to, enum launch_stage stage)
{
	long error;

	if (from < 0)
		return;
	error = sys3(SYS_dup3, from, to, 0);
	if (error < 0)
		fail(o, stage, error);
}

/*
 * A descriptor may lie where another one is to go: whatever lies below the end
 * of these places is moved out of the way first. The copies alone are not
 * close-on-exec.
 */
static void
pass_on(const struct launch_order *o)
{
	int end = BOOK_FIRST_FD + (int)o->fd_count;

	for (unsigned i = 0; i < o->fd_count; i++) {
		long fd = o->fds[i];

		if (fd >= end)
			continue;
		fd = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, end);
		if (fd < 0)
			fail(o, STAGE_SOCKETS, fd);
		o->fds[i] = (int)fd;
	}
	for (unsigned i = 0; i < o->fd_count; i++)
		connect(o, o->fds[i], BOOK_FIRST_FD + (int)i, STAGE_SOCKETS);
}

static void
set_limits(const struct launch_order *o)
{
	struct rlimit64 tag = { o->tag, o->tag };
	long error;

	error = sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, o->nofile, 0);
	if (error < 0)
		fail(o, STAGE_LIMITS, error);
	/* Only a mark by which descendants are found; living without it costs
	 * that alone. */
	if (o->tag != 0)
		(void)sys4(SYS_prlimit64, 0, RLIMIT_RTTIME, &tag, 0);
}

static bool
is_folder(const char *path)
{
	return sys4(SYS_openat, AT_FDCWD, path,
		   O_PATH | O_DIRECTORY | O_CLOEXEC, 0) >= 0;
}

/* Returns only if it failed. No shell steps in for a file of unknown format, as
 * it would in execvp(3): its "127" would hide the reason. */
static long
exec_file(const struct spec *s, const char *path)
{
	long error = sys3(SYS_execve, path, s->argv, s->envp);

	if (error == -EACCES && is_folder(path))
		error = -EISDIR;
	return error;
}

/* "DIR/NAME" into s->program; an empty DIR is the current one (POSIX). */
static bool
join(const struct spec *s, const char *dir, const char *dir_end)
{
	char *out = s->program, *end = s->program + PATH_ROOM;
	const char *name = s->argv[0];

	while (dir < dir_end && out < end)
		*out++ = *dir++;
	if (out > s->program && out < end)
		*out++ = '/';
	while (*name != '\0' && out < end)
		*out++ = *name++;
	if (out == end)
		return false;
	*out = '\0';
	return true;
}

/* As execvp: go on while a folder does not have it, remember a refusal. */
static long
exec_search(const struct spec *s)
{
	const char *dir = s->path, *end;
	long error, refused = 0;

	for (;; dir = end + 1) {
		for (end = dir; *end != '\0' && *end != ':'; end++)
			continue;
		if (join(s, dir, end)) {
			error = exec_file(s, s->program);
			if (error == -EACCES || error == -EISDIR)
				refused = error;
			else if (error != -ENOENT && error != -ENOTDIR &&
				 error != -ESTALE && error != -ENODEV &&
				 error != -ETIMEDOUT && error != -ENAMETOOLONG)
				return error;
		}
		if (*end == '\0')
			return refused != 0 ? refused : -ENOENT;
	}
}

static long
exec_worker(const struct spec *s)
{
	const char *name = s->argv[0];

	if (*name == '\0')
		return -ENOENT;
	while (*name != '\0' && *name != '/')
		name++;
	if (*name == '/' || s->path == NULL)
		return exec_file(s, s->argv[0]);
	return exec_search(s);
}

int
launch_child(void *arg)
{
	struct launch_order *o = arg;
	uint64_t no_signals = 0;
	struct spec s;
	long error;

	own_descriptors(o);
	own_scratch(o);
	o->pid = (uint32_t)sys0(SYS_getpid);
	error = spec_read(o, &s);
	if (error < 0)
		fail(o, STAGE_SPEC, error);
	error = sys0(SYS_setsid);
	if (error < 0)
		fail(o, STAGE_SESSION, error);
	connect(o, o->null_fd, 0, STAGE_STDIN);
	connect(o, o->out_fd, 1, STAGE_OUTPUT);
	connect(o, o->err_fd, 2, STAGE_OUTPUT);
	pass_on(o);
	set_limits(o);
	if (s.umask != BOOK_NO_UMASK)
		sys1(SYS_umask, s.umask & 07777);
	if (s.directory != NULL) {
		error = sys1(SYS_chdir, s.directory);
		if (error < 0)
			fail(o, STAGE_DIRECTORY, error);
	}
	/* The guardian ignores and catches nothing, so that dispositions are
	 * the default already. */
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, 0, KERNEL_SIGSET);
	error = exec_worker(&s);
	fail(o, STAGE_EXEC, error);
}
