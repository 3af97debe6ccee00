/*
 * The master and the broker: whether there is to be one, who is said to be
 * stopping before any signal, what the broker asks for and gets.
 */

#include "tests/unit/master_rig.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "supervisord/master/exits.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/teams.h"
#include "supervisord/master/to_broker.h"

static const struct actor user = { .uid = 0, .pid = 1, .command = "test" };

static struct worker *
hybrid(struct rig *r, const char *name, unsigned processes)
{
	struct worker *w = rig_worker(r, name, processes);

	w->hybrid = true;
	w->threads = 4;
	w->tasks.retries = 3;
	w->tasks.timeout = 1500 * NS_PER_MS;
	w->tasks.backoff.factor = 2.0;
	w->tasks.key_rate = 0.5;
	return w;
}

/* One of "thumbs" in RUNNING, its slot 5. */
static struct msg_child *
running(struct rig *r)
{
	struct msg_child *c;
	struct msg msg;

	assert_int_equal(rig_next(r, &msg), MSG_LAUNCH);
	assert_int_equal(msg.u.LAUNCH.threads, 4);
	c = rig_launched(r, &msg, 5);
	assert_int_equal(rig_state(r, "thumbs:0"), ST_RUNNING);
	return c;
}

static void
begin(struct rig *r)
{
	struct msg msg;

	rig_init(r);
	hybrid(r, "thumbs", 1)->rules.start_seconds = 0;
	rig_start(r);
	assert_int_equal(rig_next(r, &msg), MSG_BROKER_WANTED);
}

/* A broker comes up; its end of the channel. */
static int
broker(struct rig *r)
{
	struct msg msg;

	to_broker_connect(r->m, 4711);
	while (channel_receive(r->guardian, &msg) == 1) {
		if (msg.type == MSG_BROKER_PEER)
			return msg.fd;
		if (msg.fd >= 0)
			close(msg.fd);
	}
	fail_msg("no BROKER_PEER");
	return -1;
}

static void
say(struct rig *r, int fd, enum msg_type type, const void *body,
    const char *words)
{
	assert_int_equal(channel_send(fd, type, body, words,
			     words != NULL ? strlen(words) + 1 : 0, -1),
	    0);
	for (int i = 0; i < 3; i++)
		ev_run(r->m->loop, EVRUN_NOWAIT);
}

/* The next message that is more than the greeting of a new process; 0: none.
 */
static int
next_word(int fd, struct msg *msg)
{
	int r;

	do
		r = channel_receive(fd, msg);
	while (r == 1 && msg->type == MSG_STOPPING &&
	       msg->u.STOPPING.stopping == STOPPING_NOT);
	return r;
}

static void
expect_said(int fd, uint32_t slot, enum stopping_how how)
{
	struct msg msg;

	assert_int_equal(next_word(fd, &msg), 1);
	assert_int_equal(msg.type, MSG_STOPPING);
	assert_int_equal(msg.u.STOPPING.slot, slot);
	assert_int_equal(msg.u.STOPPING.gen, 1);
	assert_int_equal(msg.u.STOPPING.stopping, how);
}

static void
expect_stopping(int fd, uint32_t slot)
{
	expect_said(fd, slot, STOPPING_NOW);
}

/* It runs until the broker says that it has done its tasks. Without a broker
 * (-1) the next one does. */
static void
finishes(struct rig *r, int fd, uint32_t slot)
{
	const struct msg_slot idle = { slot, 1 };
	struct msg msg;

	assert_int_equal(
	    crew_by_slot(&r->m->crew, slot, 1)->row->life.finishing, 1);
	if (fd < 0) {
		drive_finished(r->m, slot, 1);
		return;
	}
	assert_int_equal(rig_next(r, &msg), 0);
	expect_said(fd, slot, STOPPING_WHEN_DONE);
	say(r, fd, MSG_HAND_IDLE, &idle, NULL);
}

static void
expect_told(int fd, uint32_t slot, const char *text)
{
	struct msg msg;

	assert_int_equal(next_word(fd, &msg), 1);
	assert_int_equal(msg.type, MSG_EXIT_TOLD);
	assert_int_equal(msg.u.EXIT_TOLD.slot, slot);
	assert_int_equal(msg.tail_size, strlen(text));
	assert_memory_equal(msg.tail, text, msg.tail_size);
}

static void
expect_nothing(int fd)
{
	struct msg msg;

	assert_int_equal(next_word(fd, &msg), -EAGAIN);
}

static void
ends(struct rig *r, struct msg_child *c, int code, int status)
{
	rig_exits(c, code, status);
	drive_exited(r->m, c);
}

/* --- the config ----------------------------------------------------------- */

static void
a_broker_is_wanted_where_tasks_are_taken(void **state)
{
	bool kept = false;
	struct msg msg;
	struct rig r;

	(void)state;
	rig_init(&r);
	hybrid(&r, "thumbs", 1);
	rig_start(&r);
	/* The config first, so that a broker finds it. */
	while (channel_receive(r.guardian, &msg) == 1 &&
	       msg.type != MSG_BROKER_WANTED) {
		if (msg.type == MSG_KEEP &&
		    strcmp(msg.u.KEEP.name, "broker/config") == 0) {
			char text[8192] = "";

			kept = true;
			assert_true(
			    pread(msg.fd, text, sizeof text - 1, 0) > 0);
			assert_non_null(strstr(text,
			    "\"tasks_path\":\"/nonexistent/tasks.sock\""));
			assert_non_null(strstr(text, "\"name\":\"thumbs\""));
			assert_non_null(strstr(text, "\"timeout_ms\":1500,"));
			assert_non_null(strstr(text, "\"key_rate\":0.5,"));
			assert_non_null(strstr(text, "\"autoscale\":null"));
			assert_non_null(strstr(text, "\"schedules\":[]"));
			assert_int_equal(pwrite(msg.fd, "x", 1, 0), -1);
		}
		if (msg.fd >= 0)
			close(msg.fd);
	}
	assert_true(kept);
	assert_int_equal(msg.type, MSG_BROKER_WANTED);
	assert_int_equal(msg.u.BROKER_WANTED.value, 1);
	/* The same config is not sent again. */
	to_broker_configure(r.m);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_int_equal(rig_next(&r, &msg), 0);
}

static void
none_is_wanted_where_nobody_takes_tasks(void **state)
{
	bool said = false;
	struct msg msg;
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1);
	rig_start(&r);
	while (channel_receive(r.guardian, &msg) == 1) {
		if (msg.type == MSG_BROKER_WANTED) {
			said = true;
			assert_int_equal(msg.u.BROKER_WANTED.value, 0);
		}
		if (msg.type == MSG_LAUNCH)
			assert_int_equal(msg.u.LAUNCH.threads, 0);
		if (msg.fd >= 0)
			close(msg.fd);
	}
	assert_true(said);
}

static void
the_broker_stays_until_the_last_hybrid_one_has_ended(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;

	(void)state;
	begin(&r);
	c = running(&r);
	r.workers[0].hybrid = false;
	to_broker_configure(r.m);
	assert_true(r.m->broker_wanted);
	r.workers[0].rules.restart = RESTART_NEVER;
	ends(&r, c, CLD_EXITED, 0);
	assert_false(r.m->broker_wanted);
	while (channel_receive(r.guardian, &msg) == 1) {
		if (msg.fd >= 0)
			close(msg.fd);
		if (msg.type == MSG_BROKER_WANTED)
			break;
	}
	assert_int_equal(msg.type, MSG_BROKER_WANTED);
	assert_int_equal(msg.u.BROKER_WANTED.value, 0);
}

/* --- stops and exits ------------------------------------------------------ */

static void
a_stop_is_said_before_its_signal(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	c = running(&r);
	fd = broker(&r);
	expect_nothing(fd);
	drive_down(r.m, rig_find(&r, "thumbs:0"), &user);
	expect_stopping(fd, 5);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGTERM);
	/* Its end, without lines: its output goes nowhere. */
	ends(&r, c, CLD_EXITED, 0);
	expect_told(fd, 5, "exited 0\n");
	close(fd);
	rig_check(&r);
}

static void
a_new_broker_hears_who_is_being_stopped(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	running(&r);
	drive_down(r.m, rig_find(&r, "thumbs:0"), &user);
	fd = broker(&r);
	expect_stopping(fd, 5);
	expect_nothing(fd);
	close(fd);
	/* So does one that meets another master. */
	rig_kill(&r);
	rig_start(&r);
	fd = broker(&r);
	expect_stopping(fd, 5);
	expect_nothing(fd);
	close(fd);
}

static void
a_stop_while_it_is_launched_is_said_when_it_has_a_place(void **state)
{
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	fd = broker(&r);
	r.m->phase = PHASE_RUNNING;
	drive_down(r.m, rig_find(&r, "thumbs:0"), &user);
	expect_nothing(fd);
	memset(&msg, 0, sizeof msg);
	msg.u.LAUNCH.cookie = rig_find(&r, "thumbs:0")->id;
	memcpy(msg.u.LAUNCH.name, "thumbs:0", 9);
	rig_launched(&r, &msg, 7);
	expect_stopping(fd, 7);
	close(fd);
}

static void
an_exit_waits_for_its_lines(void **state)
{
	struct msg_child *c;
	struct rig r;
	int fd, pair[2];

	(void)state;
	rig_init(&r);
	hybrid(&r, "thumbs", 1)->rules.start_seconds = 0;
	r.workers[0].out.kind = OUTPUT_SYSLOG;
	rig_start(&r);
	/* A logger that listens. */
	assert_int_equal(channel_pair(pair), 0);
	peer_init(&r.m->logger, r.m->loop, rig_ignore, rig_gone, r.m);
	peer_connect(&r.m->logger, pair[0]);
	fd = broker(&r);
	c = &r.children[0];
	{
		struct msg msg = { 0 };

		msg.u.LAUNCH.cookie = rig_find(&r, "thumbs:0")->id;
		memcpy(msg.u.LAUNCH.name, "thumbs:0", 9);
		rig_launched(&r, &msg, 5);
	}
	ends(&r, c, CLD_KILLED, SIGSEGV);
	expect_nothing(fd);
	to_broker_lines(r.m, "thumbs:0", c->pid + 1, "no", 2);
	expect_nothing(fd);
	to_broker_lines(r.m, "thumbs:0", c->pid, "oh\nno", 5);
	expect_told(fd, 5, "killed by SIGSEGV\noh\nno");
	to_broker_lines(r.m, "thumbs:0", c->pid, "again", 5);
	expect_nothing(fd);
	close(fd);
	close(pair[1]);
}

static void
lines_that_do_not_come_are_not_waited_for(void **state)
{
	struct msg msg = { 0 };
	struct rig r;
	int fd, pair[2];

	(void)state;
	rig_init(&r);
	hybrid(&r, "thumbs", 1)->rules.start_seconds = 0;
	r.workers[0].out.kind = OUTPUT_SYSLOG;
	r.workers[0].rules.restart = RESTART_NEVER;
	rig_start(&r);
	assert_int_equal(channel_pair(pair), 0);
	peer_init(&r.m->logger, r.m->loop, rig_ignore, rig_gone, r.m);
	peer_connect(&r.m->logger, pair[0]);
	fd = broker(&r);
	msg.u.LAUNCH.cookie = rig_find(&r, "thumbs:0")->id;
	memcpy(msg.u.LAUNCH.name, "thumbs:0", 9);
	ends(&r, rig_launched(&r, &msg, 5), CLD_EXITED, 3);
	expect_nothing(fd);
	while (channel_receive(fd, &msg) == -EAGAIN)
		ev_run(r.m->loop, EVRUN_ONCE);
	assert_int_equal(msg.type, MSG_EXIT_TOLD);
	assert_int_equal(msg.tail_size, strlen("exited 3\n"));
	close(fd);
	close(pair[1]);
}

static void
an_exit_without_a_broker_is_told_the_next_one(void **state)
{
	struct msg_child *c;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	c = running(&r);
	fd = broker(&r);
	close(fd);
	for (int i = 0; i < 3; i++)
		ev_run(r.m->loop, EVRUN_NOWAIT);
	ends(&r, c, CLD_KILLED, SIGKILL);
	fd = broker(&r);
	expect_told(fd, 5, "killed by SIGKILL\n");
	expect_nothing(fd);
	close(fd);
}

static void
an_exit_the_master_before_has_seen_is_told(void **state)
{
	struct msg_child *c;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	r.workers[0].rules.restart = RESTART_NEVER;
	c = running(&r);
	ends(&r, c, CLD_KILLED, SIGABRT);
	rig_kill(&r);
	rig_start(&r);
	fd = broker(&r);
	expect_told(fd, 5, "killed by SIGABRT\n");
	expect_nothing(fd);
	close(fd);
}

/* --- what it asks for ----------------------------------------------------- */

static void
turns(struct rig *r)
{
	for (int i = 0; i < 3; i++)
		ev_run(r->m->loop, EVRUN_NOWAIT);
}

/* Before "thumbs:0" is taken out, "thumbs:1" is up. */
static struct msg_child *
stand_in_comes(struct rig *r, uint32_t slot)
{
	struct msg_child *c;
	struct msg msg;

	assert_int_equal(rig_next(r, &msg), MSG_LAUNCH);
	assert_string_equal(msg.u.LAUNCH.name, "thumbs:1");
	assert_int_equal(rig_next(r, &msg), 0);
	c = rig_launched(r, &msg, slot);
	turns(r);
	assert_int_equal(rig_state(r, "thumbs:1"), ST_RUNNING);
	return c;
}

/* It is not needed any more: drained, ended, gone. */
static void
stand_in_goes(struct rig *r, int fd, uint32_t slot)
{
	struct msg_child *c = NULL;
	struct msg msg;

	turns(r);
	finishes(r, fd, slot);
	if (fd >= 0)
		expect_stopping(fd, slot);
	assert_int_equal(rig_next(r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.slot, slot);
	assert_int_equal(msg.u.KILL.signo, SIGTERM);
	for (size_t i = 0; i < r->count; i++) {
		if (r->children[i].slot == slot)
			c = &r->children[i];
	}
	assert_non_null(c);
	ends(r, c, CLD_EXITED, 0);
	assert_int_equal(rig_next(r, &msg), MSG_TREE);
	drive_empty(r->m, slot, 1);
	assert_null(rig_find(r, "thumbs:1"));
	turns(r);
	assert_null(crew_team(&r->m->crew, "thumbs")->relief);
}

static void
drained_one_is_bounced_by_its_ladder(void **state)
{
	const struct msg_replace how = { 5, 1, REPLACE_DRAIN, 0 };
	struct msg_child *c;
	struct instance *it;
	char words[512];
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	c = running(&r);
	fd = broker(&r);
	it = rig_find(&r, "thumbs:0");
	say(&r, fd, MSG_REPLACE, &how, "100 tasks done (recycle.max_tasks)");
	stand_in_comes(&r, 7);
	assert_string_equal(instance_reason(it, words, sizeof words),
	    "100 tasks done (recycle.max_tasks); it finishes its tasks first");
	finishes(&r, fd, 5);
	expect_stopping(fd, 5);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGTERM);
	assert_string_equal(instance_reason(it, words, sizeof words),
	    "100 tasks done (recycle.max_tasks)");
	ends(&r, c, CLD_EXITED, 0);
	expect_told(fd, 5, "exited 0 (100 tasks done (recycle.max_tasks))\n");
	assert_int_equal(rig_next(&r, &msg), MSG_TREE);
	drive_empty(r.m, 5, 1);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	rig_launched(&r, &msg, 6);
	stand_in_goes(&r, fd, 7);
	/* One that is no more. */
	say(&r, fd, MSG_REPLACE, &how, "late");
	assert_int_equal(rig_next(&r, &msg), 0);
	assert_int_equal(rig_state(&r, "thumbs:0"), ST_RUNNING);
	close(fd);
	rig_check(&r);
}

static void
killed_one_starts_again_whatever_restart_says(void **state)
{
	const struct msg_replace how = { 5, 1, REPLACE_KILL, 0 };
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	r.workers[0].rules.restart = RESTART_NEVER;
	r.workers[0].rules.scope = SCOPE_GROUP;
	c = running(&r);
	fd = broker(&r);
	say(&r, fd, MSG_REPLACE, &how, "task 12 has overrun");
	/* What became of its tasks is the broker's to judge. */
	expect_nothing(fd);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGKILL);
	assert_int_equal(msg.u.KILL.scope, KILL_GROUP);
	ends(&r, c, CLD_KILLED, SIGKILL);
	expect_told(fd, 5, "killed by SIGKILL (task 12 has overrun)\n");
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	close(fd);
	rig_check(&r);
}

static void
one_that_is_killed_at_each_start_has_failed_to_start(void **state)
{
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	rig_init(&r);
	hybrid(&r, "thumbs", 1)->rules.scope = SCOPE_PROCESS;
	rig_start(&r);
	fd = broker(&r);
	drive_bounce(r.m, rig_find(&r, "thumbs:0"), &user);
	for (uint32_t i = 0; i < 4; i++) {
		struct msg_replace how = { 5 + i, 1, REPLACE_KILL, 0 };
		struct msg_child *c;

		memset(&msg, 0, sizeof msg);
		msg.u.LAUNCH.cookie = rig_find(&r, "thumbs:0")->id;
		memcpy(msg.u.LAUNCH.name, "thumbs:0", 9);
		r.count = 0;
		if (i == 0) {
			/* The restart asked for above comes first. */
			c = rig_launched(&r, &msg, 100);
			ends(&r, c, CLD_EXITED, 0);
			r.count = 0;
		}
		assert_int_equal(rig_state(&r, "thumbs:0"), ST_STARTING);
		c = rig_launched(&r, &msg, 5 + i);
		say(&r, fd, MSG_REPLACE, &how,
		    "it does not keep to the protocol");
		ends(&r, c, CLD_KILLED, SIGKILL);
	}
	assert_int_equal(rig_state(&r, "thumbs:0"), ST_BACKOFF);
	close(fd);
	rig_check(&r);
}

static void
nobody_is_revived_by_the_broker(void **state)
{
	const struct msg_replace how = { 5, 1, REPLACE_KILL, 0 };
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	c = running(&r);
	fd = broker(&r);
	drive_down(r.m, rig_find(&r, "thumbs:0"), &user);
	expect_stopping(fd, 5);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	/* It need not wait for its ladder any more. */
	say(&r, fd, MSG_REPLACE, &how, "its last task has overrun");
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGKILL);
	ends(&r, c, CLD_KILLED, SIGKILL);
	while (rig_next(&r, &msg) != 0)
		assert_int_not_equal(msg.type, MSG_LAUNCH);
	drive_empty(r.m, 5, 1);
	assert_int_equal(rig_state(&r, "thumbs:0"), ST_STOPPED);
	assert_int_equal(rig_next(&r, &msg), 0);
	close(fd);
}

static void
scales_within_what_is_possible(void **state)
{
	struct msg_scale to = { "thumbs", 3, 0 };
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	r.workers[0].autoscale =
	    (struct autoscale){ .on = true, .min = 1, .max = 4 };
	running(&r);
	fd = broker(&r);
	say(&r, fd, MSG_SCALE, &to, "40 tasks wait per thread");
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_string_equal(msg.u.LAUNCH.name, "thumbs:1");
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_true(crew_team(&r.m->crew, "thumbs")->scaled);
	/* Nobody's word. */
	assert_int_equal(rig_find(&r, "thumbs:1")->row->by_user, 0);
	to.instances = FLEET_INSTANCES + 1;
	say(&r, fd, MSG_SCALE, &to, "");
	assert_int_equal(crew_team(&r.m->crew, "thumbs")->wanted, 3);
	/* Down again: when its tasks are done, told as any stop. */
	to.instances = 0;
	say(&r, fd, MSG_SCALE, &to, "idle");
	finishes(&r, fd, 5);
	expect_stopping(fd, 5);
	close(fd);
	/* A new master goes on with the number. */
	rig_kill(&r);
	rig_start(&r);
	assert_int_equal(crew_team(&r.m->crew, "thumbs")->wanted, 0);
}

/* --- stand-ins ------------------------------------------------------------ */

static void
another_comes_for_one_that_waits_for_its_end(void **state)
{
	const struct msg_replace soon = { 5, 1, REPLACE_SOON, 0 };
	const struct msg_replace not = { 5, 1, REPLACE_NOT, 0 };
	const struct msg_replace kill = { 5, 1, REPLACE_KILL, 0 };
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	c = running(&r);
	fd = broker(&r);
	say(&r, fd, MSG_REPLACE, &soon, "");
	stand_in_comes(&r, 7);
	say(&r, fd, MSG_REPLACE, &soon, "");
	assert_int_equal(rig_next(&r, &msg), 0);
	say(&r, fd, MSG_REPLACE, &not, "");
	stand_in_goes(&r, fd, 7);
	/* And again, to its end. */
	say(&r, fd, MSG_REPLACE, &soon, "");
	stand_in_comes(&r, 8);
	say(&r, fd, MSG_REPLACE, &kill, "task 12 has overrun");
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.signo, SIGKILL);
	ends(&r, c, CLD_KILLED, SIGKILL);
	turns(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_TREE);
	assert_int_equal(rig_next(&r, &msg), 0);
	drive_empty(r.m, 5, 1);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_int_equal(rig_state(&r, "thumbs:1"), ST_RUNNING);
	rig_launched(&r, &msg, 9);
	close(fd);
	stand_in_goes(&r, -1, 8);
	rig_check(&r);
}

static void
one_that_can_not_stand_in_holds_up_nothing(void **state)
{
	const struct msg_replace how = { 5, 1, REPLACE_DRAIN, 0 };
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	running(&r);
	fd = broker(&r);
	r.workers[0].rules.start_seconds = NS_PER_SEC;
	say(&r, fd, MSG_REPLACE, &how, "old");
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 7);
	ends(&r, c, CLD_EXITED, 3);
	turns(&r);
	assert_null(rig_find(&r, "thumbs:1"));
	while (rig_next(&r, &msg) == MSG_TREE)
		assert_int_equal(msg.u.TREE.slot, 7);
	finishes(&r, -1, 5);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.slot, 5);
	rig_check(&r);
	close(fd);
}

/* kill -9 of the master at each step of it. */
static void
the_next_master_knows_who_stands_in(void **state)
{
	const struct msg_replace how = { 5, 1, REPLACE_DRAIN, 0 };

	(void)state;
	for (int step = 0; step < 4; step++) {
		struct msg_child *c;
		struct msg msg;
		struct rig r;
		int fd;

		begin(&r);
		c = running(&r);
		fd = broker(&r);
		say(&r, fd, MSG_REPLACE, &how, "old");
		stand_in_comes(&r, 7);
		if (step > 0) {
			finishes(&r, fd, 5);
			assert_int_equal(rig_next(&r, &msg), MSG_KILL);
		}
		if (step > 1)
			ends(&r, c, CLD_EXITED, 0);
		if (step > 2) {
			drive_empty(r.m, 5, 1);
			assert_int_equal(rig_next(&r, &msg), MSG_TREE);
			assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
		}
		rig_kill(&r);
		close(fd);
		rig_start(&r);
		turns(&r);
		assert_int_equal(rig_state(&r, "thumbs:1"), ST_RUNNING);
		if (step < 1)
			finishes(&r, -1, 5);
		if (step < 2)
			ends(&r, c, CLD_EXITED, 0);
		if (step < 3)
			drive_empty(r.m, 5, 1);
		while (rig_next(&r, &msg) != MSG_LAUNCH)
			assert_int_not_equal(msg.u.KILL.slot, 7);
		assert_string_equal(msg.u.LAUNCH.name, "thumbs:0");
		rig_launched(&r, &msg, 9);
		stand_in_goes(&r, -1, 7);
		rig_check(&r);
		rig_kill(&r);
	}
}

static void
a_stand_in_is_no_match_for_a_user(void **state)
{
	const struct msg_replace soon = { 5, 1, REPLACE_SOON, 0 };
	struct team *team;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	running(&r);
	fd = broker(&r);
	team = crew_team(&r.m->crew, "thumbs");
	say(&r, fd, MSG_REPLACE, &soon, "");
	stand_in_comes(&r, 7);
	/* Two are wanted now, so it is one of them, and another stands in. */
	team_scale(r.m, team, 2, &nobody, NULL);
	turns(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	assert_string_equal(msg.u.LAUNCH.name, "thumbs:2");
	rig_launched(&r, &msg, 8);
	/* To none: it goes with the others. */
	drive_down(r.m, rig_find(&r, "thumbs:0"), &nobody);
	drive_down(r.m, rig_find(&r, "thumbs:1"), &nobody);
	for (size_t i = 0; i < r.count; i++) {
		if (r.children[i].slot == 5)
			ends(&r, &r.children[i], CLD_EXITED, 0);
	}
	drive_empty(r.m, 5, 1);
	turns(&r);
	drive_finished(r.m, 8, 1);
	assert_int_equal(rig_state(&r, "thumbs:2"), ST_STOPPING);
	close(fd);
	rig_check(&r);
}

/* --- recycling ------------------------------------------------------------ */

static void
the_old_are_replaced_one_at_a_time(void **state)
{
	struct msg_child *c[2];
	struct msg msg;
	struct rig r;
	unsigned kills = 0;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 2)->rules.start_seconds = 0;
	r.workers[0].rules.scope = SCOPE_PROCESS;
	r.workers[0].recycle.max_age = 1; /* each is too old at once */
	rig_start(&r);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
		c[i] = rig_launched(&r, &msg, 5 + i);
	}
	for (int i = 0; i < 5; i++)
		ev_run(r.m->loop, EVRUN_NOWAIT);
	while (rig_next(&r, &msg) == MSG_KILL) {
		kills++;
		assert_int_equal(msg.u.KILL.signo, SIGTERM);
		assert_int_equal(msg.u.KILL.slot, 5);
	}
	assert_int_equal(kills, 1);
	r.workers[0].recycle.max_age = 0; /* enough of it */
	ends(&r, c[0], CLD_EXITED, 0);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	/* The other one's turn comes when the first is up again. */
	rig_launched(&r, &msg, 9);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_int_equal(msg.u.KILL.slot, 6);
	assert_int_equal(rig_next(&r, &msg), 0);
	rig_check(&r);
}

static void
the_large_are_replaced(void **state)
{
	struct msg_child *c;
	char words[512];
	struct msg msg;
	struct rig r;

	(void)state;
	rig_init(&r);
	rig_worker(&r, "web", 1)->rules.start_seconds = 0;
	r.workers[0].recycle.max_memory = 4096;
	rig_start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 5);
	/* This process stands in for it. */
	rig_find(&r, "web:0")->row->pid = getpid();
	assert_true(ev_is_active(&r.m->memory_timer));
	ev_invoke(r.m->loop, &r.m->memory_timer, EV_TIMER);
	assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	assert_non_null(
	    strstr(instance_reason(rig_find(&r, "web:0"), words, sizeof words),
		"of memory (recycle.max_memory)"));
	(void)c;
	rig_check(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broker_is_wanted_where_tasks_are_taken),
		cmocka_unit_test(none_is_wanted_where_nobody_takes_tasks),
		cmocka_unit_test(
		    the_broker_stays_until_the_last_hybrid_one_has_ended),
		cmocka_unit_test(a_stop_is_said_before_its_signal),
		cmocka_unit_test(a_new_broker_hears_who_is_being_stopped),
		cmocka_unit_test(
		    a_stop_while_it_is_launched_is_said_when_it_has_a_place),
		cmocka_unit_test(an_exit_waits_for_its_lines),
		cmocka_unit_test(lines_that_do_not_come_are_not_waited_for),
		cmocka_unit_test(an_exit_without_a_broker_is_told_the_next_one),
		cmocka_unit_test(an_exit_the_master_before_has_seen_is_told),
		cmocka_unit_test(drained_one_is_bounced_by_its_ladder),
		cmocka_unit_test(killed_one_starts_again_whatever_restart_says),
		cmocka_unit_test(
		    one_that_is_killed_at_each_start_has_failed_to_start),
		cmocka_unit_test(nobody_is_revived_by_the_broker),
		cmocka_unit_test(scales_within_what_is_possible),
		cmocka_unit_test(another_comes_for_one_that_waits_for_its_end),
		cmocka_unit_test(one_that_can_not_stand_in_holds_up_nothing),
		cmocka_unit_test(the_next_master_knows_who_stands_in),
		cmocka_unit_test(a_stand_in_is_no_match_for_a_user),
		cmocka_unit_test(the_old_are_replaced_one_at_a_time),
		cmocka_unit_test(the_large_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
