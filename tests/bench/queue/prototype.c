/*
 * Nothing but the socket work and the group commits: one thread that reads and
 * writes sockets, one that commits.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/queue/parts.h"
#include "tests/bench/queue/stream.h"

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

void
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
