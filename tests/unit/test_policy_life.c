/*
 * The life of an instance: every state with every event against a golden list,
 * and each rule of SPEC's life of an instance on a made-up clock.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/master/policy/life.h"

#define MS NS_PER_MS
#define S  NS_PER_SEC

static const struct rules usual = {
	.autostart = true,
	.restart = RESTART_ALWAYS,
	.exit_codes = { 0 },
	.exit_codes_count = 1,
	.start_seconds = 1 * S,
	.start_retries = 2,
	.backoff = { 100 * MS, 1 * S, 10 * S, 2.0, 0.0 },
	.stop = { { SIGTERM, 10 * S }, { SIGKILL, 0 } },
	.stop_count = 2,
	.scope = SCOPE_PROCESS,
};

/* One instance on a made-up clock. */
struct world {
	struct life life;
	struct rules rules;
	struct life_output out;
	int64_t now;
};

static void
give(struct world *w, enum life_input_kind kind)
{
	struct life_input in = { .kind = kind, .now = w->now, .turn = true };

	life_step(&w->life, &w->rules, &in, &w->out);
}

static void
ends(struct world *w, bool success, bool no_exec)
{
	struct life_input in = { .kind = IN_EXIT,
		.now = w->now,
		.turn = true,
		.success = success,
		.no_exec = no_exec };

	life_step(&w->life, &w->rules, &in, &w->out);
}

static void
pass(struct world *w, int64_t ns)
{
	w->now += ns;
	if (w->life.deadline != 0 && w->now >= w->life.deadline)
		give(w, IN_TIMER);
}

static struct world
new_world(void)
{
	struct world w = { .rules = usual, .now = 1000 * S };

	life_init(&w.life, w.now);
	return w;
}

static struct world
running(void)
{
	struct world w = new_world();

	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	pass(&w, 1 * S);
	assert_int_equal(w.life.state, ST_RUNNING);
	return w;
}

#define assert_state(w, st)                                                    \
	assert_string_equal(                                                   \
	    life_state_names[(w).life.state], life_state_names[st])

/* --- the table ------------------------------------------------------------ */

/* clang-format off */
static const struct {
	enum life_state state;
	enum life_event event;
	enum life_state next;
} golden[] = {
	{ ST_STOPPED,  ON_UP,           ST_STARTING },
	{ ST_STOPPED,  ON_WAIT,         ST_WAITING },
	{ ST_WAITING,  ON_UP,           ST_STARTING },
	{ ST_WAITING,  ON_DOWN,         ST_STOPPED },
	{ ST_STARTING, ON_DOWN,         ST_STOPPING },
	{ ST_STARTING, ON_SPAWNED,      ST_STARTING },
	{ ST_STARTING, ON_NOT_SPAWNED,  ST_BACKOFF },
	{ ST_STARTING, ON_STARTED,      ST_RUNNING },
	{ ST_STARTING, ON_TIMER,        ST_STARTING },
	{ ST_STARTING, ON_FAILED,       ST_BACKOFF },
	{ ST_STARTING, ON_GAVE_UP,      ST_FATAL },
	{ ST_RUNNING,  ON_DOWN,         ST_STOPPING },
	{ ST_RUNNING,  ON_FAILED,       ST_BACKOFF },
	{ ST_RUNNING,  ON_GONE,         ST_STOPPED },
	{ ST_RUNNING,  ON_GAVE_UP,      ST_FATAL },
	{ ST_RUNNING,  ON_EXIT_AGAIN,   ST_STARTING },
	{ ST_RUNNING,  ON_EXIT_LATER,   ST_BACKOFF },
	{ ST_RUNNING,  ON_EXIT_DONE,    ST_EXITED },
	{ ST_BACKOFF,  ON_UP,           ST_STARTING },
	{ ST_BACKOFF,  ON_WAIT,         ST_WAITING },
	{ ST_BACKOFF,  ON_DOWN,         ST_STOPPED },
	{ ST_STOPPING, ON_SPAWNED,      ST_STOPPING },
	{ ST_STOPPING, ON_NOT_SPAWNED,  ST_STOPPED },
	{ ST_STOPPING, ON_GONE,         ST_STOPPED },
	{ ST_STOPPING, ON_GONE_LEAVING, ST_STOPPING },
	{ ST_STOPPING, ON_EMPTY,        ST_STOPPED },
	{ ST_STOPPING, ON_TIMER,        ST_STOPPING },
	{ ST_EXITED,   ON_UP,           ST_STARTING },
	{ ST_EXITED,   ON_WAIT,         ST_WAITING },
	{ ST_FATAL,    ON_UP,           ST_STARTING },
	{ ST_FATAL,    ON_WAIT,         ST_WAITING },
	{ ST_UNKNOWN,  ON_UP,           ST_STARTING },
	{ ST_UNKNOWN,  ON_WAIT,         ST_WAITING },
};

/* clang-format on */

static void
every_state_with_every_event_is_as_written_here(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ST_COUNT; s++) {
		for (unsigned e = 0; e < ON_COUNT; e++) {
			enum life_state next = ST_COUNT, want = ST_COUNT;

			for (size_t i = 0; i < N_ELEMENTS(golden); i++) {
				if (golden[i].state == s &&
				    golden[i].event == e)
					want = golden[i].next;
			}
			if (!life_has_row(s, e, &next))
				next = ST_COUNT;
			if (next != want)
				fail_msg("%s on \"%s\": state %d, not %d",
				    life_state_names[s], life_event_names[e],
				    (int)next, (int)want);
		}
	}
}

/* --- starting ------------------------------------------------------------- */

static void
start_becomes_running_after_start_seconds(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	assert_state(w, ST_STARTING);
	assert_true(w.out.actions & LIFE_LAUNCH);
	give(&w, IN_SPAWNED);
	assert_state(w, ST_STARTING);
	pass(&w, 999 * MS);
	assert_state(w, ST_STARTING);
	pass(&w, 1 * MS);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.life.deadline, 0);
}

static void
start_with_start_seconds_0_is_running_at_once(void **state)
{
	struct world w = new_world();

	(void)state;
	w.rules.start_seconds = 0;
	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	assert_state(w, ST_RUNNING);
}

static void
failed_starts_back_off_and_end_in_fatal(void **state)
{
	const int64_t delays[] = { 100 * MS, 200 * MS };
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	for (size_t i = 0; i < N_ELEMENTS(delays); i++) {
		give(&w, IN_SPAWNED);
		ends(&w, false, false);
		assert_state(w, ST_BACKOFF);
		assert_int_equal(w.out.delay, delays[i]);
		pass(&w, delays[i]);
		assert_state(w, ST_STARTING);
		assert_true(w.out.actions & LIFE_LAUNCH);
	}
	give(&w, IN_SPAWNED);
	ends(&w, false, false);
	assert_state(w, ST_FATAL);
	assert_int_equal(w.life.failures, 3);
	pass(&w, 3600 * S);
	assert_state(w, ST_FATAL);
}

static void
an_expected_exit_while_starting_is_a_failed_start_too(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	ends(&w, true, false);
	assert_state(w, ST_BACKOFF);
}

static void
a_command_that_never_ran_gives_up_though_start_seconds_is_0(void **state)
{
	struct world w = new_world();

	(void)state;
	w.rules.start_seconds = 0;
	give(&w, IN_WANT_UP);
	for (int i = 0; i < 3; i++) {
		assert_state(w, ST_STARTING);
		give(&w, IN_SPAWNED);
		ends(&w, false, true);
		pass(&w, 10 * S);
	}
	assert_state(w, ST_FATAL);
}

static void
start_retries_minus_1_never_gives_up(void **state)
{
	struct world w = new_world();

	(void)state;
	w.rules.start_retries = -1;
	give(&w, IN_WANT_UP);
	for (int i = 0; i < 1000; i++) {
		give(&w, IN_SPAWNED);
		ends(&w, false, false);
		assert_state(w, ST_BACKOFF);
		assert_true(w.out.delay <= 1 * S);
		pass(&w, 1 * S);
		assert_state(w, ST_STARTING);
	}
}

static void
no_room_for_a_process_is_retried_and_not_counted(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	for (int i = 0; i < 100; i++) {
		give(&w, IN_NOT_SPAWNED);
		assert_state(w, ST_BACKOFF);
		assert_int_equal(w.life.failures, 0);
		pass(&w, 1 * S);
		assert_state(w, ST_STARTING);
	}
}

static void
a_start_out_of_turn_waits(void **state)
{
	struct world w = new_world();
	struct life_input in = { .kind = IN_WANT_UP, .now = w.now };

	(void)state;
	life_step(&w.life, &w.rules, &in, &w.out);
	assert_state(w, ST_WAITING);
	assert_false(w.out.actions & LIFE_LAUNCH);
	give(&w, IN_TURN);
	assert_state(w, ST_STARTING);
}

/* --- ends ----------------------------------------------------------------- */

static void
a_long_life_is_restarted_at_once(void **state)
{
	struct world w = running();

	(void)state;
	pass(&w, 10 * S);
	ends(&w, false, false);
	assert_state(w, ST_STARTING);
	assert_true(w.out.actions & LIFE_LAUNCH);
	assert_int_equal(w.life.restarts, 1);
}

static void
short_lives_wait_longer_each_time_until_a_long_one(void **state)
{
	struct world w = running();
	const int64_t delays[] = { 100 * MS, 200 * MS, 400 * MS, 800 * MS,
		1 * S, 1 * S };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(delays); i++) {
		ends(&w, true, false);
		assert_state(w, ST_BACKOFF);
		assert_int_equal(w.out.delay, delays[i]);
		pass(&w, delays[i]);
		give(&w, IN_SPAWNED);
		pass(&w, 1 * S);
		assert_state(w, ST_RUNNING);
	}
	pass(&w, 10 * S);
	ends(&w, true, false);
	assert_state(w, ST_STARTING);
	give(&w, IN_SPAWNED);
	pass(&w, 1 * S);
	ends(&w, true, false);
	assert_int_equal(w.out.delay, 100 * MS);
}

static void
jitter_stays_within_its_share(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct world w = running();
		struct life_input in = { .kind = IN_EXIT,
			.now = w.now,
			.turn = true,
			.dice = i / 100. };

		w.rules.backoff.jitter = 0.1;
		life_step(&w.life, &w.rules, &in, &w.out);
		assert_in_range(w.out.delay, 90 * MS, 110 * MS);
	}
}

static void
restart_rules(void **state)
{
	static const struct {
		enum restart_mode mode;
		bool success;
		enum life_state next;
	} cases[] = {
		{ RESTART_ALWAYS, true, ST_STARTING },
		{ RESTART_ALWAYS, false, ST_STARTING },
		{ RESTART_ON_FAILURE, true, ST_EXITED },
		{ RESTART_ON_FAILURE, false, ST_STARTING },
		{ RESTART_NEVER, true, ST_EXITED },
		{ RESTART_NEVER, false, ST_EXITED },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct world w = running();

		w.rules.restart = cases[i].mode;
		pass(&w, 20 * S);
		ends(&w, cases[i].success, false);
		assert_state(w, cases[i].next);
	}
}

static void
a_crash_takes_what_it_left_with_it(void **state)
{
	struct world w = running();

	(void)state;
	w.rules.scope = SCOPE_TREE;
	pass(&w, 20 * S);
	ends(&w, false, false);
	assert_true(w.out.actions & LIFE_TREE_KILL);
	assert_true(w.out.actions & LIFE_LAUNCH);
}

/* --- stopping ------------------------------------------------------------- */

static void
stop_climbs_the_ladder(void **state)
{
	struct world w = running();

	(void)state;
	w.rules.stop[0] = (struct stop_step){ SIGTERM, 10 * S };
	w.rules.stop[1] = (struct stop_step){ SIGQUIT, 5 * S };
	w.rules.stop[2] = (struct stop_step){ SIGKILL, 0 };
	w.rules.stop_count = 3;
	give(&w, IN_WANT_DOWN);
	assert_state(w, ST_STOPPING);
	assert_int_equal(w.out.signo, SIGTERM);
	pass(&w, 10 * S);
	assert_int_equal(w.out.signo, SIGQUIT);
	pass(&w, 5 * S);
	assert_int_equal(w.out.signo, SIGKILL);
	assert_int_equal(w.life.deadline, 0);
	ends(&w, false, false);
	assert_state(w, ST_STOPPED);
	pass(&w, 3600 * S);
	assert_state(w, ST_STOPPED);
}

static void
stop_while_spawning_waits_for_the_process(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	give(&w, IN_WANT_DOWN);
	assert_state(w, ST_STOPPING);
	assert_false(w.out.actions & LIFE_SIGNAL);
	give(&w, IN_SPAWNED);
	assert_true(w.out.actions & LIFE_SIGNAL);
	assert_int_equal(w.out.signo, SIGTERM);
	ends(&w, false, false);
	assert_state(w, ST_STOPPED);
}

static void
stop_while_spawning_that_fails_is_stopped(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	give(&w, IN_WANT_DOWN);
	give(&w, IN_NOT_SPAWNED);
	assert_state(w, ST_STOPPED);
}

static void
start_while_stopping_starts_again(void **state)
{
	struct world w = running();

	(void)state;
	give(&w, IN_WANT_DOWN);
	give(&w, IN_WANT_UP);
	assert_state(w, ST_STOPPING);
	ends(&w, true, false);
	assert_state(w, ST_STARTING);
	assert_int_equal(w.out.count, 2);
	assert_int_equal(w.out.changes[0].to, ST_STOPPED);
	assert_int_equal(w.out.changes[1].to, ST_STARTING);
}

static void
restart_is_a_stop_and_a_start(void **state)
{
	struct world w = running();

	(void)state;
	give(&w, IN_BOUNCE);
	assert_state(w, ST_STOPPING);
	ends(&w, true, false);
	assert_state(w, ST_STARTING);
	assert_int_equal(w.life.bounce, 0);
	assert_int_equal(w.life.restarts, 0);
	give(&w, IN_SPAWNED);
	pass(&w, 1 * S);
	assert_state(w, ST_RUNNING);
}

static void
a_stop_in_backoff_is_immediate(void **state)
{
	struct world w = running();

	(void)state;
	ends(&w, false, false);
	assert_state(w, ST_BACKOFF);
	give(&w, IN_WANT_DOWN);
	assert_state(w, ST_STOPPED);
	assert_int_equal(w.life.deadline, 0);
}

static void
a_start_in_backoff_does_not_wait(void **state)
{
	struct world w = running();

	(void)state;
	ends(&w, false, false);
	give(&w, IN_WANT_UP);
	assert_state(w, ST_STARTING);
}

static void
a_start_pardons_a_fatal_one(void **state)
{
	struct world w = new_world();

	(void)state;
	w.rules.start_retries = 0;
	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	ends(&w, false, false);
	assert_state(w, ST_FATAL);
	give(&w, IN_WANT_UP);
	assert_state(w, ST_STARTING);
	assert_int_equal(w.life.failures, 0);
}

static void
scope_tree_waits_for_the_descendants(void **state)
{
	struct world w = running();

	(void)state;
	w.rules.scope = SCOPE_TREE;
	give(&w, IN_WANT_DOWN);
	ends(&w, true, false);
	assert_state(w, ST_STOPPING);
	assert_true(w.out.actions & LIFE_TREE);
	assert_int_equal(w.out.tree_signo, SIGTERM);
	pass(&w, 10 * S);
	assert_true(w.out.actions & LIFE_TREE);
	assert_int_equal(w.out.tree_signo, SIGKILL);
	give(&w, IN_EMPTY);
	assert_state(w, ST_STOPPED);
}

static void
one_that_says_it_is_up_has_started(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_READY); /* too early: there is no process */
	assert_state(w, ST_STOPPED);
	give(&w, IN_WANT_UP);
	give(&w, IN_READY);
	assert_state(w, ST_STARTING);
	give(&w, IN_SPAWNED);
	assert_state(w, ST_STARTING);
	give(&w, IN_READY);
	assert_state(w, ST_RUNNING);
	give(&w, IN_READY);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.life.surprises, 0);
}

static struct world
announcing(void)
{
	struct world w = new_world();

	w.rules.announces = true;
	w.rules.start_seconds = 0;
	w.rules.start_timeout = 60 * S;
	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	assert_state(w, ST_STARTING);
	return w;
}

static void
one_that_is_to_say_so_is_not_started_before(void **state)
{
	struct world w = announcing();

	(void)state;
	pass(&w, 59 * S);
	assert_state(w, ST_STARTING);
	give(&w, IN_READY);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.life.deadline, 0);
}

static void
one_that_does_not_say_so_in_time_has_failed(void **state)
{
	struct world w = announcing();

	(void)state;
	pass(&w, 60 * S);
	assert_state(w, ST_STARTING);
	assert_true(w.out.actions & LIFE_SIGNAL);
	assert_int_equal(w.out.signo, SIGKILL);
	ends(&w, false, false);
	assert_state(w, ST_BACKOFF);
	assert_int_equal(w.life.failures, 1);
}

static void
time_in_which_nobody_hears_it_does_not_count(void **state)
{
	struct world w = announcing();
	struct life_input deaf = {
		.kind = IN_TIMER, .now = w.now + 60 * S, .deaf = true
	};

	(void)state;
	life_step(&w.life, &w.rules, &deaf, &w.out);
	assert_false(w.out.actions & LIFE_SIGNAL);
	assert_int_equal(w.life.deadline, 0);
	w.now += 3600 * S;
	give(&w, IN_HEARD);
	assert_int_equal(w.life.deadline, w.now + 60 * S);
	give(&w, IN_READY);
	give(&w, IN_HEARD);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.life.deadline, 0);
}

static void
a_hard_restart_kills_at_once(void **state)
{
	struct world w = running();
	struct life_input in = {
		.kind = IN_BOUNCE, .now = w.now, .turn = true, .hard = true
	};

	(void)state;
	life_step(&w.life, &w.rules, &in, &w.out);
	assert_state(w, ST_STOPPING);
	assert_true(w.out.actions & LIFE_SIGNAL);
	assert_int_equal(w.out.signo, SIGKILL);
	ends(&w, false, false);
	assert_state(w, ST_STARTING);
}

static void
finish(struct world *w, bool leave)
{
	struct life_input in = {
		.kind = IN_FINISH, .now = w->now, .turn = true, .leave = leave
	};

	life_step(&w->life, &w->rules, &in, &w->out);
}

static void
one_that_finishes_is_stopped_when_it_has(void **state)
{
	(void)state;
	for (int leave = 0; leave < 2; leave++) {
		struct world w = running();

		finish(&w, leave != 0);
		assert_state(w, ST_RUNNING);
		assert_int_equal(w.out.actions, LIFE_FINISH);
		pass(&w, 3600 * S);
		finish(&w, leave != 0);
		assert_state(w, ST_RUNNING);
		assert_int_equal(w.out.actions, 0);
		give(&w, IN_FINISHED);
		assert_state(w, ST_STOPPING);
		assert_int_equal(w.out.signo, SIGTERM);
		ends(&w, true, false);
		assert_state(w, leave ? ST_STOPPED : ST_STARTING);
		assert_int_equal(w.life.restarts, 0);
	}
}

static void
a_wish_does_not_wait_for_one_that_finishes(void **state)
{
	static const enum life_input_kind kinds[] = { IN_WANT_DOWN, IN_BOUNCE };

	(void)state;
	for (int leave = 0; leave < 2; leave++) {
		for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
			struct world w = running();
			bool back = kinds[i] == IN_BOUNCE && !leave;

			finish(&w, leave != 0);
			give(&w, kinds[i]);
			assert_state(w, ST_STOPPING);
			assert_int_equal(w.out.signo, SIGTERM);
			assert_int_equal(w.life.deadline, w.now + 10 * S);
			give(&w, IN_FINISHED); /* late */
			ends(&w, true, false);
			assert_state(w, back ? ST_STARTING : ST_STOPPED);
		}
	}
}

static void
one_that_ends_while_it_finishes_has_done_as_asked(void **state)
{
	(void)state;
	for (int leave = 0; leave < 2; leave++) {
		struct world w = running();

		finish(&w, leave != 0);
		ends(&w, false, false);
		assert_state(w, leave ? ST_STOPPED : ST_STARTING);
		assert_int_equal(w.life.finishing, 0);
	}
}

static void
a_start_pardons_one_that_finishes_to_leave(void **state)
{
	struct world w = running();

	(void)state;
	finish(&w, true);
	give(&w, IN_WANT_UP);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.out.actions, LIFE_FINISH);
	assert_int_equal(w.life.finishing, 0);
	/* One that is to be replaced is so still. */
	finish(&w, false);
	give(&w, IN_WANT_UP);
	assert_int_equal(w.life.finishing, 1);
	give(&w, IN_FINISHED);
	assert_state(w, ST_STOPPING);
}

static void
one_that_does_not_run_has_nothing_to_finish(void **state)
{
	struct world w = new_world();

	(void)state;
	give(&w, IN_WANT_UP);
	give(&w, IN_SPAWNED);
	finish(&w, true);
	assert_state(w, ST_STOPPING);
}

static void
a_late_empty_changes_nothing(void **state)
{
	struct world w = running();

	(void)state;
	give(&w, IN_EMPTY);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.life.surprises, 0);
}

/* --- what else happens to it ---------------------------------------------- */

static void
new_rules_move_the_deadline(void **state)
{
	struct world w = running();

	(void)state;
	give(&w, IN_WANT_DOWN);
	w.rules.stop[0].wait = 2 * S;
	life_rules_changed(&w.life, &w.rules, w.now, &w.out);
	assert_true(w.out.actions & LIFE_TIMER);
	assert_int_equal(w.life.deadline, w.now + 2 * S);
}

static void
a_shorter_ladder_does_not_leave_it_beyond_the_end(void **state)
{
	struct world w = running();

	(void)state;
	w.rules.stop[2] = w.rules.stop[1] = w.rules.stop[0];
	w.rules.stop[3] = (struct stop_step){ SIGKILL, 0 };
	w.rules.stop_count = 4;
	give(&w, IN_WANT_DOWN);
	pass(&w, 10 * S);
	pass(&w, 10 * S);
	w.rules = usual;
	life_rules_changed(&w.life, &w.rules, w.now, &w.out);
	assert_int_equal(w.life.step, 1);
	assert_true(w.out.actions & LIFE_SIGNAL);
	assert_int_equal(w.out.signo, SIGKILL);
}

static void
one_that_was_found_is_running_unless_unwanted(void **state)
{
	struct world w = new_world();

	(void)state;
	w.life.wanted = 1;
	life_adopt(&w.life, &w.rules, w.now - 50 * S, w.now, &w.out);
	assert_state(w, ST_RUNNING);
	assert_int_equal(w.out.count, 1);
	w = new_world();
	life_adopt(&w.life, &w.rules, w.now - 50 * S, w.now, &w.out);
	assert_state(w, ST_STOPPING);
	assert_int_equal(w.out.signo, SIGTERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    every_state_with_every_event_is_as_written_here),
		cmocka_unit_test(start_becomes_running_after_start_seconds),
		cmocka_unit_test(start_with_start_seconds_0_is_running_at_once),
		cmocka_unit_test(failed_starts_back_off_and_end_in_fatal),
		cmocka_unit_test(
		    an_expected_exit_while_starting_is_a_failed_start_too),
		cmocka_unit_test(
		    a_command_that_never_ran_gives_up_though_start_seconds_is_0),
		cmocka_unit_test(start_retries_minus_1_never_gives_up),
		cmocka_unit_test(
		    no_room_for_a_process_is_retried_and_not_counted),
		cmocka_unit_test(a_start_out_of_turn_waits),
		cmocka_unit_test(a_long_life_is_restarted_at_once),
		cmocka_unit_test(
		    short_lives_wait_longer_each_time_until_a_long_one),
		cmocka_unit_test(jitter_stays_within_its_share),
		cmocka_unit_test(restart_rules),
		cmocka_unit_test(a_crash_takes_what_it_left_with_it),
		cmocka_unit_test(stop_climbs_the_ladder),
		cmocka_unit_test(stop_while_spawning_waits_for_the_process),
		cmocka_unit_test(stop_while_spawning_that_fails_is_stopped),
		cmocka_unit_test(start_while_stopping_starts_again),
		cmocka_unit_test(restart_is_a_stop_and_a_start),
		cmocka_unit_test(a_stop_in_backoff_is_immediate),
		cmocka_unit_test(a_start_in_backoff_does_not_wait),
		cmocka_unit_test(a_start_pardons_a_fatal_one),
		cmocka_unit_test(scope_tree_waits_for_the_descendants),
		cmocka_unit_test(one_that_says_it_is_up_has_started),
		cmocka_unit_test(one_that_is_to_say_so_is_not_started_before),
		cmocka_unit_test(one_that_does_not_say_so_in_time_has_failed),
		cmocka_unit_test(time_in_which_nobody_hears_it_does_not_count),
		cmocka_unit_test(a_hard_restart_kills_at_once),
		cmocka_unit_test(one_that_finishes_is_stopped_when_it_has),
		cmocka_unit_test(a_wish_does_not_wait_for_one_that_finishes),
		cmocka_unit_test(
		    one_that_ends_while_it_finishes_has_done_as_asked),
		cmocka_unit_test(a_start_pardons_one_that_finishes_to_leave),
		cmocka_unit_test(one_that_does_not_run_has_nothing_to_finish),
		cmocka_unit_test(a_late_empty_changes_nothing),
		cmocka_unit_test(new_rules_move_the_deadline),
		cmocka_unit_test(
		    a_shorter_ladder_does_not_leave_it_beyond_the_end),
		cmocka_unit_test(one_that_was_found_is_running_unless_unwanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
