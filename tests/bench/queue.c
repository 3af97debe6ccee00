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

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/proto/wire.h"

#define PAYLOAD 100
#define ROOM    (1U << 20)
#define MOST    (1U << 20) /* tasks that are under way */

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- a stream with buffers ------------------------------------------------ */

struct stream {
	int fd;
	char *in, *out;
	size_t in_size, out_size, out_room;
};

static void
stream_init(struct stream *s, int fd)
{
	*s = (struct stream){ .fd = fd, .out_room = ROOM };
	s->in = malloc(ROOM);
	s->out = malloc(ROOM);
	if (s->in == NULL || s->out == NULL)
		die("malloc");
}

static void
put(struct stream *s, uint8_t type, uint64_t id, const void *body, uint32_t n)
{
	struct wire_head h = { n, type, 0, 0, id };

	if (s->out_size + WIRE_HEAD + n > s->out_room) {
		s->out_room *= 2;
		s->out = realloc(s->out, s->out_room);
		if (s->out == NULL)
			die("realloc");
	}
	wire_put_head(s->out + s->out_size, &h);
	if (n > 0)
		memcpy(s->out + s->out_size + WIRE_HEAD, body, n);
	s->out_size += WIRE_HEAD + n;
}

static void
flush(struct stream *s)
{
	size_t at = 0;

	while (at < s->out_size) {
		ssize_t n = send(s->fd, s->out + at, s->out_size - at,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			die("send");
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	memmove(s->out, s->out + at, s->out_size - at);
	s->out_size -= at;
}

/* Reads what is there; false at the end. */
static bool
fill(struct stream *s)
{
	ssize_t n =
	    recv(s->fd, s->in + s->in_size, ROOM - s->in_size, MSG_DONTWAIT);

	if (n == 0)
		return false;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("recv");
	if (n > 0)
		s->in_size += (size_t)n;
	return true;
}

/* The next whole frame of what was read, from *at on. */
static bool
next(struct stream *s, size_t *at, struct wire_head *h, const char **body)
{
	if (s->in_size - *at < WIRE_HEAD)
		return false;
	wire_get_head(s->in + *at, h);
	if (s->in_size - *at < WIRE_HEAD + h->size)
		return false;
	*body = s->in + *at + WIRE_HEAD;
	*at += WIRE_HEAD + h->size;
	return true;
}

static void
took(struct stream *s, size_t at)
{
	memmove(s->in, s->in + at, s->in_size - at);
	s->in_size -= at;
}

static void
wait_for(struct stream *s)
{
	struct pollfd p = { s->fd,
		(short)(POLLIN | (s->out_size > 0 ? POLLOUT : 0)), 0 };

	(void)poll(&p, 1, -1);
}

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

static void
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

static void
load(int fd, const char *worker, const char *func, size_t total, size_t depth,
    bool await)
{
	char body[1024];
	size_t size = submit_body(body, worker, func, await), sent = 0,
	       ended = 0;
	struct stream s;
	int64_t began = now_us();

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
			sent_at[sent % MOST] = now_us();
			put(&s, WIRE_SUBMIT, sent + 1, body, (uint32_t)size);
		}
		flush(&s);
		wait_for(&s);
		if (!fill(&s)) {
			fprintf(stderr, "the connection has ended\n");
			exit(1);
		}
		while (next(&s, &at, &h, &b)) {
			uint64_t tag;

			if (h.type == WIRE_RESULT) {
				ended++;
			} else if (h.type == WIRE_ACCEPTED) {
				memcpy(&tag, b, sizeof tag);
				acks[acks_count++] =
				    now_us() - sent_at[(tag - 1) % MOST];
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

static void
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

/* --- the prototype's server ----------------------------------------------- */

struct row {
	uint64_t id, tag;
	bool ended; /* else it is new */
	char payload[PAYLOAD];
};

struct batch {
	struct row *rows;
	size_t count, room;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct batch *todo;
	int done; /* eventfd */
	sqlite3 *db;
	sqlite3_stmt *insert, *finish, *result, *begin, *commit;
} store = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER };

static void
run(sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE)
		die(sqlite3_errmsg(store.db));
	sqlite3_reset(s);
}

static void
commit(const struct batch *b)
{
	run(store.begin);
	for (size_t i = 0; i < b->count; i++) {
		const struct row *r = &b->rows[i];

		if (!r->ended) {
			sqlite3_bind_int64(store.insert, 1, (int64_t)r->id);
			sqlite3_bind_blob(store.insert, 2, r->payload, PAYLOAD,
			    SQLITE_STATIC);
			run(store.insert);
			continue;
		}
		sqlite3_bind_int64(store.finish, 1, (int64_t)r->id);
		run(store.finish);
		sqlite3_bind_int64(store.result, 1, (int64_t)r->id);
		run(store.result);
	}
	run(store.commit);
}

static void *
writer(void *arg)
{
	(void)arg;
	for (;;) {
		struct batch *b;
		uint64_t one = 1;

		pthread_mutex_lock(&store.lock);
		while (store.todo == NULL)
			pthread_cond_wait(&store.more, &store.lock);
		b = store.todo;
		pthread_mutex_unlock(&store.lock);
		commit(b);
		pthread_mutex_lock(&store.lock);
		store.todo = NULL;
		pthread_mutex_unlock(&store.lock);
		(void)!write(store.done, &one, sizeof one);
	}
	return NULL;
}

static sqlite3_stmt *
prepare(const char *sql)
{
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(store.db, sql, -1, &s, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(store.db));
	return s;
}

static void
open_store(const char *path)
{
	static const char *const setup =
	    "pragma journal_mode=wal; pragma synchronous=full;"
	    "pragma wal_autocheckpoint=0;"
	    "create table task(id integer primary key, state int, payload blob);"
	    "create table result(id integer primary key, body blob);";
	pthread_t thread;

	unlink(path);
	if (sqlite3_open(path, &store.db) != SQLITE_OK ||
	    sqlite3_exec(store.db, setup, NULL, NULL, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(store.db));
	store.insert = prepare("insert into task values(?,0,?)");
	store.finish = prepare("update task set state=3 where id=?");
	store.result = prepare("insert into result values(?,null)");
	store.begin = prepare("begin immediate");
	store.commit = prepare("commit");
	store.done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pthread_create(&thread, NULL, writer, NULL) != 0)
		die("pthread_create");
}

static struct row *
add(struct batch *b)
{
	if (b->count == b->room) {
		b->room = b->room > 0 ? 2 * b->room : 1024;
		b->rows = realloc(b->rows, b->room * sizeof *b->rows);
		if (b->rows == NULL)
			die("realloc");
	}
	return &b->rows[b->count++];
}

static uint64_t tags[MOST];

static void
from_client(struct stream *client, struct batch *b, uint64_t *last_id)
{
	struct wire_head h;
	const char *body;
	size_t at = 0;

	while (next(client, &at, &h, &body)) {
		struct row *r;

		if (h.type != WIRE_SUBMIT)
			continue;
		r = add(b);
		r->id = ++*last_id;
		r->tag = tags[r->id % MOST] = h.id;
		r->ended = false;
		memcpy(r->payload, body + h.size - PAYLOAD, PAYLOAD);
	}
	took(client, at);
}

static void
from_worker(struct stream *worker, struct batch *b)
{
	struct wire_head h;
	const char *body;
	size_t at = 0;

	while (next(worker, &at, &h, &body)) {
		struct row *r = add(b);

		r->id = h.id;
		r->ended = true;
	}
	took(worker, at);
}

/* What is on disk now: acknowledged and handed out, or told its end. */
static void
settled(const struct batch *b, struct stream *client, struct stream *worker)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct row *r = &b->rows[i];
		uint64_t ack[2] = { r->tag, 0 };
		struct wire_result end = { 3, { 0 }, 1 };

		if (r->ended) {
			put(client, WIRE_RESULT, r->id, &end, sizeof end);
		} else {
			put(client, WIRE_ACCEPTED, r->id, ack, sizeof ack);
			put(worker, WIRE_TASK, r->id, r->payload, PAYLOAD);
		}
	}
}

static void
serve(int client_fd, int worker_fd)
{
	struct batch batches[2] = { { 0 } }, *open = &batches[0],
		     *busy = &batches[1];
	struct stream client, worker;
	uint64_t last_id = 0, n;
	bool under_way = false;

	stream_init(&client, client_fd);
	stream_init(&worker, worker_fd);
	for (;;) {
		struct pollfd p[3] = { { client.fd, POLLIN, 0 },
			{ worker.fd, POLLIN, 0 }, { store.done, POLLIN, 0 } };

		if (client.out_size > 0)
			p[0].events |= POLLOUT;
		if (worker.out_size > 0)
			p[1].events |= POLLOUT;
		(void)poll(p, 3, -1);
		if ((p[0].revents & (POLLIN | POLLHUP)) && !fill(&client))
			return;
		if (p[1].revents & POLLIN)
			fill(&worker);
		from_client(&client, open, &last_id);
		from_worker(&worker, open);
		if (under_way && read(store.done, &n, sizeof n) > 0) {
			under_way = false;
			settled(busy, &client, &worker);
			busy->count = 0;
		}
		if (!under_way && open->count > 0) {
			struct batch *b = open;

			open = busy;
			busy = b;
			under_way = true;
			pthread_mutex_lock(&store.lock);
			store.todo = b;
			pthread_cond_signal(&store.more);
			pthread_mutex_unlock(&store.lock);
		}
		flush(&client);
		flush(&worker);
	}
}

static void
bare(const char *db, size_t total, size_t depth)
{
	int client[2], worker[2];
	pid_t pids[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, client) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, worker) < 0)
		die("socketpair");
	pids[0] = fork();
	if (pids[0] == 0) {
		close(client[0]);
		close(worker[0]);
		close(client[1]);
		work(worker[1]);
	}
	pids[1] = fork();
	if (pids[1] == 0) {
		close(client[1]);
		close(worker[1]);
		open_store(db);
		serve(client[0], worker[0]);
		exit(0);
	}
	close(client[0]);
	close(worker[0]);
	close(worker[1]);
	load(client[1], "w", "f", total, depth, true);
	close(client[1]);
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
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
