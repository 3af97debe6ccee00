#include "workers/runtime/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "workers/runtime/spawn.h"
#include "workers/runtime/task.h"

/* sysexits.h: the input was wrong, and always will be. */
#define NEVER_AGAIN 65
#define KEEP_MEMORY (64U << 10)
#define READ_ONCE   (64U << 10)
#define SHORT_MS    2

enum own_variable {
	VAR_ID,
	VAR_ATTEMPT,
	VAR_TIMEOUT,
	VAR_MISSED,
	VAR_FUNC,
	VARS
};

static struct {
	char **argv;
	char path[PATH_MAX]; /* "": not found yet */
	char **envp;         /* VARS of each task's own, then the others */
	char *vars[VARS];
	int null_fd, cancel_fd;
	struct buf out;
} the;

#define VAR_SIZE 64

static bool
wanted_variable(const char *v)
{
	/* Descriptors were taken out before (forget_environment). */
	static const char *const ours[] = { "SUPERVISOR_TASK_",
		WIRE_ENV_THREADS "=" };

	for (size_t i = 0; i < N_ELEMENTS(ours); i++) {
		if (strncmp(v, ours[i], strlen(ours[i])) == 0)
			return false;
	}
	return true;
}

static bool
make_environment(void)
{
	size_t n = 0, used = VARS;

	while (environ[n] != NULL)
		n++;
	the.envp = calloc(n + VARS + 1, sizeof *the.envp);
	if (the.envp == NULL)
		return false;
	for (int i = 0; i < VARS; i++) {
		the.vars[i] = malloc(VAR_SIZE + WIRE_FUNC_MAX);
		if (the.vars[i] == NULL)
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (wanted_variable(environ[i]))
			the.envp[used++] = environ[i];
	}
	return true;
}

/* As execvp would; "" when there is none. */
static void
look_up(void)
{
	const char *path = getenv("PATH"), *name = the.argv[0];

	if (strchr(name, '/') != NULL) {
		snprintf(the.path, sizeof the.path, "%s", name);
		return;
	}
	if (path == NULL)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (*path != '\0') {
		size_t n = strcspn(path, ":");
		struct stat st;

		snprintf(
		    the.path, sizeof the.path, "%.*s/%s", (int)n, path, name);
		if (n > 0 && access(the.path, X_OK) == 0 &&
		    stat(the.path, &st) == 0 && S_ISREG(st.st_mode))
			return;
		path += n + (path[n] == ':' ? 1 : 0);
	}
	the.path[0] = '\0';
}

int
exec_open(char **argv)
{
	the.argv = argv;
	buf_init(&the.out);
	the.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	the.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (the.null_fd < 0 || the.cancel_fd < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || !make_environment()) {
		log_error("cannot start: %s", strerror(errno));
		return EXIT_MEMORY;
	}
	return 0;
}

void
exec_close(void)
{
	for (int i = 0; i < VARS; i++)
		free(the.vars[i]);
	free(the.envp);
	buf_done(&the.out);
	close(the.null_fd);
	close(the.cancel_fd);
}

static void
set_environment(const struct thread *t, const struct job *job)
{
	int used = 0;

	snprintf(the.vars[VAR_ID], VAR_SIZE, "SUPERVISOR_TASK_ID=%llu",
	    (unsigned long long)job->id);
	snprintf(the.vars[VAR_ATTEMPT], VAR_SIZE, "SUPERVISOR_TASK_ATTEMPT=%u",
	    job->attempt);
	snprintf(the.vars[VAR_MISSED], VAR_SIZE, "SUPERVISOR_TASK_MISSED=%u",
	    job->missed);
	snprintf(the.vars[VAR_FUNC], VAR_SIZE + WIRE_FUNC_MAX,
	    "SUPERVISOR_TASK_FUNC=%s", t->task.func);
	/* Without a limit the place is another's: an empty one would end the
	 * list, an empty value would not be "none". */
	if (job->timeout_ms > 0)
		snprintf(the.vars[VAR_TIMEOUT], VAR_SIZE,
		    "SUPERVISOR_TASK_TIMEOUT=%u.%03u", job->timeout_ms / 1000,
		    job->timeout_ms % 1000);
	for (int i = 0; i < VARS; i++) {
		if (i == VAR_TIMEOUT && job->timeout_ms == 0)
			the.envp[used++] = the.vars[VAR_ID];
		else
			the.envp[used++] = the.vars[i];
	}
}

/* The payload as a file at its start that nobody can change; or -errno. */
static int
input_of(const struct job *job)
{
	size_t at = 0;
	int fd, r;

	if (job->size == 0)
		return the.null_fd;
	fd = memfd_create("task", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (at < job->size) {
		ssize_t n =
		    pwrite(fd, job->data + at, job->size - at, (off_t)at);

		if (n <= 0) {
			r = n < 0 ? -errno : -ENOSPC;
			close(fd);
			return r;
		}
		at += (size_t)n;
	}
	(void)fcntl(fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

/* --- while it runs --- */

struct run {
	struct spawn spawn;
	int out; /* our end of its output; -1: it has ended */
	bool too_large, no_memory;
};

/* What is there; false when it has ended or nothing more is wanted. */
static bool
read_output(struct run *r)
{
	for (;;) {
		ssize_t n;

		if (!buf_reserve(&the.out, READ_ONCE)) {
			r->no_memory = true;
			return false;
		}
		n = read(r->out, the.out.data + the.out.size, READ_ONCE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		the.out.size += (size_t)n;
		if (the.out.size > WIRE_RESULT_MAX) {
			r->too_large = true;
			return false;
		}
	}
}

/*
 * Until it has ended. Most commands are short and say little: what they say
 * stays in the pipe until then, so that it wakes nobody. Who is longer at it,
 * or waits for room in the pipe, is listened to.
 */
static void
serve_command(struct thread *t, struct run *r)
{
	bool listens = false;

	for (;;) {
		struct pollfd p[3] = {
			{ .fd = r->spawn.pidfd, .events = POLLIN },
			{ .fd = listens ? r->out : -1, .events = POLLIN },
			{ .fd = the.cancel_fd, .events = POLLIN },
		};
		uint64_t n;
		int ready = poll(p, N_ELEMENTS(p), listens ? -1 : SHORT_MS);

		if (ready == 0)
			listens = true;
		if (ready <= 0)
			continue; /* or a signal */
		if (p[1].revents != 0 && !read_output(r)) {
			close(r->out);
			r->out = -1;
			if (r->too_large || r->no_memory)
				kill(-r->spawn.pid, SIGKILL);
		}
		if (p[0].revents != 0)
			return;
		if (p[2].revents == 0)
			continue;
		(void)!read(the.cancel_fd, &n, sizeof n);
		if (task_cancelled(t))
			kill(-r->spawn.pid, SIGTERM);
	}
}

static void
tell_status(struct thread *t, const siginfo_t *info)
{
	char name[UNITS_TEXT];

	if (info->si_code != CLD_EXITED)
		(void)sv_fail(&t->task, "killed by %s%s",
		    units_signal_name(info->si_status, name, sizeof name),
		    info->si_code == CLD_DUMPED ? " (core dumped)" : "");
	else if (info->si_status == NEVER_AGAIN)
		(void)sv_fail_for_good(&t->task, "exited %d", info->si_status);
	else if (info->si_status != 0)
		(void)sv_fail(&t->task, "exited %d", info->si_status);
	else if (the.out.size == 0)
		(void)sv_result(&t->task, "", 0);
	else
		(void)task_result_either(t, the.out.data, the.out.size);
}

static void
finish_command(struct thread *t, struct run *r)
{
	siginfo_t info = { 0 };

	while (waitid(P_PID, (id_t)r->spawn.pid, &info, WEXITED) < 0 &&
	       errno == EINTR)
		continue;
	close(r->spawn.pidfd);
	spawn_end_all();
	/* Nobody is left to write: what is in the pipe is the rest. */
	if (r->out >= 0) {
		(void)read_output(r);
		close(r->out);
	}
	if (task_cancelled(t))
		(void)sv_fail(&t->task, "cancelled");
	else if (r->too_large)
		(void)sv_fail_for_good(&t->task,
		    "result too large: it wrote more than %u bytes",
		    WIRE_RESULT_MAX);
	else if (r->no_memory)
		(void)sv_fail(&t->task, "no memory for its output");
	else
		tell_status(t, &info);
	buf_clear(&the.out);
	if (the.out.room > 2 * KEEP_MEMORY)
		buf_done(&the.out);
}

static int
start_command(struct thread *t, struct run *r)
{
	int ends[2], e;
	bool in_exec;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		(void)sv_fail(
		    &t->task, "no pipe for its output: %s", strerror(errno));
		return -1;
	}
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	r->out = ends[0];
	r->spawn.out = ends[1];
	e = spawn_start(&r->spawn, &in_exec);
	close(ends[1]);
	if (e == 0)
		return 0;
	close(r->out);
	if (in_exec) {
		(void)sv_fail_for_good(
		    &t->task, "cannot run %s: %s", the.path, strerror(-e));
		the.path[0] = '\0';
	} else {
		(void)sv_fail(
		    &t->task, "cannot make a process: %s", strerror(-e));
	}
	return -1;
}

static void
run(struct thread *t, const struct job *job)
{
	struct run r = { .out = -1 };

	if (the.path[0] == '\0')
		look_up();
	if (the.path[0] == '\0') {
		(void)sv_fail_for_good(&t->task,
		    "cannot run %s: there is no such program in PATH",
		    the.argv[0]);
		return;
	}
	r.spawn.in = input_of(job);
	if (r.spawn.in < 0) {
		(void)sv_fail(&t->task, "cannot hand its input over: %s",
		    strerror(-r.spawn.in));
		return;
	}
	set_environment(t, job);
	r.spawn.path = the.path;
	r.spawn.argv = the.argv;
	r.spawn.envp = the.envp;
	if (start_command(t, &r) == 0) {
		serve_command(t, &r);
		finish_command(t, &r);
	}
	if (r.spawn.in != the.null_fd)
		close(r.spawn.in);
}

/* --- the engine --- */

static int
thread_begin(struct thread *t)
{
	(void)t;
	return 0;
}

static void
thread_end(struct thread *t)
{
	(void)t;
}

static void
cancel(struct thread *t)
{
	uint64_t one = 1;

	(void)t;
	(void)!write(the.cancel_fd, &one, sizeof one);
}

static bool
find(const char *func, size_t size, const struct sv_handler **ret_handler)
{
	(void)func;
	*ret_handler = NULL;
	return memchr(func, '\0', size) == NULL;
}

const struct engine exec_engine = {
	.thread_begin = thread_begin,
	.thread_end = thread_end,
	.run = run,
	.cancel = cancel,
	.find = find,
};
