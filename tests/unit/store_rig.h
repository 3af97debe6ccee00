#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

/* For the tests of the broker's store: a folder, a loop, an operation done and
 * waited for, and looking into the file with a connection of the test's own. */

#include <errno.h>
#include <ftw.h>
#include <limits.h>
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

#include "supervisord/base/clock.h"
#include "supervisord/broker/store.h"

#define DEADLINE_S 60

struct rig {
	char dir[PATH_MAX - 64];
	char file[PATH_MAX];
	struct ev_loop *loop;
	struct store *store;
	struct store_found found;
	bool in_memory;
	int healths; /* how often it was told */
	bool well;
	char words[1024];
	bool no_worker; /* complete says no */
	int left;       /* operations that are waited for */
	bool late;
};

static inline int
rig_remove_one(
    const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
rig_health(void *arg, bool well, const char *words)
{
	struct rig *r = arg;

	r->healths++;
	r->well = well;
	snprintf(r->words, sizeof r->words, "%s", words);
	ev_break(r->loop, EVBREAK_ONE);
}

static inline bool
rig_complete(struct submission *s, struct task_row *row, void *arg)
{
	struct rig *r = arg;

	if (r->no_worker)
		return false;
	memcpy(row->worker, s->worker, sizeof row->worker);
	row->func = s->func;
	s->func = NULL;
	row->key = s->key;
	s->key = NULL;
	row->then = s->then;
	s->then = NULL;
	row->payload = body_hold(s->payload);
	row->json = s->json;
	row->parent = s->parent;
	row->group = s->group;
	row->priority = s->priority;
	row->created_ms = clock_wall_ms();
	row->rank = row->created_ms;
	return true;
}

static inline void
rig_open(struct rig *r)
{
	struct store_options o = {
		.path = r->in_memory ? NULL : r->file,
		.complete = rig_complete,
		.health = rig_health,
		.arg = r,
	};

	r->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	assert_non_null(r->loop);
	r->well = true;
	assert_int_equal(store_start(r->loop, &o, &r->store, &r->found), 0);
}

static inline void
rig_make(struct rig *r)
{
	const char *base = getenv("TMPDIR");

	memset(r, 0, sizeof *r);
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(r->dir, sizeof r->dir, "%s/store-test.XXXXXX", base);
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->file, sizeof r->file, "%s/tasks.db", r->dir);
}

static inline void
rig_close(struct rig *r)
{
	store_stop(r->store);
	store_found_done(&r->found);
	ev_loop_destroy(r->loop);
	r->store = NULL;
}

static inline void
rig_reopen(struct rig *r)
{
	rig_close(r);
	rig_open(r);
}

static inline void
rig_done(struct rig *r)
{
	if (r->store != NULL)
		rig_close(r);
	nftw(r->dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
rig_answered(struct store_op *op)
{
	struct rig *r = op->arg;

	if (--r->left == 0)
		ev_break(r->loop, EVBREAK_ONE);
}

static inline void
rig_late(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct rig *r = w->data;

	(void)revents;
	r->late = true;
	ev_break(loop, EVBREAK_ONE);
}

/* For an operation nobody looks at afterwards. */
static inline void
rig_freed(struct store_op *op)
{
	assert_int_equal(op->error, QERR_NONE);
	rig_answered(op);
	store_op_free(op);
}

/* Runs the loop until it is broken out of. */
static inline void
rig_run(struct rig *r)
{
	ev_timer t;

	ev_timer_init(&t, rig_late, DEADLINE_S, 0);
	t.data = r;
	ev_timer_start(r->loop, &t);
	ev_run(r->loop, 0);
	ev_timer_stop(r->loop, &t);
	if (r->late)
		fail_msg("no answer within a minute");
}

static inline void
rig_add(struct rig *r, struct store_op *op)
{
	op->arg = r;
	op->done = rig_answered;
	r->left++;
	store_add(r->store, op);
}

static inline void
rig_post(struct rig *r, struct store_op *op)
{
	rig_add(r, op);
	op->done = rig_freed;
}

static inline void
rig_wait(struct rig *r)
{
	store_flush(r->store);
	while (r->left > 0)
		rig_run(r);
}

/* Adds, waits; the operation is the caller's. */
static inline enum queue_error
rig_do(struct rig *r, struct store_op *op)
{
	rig_add(r, op);
	rig_wait(r);
	return op->error;
}

static inline struct store_op *
rig_op(enum store_kind kind)
{
	struct store_op *op = store_op_new(kind);

	assert_non_null(op);
	return op;
}

static inline struct task_row *
rig_row(struct rig *r, const char *worker, const char *payload)
{
	struct task_row *row = calloc(1, sizeof *row);

	assert_non_null(row);
	row->id = store_new_id(r->store);
	snprintf(row->worker, sizeof row->worker, "%s", worker);
	row->func = strdup("f");
	row->json = true;
	row->payload = body_new(payload, strlen(payload));
	row->created_ms = clock_wall_ms();
	row->rank = (int64_t)row->id;
	row->retries = 3;
	row->result_ttl_ms = 86400000;
	return row;
}

static inline struct store_op *
rig_submit_op(struct task_row *row)
{
	struct store_op *op = rig_op(STORE_SUBMIT);

	op->row = row;
	return op;
}

/* Submits; its id. */
static inline uint64_t
rig_submit(struct rig *r, struct task_row *row)
{
	struct store_op *op = rig_submit_op(row);
	uint64_t id;

	assert_int_equal(rig_do(r, op), QERR_NONE);
	id = op->existing != 0 ? op->existing : op->row->id;
	store_op_free(op);
	return id;
}

static inline struct store_op *
rig_finish_op(uint64_t id, uint8_t state, const char *result)
{
	struct store_op *op = rig_op(STORE_FINISH);

	op->change.id = id;
	op->change.fields = CHANGE_STATE | CHANGE_FINISHED;
	op->change.state = state;
	op->change.finished_ms = clock_wall_ms();
	op->change.expires_ms = op->change.finished_ms + 86400000;
	if (result != NULL)
		op->result = body_new(result, strlen(result));
	op->result_json = true;
	return op;
}

/* The task as STORE_TASK gives it; NULL: none. To be freed with the op. */
static inline struct store_op *
rig_task(struct rig *r, uint64_t id)
{
	struct store_op *op = rig_op(STORE_TASK);

	op->change.id = id;
	if (rig_do(r, op) == QERR_NO_TASK) {
		store_op_free(op);
		return NULL;
	}
	assert_int_equal(op->error, QERR_NONE);
	assert_int_equal(op->count, 1);
	return op;
}

/* One number out of the file, by a connection of its own. */
static inline int64_t
rig_number(struct rig *r, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t n;

	assert_int_equal(
	    sqlite3_open_v2(r->file, &db, SQLITE_OPEN_READWRITE, NULL), 0);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), 0);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static inline void
rig_sound(struct rig *r)
{
	assert_int_equal(
	    rig_number(r, "SELECT count(*) FROM pragma_integrity_check WHERE "
			  "integrity_check = 'ok'"),
	    1);
}

#endif
