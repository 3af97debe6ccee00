/*
 * The bare pump the logger is measured against: pipes in, files out, and
 * nothing else. It forks its own writers, so the same bytes are made the same
 * way; its CPU time is that of the pump alone.
 *
 *     pump [-n WRITERS] [-w WRITE_SIZE] [-t TOTAL_BYTES] [-m MAX_SIZE]
 *          [-k KEEP] [-p PIPE_SIZE] [-b BUFFER] [-x] DIR
 *     pump -W [-w WRITE_SIZE] [-t TOTAL_BYTES]
 *
 * Writes DIR/0.log, DIR/1.log, ..., rotated by renaming at MAX_SIZE. -x moves
 * by splice instead of read and write. -W only writes to stdout (the worker of
 * a run under supervisord). Says one line of JSON on stdout:
 * {"bytes":..,"seconds":..,"cpu":..}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct flow {
	int in, out;
	size_t index;
	long long size;
};

static size_t writers = 1, write_size = 65536, pipe_size = 1 << 20,
	      buffer_size = 1 << 20;
static long long total = 1LL << 30, max_size = 50LL << 20;
static unsigned keep = 3;
static bool use_splice, only_write;
static const char *dir;
static char *buffer;

static void
die(const char *what)
{
	fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Lines of 100 bytes, whatever the size of the writes. */
static void
writer(int out, long long bytes)
{
	char *data = malloc(write_size);

	if (data == NULL)
		die("malloc");
	for (size_t i = 0; i < write_size; i++)
		data[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 26);
	while (bytes > 0) {
		size_t want =
		    bytes < (long long)write_size ? (size_t)bytes : write_size;
		ssize_t n = write(out, data, want);

		if (n < 0)
			die("write to the pipe");
		bytes -= n;
	}
	free(data);
}

static void
open_out(struct flow *f)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%zu.log", dir, f->index);
	f->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (f->out < 0)
		die(path);
	f->size = 0;
}

static void
rotate(struct flow *f)
{
	char from[4096], to[4096];

	close(f->out);
	for (unsigned i = keep; i > 0; i--) {
		snprintf(to, sizeof to, "%s/%zu.log.%u", dir, f->index, i);
		if (i > 1)
			snprintf(from, sizeof from, "%s/%zu.log.%u", dir,
			    f->index, i - 1);
		else
			snprintf(
			    from, sizeof from, "%s/%zu.log", dir, f->index);
		(void)rename(from, to);
	}
	open_out(f);
}

/* Moves what one read gives; false at the end of the pipe. */
static bool
move(struct flow *f)
{
	ssize_t n;

	if (f->size >= max_size)
		rotate(f);
	if (use_splice) {
		n = splice(f->in, NULL, f->out, NULL, buffer_size, 0);
	} else {
		n = read(f->in, buffer, buffer_size);
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(f->out, buffer + done, (size_t)(n - done));
			if (w < 0)
				die("write");
		}
	}
	if (n < 0)
		die("read");
	f->size += n;
	return n > 0;
}

static struct flow *
start(int poller)
{
	struct flow *flows = calloc(writers, sizeof *flows);

	if (flows == NULL)
		die("calloc");
	for (size_t i = 0; i < writers; i++) {
		struct epoll_event e = { .events = EPOLLIN,
			.data.ptr = &flows[i] };
		int p[2];
		pid_t pid;

		if (pipe2(p, O_CLOEXEC) < 0)
			die("pipe");
		if (pipe_size > 0)
			(void)fcntl(p[0], F_SETPIPE_SZ, (int)pipe_size);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (pid == 0) {
			close(p[0]);
			writer(p[1], total / (long long)writers);
			_exit(0);
		}
		close(p[1]);
		flows[i].in = p[0];
		flows[i].index = i;
		open_out(&flows[i]);
		if (epoll_ctl(poller, EPOLL_CTL_ADD, p[0], &e) < 0)
			die("epoll_ctl");
	}
	return flows;
}

static void
pump(struct flow *flows, int poller)
{
	struct epoll_event events[64];
	size_t open_flows = writers;

	if (writers == 1) {
		while (move(&flows[0]))
			;
		return;
	}
	while (open_flows > 0) {
		int n = epoll_wait(poller, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct flow *f = events[i].data.ptr;

			if (move(f))
				continue;
			/* The writers have it too: closing is no farewell. */
			epoll_ctl(poller, EPOLL_CTL_DEL, f->in, NULL);
			/* The writers have copies: closing is not enough. */
			epoll_ctl(poller, EPOLL_CTL_DEL, f->in, NULL);
			close(f->in);
			open_flows--;
		}
	}
}

static void
options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:w:t:m:k:p:b:xW")) >= 0) {
		switch (c) {
		case 'n':
			writers = strtoul(optarg, NULL, 10);
			break;
		case 'w':
			write_size = strtoul(optarg, NULL, 10);
			break;
		case 't':
			total = strtoll(optarg, NULL, 10);
			break;
		case 'm':
			max_size = strtoll(optarg, NULL, 10);
			break;
		case 'k':
			keep = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			pipe_size = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			buffer_size = strtoul(optarg, NULL, 10);
			break;
		case 'x':
			use_splice = true;
			break;
		case 'W':
			only_write = true;
			break;
		default:
			exit(2);
		}
	}
	dir = argv[optind];
	if (writers == 0 || write_size == 0 || buffer_size == 0 ||
	    (dir == NULL && !only_write)) {
		fprintf(stderr, "usage: pump [options] DIR\n");
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct rusage ru;
	struct flow *flows;
	double from;
	int poller = epoll_create1(EPOLL_CLOEXEC);

	options(argc, argv);
	if (only_write) {
		writer(STDOUT_FILENO, total);
		return 0;
	}
	buffer = malloc(buffer_size);
	if (poller < 0 || buffer == NULL)
		die("start");
	memset(buffer, 1, buffer_size);
	from = seconds();
	flows = start(poller);
	pump(flows, poller);
	from = seconds() - from;
	getrusage(RUSAGE_SELF, &ru);
	printf("{\"bytes\":%lld,\"seconds\":%.4f,\"cpu\":%.4f}\n",
	    total / (long long)writers * (long long)writers, from,
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	while (wait(NULL) > 0)
		;
	free(flows);
	return 0;
}
