/*
 * The task queue's load, and what it is measured against.
 *
 *     queue load SOCK WORKER FUNC TOTAL OUTSTANDING
 *         submits TOTAL tasks to a broker, OUTSTANDING at once, over one
 *         connection in frames, and waits for the end of each
 *     queue fill SOCK WORKER FUNC TOTAL OUTSTANDING
 *         only submits, OUTSTANDING not yet acknowledged at once
 *     queue bare DB TOTAL OUTSTANDING
 *         the same whole lives through a prototype that does nothing but the
 *         socket work and the group commits: client, server and worker are
 *         three processes, the server has one thread that writes
 *     queue raw TOTAL DEPTH
 *         tasks over a stream socket pair and back, writes coalesced
 *
 * Prints "tasks per second, p50 and p99 of the acknowledgement in us".
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/queue/parts.h"
#include "tests/bench/queue/stream.h"

/* --- the client ----------------------------------------------------------- */

static int64_t sent_at[MOST];
static int64_t *acks;
static size_t acks_count;

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void
report(size_t total, int64_t us)
{
	qsort(acks, acks_count, sizeof *acks, compare);
	printf("%.0f %lld %lld\n", (double)total * 1e6 / (double)us,
	    (long long)(acks_count > 0 ? acks[acks_count / 2] : 0),
	    (long long)(acks_count > 0 ? acks[acks_count * 99 / 100] : 0));
}

static size_t
submit_body(char *out, const char *worker, const char *func, bool await)
{
	struct wire_submit head = { .priority = 1,
		.flags = await ? WIRE_WAIT : 0,
		.worker_size = (uint8_t)strlen(worker),
		.func_size = (uint8_t)strlen(func),
		.retries = -1,
		.timeout_ms = -1 };
	size_t n = sizeof head;

	memcpy(out, &head, sizeof head);
	memcpy(out + n, worker, head.worker_size);
	n += head.worker_size;
	memcpy(out + n, func, head.func_size);
	n += head.func_size;
	memset(out + n, 'x', PAYLOAD);
	return n + PAYLOAD;
}

void
load(int fd, const char *worker, const char *func, size_t total, size_t depth,
    bool await)
{
	char body[1024];
	size_t size = submit_body(body, worker, func, await), sent = 0,
	       ended = 0;
	struct stream s;
	int64_t began = now_us(), now = began;

	acks = calloc(total, sizeof *acks);
	if (acks == NULL)
		die("calloc");
	stream_init(&s, fd);
	put(&s, WIRE_HELLO, 0, "{\"hello\":1}", 11);
	while (ended < total) {
		struct wire_head h;
		const char *b;
		size_t at = 0;

		for (; sent < total && sent - ended < depth; sent++) {
			sent_at[sent % MOST] = now;
			put(&s, WIRE_SUBMIT, sent + 1, body, (uint32_t)size);
		}
		flush(&s);
		wait_for(&s);
		if (!fill(&s)) {
			fprintf(stderr, "the connection has ended\n");
			exit(1);
		}
		/* What came in one piece came at one time, as what goes out in
		 * one does. */
		now = now_us();
		while (next(&s, &at, &h, &b)) {
			uint64_t tag;

			if (h.type == WIRE_RESULT) {
				ended++;
			} else if (h.type == WIRE_ACCEPTED) {
				memcpy(&tag, b, sizeof tag);
				acks[acks_count++] =
				    now - sent_at[(tag - 1) % MOST];
				ended += !await;
			} else if (h.type == WIRE_REFUSED) {
				fprintf(stderr, "refused: %.*s\n",
				    (int)h.size - 4, b + 4);
				exit(1);
			}
		}
		took(&s, at);
	}
	report(total, now_us() - began);
}

static int
connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		die(path);
	return fd;
}

/* --- the worker ----------------------------------------------------------- */

void
work(int fd)
{
	struct stream s;

	stream_init(&s, fd);
	for (;;) {
		struct wire_head h;
		const char *b;
		size_t at = 0;

		wait_for(&s);
		if (!fill(&s))
			exit(0);
		while (next(&s, &at, &h, &b))
			put(&s, WIRE_DONE, h.id, NULL, 0);
		took(&s, at);
		flush(&s);
	}
}

/* --- a socket pair alone -------------------------------------------------- */

static void
raw(size_t total, size_t depth)
{
	char payload[PAYLOAD] = { 0 };
	size_t sent = 0, ended = 0;
	struct stream s;
	int pair[2];
	pid_t pid;
	int64_t began;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		work(pair[1]);
	}
	close(pair[1]);
	stream_init(&s, pair[0]);
	began = now_us();
	while (ended < total) {
		struct wire_head h;
		const char *b;
		size_t at = 0;

		for (; sent < total && sent - ended < depth; sent++)
			put(&s, WIRE_TASK, sent + 1, payload, sizeof payload);
		flush(&s);
		wait_for(&s);
		fill(&s);
		while (next(&s, &at, &h, &b))
			ended++;
		took(&s, at);
	}
	report(total, now_us() - began);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if ((strcmp(mode, "load") == 0 || strcmp(mode, "fill") == 0) &&
	    argc == 7)
		load(connect_to(argv[2]), argv[3], argv[4],
		    strtoul(argv[5], NULL, 10), strtoul(argv[6], NULL, 10),
		    mode[0] == 'l');
	else if (strcmp(mode, "bare") == 0 && argc == 5)
		bare(argv[2], strtoul(argv[3], NULL, 10),
		    strtoul(argv[4], NULL, 10));
	else if (strcmp(mode, "raw") == 0 && argc == 4)
		raw(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	else
		return fprintf(stderr, "usage: see the source\n"), 2;
	return 0;
}
