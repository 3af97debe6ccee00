/*
 * The control socket with a real client: what is no request, targets, commands
 * and their outcomes, clients that leave.
 */

#include "tests/unit/master_rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supervisord/master/access.h"
#include "supervisord/master/control.h"

static char run_dir[64];
static char viewer[] = "@4242";

static void
start(struct rig *r)
{
	rig_init(r);
	snprintf(run_dir, sizeof run_dir, "/tmp/svrpcXXXXXX");
	assert_non_null(mkdtemp(run_dir));
	r->fleet.settings.run_dir = run_dir;
	r->fleet.settings.control_mode = 0600;
	r->fleet.settings.control_group = (gid_t)-1;
	rig_worker(r, "web", 2);
	rig_worker(r, "idle", 1)->rules.autostart = false;
	rig_start(r);
	r->m->access = access_new(&r->fleet.settings);
	assert_int_equal(control_open(r->m, -1), 0);
}

static void
end(struct rig *r)
{
	/* Whoever has left is swept. */
	for (int i = 0; i < 5; i++)
		ev_run(r->m->loop, EVRUN_NOWAIT);
	rig_check(r);
	control_unlink(r->m);
	rmdir(run_dir);
}

static int
client(struct rig *r)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)r;
	snprintf(a.sun_path, sizeof a.sun_path, "%s/control.sock", run_dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* One line; "" when the connection has ended or nothing comes. */
static const char *
hear(struct rig *r, int fd)
{
	static char line[65536];
	size_t n = 0;

	for (int i = 0; i < 200; i++) {
		ssize_t got;

		ev_run(r->m->loop, EVRUN_NOWAIT);
		while ((got = recv(fd, line + n, 1, 0)) == 1) {
			if (line[n++] == '\n')
				goto out;
		}
		if (got == 0)
			break;
	}
out:
	line[n] = '\0';
	return line;
}

static const char *
ask(struct rig *r, int fd, const char *text)
{
	say(fd, text);
	say(fd, "\n");
	return hear(r, fd);
}

#define HAS(answer, part) assert_non_null(strstr(answer, part))

static void
what_is_no_request_is_refused_in_words(void **state)
{
	static const struct {
		const char *line, *code, *words;
	} cases[] = {
		{ "{", "-32700", "not JSON" },
		{ "{\"id\":1,\"id\":2,\"method\":\"version\"}", "-32700", "" },
		{ "[]", "-32600", "batches" },
		{ "7", "-32700", "" },
		{ "{\"id\":1}", "-32600", "not a request" },
		{ "{\"id\":{},\"method\":\"version\"}", "-32600", "" },
		{ "{\"id\":1,\"method\":\"dance\"}", "-32601",
		    "\\\"dance\\\"" },
		{ "{\"id\":1,\"method\":\"status\",\"params\":7}", "-32602",
		    "named parameters" },
		{ "{\"id\":1,\"method\":\"stop\"}", "\"code\":2", "no target" },
		{ "{\"id\":1,\"method\":\"stop\",\"params\":{\"targets\":[1]}}",
		    "-32602", "" },
		{ "{\"id\":1,\"method\":\"stop\",\"params\":{\"targets\":[\"web\"],"
		  "\"wait\":1}}",
		    "-32602", "\\\"wait\\\"" },
		{ "{\"id\":1,\"method\":\"scale\",\"params\":{\"worker\":\"web\"}}",
		    "-32602", "how many" },
		{ "{\"id\":1,\"method\":\"scale\",\"params\":{\"worker\":\"web\","
		  "\"count\":99999}}",
		    "-32602", "" },
		{ "{\"id\":1,\"method\":\"signal\",\"params\":{\"targets\":[\"web\"]"
		  ",\"signal\":\"SIGNOPE\"}}",
		    "\"code\":2", "no such signal" },
		{ "{\"id\":1,\"method\":\"restart\",\"params\":{\"targets\":"
		  "[\"web\"],\"rolling\":true}}",
		    "\"code\":2", "not supported" },
	};
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	fd = client(&r);
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const char *answer = ask(&r, fd, cases[i].line);

		HAS(answer, "\"error\":{");
		HAS(answer, cases[i].code);
		HAS(answer, cases[i].words);
	}
	HAS(ask(&r, fd, "{\"id\":\"x\",\"method\":\"version\"}"),
	    "\"id\":\"x\",\"result\":{\"version\"");
	close(fd);
	end(&r);
}

static void
targets_are_found_or_guessed(void **state)
{
	static const struct {
		const char *target, *words;
	} cases[] = {
		{ "wev", "did you mean \\\"web\\\"?" },
		{ "web:2", "web has 2 instances" },
		{ "web:00", "web has 2 instances" },
		{ "web:", "web has 2 instances" },
		{ "web:-1", "web has 2 instances" },
		{ "nothing like it", "no such target" },
		{ "", "no such target" },
		{ ":*", "no such target" },
	};

	char line[256];
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	fd = client(&r);
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const char *answer;

		snprintf(line, sizeof line,
		    "{\"id\":1,\"method\":\"pid\",\"params\":{\"targets\":"
		    "[\"%s\"]}}",
		    cases[i].target);
		answer = ask(&r, fd, line);
		HAS(answer, "\"code\":4");
		HAS(answer, cases[i].words);
	}
	/* Each once, in the order they were named. */
	HAS(ask(&r, fd,
		"{\"id\":1,\"method\":\"pid\",\"params\":{\"targets\":"
		"[\"idle\",\"web:1\",\"web:*\",\"all\"]}}"),
	    "[{\"name\":\"idle:0\",\"pid\":null},{\"name\":\"web:1\",\"pid\":"
	    "null},{\"name\":\"web:0\",\"pid\":null}]");
	close(fd);
	end(&r);
}

static void
status_says_all_the_contract_says(void **state)
{
	static const char *const keys[] = { "name", "worker", "index", "group",
		"state", "statecode", "pid", "uptime", "started_at", "restarts",
		"ready", "healthy", "adopted", "exit", "reason" };
	const char *answer, *at;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	rig_launched(&r, &msg, 9);
	fd = client(&r);
	answer = at = ask(&r, fd,
	    "{\"id\":1,\"method\":\"status\",\"params\":{\"targets\":"
	    "[\"web:0\"]}}");
	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		char key[32];

		snprintf(key, sizeof key, "\"%s\":", keys[i]);
		at = strstr(at, key);
		assert_non_null(at);
	}
	HAS(answer, "\"state\":\"STARTING\",\"statecode\":10,\"pid\":1000009");
	HAS(answer, "\"exit\":null");
	close(fd);
	end(&r);
}

static void
an_outcome_is_waited_for(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int one, two;

	(void)state;
	start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 9);
	one = client(&r);
	two = client(&r);
	/* Two jobs on one instance. */
	assert_string_equal(
	    ask(&r, one,
		"{\"id\":1,\"method\":\"stop\",\"params\":{\"targets\":"
		"[\"web:0\"]}}"),
	    "");
	assert_string_equal(
	    ask(&r, two,
		"{\"id\":2,\"method\":\"restart\",\"params\":{\"targets\":"
		"[\"web:0\"]}}"),
	    "");
	rig_exits(c, CLD_KILLED, SIGTERM);
	drive_exited(r.m, c);
	drive_empty(r.m, 9, 1);
	HAS(hear(&r, one), "\"id\":1,\"result\":[{\"name\":\"web:0\",\"ok\":"
			   "false");
	while (rig_next(&r, &msg) != MSG_LAUNCH)
		;
	if (strcmp(msg.u.LAUNCH.name, "web:0") != 0)
		assert_int_equal(rig_next(&r, &msg), MSG_KILL);
	close(one);
	close(two);
	end(&r);
}

static void
a_client_that_leaves_takes_its_job_along(void **state)
{
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 9);
	fd = client(&r);
	assert_string_equal(
	    ask(&r, fd,
		"{\"id\":1,\"method\":\"stop\",\"params\":{\"targets\":"
		"[\"web\"]}}"),
	    "");
	close(fd);
	ev_run(r.m->loop, EVRUN_NOWAIT);
	rig_exits(c, CLD_KILLED, SIGTERM);
	drive_exited(r.m, c);
	drive_empty(r.m, 9, 1);
	assert_int_equal(rig_state(&r, "web:0"), ST_STOPPED);
	end(&r);
}

static void
a_notification_is_done_and_not_answered(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	fd = client(&r);
	say(fd, "{\"method\":\"start\",\"params\":{\"targets\":[\"idle\"],"
		"\"wait\":false}}\n\n  \n");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(&r, fd), "");
	assert_int_equal(rig_state(&r, "idle:0"), ST_STARTING);
	assert_int_equal(recv(fd, run_dir, 0, 0), 0); /* closed, not kept */
	close(fd);
	end(&r);
}

static void
a_half_sent_and_a_huge_request(void **state)
{
	static char half[1 << 18];
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	fd = client(&r);
	say(fd, "{\"id\":1,\"meth");
	assert_string_equal(hear(&r, fd), "");
	HAS(ask(&r, fd, "od\":\"version\"}"), "\"result\"");
	memset(half, 'x', sizeof half - 1);
	for (size_t sent = 0; sent < (2U << 20);) {
		ssize_t n = send(fd, half, sizeof half - 1, MSG_NOSIGNAL);

		ev_run(r.m->loop, EVRUN_NOWAIT);
		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
	}
	HAS(hear(&r, fd), "at most 1 MiB");
	close(fd);
	end(&r);
}

static void
exits_come_in_words(void **state)
{
	const char *answer;
	struct msg_child *c;
	struct msg msg;
	struct rig r;
	int fd;

	(void)state;
	start(&r);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 9);
	rig_exits(c, CLD_DUMPED, SIGSEGV);
	drive_exited(r.m, c);
	assert_int_equal(rig_next(&r, &msg), MSG_LAUNCH);
	c = rig_launched(&r, &msg, 10);
	rig_exits(c, CLD_EXITED, 127);
	c->flags = CHILD_NO_EXEC;
	c->stage = 11; /* exec */
	c->error = ENOENT;
	drive_exited(r.m, c);
	fd = client(&r);
	answer = ask(&r, fd,
	    "{\"id\":1,\"method\":\"status\",\"params\":{\"targets\":"
	    "[\"web\"]}}");
	HAS(answer, "killed by SIGSEGV (core dumped) before it was started");
	HAS(answer, "could not run its command: /bin/true: No such file");
	close(fd);
	end(&r);
}

static void
access_is_by_user_and_group(void **state)
{
	char *admins[] = { (char[]){ "1001" }, (char[]){ "@77" }, NULL };
	char *viewers[] = { viewer, (char[]){ "no-such-user-here" }, NULL };
	struct settings s = { .admins = admins, .viewers = viewers };
	gid_t groups[] = { 5, 77 }, looks[] = { 4242 };
	struct access *a;
	struct who who;

	(void)state;
	log_setup(LOG_LEVEL_ERROR, false, -1);
	a = access_new(&s);
	assert_non_null(a);
	access_of(a, 0, NULL, 0, &who);
	assert_true(who.may_look && who.may_change);
	access_of(a, 1001, NULL, 0, &who);
	assert_true(who.may_look && who.may_change);
	access_of(a, 1002, groups, 2, &who);
	assert_true(who.may_look && who.may_change);
	access_of(a, 1002, looks, 1, &who);
	assert_true(who.may_look && !who.may_change);
	access_of(a, 1002, groups, 1, &who);
	assert_false(who.may_look || who.may_change);
	access_of(a, 4242, NULL, 0, &who);
	assert_false(who.may_look || who.may_change);
	access_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_request_is_refused_in_words),
		cmocka_unit_test(targets_are_found_or_guessed),
		cmocka_unit_test(status_says_all_the_contract_says),
		cmocka_unit_test(an_outcome_is_waited_for),
		cmocka_unit_test(a_client_that_leaves_takes_its_job_along),
		cmocka_unit_test(a_notification_is_done_and_not_answered),
		cmocka_unit_test(a_half_sent_and_a_huge_request),
		cmocka_unit_test(exits_come_in_words),
		cmocka_unit_test(access_is_by_user_and_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
