#ifndef TESTS_UNIT_REDIS_RIG_H
#define TESTS_UNIT_REDIS_RIG_H

/* For the tests of the shared store: a Redis of the test's own on a Unix socket
 * in a folder of its own, one or two supervisords' stores on it, and waiting
 * for what they tell by running the loop. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared.h"

#define DEADLINE_S 60
#define SIDES      2

struct side {
	struct rig *rig;
	struct shared *s;
	uint8_t mark; /* its identity */
	bool well;
	char words[800];
	int joined, ready, due, ended, cancel, paused, unwell;
	uint64_t ended_id, cancel_id;
	int64_t due_in;
	bool is_paused;
	int64_t paused_until;
};

struct rig {
	char dir[128], socket[160], url[200];
	pid_t redis;
	struct ev_loop *loop;
	struct side a, b;
	int left; /* operations that are waited for */
	bool late;
	int64_t lease_ms;
	enum durability durability;
	bool no_worker; /* complete says no */
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

/* --- the Redis ------------------------------------------------------------ */

static inline redisContext *
rig_try_plain(const struct rig *r)
{
	redisContext *c = redisConnectUnix(r->socket);
	redisReply *p = NULL;
	bool ok;

	if (c != NULL && c->err == 0)
		p = redisCommand(c, "PING");
	ok = p != NULL && p->type == REDIS_REPLY_STATUS;
	if (p != NULL)
		freeReplyObject(p);
	if (!ok && c != NULL) {
		redisFree(c);
		c = NULL;
	}
	return c;
}

/* Starts it; up when it answers. */
static inline void
rig_redis(struct rig *r, const char *fsync, const char *aof, const char *more,
    const char *more_value)
{
	redisContext *c = NULL;
	int64_t deadline = clock_mono() + DEADLINE_S * NS_PER_SEC;

	r->redis = fork();
	assert_true(r->redis >= 0);
	if (r->redis == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execlp("redis-server", "redis-server", "--port", "0",
		    "--unixsocket", r->socket, "--save", "", "--dir", r->dir,
		    "--appendfsync", fsync, "--appendonly", aof, more,
		    more_value, (char *)NULL);
		_exit(127);
	}
	while (c == NULL && clock_mono() < deadline) {
		c = rig_try_plain(r);
		if (c == NULL)
			poll(NULL, 0, 10);
	}
	assert_non_null(c);
	redisFree(c);
}

static inline void
rig_start(struct rig *r)
{
	rig_redis(r, "always", "yes", NULL, NULL);
}

static inline void
rig_kill(struct rig *r)
{
	if (r->redis <= 0)
		return;
	kill(r->redis, SIGKILL);
	waitpid(r->redis, NULL, 0);
	r->redis = 0;
	unlink(r->socket);
}

/* A command of the test's own; its number, or the length of its text. */
__attribute__((format(printf, 2, 3))) static inline int64_t
rig_ask(struct rig *r, const char *fmt, ...)
{
	redisContext *c = rig_try_plain(r);
	redisReply *p;
	int64_t n;
	va_list ap;

	assert_non_null(c);
	va_start(ap, fmt);
	p = redisvCommand(c, fmt, ap);
	va_end(ap);
	assert_non_null(p);
	if (p->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", fmt, p->str);
	n = p->type == REDIS_REPLY_INTEGER  ? p->integer
	    : p->type == REDIS_REPLY_STRING ? strtoll(p->str, NULL, 10)
					    : (int64_t)p->elements;
	freeReplyObject(p);
	redisFree(c);
	return n;
}

/* --- what a store tells --------------------------------------------------- */

static inline void
side_stop_loop(struct side *d)
{
	ev_break(d->rig->loop, EVBREAK_ONE);
}

static inline void
side_health(void *arg, bool well, const char *words)
{
	struct side *d = arg;

	d->well = well;
	d->unwell += !well;
	snprintf(d->words, sizeof d->words, "%s", words);
	side_stop_loop(d);
}

static inline void
side_joined(void *arg)
{
	struct side *d = arg;

	d->joined++;
	side_stop_loop(d);
}

static inline void
side_ready(void *arg, const char *worker)
{
	struct side *d = arg;

	assert_true(worker[0] != '\0');
	d->ready++;
	side_stop_loop(d);
}

static inline void
side_due(void *arg, const char *worker, int64_t in_ms)
{
	struct side *d = arg;

	(void)worker;
	d->due++;
	d->due_in = in_ms;
	side_stop_loop(d);
}

static inline void
side_ended(void *arg, uint64_t id)
{
	struct side *d = arg;

	d->ended++;
	d->ended_id = id;
	side_stop_loop(d);
}

static inline void
side_cancel(void *arg, uint64_t id)
{
	struct side *d = arg;

	d->cancel++;
	d->cancel_id = id;
	side_stop_loop(d);
}

static inline void
side_paused(void *arg, const char *worker, bool paused, int64_t until_ms)
{
	struct side *d = arg;

	(void)worker;
	d->paused++;
	d->is_paused = paused;
	d->paused_until = until_ms;
	side_stop_loop(d);
}

/* On the store's thread. */
static inline bool
side_complete(struct submission *s, struct task_row *row, void *arg)
{
	struct side *d = arg;

	if (__atomic_load_n(&d->rig->no_worker, __ATOMIC_RELAXED))
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
	row->created_ms = clock_wall_ms();
	row->rank = row->created_ms;
	row->result_ttl_ms = 60000;
	return true;
}

/* --- running -------------------------------------------------------------- */

static inline void
rig_late(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct rig *r = w->data;

	(void)revents;
	r->late = true;
	ev_break(loop, EVBREAK_ONE);
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
		fail_msg("nothing within a minute");
}

#define RIG_UNTIL(r, condition)                                                \
	while (!(condition))                                                   \
	rig_run(r)

/* Runs the loop for so long, whatever comes. */
static inline void
rig_for(struct rig *r, int64_t ms)
{
	int64_t until = clock_mono() + ms * NS_PER_MS;

	while (clock_mono() < until) {
		double left = (double)(until - clock_mono()) / 1e9;
		ev_timer t;

		ev_timer_init(&t, rig_late, left > 0 ? left : 0, 0);
		t.data = r;
		ev_timer_start(r->loop, &t);
		ev_run(r->loop, 0);
		ev_timer_stop(r->loop, &t);
		r->late = false;
	}
}

static inline void
side_start(struct side *d)
{
	struct shared_options o = {
		.url = d->rig->url,
		.name = d->mark == 1 ? "one" : "two",
		.durability = d->rig->durability,
		.lease_ms = d->rig->lease_ms,
		.arg = d,
		.complete = side_complete,
		.health = side_health,
		.joined = side_joined,
		.ready = side_ready,
		.due = side_due,
		.ended = side_ended,
		.cancel = side_cancel,
		.paused = side_paused,
	};

	memset(o.id, d->mark, sizeof o.id);
	d->well = false;
	d->joined = 0;
	assert_int_equal(shared_start(d->rig->loop, &o, &d->s), 0);
}

static inline void
side_up(struct side *d)
{
	side_start(d);
	shared_worker(d->s, "w", true);
	shared_flush(d->s);
	RIG_UNTIL(d->rig, d->joined > 0);
	assert_true(d->well);
}

static inline void
side_down(struct side *d, bool leave)
{
	shared_stop(d->s, leave);
	d->s = NULL;
}

static inline void
rig_make(struct rig *r)
{
	const char *base = getenv("TMPDIR");

	memset(r, 0, sizeof *r);
	log_setup(LOG_LEVEL_ERROR, false, 2);
	signal(SIGPIPE, SIG_IGN);
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(r->dir, sizeof r->dir, "%s/shared-test.XXXXXX", base);
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->socket, sizeof r->socket, "%s/redis.sock", r->dir);
	snprintf(r->url, sizeof r->url, "unix://%s?db=1", r->socket);
	r->lease_ms = 15000;
	r->durability = DURABLE_FULL;
	r->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	assert_non_null(r->loop);
	r->a = (struct side){ .rig = r, .mark = 1 };
	r->b = (struct side){ .rig = r, .mark = 2 };
}

static inline void
rig_done(struct rig *r)
{
	if (r->a.s != NULL)
		side_down(&r->a, false);
	if (r->b.s != NULL)
		side_down(&r->b, false);
	rig_kill(r);
	ev_loop_destroy(r->loop);
	nftw(r->dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- operations ----------------------------------------------------------- */

static inline void
rig_answered(struct store_op *op)
{
	struct side *d = op->arg;

	if (--d->rig->left == 0)
		ev_break(d->rig->loop, EVBREAK_ONE);
}

/* For an operation nobody looks at afterwards. */
static inline void
rig_freed(struct store_op *op)
{
	if (op->error != QERR_NONE)
		fail_msg("%s", queue_error_words(op->error));
	rig_answered(op);
	store_op_free(op);
}

static inline void
side_add(struct side *d, struct store_op *op)
{
	op->arg = d;
	op->done = rig_answered;
	d->rig->left++;
	shared_add(d->s, op);
}

static inline void
side_post(struct side *d, struct store_op *op)
{
	side_add(d, op);
	op->done = rig_freed;
}

static inline void
side_wait(struct side *d)
{
	shared_flush(d->s);
	RIG_UNTIL(d->rig, d->rig->left == 0);
}

/* Adds, waits; the operation is the caller's. */
static inline enum queue_error
side_do(struct side *d, struct store_op *op)
{
	side_add(d, op);
	side_wait(d);
	return op->error;
}

static inline struct store_op *
rig_op(enum store_kind kind)
{
	struct store_op *op = store_op_new(kind);

	assert_non_null(op);
	snprintf(op->worker, sizeof op->worker, "w");
	return op;
}

static inline struct task_row *
side_row(struct side *d, const char *payload)
{
	struct task_row *row = calloc(1, sizeof *row);

	assert_non_null(row);
	row->id = shared_new_id(d->s);
	assert_true(row->id > SHARED_ID_FIRST);
	snprintf(row->worker, sizeof row->worker, "w");
	row->func = strdup("f");
	row->json = true;
	row->payload = body_new(payload, strlen(payload));
	row->created_ms = clock_wall_ms();
	row->rank = row->created_ms;
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

static inline uint64_t
side_submit(struct side *d, struct task_row *row)
{
	struct store_op *op = rig_submit_op(row);
	uint64_t id;

	assert_int_equal(side_do(d, op), QERR_NONE);
	id = op->existing != 0 ? op->existing : op->row->id;
	store_op_free(op);
	return id;
}

static inline struct store_op *
side_refill(struct side *d, uint32_t limit)
{
	struct store_op *op = rig_op(STORE_REFILL);

	op->limit = limit;
	assert_int_equal(side_do(d, op), QERR_NONE);
	assert_true(op->counted);
	return op;
}

/* Claims one that has to be there. */
static inline uint64_t
side_claim(struct side *d)
{
	struct store_op *op = side_refill(d, 1);
	uint64_t id;

	assert_int_equal(op->count, 1);
	id = op->rows[0].id;
	store_op_free(op);
	return id;
}

static inline struct store_op *
rig_update_op(uint64_t id, uint8_t state)
{
	struct store_op *op = rig_op(STORE_UPDATE);

	op->change.id = id;
	op->change.fields = CHANGE_STATE;
	op->change.state = state;
	return op;
}

static inline enum queue_error
side_update(struct side *d, uint64_t id, uint8_t state)
{
	struct store_op *op = rig_update_op(id, state);
	enum queue_error e = side_do(d, op);

	store_op_free(op);
	return e;
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

static inline enum queue_error
side_finish(struct side *d, uint64_t id, uint8_t state, const char *result)
{
	struct store_op *op = rig_finish_op(id, state, result);
	enum queue_error e = side_do(d, op);

	store_op_free(op);
	return e;
}

/* The task as STORE_TASK gives it; NULL: none. To be freed with the op. */
static inline struct store_op *
side_task(struct side *d, uint64_t id)
{
	struct store_op *op = rig_op(STORE_TASK);

	op->change.id = id;
	if (side_do(d, op) == QERR_NO_TASK) {
		store_op_free(op);
		return NULL;
	}
	assert_int_equal(op->error, QERR_NONE);
	assert_int_equal(op->count, 1);
	return op;
}

static inline int
side_state(struct side *d, uint64_t id)
{
	struct store_op *op = side_task(d, id);
	int state = op != NULL ? op->rows[0].state : -1;

	store_op_free(op);
	return state;
}

static inline void
side_counts(struct side *d, uint64_t queued, uint64_t running, uint64_t ended)
{
	struct store_op *op = rig_op(STORE_STATS);

	/* The end of a connection may be heard of just now. */
	while (side_do(d, op) == QERR_STORE) {
		store_op_free(op);
		RIG_UNTIL(d->rig, d->well);
		op = rig_op(STORE_STATS);
	}
	assert_int_equal(op->error, QERR_NONE);
	assert_true(op->counted);
	assert_int_equal(op->counts[TASK_QUEUED], queued);
	assert_int_equal(op->counts[TASK_RUNNING], running);
	assert_int_equal(op->counts[TASK_DONE] + op->counts[TASK_FAILED] +
			     op->counts[TASK_CANCELLED] + op->counts[TASK_DEAD],
	    ended);
	store_op_free(op);
}

#endif
