/* What a reload has to do. */

#include "tests/unit/config_helper.h"

#include "supervisord/base/util.h"

/* One worker before and after. */
static const struct {
	const char *old, *new;
	enum change change;
	const char *settings;
	const char *live; /* of "ropt": rules, output, processes, tasks */
} cases[] = {
	{ "", "", CHANGE_KEPT, "", "" },
	{ "", "restart = \"always\"; processes = 1; stdout = {};", CHANGE_KEPT,
	    "", "" },
	{ "stop_signal = \"INT\";", "stop = [ \"INT 10s\" ];", CHANGE_KEPT, "",
	    "" },
	{ "environment = { A = 1; };", "environment = [ \"A=1\" ];",
	    CHANGE_KEPT, "", "" },
	{ "", "processes = 4;", CHANGE_LIVE, "processes", "p" },
	{ "", "restart = \"never\"; exit_codes = [ 1 ];", CHANGE_LIVE,
	    "restart, exit_codes", "r" },
	{ "", "autostart = false;", CHANGE_LIVE, "autostart", "r" },
	{ "", "start_seconds = 2; start_retries = 1;", CHANGE_LIVE,
	    "start_seconds, start_retries", "r" },
	{ "", "backoff = { jitter = 0; };", CHANGE_LIVE, "backoff", "r" },
	{ "", "stop_timeout = 5;", CHANGE_LIVE, "stop", "r" },
	{ "stop = [ \"TERM\", \"QUIT\" ];", "stop = [ \"TERM\", \"INT\" ];",
	    CHANGE_LIVE, "stop", "r" },
	{ "", "stop_scope = \"process\";", CHANGE_LIVE, "stop_scope", "r" },
	{ "", "stdout = { max_size = 5; };", CHANGE_LIVE, "stdout", "o" },
	{ "stdout = \"a\";", "stdout = \"b\";", CHANGE_LIVE, "stdout", "o" },
	{ "", "stdout = \"a\";", CHANGE_LIVE, "stdout", "o" },
	{ "", "stdout = \"null\";", CHANGE_RESTART, "stdout", "o" },
	{ "", "stderr = { };", CHANGE_RESTART, "stderr", "o" },
	{ "command = \"x\";", "command = \"x -v\";", CHANGE_RESTART, "command",
	    "" },
	{ "", "directory = \"/\";", CHANGE_RESTART, "directory", "" },
	{ "", "umask = \"022\";", CHANGE_RESTART, "umask", "" },
	{ "", "environment = { A = 1; };", CHANGE_RESTART, "environment", "" },
	{ "", "clean_environment = true;", CHANGE_RESTART, "environment", "" },
	{ "command = \"x\";", "module = \"m\"; processes = 1;", CHANGE_RESTART,
	    "command, module, tasks", "t" },
	{ "module = \"m\";", "module = \"n\";", CHANGE_RESTART, "module", "" },
	{ "", "threads = 2;", CHANGE_RESTART, "threads", "" },
	{ "", "sockets = \"a\";", CHANGE_RESTART, "sockets", "" },
	{ "sockets = [ \"a\", \"b\" ];", "sockets = [ \"b\", \"a\" ];",
	    CHANGE_RESTART, "sockets", "" },
	{ "sockets = \"a\";", "sockets = [ \"a\" ];", CHANGE_KEPT, "", "" },
	{ "", "tasks = {};", CHANGE_RESTART, "tasks", "t" },
	{ "tasks = {};", "tasks = { retries = 0; backoff = {}; };", CHANGE_KEPT,
	    "", "" },
	{ "tasks = {};", "tasks = { retries = 1; };", CHANGE_LIVE, "tasks",
	    "t" },
	{ "tasks = {};", "tasks = { backoff = { max = 5; }; };", CHANGE_LIVE,
	    "tasks", "t" },
	{ "tasks = {};", "tasks = { key_rate = 0.5; };", CHANGE_LIVE, "tasks",
	    "t" },
	{ "tasks = {};", "tasks = { mode = \"exec\"; };", CHANGE_RESTART,
	    "tasks", "t" },
	{ "", "recycle = { max_age = 5; };", CHANGE_LIVE, "recycle", "t" },
	{ "tasks = {};", "tasks = {}; autoscale = {};", CHANGE_LIVE,
	    "autoscale", "t" },
	{ "tasks = {}; autoscale = {};",
	    "tasks = {}; autoscale = { min = 2; };", CHANGE_LIVE,
	    "processes, autoscale", "pt" },
	{ "", "processes = 2; umask = \"022\"; restart = \"never\";",
	    CHANGE_RESTART, "processes, umask, restart", "rp" },
};

static struct fleet *
fleet_of_body(const char *body)
{
	struct fleet *fleet;
	struct buf text;

	buf_init(&text);
	buf_fmt(&text,
	    "sockets: { a: { listen = \"tcp://:1\"; }; b: { listen = "
	    "\"unix://b\"; }; }; workers: { web: { %s %s }; };",
	    strstr(body, "command") == NULL && strstr(body, "module") == NULL
		? "command = \"c\";"
		: "",
	    body);
	fleet = fleet_of(buf_text(&text));
	buf_done(&text);
	return fleet;
}

static void
a_worker_changes_as_little_as_it_can(void **state)
{
	struct fleet *old, *new;
	struct fleet_diff diff;
	const struct worker_diff *d;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		old = fleet_of_body(cases[i].old);
		new = fleet_of_body(cases[i].new);
		assert_int_equal(fleet_diff(old, new, &diff), 0);
		assert_int_equal(diff.count, 1);
		d = &diff.workers[0];
		assert_string_equal(d->settings, cases[i].settings);
		assert_int_equal(d->change, cases[i].change);
		assert_int_equal(d->rules, strchr(cases[i].live, 'r') != NULL);
		assert_int_equal(d->output, strchr(cases[i].live, 'o') != NULL);
		assert_int_equal(
		    d->processes, strchr(cases[i].live, 'p') != NULL);
		assert_int_equal(d->tasks, strchr(cases[i].live, 't') != NULL);
		assert_false(diff.sockets);
		assert_false(diff.schedules);
		assert_ptr_equal(d->old, old->workers[0]);
		assert_ptr_equal(d->new, new->workers[0]);
		assert_string_equal(diff.fixed, "");
		fleet_diff_done(&diff);
		fleet_free(old);
		fleet_free(new);
	}
}

static void
workers_come_and_go(void **state)
{
	struct fleet *old = fleet_of("defaults: { command = \"x\"; };"
				     "workers: { a: {}; b: {}; c: {}; };");
	struct fleet *new = fleet_of("defaults: { command = \"x\"; };"
				     "workers: { d: {}; c: {}; b: {}; };");

	static const enum change expected[] = { CHANGE_ADDED, CHANGE_KEPT,
		CHANGE_KEPT, CHANGE_REMOVED };
	struct fleet_diff diff;

	(void)state;
	assert_int_equal(fleet_diff(old, new, &diff), 0);
	assert_int_equal(diff.count, 4);
	for (size_t i = 0; i < diff.count; i++)
		assert_int_equal(diff.workers[i].change, expected[i]);
	assert_null(diff.workers[0].old);
	assert_string_equal(diff.workers[3].old->name, "a");
	assert_null(diff.workers[3].new);
	assert_string_equal(change_names[CHANGE_REMOVED], "removed");
	fleet_diff_done(&diff);
	fleet_free(old);
	fleet_free(new);
}

/* Beside the workers. */
static const struct {
	const char *old, *new;
	enum change change; /* of the worker that has the socket "a" */
	bool sockets, schedules;
} beside[] = {
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets = ( { name = \"a\"; listen = \"tcp://:1\"; backlog = "
	    "1024; } );",
	    CHANGE_KEPT, false, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets: { a: { listen = \"tcp://:2\"; }; };", CHANGE_RESTART,
	    true, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets: { a: { listen = \"udp://:1\"; }; };", CHANGE_RESTART,
	    true, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; reuse_port = true; }; };",
	    CHANGE_RESTART, true, false },
	{ "sockets: { a: { listen = \"unix://a\"; }; };",
	    "sockets: { a: { listen = \"unix:///c/a\"; }; };", CHANGE_KEPT,
	    false, false },
	/* changed on the socket there is */
	{ "sockets: { a: { listen = \"unix://a\"; }; };",
	    "sockets: { a: { listen = \"unix://a\"; mode = \"0600\"; backlog = "
	    "5; }; };",
	    CHANGE_KEPT, true, false },
	/* another's */
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; b: { listen = "
	    "\"tcp://:2\"; }; };",
	    CHANGE_KEPT, true, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; b: { listen = "
	  "\"tcp://:2\"; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; c: { listen = "
	    "\"tcp://:2\"; }; };",
	    CHANGE_KEPT, true, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { x: { task "
	  "= \"web\"; func = \"f\"; every = 5; }; y: { task = \"web\"; func = "
	  "\"f\"; every = 5; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { y: { task "
	    "= \"web\"; func = \"f\"; every = 5; }; x: { task = \"web\"; func "
	    "= \"f\"; every = \"5s\"; overlap = \"skip\"; }; };",
	    CHANGE_KEPT, false, false },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { x: { task "
	  "= \"web\"; func = \"f\"; every = 5; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { x: { task "
	    "= \"web\"; func = \"f\"; cron = \"@daily\"; }; };",
	    CHANGE_KEPT, false, true },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { x: { task "
	  "= \"web\"; func = \"f\"; every = 5; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { z: { task "
	    "= \"web\"; func = \"f\"; every = 5; }; };",
	    CHANGE_KEPT, false, true },
	{ "sockets: { a: { listen = \"tcp://:1\"; }; };",
	    "sockets: { a: { listen = \"tcp://:1\"; }; }; schedules: { z: { task "
	    "= \"web\"; func = \"f\"; every = 5; }; };",
	    CHANGE_KEPT, false, true },
};

static struct fleet *
fleet_beside(const char *sections)
{
	struct fleet *fleet;
	struct buf text;

	buf_init(&text);
	buf_fmt(&text,
	    "workers: { web: { command = \"x\"; sockets = \"a\"; tasks = {}; }; "
	    "};\n%s",
	    sections);
	fleet = fleet_of(buf_text(&text));
	buf_done(&text);
	return fleet;
}

static void
what_is_beside_the_workers_is_compared_too(void **state)
{
	struct fleet *old, *new;
	struct fleet_diff diff;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(beside); i++) {
		old = fleet_beside(beside[i].old);
		new = fleet_beside(beside[i].new);
		assert_int_equal(fleet_diff(old, new, &diff), 0);
		assert_int_equal(diff.workers[0].change, beside[i].change);
		assert_string_equal(diff.workers[0].settings,
		    beside[i].change == CHANGE_KEPT ? "" : "sockets");
		assert_int_equal(diff.sockets, beside[i].sockets);
		assert_int_equal(diff.schedules, beside[i].schedules);
		fleet_diff_done(&diff);
		fleet_free(old);
		fleet_free(new);
	}
}

static void
what_only_a_restart_can_apply_is_named(void **state)
{
	struct fleet *old = fleet_of("workers: {};");
	struct fleet *live = fleet_of(
	    "master: { max_starting = 5; shutdown_timeout = 5; log = { level "
	    "= \"warn\"; }; }; control: { admins = [ \"x\" ]; };");
	struct fleet *fixed = fleet_of(
	    "master: { state_dir = \"none\"; log = { file = \"l\"; }; }; "
	    "control: { mode = \"0600\"; };");
	struct fleet_diff diff;

	(void)state;
	assert_int_equal(fleet_diff(old, live, &diff), 0);
	assert_string_equal(diff.fixed, "");
	fleet_diff_done(&diff);
	assert_int_equal(fleet_diff(old, fixed, &diff), 0);
	assert_string_equal(
	    diff.fixed, "master.state_dir, master.log.file, control.mode");
	fleet_diff_done(&diff);
	fleet_free(old);
	fleet_free(live);
	fleet_free(fixed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_changes_as_little_as_it_can),
		cmocka_unit_test(workers_come_and_go),
		cmocka_unit_test(what_is_beside_the_workers_is_compared_too),
		cmocka_unit_test(what_only_a_restart_can_apply_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
