/* The shared store when something breaks: connections, the Redis, a
 * supervisord. Nothing that was acknowledged is lost, nothing is done twice. */

#include "tests/unit/redis_rig.h"

/* Long enough that a busy machine does not lose it. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define LEASE_MS 2500
#else
#define LEASE_MS 1000
#endif

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	r->lease_ms = LEASE_MS;
	*state = r;
	return 0;
}

static int
setup_up(void **state)
{
	struct rig *r;

	setup(state);
	r = *state;
	rig_start(r);
	side_up(&r->a);
	side_up(&r->b);
	return 0;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	rig_done(r);
	free(r);
	return 0;
}

static void
submit_many(struct side *d, int count)
{
	for (int i = 0; i < count; i++)
		side_post(d, rig_submit_op(side_row(d, "1")));
	side_wait(d);
}

/* --- leases --------------------------------------------------------------- */

static void
what_the_dead_had_is_queued_again_and_theirs_no_more(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	assert_int_equal(side_update(&r->a, id, TASK_RUNNING), QERR_NONE);
	side_down(&r->a, false);
	op = side_refill(&r->b, 5);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	r->b.ready = 0;
	RIG_UNTIL(r, r->b.ready > 0);
	op = side_refill(&r->b, 5);
	assert_int_equal(op->count, 1);
	assert_int_equal(op->rows[0].id, id);
	assert_int_equal(op->rows[0].victims, 1);
	assert_int_equal(op->rows[0].attempts, 0);
	store_op_free(op);
	side_up(&r->a);
	op = rig_op(STORE_MINE);
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_LOST);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "2"), QERR_NONE);
	side_counts(&r->a, 0, 0, 1);
}

static void
who_comes_back_in_time_has_all_it_had(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t last = 0;

	r->lease_ms = 60000;
	side_down(&r->a, true);
	side_up(&r->a);
	submit_many(&r->b, 1500);
	op = side_refill(&r->a, 1000);
	assert_int_equal(op->count, 1000);
	store_op_free(op);
	op = side_refill(&r->a, 1000);
	assert_int_equal(op->count, 500);
	store_op_free(op);
	side_down(&r->a, false);
	side_up(&r->a);
	op = rig_op(STORE_MINE);
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, 1500);
	for (size_t i = 0; i < op->count; i++) {
		assert_true(op->rows[i].id > last);
		last = op->rows[i].id;
		assert_non_null(op->rows[i].payload);
	}
	store_op_free(op);
	assert_int_equal(side_finish(&r->a, last, TASK_DONE, "1"), QERR_NONE);
}

static void
many_claims_are_given_up_in_pieces(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	size_t got = 0;

	submit_many(&r->a, 900);
	op = side_refill(&r->a, 900);
	assert_int_equal(op->count, 900);
	store_op_free(op);
	side_down(&r->a, false);
	while (got < 900) {
		op = side_refill(&r->b, 1000);
		got += op->count;
		if (op->count == 0) {
			r->b.ready = 0;
			RIG_UNTIL(r, r->b.ready > 0);
		}
		store_op_free(op);
	}
	assert_int_equal(got, 900);
	/* Its lease goes with the last of them. */
	while (rig_ask(r, "EVAL %s 0",
		   "redis.call('SELECT', '1') return redis.call('ZCARD', "
		   "'supervisord:brokers')") != 1)
		rig_for(r, 20);
}

static void
who_leaves_gives_all_back_at_once(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	submit_many(&r->a, 500);
	op = side_refill(&r->a, 1000);
	assert_int_equal(op->count, 500);
	store_op_free(op);
	op = side_refill(&r->b, 1);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	side_down(&r->a, true);
	op = side_refill(&r->b, 1000);
	assert_int_equal(op->count, 500);
	assert_int_equal(op->rows[0].victims, 0);
	store_op_free(op);
}

static void
a_lease_that_is_gone_is_begun_anew(void **state)
{
	struct rig *r = *state;
	int joined = r->a.joined;

	rig_ask(r, "EVAL %s 0",
	    "redis.call('SELECT', '1') return redis.call('ZREM', "
	    "'supervisord:brokers', string.rep('01', 16))");
	RIG_UNTIL(r, r->a.joined > joined && r->a.well);
	assert_true(r->a.unwell > 0);
	side_submit(&r->a, side_row(&r->a, "1"));
	side_claim(&r->a);
}

static void
a_cancel_reaches_whom_the_task_comes_to(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	side_down(&r->a, false);
	op = rig_op(STORE_CANCEL);
	op->change.id = id;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	assert_int_equal(op->count, 0);
	store_op_free(op);
	shared_watch(r->b.s, id, true);
	shared_flush(r->b.s);
	RIG_UNTIL(r, r->b.ended > 0);
	assert_int_equal(side_state(&r->b, id), TASK_CANCELLED);
}

static void
a_cancel_waits_for_who_comes_back(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id;

	r->lease_ms = 60000;
	side_down(&r->a, true);
	side_up(&r->a);
	id = side_submit(&r->a, side_row(&r->a, "1"));
	assert_int_equal(side_claim(&r->a), id);
	side_down(&r->a, false);
	op = rig_op(STORE_CANCEL);
	op->change.id = id;
	assert_int_equal(side_do(&r->b, op), QERR_NONE);
	store_op_free(op);
	side_up(&r->a);
	op = rig_op(STORE_MINE);
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	assert_int_equal(op->count, 1);
	store_op_free(op);
	RIG_UNTIL(r, r->a.cancel > 0);
	assert_int_equal(r->a.cancel_id, id);
}

static void
a_group_left_behind_is_seen_to(void **state)
{
	struct rig *r = *state;
	struct store_op *op = rig_op(STORE_GROUP);
	struct task_row *row = side_row(&r->a, "1");

	op->rows = row;
	op->count = 1;
	op->group = shared_new_id(r->a.s);
	op->text = strdup("{\"worker\":\"w\",\"func\":\"all\"}");
	assert_int_equal(side_do(&r->a, op), QERR_NONE);
	store_op_free(op);
	/* As if who ended its last member had been killed right then. */
	rig_ask(r, "EVAL %s 0",
	    "redis.call('SELECT', '1') "
	    "for _, g in ipairs(redis.call('KEYS', 'supervisord:g:*')) do "
	    "  if not g:find(':m') then redis.call('HSET', g, 'open', 0) "
	    "  redis.call('ZADD', 'supervisord:groups', 1, g:sub(15)) end "
	    "end return 1");
	for (;;) {
		uint64_t queued;

		op = rig_op(STORE_STATS);
		assert_int_equal(side_do(&r->b, op), QERR_NONE);
		queued = op->counts[TASK_QUEUED];
		store_op_free(op);
		if (queued == 2)
			break;
		rig_for(r, 20);
	}
	op = side_refill(&r->b, 10);
	assert_int_equal(op->count, 2);
	assert_string_equal(op->rows[1].func, "all");
	store_op_free(op);
	rig_for(r, LEASE_MS);
	side_counts(&r->b, 2, 0, 0);
}

/* --- connections ---------------------------------------------------------- */

static void
kill_clients(struct rig *r)
{
	rig_ask(r, "CLIENT KILL TYPE normal SKIPME yes");
}

/* Kills the connections while operations are on the way, and waits for their
 * answers and for the word that it broke: what is added before that word is
 * refused, as the thread may know already. */
static void
break_on_the_way(struct rig *r)
{
	int a = r->a.unwell, b = r->b.unwell;

	kill_clients(r);
	side_wait(&r->a);
	RIG_UNTIL(r, r->a.unwell > a && r->b.unwell > b);
}

static void
nothing_is_lost_or_doubled_by_broken_connections(void **state)
{
	struct rig *r = *state;

	for (int round = 0; round < 10; round++) {
		RIG_UNTIL(r, r->a.well && r->b.well);
		for (int i = 0; i < 300; i++)
			side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
		shared_flush(r->a.s);
		break_on_the_way(r);
	}
	RIG_UNTIL(r, r->a.well && r->b.well);
	side_counts(&r->a, 3000, 0, 0);
}

static int lives_left;

/* What could not be stored, MINE brings back. */
static void
life_step(struct store_op *op)
{
	if (op->error != QERR_STORE && op->error != QERR_NONE)
		fail_msg("%s", queue_error_words(op->error));
	if (op->kind == STORE_FINISH && op->error == QERR_NONE)
		lives_left--;
	rig_answered(op);
	store_op_free(op);
}

static void
live(struct side *d, const struct store_op *found)
{
	for (size_t i = 0; i < found->count; i++) {
		uint64_t id = found->rows[i].id;
		struct store_op *ops[2] = { rig_update_op(id, TASK_RUNNING),
			rig_finish_op(id, TASK_DONE, "[1,2]") };

		for (int j = 0; j < 2; j++) {
			side_add(d, ops[j]);
			ops[j]->done = life_step;
		}
	}
	shared_flush(d->s);
}

/* Every life that was begun comes to one end, whatever breaks meanwhile. */
static void
lives_go_on_over_broken_connections(void **state)
{
	struct rig *r = *state;

	lives_left = 1000;
	r->lease_ms = 60000;
	side_down(&r->b, true);
	side_up(&r->b);
	submit_many(&r->a, lives_left);
	for (int round = 0; lives_left > 0; round++) {
		/* MINE: what a REFILL claimed whose answer got lost. */
		struct store_op *op =
		    rig_op(round % 3 == 0 ? STORE_MINE : STORE_REFILL);

		RIG_UNTIL(r, r->b.well);
		op->limit = 50;
		side_add(&r->b, op);
		shared_flush(r->b.s);
		if (round % 5 == 2)
			kill_clients(r);
		side_wait(&r->b);
		live(&r->b, op);
		if (round % 4 == 1)
			kill_clients(r);
		store_op_free(op);
		side_wait(&r->b);
	}
	RIG_UNTIL(r, r->a.well);
	side_counts(&r->a, 0, 0, 1000);
}

static void
a_full_queue_says_so_when_asked_again(void **state)
{
	struct rig *r = *state;
	int taken = 0, full = 0;
	struct store_op *ops[200];

	for (int round = 0; round < 5; round++) {
		RIG_UNTIL(r, r->a.well && r->b.well);
		for (size_t i = 0; i < N_ELEMENTS(ops); i++) {
			ops[i] = rig_submit_op(side_row(&r->a, "1"));
			ops[i]->limit = 300;
			side_add(&r->a, ops[i]);
		}
		shared_flush(r->a.s);
		break_on_the_way(r);
		for (size_t i = 0; i < N_ELEMENTS(ops); i++) {
			taken += ops[i]->error == QERR_NONE;
			full += ops[i]->error == QERR_FULL;
			store_op_free(ops[i]);
		}
	}
	assert_int_equal(taken, 300);
	assert_int_equal(full, 700);
	RIG_UNTIL(r, r->a.well);
	side_counts(&r->a, 300, 0, 0);
}

static void
a_redis_that_stands_still_is_left_and_nothing_is_doubled(void **state)
{
	struct rig *r = *state;
	int joined = r->a.joined;

	kill(r->redis, SIGSTOP);
	for (int i = 0; i < 100; i++)
		side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
	shared_flush(r->a.s);
	RIG_UNTIL(r, !r->a.well);
	assert_non_null(strstr(r->a.words, "no answer within 5 s"));
	/* Both what was sent before and what is sent again is read now. */
	kill(r->redis, SIGCONT);
	side_wait(&r->a);
	RIG_UNTIL(r, r->a.joined > joined && r->a.well);
	side_counts(&r->a, 100, 0, 0);
}

/* --- the Redis ------------------------------------------------------------ */

static void
a_redis_that_is_killed_loses_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->b), id);
	for (int round = 0; round < 3; round++) {
		RIG_UNTIL(r, r->a.well);
		for (int i = 0; i < 500; i++)
			side_post(&r->a, rig_submit_op(side_row(&r->a, "1")));
		shared_flush(r->a.s);
		rig_kill(r);
		RIG_UNTIL(r, !r->a.well && !r->b.well);
		assert_int_equal(shared_new_id(r->a.s), 0);
		rig_start(r);
		side_wait(&r->a);
	}
	RIG_UNTIL(r, r->a.well && r->b.well);
	assert_int_equal(side_finish(&r->b, id, TASK_DONE, "1"), QERR_NONE);
	side_counts(&r->a, 1500, 0, 1);
}

static void
what_is_asked_while_it_is_away_fails_at_once(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	rig_kill(r);
	RIG_UNTIL(r, !r->a.well);
	op = rig_op(STORE_STATS);
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	side_down(&r->a, true);
}

static void
nobody_is_reaped_when_it_was_away_for_long(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	assert_int_equal(side_update(&r->a, id, TASK_RUNNING), QERR_NONE);
	rig_kill(r);
	RIG_UNTIL(r, !r->a.well && !r->b.well);
	rig_for(r, 2 * (int64_t)LEASE_MS);
	rig_start(r);
	RIG_UNTIL(r, r->a.well && r->b.well);
	rig_for(r, 2 * (int64_t)LEASE_MS);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
}

static void
nobody_is_reaped_when_it_stood_still(void **state)
{
	struct rig *r = *state;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	kill(r->redis, SIGSTOP);
	rig_for(r, 3 * (int64_t)LEASE_MS);
	kill(r->redis, SIGCONT);
	rig_for(r, LEASE_MS);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
}

static void
a_redis_without_room_lets_tasks_end(void **state)
{
	struct rig *r = *state;
	struct store_op *op;
	uint64_t id = side_submit(&r->a, side_row(&r->a, "1"));

	assert_int_equal(side_claim(&r->a), id);
	side_submit(&r->a, side_row(&r->a, "1"));
	rig_ask(r, "CONFIG SET maxmemory 1000000");
	op = rig_submit_op(side_row(&r->a, "1"));
	assert_int_equal(side_do(&r->a, op), QERR_STORE);
	store_op_free(op);
	rig_for(r, LEASE_MS);
	assert_int_equal(side_update(&r->a, id, TASK_RUNNING), QERR_NONE);
	assert_int_equal(side_finish(&r->a, id, TASK_DONE, "1"), QERR_NONE);
	assert_int_equal(
	    side_finish(&r->b, side_claim(&r->b), TASK_FAILED, NULL),
	    QERR_NONE);
	rig_ask(r, "CONFIG SET maxmemory 0");
	/* A look at it has to find that there is room. */
	RIG_UNTIL(r, r->a.well && r->a.words[0] == '\0');
	side_submit(&r->a, side_row(&r->a, "1"));
}

/* --- is it fit? ----------------------------------------------------------- */

static void
expect_refused(struct rig *r, const char *words)
{
	side_start(&r->a);
	RIG_UNTIL(r, r->a.words[0] != '\0');
	assert_false(r->a.well);
	if (strstr(r->a.words, words) == NULL)
		fail_msg("%s", r->a.words);
	assert_int_equal(shared_new_id(r->a.s), 0);
}

static void
an_unsafe_redis_is_refused_until_it_is_mended(void **state)
{
	struct rig *r = *state;

	rig_redis(r, "everysec", "no", NULL, NULL);
	expect_refused(r, "appendonly");
	rig_ask(r, "CONFIG SET appendonly yes");
	RIG_UNTIL(r, strstr(r->a.words, "CONFIG SET appendfsync always"));
	rig_ask(r, "CONFIG SET appendfsync always");
	RIG_UNTIL(r, r->a.well && r->a.words[0] == '\0');
	side_submit(&r->a, side_row(&r->a, "1"));
}

static void
a_redis_that_evicts_is_refused(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	rig_ask(r, "CONFIG SET maxmemory 100000000");
	rig_ask(r, "CONFIG SET maxmemory-policy allkeys-lru");
	r->durability = DURABLE_NONE;
	expect_refused(r, "noeviction");
}

static void
a_replica_is_refused(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	rig_ask(r, "REPLICAOF 127.0.0.1 1");
	expect_refused(r, "replica");
}

static void
a_lesser_durability_takes_a_lesser_redis(void **state)
{
	struct rig *r = *state;

	rig_redis(r, "everysec", "yes", NULL, NULL);
	r->durability = DURABLE_PROCESS;
	side_up(&r->a);
	side_down(&r->a, true);
	rig_ask(r, "CONFIG SET appendonly no");
	r->durability = DURABLE_NONE;
	side_up(&r->a);
	side_submit(&r->a, side_row(&r->a, "1"));
}

static void
config_that_may_not_be_asked_for_is_unsafe(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	rig_ask(r, "ACL SETUSER u on >p ~supervisord:* &supervisord@* +@all "
		   "-@admin -@dangerous +info +script|load");
	snprintf(r->url, sizeof r->url, "unix://u:p@%s?db=0", r->socket);
	expect_refused(r, "+config|get");
	rig_ask(r, "ACL SETUSER u +config|get");
	RIG_UNTIL(r, r->a.well);
	side_submit(&r->a, side_row(&r->a, "1"));
	assert_int_equal(side_state(&r->a, side_claim(&r->a)), TASK_QUEUED);
}

static void
a_wrong_password_is_said(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	rig_ask(r, "ACL SETUSER u on >right ~* &* +@all");
	snprintf(r->url, sizeof r->url, "unix://u:wrong@%s", r->socket);
	expect_refused(r, "WRONGPASS");
	assert_null(strstr(r->a.words, "wrong"));
}

static void
a_redis_that_is_not_there_is_waited_for(void **state)
{
	struct rig *r = *state;

	expect_refused(r, "No such file");
	rig_start(r);
	RIG_UNTIL(r, r->a.well && r->a.words[0] == '\0');
	side_submit(&r->a, side_row(&r->a, "1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define UP(name)   cmocka_unit_test_setup_teardown(name, setup_up, teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		UP(what_the_dead_had_is_queued_again_and_theirs_no_more),
		UP(who_comes_back_in_time_has_all_it_had),
		UP(many_claims_are_given_up_in_pieces),
		UP(who_leaves_gives_all_back_at_once),
		UP(a_lease_that_is_gone_is_begun_anew),
		UP(a_cancel_reaches_whom_the_task_comes_to),
		UP(a_cancel_waits_for_who_comes_back),
		UP(a_group_left_behind_is_seen_to),
		UP(nothing_is_lost_or_doubled_by_broken_connections),
		UP(lives_go_on_over_broken_connections),
		UP(a_full_queue_says_so_when_asked_again),
		UP(a_redis_that_stands_still_is_left_and_nothing_is_doubled),
		UP(a_redis_that_is_killed_loses_nothing),
		UP(what_is_asked_while_it_is_away_fails_at_once),
		UP(nobody_is_reaped_when_it_was_away_for_long),
		UP(nobody_is_reaped_when_it_stood_still),
		UP(a_redis_without_room_lets_tasks_end),
		TEST(an_unsafe_redis_is_refused_until_it_is_mended),
		TEST(a_redis_that_evicts_is_refused),
		TEST(a_replica_is_refused),
		TEST(a_lesser_durability_takes_a_lesser_redis),
		TEST(config_that_may_not_be_asked_for_is_unsafe),
		TEST(a_wrong_password_is_said),
		TEST(a_redis_that_is_not_there_is_waited_for),
#undef UP
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
