#ifndef TESTS_UNIT_STATE_HELP_H
#define TESTS_UNIT_STATE_HELP_H

/*
 * For the tests of state/: a folder of its own, waiting for news with a
 * deadline, looking into the file with a connection of the test's own.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "state/state.h"
#include "supervisord/base/clock.h"

#define DEADLINE_NS (60 * NS_PER_SEC)

struct place {
	char dir[PATH_MAX - 64];
	char file[PATH_MAX];
};

static inline void
place_make(struct place *p)
{
	const char *base = getenv("TMPDIR");

	/* What is tested is a process's death and a disk's refusal, not its
	 * speed. */
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(p->dir, sizeof p->dir, "%s/state-test.XXXXXX", base);
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->file, sizeof p->file, "%s/state.db", p->dir);
}

static inline int
place_remove_one(
    const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
place_remove(struct place *p)
{
	nftw(p->dir, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct state *
open_with(struct state_options options, const char *dir)
{
	struct state *s = NULL;

	options.dir = dir;
	if (options.retry_ms == 0)
		options.retry_ms = 1;
	assert_int_equal(state_open(&options, &s), 0);
	assert_non_null(s);
	return s;
}

static inline struct state *
open_at(const char *dir)
{
	return open_with((struct state_options){ 0 }, dir);
}

/* The next news, waited for. */
static inline struct state_news
next_news(struct state *s)
{
	int64_t until = clock_mono() + DEADLINE_NS;
	struct state_news n;

	while (state_poll(s, &n) == STATE_NOTHING) {
		struct pollfd p = { .fd = state_fd(s), .events = POLLIN };
		int64_t left = (until - clock_mono()) / NS_PER_MS;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			fail_msg("no news within a minute");
	}
	return n;
}

static inline void
until_committed(struct state *s, uint64_t sequence)
{
	struct state_news n;

	state_flush(s);
	do {
		n = next_news(s);
		buf_done(&n.json);
	} while (n.committed < sequence);
}

/* Until state_health has the words, or with NULL none. */
static inline void
until_health(struct state *s, const char *words)
{
	for (;;) {
		const char *now = state_health(s);
		struct state_news n;

		if (words == NULL ? now == NULL
				  : now != NULL && strstr(now, words) != NULL)
			return;
		n = next_news(s);
		buf_done(&n.json);
	}
}

/* The answer, to be freed; NULL where there was an error. */
static inline char *
ask(struct state *s, const char *what, char *const *names, int64_t since_ms,
    int64_t limit)
{
	static uint64_t token;
	struct state_question q = { ++token, what, names, since_ms, limit };
	struct state_news n;

	assert_int_equal(state_ask(s, &q), 0);
	do {
		n = next_news(s);
	} while (n.said != STATE_ANSWER);
	assert_int_equal(n.token, token);
	if (n.error != 0) {
		buf_done(&n.json);
		return NULL;
	}
	return buf_take(&n.json);
}

static inline uint64_t
put_event(struct state *s, const char *name, const char *reason)
{
	struct state_event e = {
		.at_ms = clock_wall_ms(),
		.name = name,
		.kind = "state",
		.from = "STARTING",
		.to = "RUNNING",
		.reason = reason,
		.actor_uid = -1,
	};

	return state_put_event(s, &e);
}

static inline uint64_t
put_exit(struct state *s, uint64_t key, const char *name, int pid)
{
	struct state_exit e = {
		.key = key,
		.name = name,
		.pid = pid,
		.started_ms = clock_wall_ms() - 1000,
		.ended_ms = clock_wall_ms(),
		.duration_ms = 1000,
		.code = 1,
		.cause = "exited 1",
	};

	return state_put_exit(s, &e);
}

static inline uint64_t
put_instance(struct state *s, const char *name, bool wanted_up)
{
	struct state_instance i = {
		.name = name,
		.worker = "web",
		.index = 3,
		.wanted_up = wanted_up,
		.wanted_by_user = true,
		.state = wanted_up ? "RUNNING" : "STOPPED",
		.pid = wanted_up ? 1234 : 0,
		.start_ticks = UINT64_MAX - 5,
		.boot_id = "boot",
		.started_ms = 1767323045678,
		.restarts = 7,
		.reason = "because",
	};

	return state_put_instance(s, &i);
}

static inline size_t
count_of(const char *text, const char *word)
{
	size_t n = 0;

	for (; text != NULL && (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

/* A connection of the test's own, as the sqlite3 program would have. */
static inline sqlite3 *
look(const char *file)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open_v2(file, &db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				 SQLITE_OPEN_NOMUTEX,
			     NULL),
	    SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return db;
}

static inline int64_t
number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t n;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

static inline int64_t
number_in(const char *file, const char *sql)
{
	sqlite3 *db = look(file);
	int64_t n = number(db, sql);

	sqlite3_close(db);
	return n;
}

static inline void
execute(sqlite3 *db, const char *sql)
{
	char *error = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
}

#endif
