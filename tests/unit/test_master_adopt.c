/*
 * A master that is killed at any moment, and the next one: with a guardian that
 * is a socket pair, and the memory the first has left.
 */

#include "tests/unit/master_rig.h"

#include "supervisord/master/teams.h"

static const struct actor user = { .uid = 0, .pid = 1, .command = "test" };

/* The messages expected next, in order, ended by 0. */
static void
expect(struct rig *r, const unsigned *types)
{
	struct msg msg;

	for (; *types != 0; types++)
		assert_int_equal(rig_next(r, &msg), *types);
	assert_int_equal(rig_next(r, &msg), 0);
}

#define EXPECT(r, ...) expect(r, (const unsigned[]){ __VA_ARGS__, 0 })

static struct msg_child *
one_running(struct rig *r)
{
	struct msg_child *c;
	struct msg msg;

	rig_init(r);
	rig_worker(r, "web", 1);
	rig_start(r);
	assert_int_equal(rig_next(r, &msg), MSG_LAUNCH);
	c = rig_launched(r, &msg, 5);
	rig_check(r);
	return c;
}

static void
first_start_launches_what_is_to_be_up(void **state)
{
	struct msg msg;
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 2);
	rig_worker(&r, "idle", 1)->rules.autostart = false;
	rig_start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_string_equal(msg.u.LAUNCH.name, "web:0");
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_string_equal(msg.u.LAUNCH.name, "web:1");
	assert_int_equal(rig_next(&r, &msg), 0);
	assert_int_equal(rig_state(&r, "idle:0"), ST_STOPPED);
	rig_check(&r);
}

static void
what_lives_is_not_touched(void **state)
{
	struct rig r;

	(void)state;
	one_running(&r);
	rig_kill(&r);
	rig_start(&r);
	EXPECT(&r, 0);
	assert_int_equal(rig_state(&r, "web:0"), ST_STARTING);
	assert_true(rig_find(&r, "web:0")->row->life.alive);
	rig_check(&r);
}

static void
a_launch_nobody_heard_of_is_asked_for_again(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1);
	rig_start(&r);
	rig_kill(&r);
	rig_start(&r);
	EXPECT(&r, MSG_LAUNCH);
	rig_check(&r);
}

static void
a_launch_the_guardian_heard_of_is_not(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1);
	rig_start(&r);
	rig_kill(&r);
	r.children[r.count++] = (struct msg_child){ .slot = 3,
		.gen = 1,
		.pid = 1000003,
		.state = CHILD_ALIVE,
		.started_mono = clock_mono(),
		.tag = 77,
		.name = "web:0" };
	rig_start(&r);
	EXPECT(&r, 0);
	assert_int_equal(rig_find(&r, "web:0")->row->pid, 1000003);
	rig_check(&r);
}

static void
a_step_that_was_not_committed_has_not_been(void **state)
{
	struct memory_row *row;
	struct msg_child *c;
	struct rig r;

	(void)state;
	c = one_running(&r);
	row = rig_find(&r, "web:0")->row;
	memory_begin(r.m->memory, row);
	row->life.alive = 0; /* killed in the middle of the exit */
	row->life.launching = 1;
	row->tag = 1;
	rig_kill(&r);
	rig_exits(c, CLD_KILLED, SIGSEGV);
	rig_start(&r);
	assert_int_equal(rig_state(&r, "web:0"), ST_BACKOFF);
	assert_int_equal(rig_find(&r, "web:0")->row->exit.signo, SIGSEGV);
	rig_check(&r);
}

static void
an_exit_told_again_is_an_old_one(void **state)
{
	struct msg_child *c;
	struct rig r;

	(void)state;
	c = one_running(&r);
	rig_exits(c, CLD_EXITED, 1);
	drive_exited(r.m, c);
	assert_int_equal(rig_state(&r, "web:0"), ST_BACKOFF);
	rig_kill(&r);
	rig_start(&r);
	assert_int_equal(rig_state(&r, "web:0"), ST_BACKOFF);
	assert_int_equal(rig_find(&r, "web:0")->row->life.failures, 1);
	rig_check(&r);
}

static void
an_exit_in_between_is_dealt_with(void **state)
{
	struct msg_child *c;
	struct rig r;

	(void)state;
	c = one_running(&r);
	drive_down(r.m, rig_find(&r, "web:0"), &user);
	EXPECT(&r, MSG_KILL);
	rig_kill(&r);
	rig_exits(c, CLD_KILLED, SIGTERM);
	rig_start(&r);
	EXPECT(&r, MSG_TREE);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPING);
	drive_empty(r.m, 5, 1);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPED);
	rig_check(&r);
	/* It stays down, as its user said. */
	r.count = 0;
	rig_kill(&r);
	rig_start(&r);
	EXPECT(&r, 0);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPED);
}

static void
an_exit_in_between_is_followed_by_one_launch(void **state)
{
	struct msg_child *c;
	struct rig r;

	(void)state;
	c = one_running(&r);
	r.workers[0].rules.backoff.reset_after = 0;
	r.workers[0].rules.start_seconds = 0;
	rig_find(&r, "web:0")->row->life.state = ST_RUNNING;
	rig_kill(&r);
	rig_exits(c, CLD_EXITED, 0);
	rig_start(&r);
	EXPECT(&r, MSG_LAUNCH, MSG_TREE);
	assert_int_equal(rig_state(&r, "web:0"), ST_STARTING);
	rig_check(&r);
}

static void
the_end_of_descendants_is_asked_for_again(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;

	(void)state;
	c = one_running(&r);
	drive_down(r.m, rig_find(&r, "web:0"), &user);
	rig_exits(c, CLD_KILLED, SIGTERM);
	drive_exited(r.m, c);
	EXPECT(&r, MSG_KILL, MSG_TREE);
	rig_kill(&r);
	r.count = 0; /* it was acknowledged */
	rig_start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_TREE);
	assert_int_equal(msg.u.TREE.slot, 5);
	assert_int_equal(msg.u.TREE.tell, 1);
	rig_check(&r);
	drive_empty(r.m, 5, 1);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPED);
	rig_check(&r);
}

static void
a_signal_that_may_be_unheard_is_sent_again(void **state)
{
	struct msg msg;
	struct rig r;

	(void)state;
	one_running(&r);
	drive_down(r.m, rig_find(&r, "web:0"), &user);
	EXPECT(&r, MSG_KILL);
	rig_kill(&r);
	rig_start(&r);
	EXPECT(&r, 0); /* once is enough */
	rig_find(&r, "web:0")->row->unheard = LIFE_SIGNAL;
	rig_kill(&r);
	rig_start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGTERM);
	rig_check(&r);
}

static void
one_that_is_not_wanted_is_not_launched_again(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1);
	rig_start(&r);
	drive_down(r.m, rig_find(&r, "web:0"), &user);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPING);
	rig_kill(&r);
	rig_start(&r);
	EXPECT(&r, 0);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPED);
	rig_check(&r);
}

static void
turns_are_granted_though_nobody_is_starting(void **state)
{
	struct msg msg;
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 3);
	r.fleet.settings.max_starting = 1;
	rig_start(&r);
	EXPECT(&r, MSG_LAUNCH);
	assert_int_equal(rig_state(&r, "web:2"), ST_WAITING);
	rig_check(&r);
	/* The one that is starting never was. */
	memory_free(r.m->memory, rig_find(&r, "web:0")->row);
	rig_kill(&r);
	rig_start(&r);
	assert_int_equal(r.m->crew.starting, 1);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	rig_check(&r);
}

static void
lost_memory_ends_nobody(void **state)
{
	struct rig r;

	(void)state;
	one_running(&r);
	rig_kill(&r);
	close(r.memory);
	r.memory = -1;
	rig_start(&r);
	EXPECT(&r, 0);
	assert_int_equal(rig_state(&r, "web:0"), ST_RUNNING);
	assert_true(rig_find(&r, "web:0")->row->life.wanted);
	rig_check(&r);
}

static void
lost_memory_and_an_exit_start_it_again(void **state)
{
	struct msg_child *c;
	struct rig r;

	(void)state;
	c = one_running(&r);
	rig_kill(&r);
	close(r.memory);
	r.memory = -1;
	rig_exits(c, CLD_EXITED, 0);
	rig_start(&r);
	assert_int_equal(rig_state(&r, "web:0"), ST_BACKOFF);
	rig_check(&r);
}

static void
odd_names_of_children_do_no_harm(void **state)
{
	static const char *const names[] = { "web", "web:007", "web:4294967295",
		"web:99999999", "web:", ":1", "web:x", "=web", "" };
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1);
	for (size_t i = 0; i < N_ELEMENTS(names) && r.count < RIG_CHILDREN;
	     i++) {
		struct msg_child *c = &r.children[r.count++];

		*c = (struct msg_child){ .slot = 4000000000U,
			.pid = 4000000,
			.state = CHILD_ALIVE };
		snprintf(c->name, sizeof c->name, "%s", names[i]);
	}
	log_setup(LOG_LEVEL_ERROR, false, open("/dev/null", 1));
	rig_start(&r);
	assert_int_equal(r.m->crew.count, 1);
	rig_check(&r);
}

static void
what_left_the_config_is_ended_and_forgotten(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;

	(void)state;
	c = one_running(&r);
	rig_kill(&r);
	r.fleet.count = 0;
	rig_worker(&r, "other", 0);
	rig_start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPING);
	rig_check(&r);
	rig_exits(c, CLD_KILLED, SIGTERM);
	drive_exited(r.m, c);
	drive_empty(r.m, 5, 1);
	assert_null(crew_team(&r.m->crew, "web"));
	assert_int_equal(r.m->crew.count, 0);
	rig_check(&r);
}

/* The team goes with its last instance, while teams are walked. */
static void
what_left_the_config_and_has_ended_is_forgotten(void **state)
{
	struct rig r;

	(void)state;
	one_running(&r);
	rig_find(&r, "web:0")->row->life.wanted = 0;
	rig_kill(&r);
	r.fleet.count = 0;
	r.count = 0;
	rig_worker(&r, "other", 1);
	log_setup(LOG_LEVEL_ERROR, false, -1);
	rig_start(&r);
	assert_non_null(rig_find(&r, "other:0"));
	rig_check(&r);
}

static void
a_number_of_a_user_outlives_the_master(void **state)
{
	struct msg msg;
	struct team *team;
	struct rig r;

	(void)state;
	one_running(&r);
	team = crew_team(&r.m->crew, "web");
	team->scaled = true;
	team_resize(r.m, team, 3, &user, NULL);
	team_remember_scale(r.m, team);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	rig_kill(&r);
	rig_start(&r);
	assert_int_equal(r.m->crew.count, 3);
	assert_true(crew_team(&r.m->crew, "web")->scaled);
	rig_check(&r);
}

static void
exit_with_holds_though_the_master_was_killed(void **state)
{
	static char job[] = "job";
	struct msg_child *c;
	struct rig r;

	(void)state;
	rig_init(&r);
	r.fleet.settings.exit_with = job;
	rig_worker(&r, "job", 1)->rules.restart = RESTART_NEVER;
	r.workers[0].rules.start_seconds = 0;
	rig_worker(&r, "web", 1);
	rig_start(&r);
	{
		struct msg msg;

		assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
		c = rig_launched(&r, &msg, 5);
		assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
		rig_launched(&r, &msg, 6);
	}
	rig_kill(&r);
	rig_exits(c, CLD_EXITED, 3);
	rig_start(&r);
	assert_int_equal(r.m->phase, PHASE_STOPPING);
	assert_int_equal(r.m->exit_status, 3);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPING);
	assert_false(r.m->finishing);
	rig_check(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_start_launches_what_is_to_be_up),
		cmocka_unit_test(what_lives_is_not_touched),
		cmocka_unit_test(a_launch_nobody_heard_of_is_asked_for_again),
		cmocka_unit_test(a_launch_the_guardian_heard_of_is_not),
		cmocka_unit_test(a_step_that_was_not_committed_has_not_been),
		cmocka_unit_test(an_exit_told_again_is_an_old_one),
		cmocka_unit_test(an_exit_in_between_is_dealt_with),
		cmocka_unit_test(an_exit_in_between_is_followed_by_one_launch),
		cmocka_unit_test(the_end_of_descendants_is_asked_for_again),
		cmocka_unit_test(a_signal_that_may_be_unheard_is_sent_again),
		cmocka_unit_test(one_that_is_not_wanted_is_not_launched_again),
		cmocka_unit_test(turns_are_granted_though_nobody_is_starting),
		cmocka_unit_test(lost_memory_ends_nobody),
		cmocka_unit_test(lost_memory_and_an_exit_start_it_again),
		cmocka_unit_test(odd_names_of_children_do_no_harm),
		cmocka_unit_test(what_left_the_config_is_ended_and_forgotten),
		cmocka_unit_test(
		    what_left_the_config_and_has_ended_is_forgotten),
		cmocka_unit_test(a_number_of_a_user_outlives_the_master),
		cmocka_unit_test(exit_with_holds_though_the_master_was_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
