/*
 * ledger DIR MIN_MS MAX_MS [WAIT_MS]: a worker that keeps its own books, so
 * that a test can prove afterwards what supervisord must not have lost.
 *
 * It lives between MIN_MS and MAX_MS (0 0: until TERM), then ends in one of
 * several ways. Meanwhile it writes numbered lines "NAME NUMBER" to stdout,
 * a few every WAIT_MS (20). In DIR it keeps
 *
 *     NAME.book   "start PID", then "end PID exit CODE" or "end PID signal N"
 *                 written before the deed; "doubled PID" when another process
 *                 of the same instance was alive,
 *                 "stopped PID" on TERM
 *     NAME.count  the number of the next line (8 bytes), across restarts
 *     NAME.lock   locked while it lives
 *
 * It ends nowhere else but at the end of its turn, so the count is exact.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int book;

static long long
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
open_in(const char *dir, const char *name, const char *what, int flags)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.%s", dir, name, what);
	fd = open(path, flags | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		_exit(97);
	return fd;
}

static void
note(const char *format, int a, int b)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%s %d", format, (int)getpid());

	if (strncmp(format, "end", 3) == 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s %d",
		    a != 0 ? "signal" : "exit", a != 0 ? a : b);
	line[n++] = '\n';
	if (write(book, line, (size_t)n) != n)
		_exit(98);
}

static void
end_somehow(unsigned random)
{
	static const int signals[] = { SIGKILL, SIGABRT, SIGUSR1 };

	if (random % 4 == 0) {
		int signo = signals[random / 4 % 3];

		note("end", signo, 0);
		signal(signo, SIG_DFL);
		raise(signo);
	}
	note("end", 0, (int)(random / 16 % 4));
	_exit((int)(random / 16 % 4));
}

static void
write_lines(const char *name, int count_fd, unsigned lines)
{
	char text[8192];
	uint64_t count = 0;
	size_t used = 0, sent = 0;

	if (pread(count_fd, &count, sizeof(count), 0) < 0)
		_exit(96);
	for (unsigned i = 0; i < lines; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		    "%s %llu\n", name, (unsigned long long)count++);
	while (sent < used) {
		ssize_t n = write(1, text + sent, used - sent);

		if (n < 0) {
			note("broken", 0, 0);
			_exit(95);
		}
		sent += (size_t)n;
	}
	if (pwrite(count_fd, &count, sizeof(count), 0) != sizeof(count))
		_exit(94);
}

int
main(int argc, char **argv)
{
	const char *name = getenv("SUPERVISOR_INSTANCE");
	int count_fd, lock_fd, wait_ms = argc > 4 ? atoi(argv[4]) : 20;
	long long end;
	unsigned seed = (unsigned)now_ms() * 2654435761U ^ (unsigned)getpid();
	sigset_t term;

	if (argc < 4 || name == NULL)
		return 2;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	book = open_in(argv[1], name, "book", O_WRONLY | O_APPEND);
	lock_fd = open_in(argv[1], name, "lock", O_RDWR);
	note("start", 0, 0);
	if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0)
		note("doubled", 0, 0);
	count_fd = open_in(argv[1], name, "count", O_RDWR);
	end = atoi(argv[2]);
	if (atoi(argv[3]) > end)
		end += rand_r(&seed) % (atoi(argv[3]) - end);
	if (end > 0)
		end += now_ms();

	for (;;) {
		struct timespec wait = { wait_ms / 1000,
			wait_ms % 1000 * 1000000L };

		write_lines(name, count_fd, 1 + (unsigned)rand_r(&seed) % 8);
		if (sigtimedwait(&term, NULL, &wait) == SIGTERM) {
			note("stopped", 0, 0);
			note("end", 0, 0);
			return 0;
		}
		if (end > 0 && now_ms() >= end)
			end_somehow((unsigned)rand_r(&seed));
	}
}
