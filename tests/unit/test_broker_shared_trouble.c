/* The shared store when Redis says no, or says nothing: busy, out of memory,
 * without its scripts, made unsafe while it is used. And leases that end while
 * nobody looks. */

#include <inttypes.h>

#include "tests/unit/redis_rig.h"

#include "supervisord/broker/redis/scripts.h"

/* Long enough that a busy machine does not lose it. */
#define LEASE_MS 2500
#define LONG_MS  60000

#define A "01010101010101010101010101010101"
#define B "02020202020202020202020202020202"

static int
setup_for(void **state, int64_t lease_ms)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	r->lease_ms = lease_ms;
	rig_start(r);
	side_up(&r->a);
	*state = r;
	return 0;
}

/* One supervisord that beats seldom. */
static int
setup_one(void **state)
{
	return setup_for(state, LONG_MS);
}

static int
setup_two(void **state)
{
	int r = setup_for(state, LEASE_MS);

	side_up(&((struct rig *)*state)->b);
	return r;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	rig_done(r);
	free(r);
	return 0;
}

/* Where the tasks are. */
static int64_t
ask(struct rig *r, const char *lua)
{
	char script[512];

	snprintf(script, sizeof script, "redis.call('SELECT', '1') %s", lua);
	return rig_ask(r, "EVAL %s 0", script);
}

static void
expect_no_new(struct rig *r, const char *words)
{
	RIG_UNTIL(r, strstr(r->a.words, words) != NULL);
	assert_true(r->a.well);
	assert_int_equal(shared_new_id(r->a.s), 0);
}

static void
full_memory(struct rig *r, bool full)
{
	rig_ask(r, "CONFIG SET maxmemory %s", full ? "1000000" : "0");
}

/* --- what came to nothing, and whose answer got lost ---------------------- */

static void
what_came_to_nothing_is_not_taken_for_done(void **state)
{
	struct rig *r = *state;
	struct store_op *new = rig_submit_op(side_row(&r->a, "2")), *end;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	end = rig_finish_op(id, TASK_DONE, "1");
	full_memory(r, true);
	kill(r->redis, SIGSTOP);
	side_add(&r->a, new);
	side_add(&r->a, end);
	shared_flush(r->a.s);
	RIG_UNTIL(r, !r->a.well);
	/* It reads both now: there is no room for the first. */
	kill(r->redis, SIGCONT);
	side_wait(&r->a);
	assert_int_equal(new->error, QERR_STORE);
	assert_int_equal(end->error, QERR_NONE);
	store_op_free(new);
	store_op_free(end);
	RIG_UNTIL(r, r->a.well);
	full_memory(r, false);
	side_counts(&r->a, 0, 0, 1);
}

static uint64_t accepted;

static void
count_accepted(struct store_op *op)
{
	accepted += op->kind == STORE_SUBMIT && op->error == QERR_NONE;
	rig_answered(op);
	store_op_free(op);
}

static void
try(struct side *d, struct store_op *op)
{
	side_add(d, op);
	op->done = count_accepted;
}

static void
try_submit(struct side *d)
{
	struct task_row *row = calloc(1, sizeof *row);

	assert_non_null(row);
	row->id = shared_new_id(d->s);
	snprintf(row->worker, sizeof row->worker, "w");
	row->func = strdup("f");
	row->payload = body_new(d->words, sizeof d->words);
	try(d, rig_submit_op(row)); /* without an id: refused at once */
}

/* A script of somebody's that takes its time. */
static pid_t
make_busy(struct rig *r)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		redisContext *c = redisConnectUnix(r->socket);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (c != NULL && c->err == 0)
			redisCommand(c, "EVAL %s 0",
			    "local x = 0 for i = 1, 2e6 do x = x + i end");
		_exit(0);
	}
	return pid;
}

static void
a_busy_redis_loses_nothing_that_was_acknowledged(void **state)
{
	struct rig *r = *state;

	accepted = 0;
	rig_ask(r, "CONFIG SET busy-reply-threshold 1");
	for (int round = 0; round < 20; round++) {
		pid_t pid = make_busy(r);

		do {
			for (int i = 0; i < 100; i++)
				try_submit(&r->a);
			try(&r->a, rig_op(STORE_STATS));
			try(&r->a, rig_op(STORE_REFILL));
			shared_flush(r->a.s);
			rig_for(r, 1);
		} while (waitpid(pid, NULL, WNOHANG) == 0);
		side_wait(&r->a);
		RIG_UNTIL(r, r->a.well);
	}
	assert_true(accepted > 0);
	side_counts(&r->a, accepted, 0, 0);
}

static void
numbers_of_long_ago_are_forgotten(void **state)
{
	struct rig *r = *state;
	int64_t size;

	for (int round = 0; round < 12; round++) {
		int unwell = r->a.unwell;

		RIG_UNTIL(r, r->a.well);
		for (int i = 0; i < 3000; i++)
			side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
		shared_flush(r->a.s);
		if (round < 10) {
			side_wait(&r->a);
			continue;
		}
		rig_ask(r, "CLIENT KILL TYPE normal SKIPME yes");
		side_wait(&r->a);
		RIG_UNTIL(r, r->a.unwell > unwell);
	}
	RIG_UNTIL(r, r->a.well);
	side_counts(&r->a, 36000, 0, 0);
	size = ask(r, "return redis.call('STRLEN', 'supervisord:n:" A "')");
	assert_true(size >= 262144 && size < 36000 * 16);
}

static void
scripts_that_are_flushed_leave_room_for_more(void **state)
{
	struct rig *r = *state;
	size_t size = 1 << 20;
	char *text = malloc(size + 1);

	assert_non_null(text);
	memset(text, 'x', size);
	text[size] = '\0';
	rig_ask(r, "SCRIPT FLUSH");
	/* More than may be on the way at a time. */
	for (int i = 0; i < 20; i++)
		side_post(&r->a, rig_submit_op(side_row(&r->a, text)));
	side_wait(&r->a);
	side_counts(&r->a, 20, 0, 0);
	free(text);
}

static void
what_is_refused_is_told_at_once_and_never_done(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *end;

	accepted = 0;
	assert_int_equal(side_claim(&r->a), id);
	rig_ask(r, "CONFIG SET min-replicas-to-write 1");
	for (int i = 0; i < 50; i++)
		try(&r->a, rig_submit_op(side_row(&r->a, "1")));
	side_wait(&r->a);
	assert_int_equal(accepted, 0);
	assert_false(r->a.well);
	assert_non_null(strstr(r->a.words, "NOREPLICAS"));
	end = rig_finish_op(id, TASK_DONE, "1");
	assert_int_equal(side_do(&r->a, end), QERR_STORE);
	store_op_free(end);
	rig_ask(r, "CONFIG SET min-replicas-to-write 0");
	RIG_UNTIL(r, r->a.well);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	side_counts(&r->a, 0, 0, 1);
}

static void
an_end_is_asked_for_again_where_that_failed(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	char lua[160];

	assert_int_equal(side_claim(&r->b), id);
	snprintf(lua, sizeof lua,
	    "redis.call('RENAME', 'supervisord:t:%" PRIu64 "', 'x') "
	    "redis.call('SET', 'supervisord:t:%" PRIu64 "', 'x')",
	    id, id);
	ask(r, lua);
	shared_watch(r->a.s, id, true);
	side_counts(&r->a, 1, 0, 0); /* answered behind it */
	snprintf(lua, sizeof lua,
	    "redis.call('RENAME', 'x', 'supervisord:t:%" PRIu64 "')", id);
	ask(r, lua);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "1"), QERR_NONE);
	RIG_UNTIL(r, r->a.ended > 0);
	assert_int_equal(r->a.ended_id, id);
}

/* --- keys of somebody else's ---------------------------------------------- */

static void
expect_listed(struct rig *r, size_t count)
{
	struct store_op *op = rig_op(STORE_LIST);

	op->limit = 10;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, count);
	store_op_free(op);
}

static struct store_op *
group_of(struct rig *r, const char *first, const char *second)
{
	struct store_op *op = rig_op(STORE_GROUP);

	op->group = shared_new_id(r->a.s);
	op->rows = calloc(2, sizeof *op->rows);
	assert_non_null(op->rows);
	op->count = 2;
	for (size_t i = 0; i < 2; i++) {
		struct task_row *row = side_row(&r->a, "1");

		op->rows[i] = *row;
		free(row);
		snprintf(op->rows[i].worker, sizeof op->rows[i].worker, "%s",
		    i == 0 ? first : second);
	}
	return op;
}

static void
a_queue_that_is_none_takes_nothing_halfway(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	ask(r, "redis.call('SET', 'supervisord:p:w:q', 'hello')");
	op = rig_submit_op(side_row(&r->a, "1"));
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	op = group_of(r, "v", "w");
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	expect_listed(r, 0);
	ask(r, "redis.call('DEL', 'supervisord:p:w:q')");
	side_counts(&r->a, 0, 0, 0);
	side_submit(&r->a, side_row(&r->a, "1"));
	expect_listed(r, 1);
}

static void
what_can_not_be_given_back_stays_claimed(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op = rig_update_op(id, TASK_QUEUED);

	assert_int_equal(side_claim(&r->a), id);
	ask(r, "redis.call('SET', 'supervisord:p:w:q', 'hello')");
	op->release = true;
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	ask(r, "redis.call('DEL', 'supervisord:p:w:q')");
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	side_counts(&r->a, 0, 0, 1);
}

/* --- out of memory -------------------------------------------------------- */

static void
a_redis_without_room_gives_ids(void **state)
{
	struct rig *r = *state;

	full_memory(r, true);
	for (int i = 0; i < 10000; i++)
		assert_true(shared_new_id(r->a.s) != 0);
}

static void
a_redis_without_room_tells_of_ends_and_pauses(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	struct store_op *op;

	assert_int_equal(side_claim(&r->b), id);
	full_memory(r, true);
	shared_watch(r->a.s, id, true);
	assert_int_equal(side_state(&r->a, id), TASK_QUEUED);
	op = rig_op(STORE_POOL);
	op->paused = true;
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "1"), QERR_NONE);
	RIG_UNTIL(r, r->a.ended > 0 && r->b.is_paused);
}

static void
a_redis_without_room_takes_nothing_new_until_it_has_some(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "1");
	struct store_op *op;
	uint64_t id;

	row->then = strdup("{\"worker\":\"w\",\"func\":\"g\"}");
	id = side_submit(&r->a, row);
	assert_int_equal(side_claim(&r->a), id);
	full_memory(r, true);
	op = rig_submit_op(side_row(&r->a, "1"));
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	expect_no_new(r, "out of memory");
	/* It ends, and what follows it comes in. */
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	side_counts(&r->a, 1, 0, 1);
	full_memory(r, false);
	RIG_UNTIL(r, r->a.words[0] == '\0');
	side_submit(&r->a, side_row(&r->a, "1"));
}

static void
ids_are_waited_for_in_vain_once(void **state)
{
	struct rig *r = *state;
	int64_t began;

	kill(r->redis, SIGSTOP);
	while (shared_new_id(r->a.s) != 0)
		continue;
	began = clock_mono();
	for (int i = 0; i < 10; i++)
		assert_int_equal(shared_new_id(r->a.s), 0);
	assert_true(clock_mono() - began < NS_PER_SEC);
	kill(r->redis, SIGCONT);
	while (shared_new_id(r->a.s) == 0)
		rig_for(r, 10);
}

/* --- leases --------------------------------------------------------------- */

/* As the other would: one piece of what a has claimed. */
static void
reap_a_piece(struct rig *r, int chunk)
{
	struct buf text, script;

	ask(r, "redis.call('ZADD', 'supervisord:brokers', 1, '" A "') "
	       "redis.call('HSET', 'supervisord:b:" B "', 'since', 1)");
	assert_true(script_text(SCRIPT_REAP, &text));
	buf_init(&script);
	buf_fmt(&script, "redis.call('SELECT', '1')\n%s", buf_text(&text));
	rig_ask(r, "EVAL %s 0 supervisord@1: " B " %s 0 " A " %d %d",
	    buf_text(&script), "", LONG_MS, chunk);
	buf_done(&script);
	buf_done(&text);
}

static void
a_lease_of_which_a_piece_was_taken_is_over(void **state)
{
	struct rig *r = *state;
	int joined = r->a.joined;
	struct store_op *op;

	side_up(&r->b);
	for (int i = 0; i < 30; i++)
		side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
	side_wait(&r->a);
	op = side_refill(&r->a, 30);
	assert_int_equal(op->count, 30);
	store_op_free(op);
	reap_a_piece(r, 20);
	/* It beats now. */
	shared_worker(r->a.s, "x", true);
	shared_flush(r->a.s);
	RIG_UNTIL(r, r->a.joined > joined && r->a.well);
	op = rig_op(STORE_MINE);
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, 10);
	store_op_free(op);
}

static void
a_clock_that_was_set_back_keeps_nobody_from_reaping(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));
	size_t got = 0;

	assert_int_equal(side_claim(&r->a), id);
	side_down(&r->a, false);
	/* Both came in the hour that has yet to come. */
	ask(r, "for _, b in ipairs({ '" A "', '" B "' }) do "
	       "redis.call('HSET', 'supervisord:b:' .. b, 'since', "
	       "9999999999999) "
	       "redis.call('ZADD', 'supervisord:brokers', 9999999999999, b) "
	       "end");
	while (got == 0) {
		struct store_op *op = side_refill(&r->b, 5);

		got = op->count;
		if (got == 0) {
			r->b.ready = 0;
			RIG_UNTIL(r, r->b.ready > 0);
		}
		store_op_free(op);
	}
}

static void
until_leased(struct rig *r, bool leased)
{
	int64_t deadline = clock_mono() + DEADLINE_S * NS_PER_SEC;

	while (shared_leased(r->a.s) != leased) {
		assert_true(clock_mono() < deadline);
		rig_for(r, 10);
	}
}

static void
a_lease_is_over_without_an_answer(void **state)
{
	struct rig *r = *state;

	until_leased(r, true);
	kill(r->redis, SIGSTOP);
	until_leased(r, false);
	assert_true(r->a.well); /* nobody knows better yet */
	kill(r->redis, SIGCONT);
	until_leased(r, true);
}

/* --- made unsafe ---------------------------------------------------------- */

static void
a_redis_that_is_made_unsafe_takes_nothing_new(void **state)
{
	struct rig *r = *state;
	struct task_row *row = side_row(&r->a, "1");
	uint64_t id;

	row->then = strdup("{\"worker\":\"w\",\"func\":\"g\"}");
	id = side_submit(&r->a, row);
	rig_ask(r, "CONFIG SET appendfsync everysec");
	expect_no_new(r, "CONFIG SET appendfsync always");
	/* What is there is run, and what follows it. */
	assert_int_equal(side_claim(&r->a), id);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	side_counts(&r->a, 1, 0, 1);
	rig_ask(r, "CONFIG SET maxmemory 100000000");
	rig_ask(r, "CONFIG SET maxmemory-policy allkeys-lru");
	expect_no_new(r, "noeviction");
	rig_ask(r, "CONFIG SET maxmemory-policy noeviction");
	expect_no_new(r, "CONFIG SET appendfsync always");
	rig_ask(r, "CONFIG SET appendfsync always");
	RIG_UNTIL(r, r->a.words[0] == '\0');
	side_submit(&r->a, side_row(&r->a, "1"));
}

static void
a_redis_that_is_made_a_replica_is_left(void **state)
{
	struct rig *r = *state;

	rig_ask(r, "REPLICAOF 127.0.0.1 1");
	RIG_UNTIL(r, !r->a.well && strstr(r->a.words, "replica") != NULL);
	rig_ask(r, "REPLICAOF NO ONE");
	RIG_UNTIL(r, r->a.well);
	side_submit(&r->a, side_row(&r->a, "1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ONE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown)
#define TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)
		ONE(what_came_to_nothing_is_not_taken_for_done),
		ONE(a_busy_redis_loses_nothing_that_was_acknowledged),
		ONE(numbers_of_long_ago_are_forgotten),
		ONE(scripts_that_are_flushed_leave_room_for_more),
		ONE(what_is_refused_is_told_at_once_and_never_done),
		TWO(an_end_is_asked_for_again_where_that_failed),
		ONE(a_queue_that_is_none_takes_nothing_halfway),
		ONE(what_can_not_be_given_back_stays_claimed),
		ONE(a_redis_without_room_gives_ids),
		TWO(a_redis_without_room_tells_of_ends_and_pauses),
		TWO(a_redis_without_room_takes_nothing_new_until_it_has_some),
		ONE(ids_are_waited_for_in_vain_once),
		ONE(a_lease_of_which_a_piece_was_taken_is_over),
		TWO(a_clock_that_was_set_back_keeps_nobody_from_reaping),
		TWO(a_lease_is_over_without_an_answer),
		TWO(a_redis_that_is_made_unsafe_takes_nothing_new),
		TWO(a_redis_that_is_made_a_replica_is_left),
#undef ONE
#undef TWO
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
