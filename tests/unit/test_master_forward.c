/*
 * Requests about tasks, from a client of the control socket to a broker that is
 * a listening socket of this test, and back.
 */

#include "tests/unit/master_rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supervisord/master/access.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/control.h"

static char run_dir[64];
static char viewer[16];
static char *viewers[] = { viewer, NULL };

static void
start(struct rig *r, bool hybrid)
{
	rig_init(r);
	snprintf(run_dir, sizeof run_dir, "/tmp/svforwardXXXXXX");
	assert_non_null(mkdtemp(run_dir));
	r->fleet.settings.run_dir = run_dir;
	r->fleet.settings.control_mode = 0600;
	r->fleet.settings.control_group = (gid_t)-1;
	rig_worker(r, "thumbs", 1)->hybrid = hybrid;
	r->workers[0].threads = 1;
	rig_start(r);
	r->m->access = access_new(&r->fleet.settings);
	assert_int_equal(control_open(r->m, -1), 0);
}

static void
turn(struct rig *r)
{
	for (int i = 0; i < 10; i++)
		ev_run(r->m->loop, EVRUN_NOWAIT);
}

static void
end(struct rig *r)
{
	turn(r);
	control_unlink(r->m);
	rmdir(run_dir);
}

static void
address(const char *name, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof a->sun_path, "%s/%s", run_dir, name);
}

static int
client(void)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address("control.sock", &a);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static int
listener(void)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address("tasks.sock", &a);
	unlink(a.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void
unlisten(int fd)
{
	struct sockaddr_un a;

	close(fd);
	address("tasks.sock", &a);
	unlink(a.sun_path);
}

static int
accepted(struct rig *r, int listening)
{
	int fd;

	turn(r);
	fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static void
say(struct rig *r, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	assert_int_equal(send(fd, "\n", 1, 0), 1);
	turn(r);
}

/* One line without its end; "" when nothing comes. */
static const char *
hear(struct rig *r, int fd)
{
	static char line[65536];
	size_t n = 0;

	turn(r);
	while (n + 1 < sizeof line && recv(fd, line + n, 1, 0) == 1 &&
	       line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

static void
ids_are_exchanged_and_results_untouched(void **state)
{
	int listening, broker, one, two;
	char caller[64];
	const char *line;
	struct rig r;

	(void)state;
	start(&r, true);
	listening = listener();
	one = client();
	two = client();
	say(&r, one,
	    "{\"id\":\"a\",\"method\":\"submit\",\"params\":{\"worker\":"
	    "\"thumbs\",\"func\":\"f\",\"args\":[1,2.5],"
	    "\"caller\":{\"uid\":7,\"pid\":7}}}");
	broker = accepted(&r, listening);
	line = hear(&r, broker);
	snprintf(caller, sizeof caller, "\"caller\":{\"uid\":%d,\"pid\":%d}",
	    (int)geteuid(), (int)getpid());
	assert_non_null(strstr(line,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"submit\",\"params\":{"));
	assert_non_null(strstr(line, caller));
	assert_null(strstr(line, "\"uid\":7"));
	assert_non_null(strstr(line, "\"args\":[1,2.5]"));
	/* The same connection for everybody; answers in any order. */
	say(&r, two, "{\"id\":\"a\",\"method\":\"queue\"}");
	assert_int_equal(accept4(listening, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_non_null(
	    strstr(hear(&r, broker), "\"id\":2,\"method\":\"queue\""));
	say(&r, broker,
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"n\":0.1000}}");
	assert_string_equal(hear(&r, two),
	    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"n\":0.1000}}");
	assert_string_equal(hear(&r, one), "");
	/* Written in another way it is understood, too. */
	say(&r, broker, "{\"result\": {\"id\": 12}, \"id\": 1}");
	assert_string_equal(hear(&r, one),
	    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"id\":12}}");
	close(one);
	close(two);
	close(broker);
	unlisten(listening);
	end(&r);
}

static void
errors_and_progress_find_their_way(void **state)
{
	int listening, broker, one;
	struct rig r;

	(void)state;
	start(&r, true);
	listening = listener();
	one = client();
	say(&r, one,
	    "{\"id\":5,\"method\":\"task\",\"params\":{\"id\":12,"
	    "\"wait\":true}}");
	broker = accepted(&r, listening);
	hear(&r, broker);
	say(&r, broker,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"request\":1,"
	    "\"params\":{\"id\":12,\"share\":0.5,\"text\":\"half\"}}");
	assert_string_equal(hear(&r, one),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":"
	    "{\"id\":12,\"share\":0.5,\"text\":\"half\"}}");
	/* Nobody's, nonsense: no harm. */
	say(&r, broker, "{\"method\":\"progress\",\"request\":99}");
	say(&r, broker, "nonsense");
	say(&r, broker, "{\"id\":77,\"result\":1}");
	say(&r, broker,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":4,\"message\":"
	    "\"there is no such task\",\"data\":{\"error\":\"unknown-task\"}}}");
	assert_string_equal(hear(&r, one),
	    "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":4,\"message\":"
	    "\"there is no such task\",\"data\":{\"error\":\"unknown-task\"}}}");
	close(one);
	close(broker);
	unlisten(listening);
	end(&r);
}

static void
a_broker_that_goes_fails_what_waits_for_it(void **state)
{
	int listening, broker, one;
	const char *line;
	struct rig r;

	(void)state;
	start(&r, true);
	listening = listener();
	one = client();
	say(&r, one, "{\"id\":1,\"method\":\"schedules\"}");
	broker = accepted(&r, listening);
	hear(&r, broker);
	close(broker);
	line = hear(&r, one);
	assert_non_null(strstr(line, "\"id\":1,\"error\":{\"code\":1,"));
	assert_non_null(strstr(line, "the task queue does not answer"));
	/* The next request finds the next broker. */
	say(&r, one, "{\"id\":2,\"method\":\"schedules\"}");
	broker = accepted(&r, listening);
	assert_non_null(strstr(hear(&r, broker), "\"method\":\"schedules\""));
	/* A client that goes meanwhile: its answer goes nowhere. */
	close(one);
	turn(&r);
	say(&r, broker, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":[]}");
	close(broker);
	unlisten(listening);
	end(&r);
}

static void
an_answer_that_cannot_be_read_is_one(void **state)
{
	int listening, broker, one;
	const char *line;
	struct rig r;

	(void)state;
	start(&r, true);
	listening = listener();
	one = client();
	say(&r, one, "{\"id\":1,\"method\":\"schedules\"}");
	broker = accepted(&r, listening);
	hear(&r, broker);
	say(&r, broker, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":");
	line = hear(&r, one);
	assert_non_null(strstr(line, "\"id\":1,\"error\":{\"code\":1,"));
	assert_non_null(strstr(line, "answer can't be read"));
	close(broker);
	close(one);
	unlisten(listening);
	end(&r);
}

static void
a_broker_that_only_starts_is_waited_for(void **state)
{
	int listening, broker, one;
	struct rig r;

	(void)state;
	start(&r, true);
	one = client();
	say(&r, one, "{\"id\":1,\"method\":\"queue\"}");
	assert_string_equal(hear(&r, one), "");
	listening = listener();
	while ((broker = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) < 0)
		ev_run(r.m->loop, EVRUN_ONCE);
	assert_non_null(strstr(hear(&r, broker), "\"method\":\"queue\""));
	say(&r, broker, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}");
	assert_string_equal(
	    hear(&r, one), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}");
	close(broker);
	close(one);
	unlisten(listening);
	end(&r);
}

static void
nobody_takes_tasks(void **state)
{
	struct rig r;
	int one;

	(void)state;
	start(&r, false);
	one = client();
	say(&r, one, "{\"id\":1,\"method\":\"submit\",\"params\":{}}");
	assert_non_null(strstr(hear(&r, one), "no worker takes tasks"));
	close(one);
	end(&r);
}

static void
why_has_the_brokers_words(void **state)
{
	int listening, broker, one;
	const char *line;
	struct rig r;

	(void)state;
	start(&r, true);
	listening = listener();
	one = client();
	say(&r, one,
	    "{\"id\":1,\"method\":\"why\",\"params\":{\"targets\":"
	    "[\"thumbs\"]}}");
	broker = accepted(&r, listening);
	assert_non_null(strstr(hear(&r, broker),
	    "\"method\":\"why\",\"params\":{\"instance\":\"thumbs:0\"}"));
	assert_string_equal(hear(&r, one), "");
	say(&r, broker,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":"
	    "\"thread 0 is stuck in task 12\"}}");
	line = hear(&r, one);
	assert_non_null(strstr(line, "thread 0 is stuck in task 12\\n"));
	/* Without an answer it is said what is known here. */
	say(&r, one,
	    "{\"id\":2,\"method\":\"why\",\"params\":{\"targets\":"
	    "[\"thumbs\"]}}");
	while ((line = hear(&r, one))[0] == '\0')
		ev_run(r.m->loop, EVRUN_ONCE);
	assert_non_null(strstr(line, "thumbs:0 is STARTING"));
	/* Too late, and nobody's. */
	say(&r, broker,
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"text\":\"late\"}}");
	assert_string_equal(hear(&r, one), "");
	close(one);
	close(broker);
	unlisten(listening);
	end(&r);
}

static void
who_may_only_look_submits_nothing(void **state)
{
	struct who who;
	struct access *a;
	struct settings s = { .viewers = viewers };
	const gid_t gid = 4242;

	(void)state;
	snprintf(viewer, sizeof viewer, "@4242");
	a = access_new(&s);
	assert_non_null(a);
	access_of(a, 4243, &gid, 1, &who);
	assert_true(who.may_look);
	assert_false(who.may_change);
	access_free(a);
	for (size_t i = 0; i < 11; i++) {
		static const struct {
			const char *method;
			enum permission permission;
		} expected[] = { { "submit", MAY_CHANGE },
			{ "submit.group", MAY_CHANGE }, { "task", MAY_LOOK },
			{ "tasks", MAY_LOOK }, { "cancel", MAY_CHANGE },
			{ "requeue", MAY_CHANGE }, { "pause", MAY_CHANGE },
			{ "resume", MAY_CHANGE }, { "queue", MAY_LOOK },
			{ "threads", MAY_LOOK }, { "schedules", MAY_LOOK } };
		const struct command *c = command_find(expected[i].method);

		assert_non_null(c);
		assert_int_equal(c->permission, expected[i].permission);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_exchanged_and_results_untouched),
		cmocka_unit_test(errors_and_progress_find_their_way),
		cmocka_unit_test(a_broker_that_goes_fails_what_waits_for_it),
		cmocka_unit_test(an_answer_that_cannot_be_read_is_one),
		cmocka_unit_test(a_broker_that_only_starts_is_waited_for),
		cmocka_unit_test(nobody_takes_tasks),
		cmocka_unit_test(why_has_the_brokers_words),
		cmocka_unit_test(who_may_only_look_submits_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
