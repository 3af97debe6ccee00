/*
 * Everything a module should not do, each on demand, and a few things it may:
 * for trying what supervisord makes of it.
 *
 *     supervisorctl submit crash segv --wait; supervisorctl why crash
 */
#include <supervisor/worker.h>

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static void
echo(struct sv_task *task)
{
	if (task->is_json)
		sv_result_json(task, task->payload);
	else
		sv_result(task, task->payload, task->size);
}

static void
nothing(struct sv_task *task)
{
	(void)task;
}

/* ---- ends of the process ---- */

static void
segv(struct sv_task *task)
{
	/* The first page is nobody's. */
	volatile int *nowhere = (int *)(uintptr_t)(task->attempt * 4U);

	*nowhere = 1;
}

static void
aborts(struct sv_task *task)
{
	sv_log(task, "about to abort");
	abort();
}

static void
exits(struct sv_task *task)
{
	exit(atoi(task->payload));
}

static int deeper(int n);
static int (*volatile next)(int) = deeper;

static int
deeper(int n)
{
	volatile char room[4096];

	room[0] = room[n % 4096] = (char)n;
	return next(n + 1) + room[0];
}

static void
overflow(struct sv_task *task)
{
	(void)task;
	next(0);
}

/* ---- hanging ---- */

static void
pause_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

/* Ends when asked to. */
static void
patient(struct sv_task *task)
{
	while (!sv_cancelled(task))
		pause_ms(1);
	sv_fail(task, "asked to end");
}

/* Ends when cancelled, without saying a word. */
static void
silent(struct sv_task *task)
{
	while (!sv_cancelled(task))
		pause_ms(1);
}

/* Never ends. */
static void
hang(struct sv_task *task)
{
	(void)task;
	for (;;)
		pause();
}

/* The payload is how many milliseconds it takes. */
static void
sleeps(struct sv_task *task)
{
	pause_ms(atoi(task->payload));
	sv_result_json(task, "true");
}

static void
time_left(struct sv_task *task)
{
	double left = sv_time_left(task);
	char text[64];

	if (isinf(left))
		snprintf(text, sizeof text, "null");
	else
		snprintf(text, sizeof text, "%.3f", left);
	sv_result_json(task, text);
}

/* How many due times of its schedule it makes up for, besides its own. */
static void
missed(struct sv_task *task)
{
	char text[16];

	snprintf(text, sizeof text, "%u", sv_missed(task));
	sv_result_json(task, text);
}

/* ---- children ---- */

/* The child comes back into the runtime, as if it were the handler. */
static void
forks(struct sv_task *task)
{
	pid_t pid = fork();
	int status = -1;
	char text[32];

	if (pid == 0) {
		sv_result_json(task, "\"from the child\"");
		return;
	}
	waitpid(pid, &status, 0);
	snprintf(text, sizeof text, "%d", status);
	sv_result_json(task, text);
}

/* The child stays, with all the descriptors a fork gives it. */
static void
fork_stays(struct sv_task *task)
{
	pid_t pid = fork();
	char text[32];

	if (pid == 0) {
		for (;;)
			pause();
	}
	snprintf(text, sizeof text, "%d", (int)pid);
	sv_result_json(task, text);
}

/* Children that ask what only their parent knows, while other threads work. */
static void
forks_and_asks(struct sv_task *task)
{
	int status = 0;

	for (int i = 0; i < 200 && status == 0; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)alarm(5);
			_exit(sv_crowded() || sv_stopping() ? 1 : 0);
		}
		waitpid(pid, &status, 0);
	}
	sv_result_json(task, status == 0 ? "true" : "false");
}

/* ---- descriptors ---- */

static void
close_all(struct sv_task *task)
{
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	sv_result_json(task, "\"closed\"");
}

/* What was the task socket is another socket then. */
static void
replace_all(struct sv_task *task)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	for (int fd = 3; fd < 64; fd++) {
		if (fd != pair[0] && fd != pair[1])
			dup2(pair[0], fd);
	}
	sv_result_json(task, "\"replaced\"");
}

/* ---- what is the process's, not the module's ---- */

/* Another process writes into the task socket: a fork the runtime does not
 * hear of. */
static void
garbage(struct sv_task *task)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	int type;
	socklen_t size = sizeof type;

	if (pid == 0) {
		for (int fd = 3; fd < 64; fd++) {
			if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) ==
			    0)
				(void)send(fd,
				    "garbage of 32 bytes and no more", 32,
				    MSG_NOSIGNAL);
		}
		_exit(0);
	}
	waitpid((pid_t)pid, NULL, 0);
	sv_result_json(task, "\"written\"");
}

/* Over the memory in which its threads tell what they do. */
static void
scribble(struct sv_task *task)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512];

	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		if (strstr(line, "/memfd:") != NULL &&
		    sscanf(line, "%lx-%lx rw-s", &from, &to) == 2)
			memset((void *)from, 0xee, to - from);
	}
	if (maps != NULL)
		fclose(maps);
	sv_result_json(task, "\"scribbled\"");
}

/* Nothing that is sent is heard any more, by this thread or any other. */
static void
deafen(struct sv_task *task)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_IGN);
	sv_result_json(task, "\"deaf\"");
}

/* No descriptor, no memory, no process, no place. */
static void
starve(struct sv_task *task)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_NOFILE, &none);
	setrlimit(RLIMIT_NPROC, &none);
	setrlimit(RLIMIT_FSIZE, &none);
	setrlimit(RLIMIT_AS, &none);
	if (chdir("/proc") == 0)
		(void)umask(0777);
	sv_result_json(task, "\"starved\"");
}

/* What is on standard input: nothing, at once. Then it is closed, with what is
 * written to. */
static void
standard(struct sv_task *task)
{
	char byte, text[32];
	ssize_t n = read(STDIN_FILENO, &byte, 1);

	for (int fd = 0; fd < 3; fd++)
		close(fd);
	snprintf(text, sizeof text, "%zd", n);
	sv_result_json(task, text);
}

/* Ends its thread, which is not its own. */
static void
leave(struct sv_task *task)
{
	(void)task;
	thrd_exit(0);
}

/* ---- answers ---- */

static void
twice(struct sv_task *task)
{
	char text[64];
	int first = sv_result_json(task, "\"first\"");
	int second = sv_result_json(task, "\"second\"");

	snprintf(text, sizeof text, "%d %d", first, second);
	sv_log(task, "%s", text);
}

/* For a task that was never given: of its own making. */
static void
invented(struct sv_task *task)
{
	struct sv_task other = *task;
	char text[64];
	int a, b, c;

	other.id = 4711;
	a = sv_result_json(&other, "\"invented\"");
	b = sv_fail(NULL, "for nobody");
	sv_progress(&other, 0.5, NULL);
	task->id = 4712;
	c = sv_cancelled(&other) ? 1 : 0;
	snprintf(text, sizeof text, "[%d, %d, %d]", a, b, c);
	sv_result_json(task, text);
}

static struct sv_task *kept;

static int
answer_late(void *arg)
{
	return sv_result_json(arg, "\"late\"");
}

/* From another thread, for this task. */
static void
elsewhere(struct sv_task *task)
{
	thrd_t thread;
	char text[32];
	int r = 0;

	kept = task;
	if (thrd_create(&thread, answer_late, kept) != thrd_success)
		return;
	thrd_join(thread, &r);
	snprintf(text, sizeof text, "%d", r);
	sv_result_json(task, text);
}

static void
not_json(struct sv_task *task)
{
	sv_result_json(task, "{\"half\": ");
}

static void
lines(struct sv_task *task)
{
	sv_result_json(task, "{\n  \"a\": [1,\r\n 2]\n}\n");
}

/* The payload is the size of the result. */
static void
large(struct sv_task *task)
{
	size_t size = strtoul(task->payload, NULL, 10);
	char *bytes = malloc(size + 1);

	if (bytes == NULL) {
		sv_fail(task, "no memory");
		return;
	}
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)('a' + i % 26);
	sv_result(task, bytes, size);
	free(bytes);
}

static void
fails(struct sv_task *task)
{
	sv_fail(task, "as told: %s", (const char *)task->payload);
}

static void
fails_for_good(struct sv_task *task)
{
	sv_fail_for_good(task, "never: \xff%s", (const char *)task->payload);
}

/* Tells more than anybody wants to hear. */
static void
chatters(struct sv_task *task)
{
	int n = atoi(task->payload);

	for (int i = 1; i <= n; i++)
		sv_progress(task, (double)i / n, "on the way");
	sv_result_json(task, "true");
}

static const struct sv_handler handlers[] = {
	{ "echo", SV_BYTES, echo },
	{ "nothing", SV_JSON, nothing },
	{ "nothing-bytes", SV_BYTES, nothing },
	{ "segv", SV_BYTES, segv },
	{ "abort", SV_BYTES, aborts },
	{ "exit", SV_BYTES, exits },
	{ "overflow", SV_BYTES, overflow },
	{ "patient", SV_BYTES, patient },
	{ "silent", SV_JSON, silent },
	{ "hang", SV_BYTES, hang },
	{ "sleep", SV_JSON, sleeps },
	{ "time-left", SV_BYTES, time_left },
	{ "missed", SV_BYTES, missed },
	{ "fork", SV_BYTES, forks },
	{ "fork-stays", SV_BYTES, fork_stays },
	{ "fork-asks", SV_BYTES, forks_and_asks },
	{ "close-all", SV_BYTES, close_all },
	{ "replace-all", SV_BYTES, replace_all },
	{ "garbage", SV_BYTES, garbage },
	{ "scribble", SV_BYTES, scribble },
	{ "deafen", SV_BYTES, deafen },
	{ "starve", SV_BYTES, starve },
	{ "standard", SV_BYTES, standard },
	{ "leave", SV_BYTES, leave },
	{ "twice", SV_BYTES, twice },
	{ "invented", SV_BYTES, invented },
	{ "elsewhere", SV_BYTES, elsewhere },
	{ "not-json", SV_BYTES, not_json },
	{ "lines", SV_BYTES, lines },
	{ "large", SV_JSON, large },
	{ "fail", SV_BYTES, fails },
	{ "fail-for-good", SV_BYTES, fails_for_good },
	{ "chatter", SV_JSON, chatters },
	{ NULL, SV_BYTES, NULL },
};

/* ---- without a task ---- */

/* A line with the name of what is to be done; it is answered, if anybody can
 * still do that. */
static void
serve(struct sv_connection *c)
{
	char line[32] = "";
	ssize_t n = read(c->fd, line, sizeof line - 1);

	line[n > 0 ? strcspn(line, "\n") : 0] = '\0';
	if (strcmp(line, "close-all") == 0) {
		for (int fd = 3; fd < 256; fd++)
			close(fd);
	} else if (strcmp(line, "leave") == 0) {
		thrd_exit(0);
	} else if (strcmp(line, "abort") == 0) {
		abort();
	}
	dprintf(c->fd, "done on %s\n", c->socket);
}

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "crash",
	.handlers = handlers,
	.on_connection = serve,
};
