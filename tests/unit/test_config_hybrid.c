/* What makes a worker hybrid, and the sections beside workers: sockets,
 * schedules. What they mean, and every error in its words. */

#include "tests/unit/config_helper.h"

#include <stdio.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

#define MS NS_PER_MS
#define S  NS_PER_SEC

static void
a_plain_worker_has_none_of_it(void **state)
{
	struct fleet *fleet = fleet_with("");
	const struct worker *w = fleet->workers[0];

	(void)state;
	assert_false(w->hybrid);
	assert_null(w->module);
	assert_null(w->sockets);
	assert_int_equal(w->threads, 1);
	assert_false(w->autoscale.on);
	assert_int_equal(w->recycle.max_age, 0);
	assert_int_equal(w->recycle.max_memory, 0);
	assert_int_equal(w->recycle.max_tasks, 0);
	assert_int_equal(fleet->sockets_count, 0);
	assert_int_equal(fleet->schedules_count, 0);
	assert_null(fleet_socket(fleet, "x"));
	fleet_free(fleet);
	/* threads alone are a number the command is told */
	fleet = fleet_with("threads = 4;");
	assert_false(fleet->workers[0]->hybrid);
	assert_int_equal(fleet->workers[0]->threads, 4);
	fleet_free(fleet);
}

static void
tasks_not_set_are_as_documented(void **state)
{
	struct fleet *fleet = fleet_with("tasks = {};");
	const struct worker *w = fleet->workers[0];
	const struct tasks *t = &w->tasks;

	(void)state;
	assert_true(w->hybrid);
	assert_int_equal(w->processes, 1);
	assert_int_equal(t->mode, TASK_MODE_WORKER);
	assert_int_equal(t->timeout, 0);
	assert_int_equal(t->grace, 2 * S);
	assert_int_equal(t->sibling_grace, 30 * S);
	assert_int_equal(t->retries, 0);
	assert_int_equal(t->backoff.initial, S);
	assert_int_equal(t->backoff.max, 3600 * S);
	assert_true(t->backoff.factor == 2.0);
	assert_true(t->backoff.jitter == 0.1);
	assert_int_equal(t->max_queue, 0);
	assert_int_equal(t->result_ttl, 86400 * S);
	assert_int_equal(t->aging, 30 * S);
	assert_int_equal(t->max_crashes, 3);
	assert_int_equal(t->durability, TASK_DURABLE_FULL);
	assert_int_equal(t->key_concurrency, 0);
	assert_true(t->key_rate == 0);
	/* an instance's delays are others */
	assert_int_equal(w->rules.backoff.initial, 100 * MS);
	fleet_free(fleet);
}

static void
tasks_are_read(void **state)
{
	struct fleet *fleet = fleet_with(
	    "tasks = { mode = \"exec\"; timeout = \"30s\"; grace = 1; "
	    "sibling_grace = \"5s\"; retries = -1; backoff = { initial = 3; }; "
	    "max_queue = 5000000000L; result_ttl = \"2h\"; aging = 0; "
	    "max_crashes = 1; durability = \"process\"; key_concurrency = 4; "
	    "key_rate = 0.5; store = \"local\"; };"
	    "recycle = { max_age = \"1d\"; max_memory = \"512M\"; max_tasks = "
	    "1000; jitter = 0.5; };"
	    "autoscale = { min = 2; max = 4; backlog = 3; min_spare = 1; "
	    "max_spare = 9; cooldown = \"1m\"; };");
	const struct worker *w = fleet->workers[0];
	const struct tasks *t = &w->tasks;

	(void)state;
	assert_int_equal(t->mode, TASK_MODE_EXEC);
	assert_int_equal(t->timeout, 30 * S);
	assert_int_equal(t->grace, S);
	assert_int_equal(t->sibling_grace, 5 * S);
	assert_int_equal(t->retries, -1);
	assert_int_equal(t->backoff.initial, 3 * S);
	assert_int_equal(t->backoff.max, 3600 * S);
	assert_int_equal(t->max_queue, 5000000000LL);
	assert_int_equal(t->result_ttl, 7200 * S);
	assert_int_equal(t->aging, 0);
	assert_int_equal(t->max_crashes, 1);
	assert_int_equal(t->durability, TASK_DURABLE_PROCESS);
	assert_int_equal(t->key_concurrency, 4);
	assert_true(t->key_rate == 0.5);
	assert_int_equal(w->recycle.max_age, 86400 * S);
	assert_int_equal(w->recycle.max_memory, 512LL << 20);
	assert_int_equal(w->recycle.max_tasks, 1000);
	assert_true(w->recycle.jitter == 0.5);
	assert_true(w->autoscale.on);
	assert_int_equal(w->autoscale.min, 2);
	assert_int_equal(w->autoscale.max, 4);
	assert_int_equal(w->autoscale.backlog, 3);
	assert_int_equal(w->autoscale.min_spare, 1);
	assert_int_equal(w->autoscale.max_spare, 9);
	assert_int_equal(w->autoscale.cooldown, 60 * S);
	/* where it starts lies between the two */
	assert_int_equal(w->processes, 2);
	fleet_free(fleet);
}

static void
a_module_takes_the_place_of_a_command(void **state)
{
	struct fleet *fleet = fleet_of(
	    "defaults: { command = \"x\"; };"
	    "workers = ( { name = \"a\"; module = \"lib/${worker}.so\"; threads "
	    "= 8; }, { name = \"b\"; module = \"/m.so\"; processes = "
	    "\"cores*2\"; autoscale = {}; }, { name = \"c\"; } );");
	const struct worker *a = fleet_find(fleet, "a");
	const struct worker *b = fleet_find(fleet, "b");
	const struct worker *c = fleet_find(fleet, "c");

	(void)state;
	assert_true(a->hybrid);
	assert_string_equal(a->module, "/c/lib/a.so");
	assert_string_equal(a->argv[0], "/c/lib/a.so");
	assert_null(a->argv[1]);
	assert_int_equal(a->threads, 8);
	assert_int_equal(a->processes, 6);
	assert_string_equal(b->module, "/m.so");
	assert_int_equal(b->processes, 8);
	assert_false(c->hybrid);
	assert_null(c->module);
	assert_string_equal(c->argv[0], "x");
	assert_int_equal(c->processes, 1);
	fleet_free(fleet);
	/* and the other way round */
	fleet = fleet_of("defaults: { module = \"m.so\"; };"
			 "workers: { a: {}; b: { command = \"x\"; }; };");
	assert_string_equal(fleet->workers[0]->module, "/c/m.so");
	assert_null(fleet->workers[1]->module);
	assert_false(fleet->workers[1]->hybrid);
	fleet_free(fleet);
}

static void
a_plain_worker_follows_cpu_or_a_command(void **state)
{
	struct fleet *fleet = fleet_of(
	    "defaults: { command = \"x\"; autoscale = { cpu = 80; }; };"
	    "workers: { a: {}; b: { autoscale = { max = 3; command = "
	    "\"bin/many --of ${worker}\"; interval = \"1m\"; }; };"
	    " c: { autoscale = { cpu = 250; min = 2; }; tasks = {}; }; };");
	const struct autoscale *a = &fleet->workers[0]->autoscale;
	const struct autoscale *b = &fleet->workers[1]->autoscale;
	const struct autoscale *c = &fleet->workers[2]->autoscale;

	(void)state;
	assert_true(a->on && a->cpu == 80 && a->command == NULL);
	assert_false(autoscale_by_queue(a));
	assert_int_equal(a->interval, 10 * S);
	assert_true(b->on && b->cpu == 0);
	assert_string_equal(b->command[0], "/c/bin/many");
	assert_string_equal(b->command[2], "b");
	assert_null(b->command[3]);
	assert_int_equal(b->interval, 60 * S);
	assert_int_equal(c->cpu, 250);
	assert_int_equal(fleet->workers[2]->processes, 2);
	fleet_free(fleet);
}

static void
defaults_are_for_those_they_make_sense_for(void **state)
{
	struct fleet *fleet = fleet_of(
	    "defaults: { command = \"x\"; threads = 4; autoscale = { min = 3; "
	    "}; recycle = { max_tasks = 9; max_age = 60; }; };"
	    "workers: { plain: {}; tasks: { tasks = {}; };"
	    " exec: { tasks = { mode = \"exec\"; }; }; };");
	const struct worker *plain = fleet->workers[0];
	const struct worker *tasks = fleet->workers[1];

	(void)state;
	assert_false(plain->autoscale.on);
	assert_int_equal(plain->processes, 1);
	assert_int_equal(plain->recycle.max_tasks, 0);
	assert_int_equal(plain->recycle.max_age, 60 * S);
	assert_int_equal(plain->threads, 4);
	assert_true(tasks->autoscale.on);
	assert_int_equal(tasks->processes, 3);
	assert_int_equal(tasks->recycle.max_tasks, 9);
	assert_int_equal(tasks->threads, 4);
	assert_int_equal(fleet->workers[2]->threads, 1);
	fleet_free(fleet);
	fleet = fleet_of("defaults: { command = \"x\"; tasks = { retries = 2; "
			 "}; }; workers: { a: {}; };");
	assert_true(fleet->workers[0]->hybrid);
	assert_int_equal(fleet->workers[0]->tasks.retries, 2);
	fleet_free(fleet);
}

static void
sockets_are_read(void **state)
{
	static const struct {
		const char *listen;
		enum socket_kind kind;
		const char *host, *port, *path;
	} cases[] = {
		{ "tcp://0.0.0.0:8080", SOCKET_TCP, "0.0.0.0", "8080", NULL },
		{ "tcp://:80", SOCKET_TCP, "", "80", NULL },
		{ "tcp://*:81", SOCKET_TCP, "*", "81", NULL },
		{ "tcp://localhost:0", SOCKET_TCP, "localhost", "0", NULL },
		{ "tcp://[::]:65535", SOCKET_TCP, "::", "65535", NULL },
		{ "tcp://[fe80::1%eth0]:1", SOCKET_TCP, "fe80::1%eth0", "1",
		    NULL },
		{ "udp://127.0.0.1:${PORT:-53}", SOCKET_UDP, "127.0.0.1", "53",
		    NULL },
		{ "unix:///run/x.sock", SOCKET_UNIX, NULL, NULL,
		    "/run/x.sock" },
		{ "unix://./x.sock", SOCKET_UNIX, NULL, NULL, "/c/x.sock" },
	};
	const struct socket_setting *s;
	struct fleet *fleet;
	char text[256];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		snprintf(text, sizeof text,
		    "sockets: { a: { listen = \"%s\"; "
		    "}; };",
		    cases[i].listen);
		fleet = fleet_of(text);
		assert_int_equal(fleet->sockets_count, 1);
		s = fleet_socket(fleet, "a");
		assert_ptr_equal(s, fleet->sockets[0]);
		assert_int_equal(s->kind, cases[i].kind);
		if (cases[i].kind == SOCKET_UNIX) {
			assert_null(s->host);
			assert_string_equal(s->path, cases[i].path);
			assert_int_equal(s->mode, 0660);
		} else {
			assert_null(s->path);
			assert_string_equal(s->host, cases[i].host);
			assert_string_equal(s->port, cases[i].port);
			assert_int_equal(s->mode, FLEET_NO_UMASK);
		}
		assert_int_equal(s->backlog, 1024);
		assert_false(s->reuse_port);
		assert_string_equal(s->source, TOP);
		fleet_free(fleet);
	}
}

static void
workers_name_sockets_of_all_files(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, errors;
	const struct worker *w;

	(void)state;
	buf_init(&files);
	buf_init(&errors);
	add_file(&files, TOP,
	    "workers: { a: { command = \"x\"; sockets = [ \"two\", \"1.x\" ]; "
	    "}; b: { command = \"x\"; sockets = \"two\"; }; c: { command = "
	    "\"x\"; sockets = []; }; };"
	    "sockets = ( { name = \"1.x\"; listen = \"tcp://:1\"; backlog = 5; "
	    "reuse_port = true; }, { name = \"3\"; listen = \"tcp://*:1\"; "
	    "reuse_port = true; } ); include = \"d/s.cfg\";");
	add_file(&files, "/c/d/s.cfg",
	    "sockets: { two: { listen = \"unix://s\"; mode = \"600\"; }; };");
	assert_int_equal(load_from(&files, false, &fleet, &errors), 0);
	assert_int_equal(fleet->sockets_count, 3);
	assert_string_equal(fleet->sockets[0]->name, "1.x");
	assert_int_equal(fleet->sockets[0]->backlog, 5);
	assert_true(fleet->sockets[0]->reuse_port);
	assert_string_equal(fleet_socket(fleet, "two")->path, "/c/d/s");
	assert_int_equal(fleet_socket(fleet, "two")->mode, 0600);
	w = fleet->workers[0];
	assert_string_equal(w->sockets[0], "two");
	assert_string_equal(w->sockets[1], "1.x");
	assert_null(w->sockets[2]);
	assert_string_equal(fleet->workers[1]->sockets[0], "two");
	assert_null(fleet->workers[2]->sockets);
	fleet_free(fleet);
	buf_done(&files);
	buf_done(&errors);
}

static void
schedules_are_read(void **state)
{
	struct fleet *fleet = fleet_of(
	    "schedules: { nightly: { task = \"m\"; func = \"sweep\"; args = "
	    "\"{ \\\"days\\\": 7 }\"; cron = \"0 3 * * MON-FRI\"; timezone = "
	    "\"Europe/Berlin\"; catch_up = \"all\"; overlap = \"allow\"; "
	    "priority = \"low\"; timeout = \"5m\"; };"
	    " often: { task = \"e\"; every = 0.5; }; };"
	    "workers: { m: { module = \"m.so\"; }; e: { command = \"x\"; tasks "
	    "= { mode = \"exec\"; }; }; };");
	const struct schedule *s = fleet->schedules[0];

	(void)state;
	assert_int_equal(fleet->schedules_count, 2);
	assert_string_equal(s->name, "nightly");
	assert_string_equal(s->task, "m");
	assert_string_equal(s->func, "sweep");
	assert_string_equal(s->args, "{ \"days\": 7 }");
	assert_string_equal(s->cron, "0 3 * * MON-FRI");
	assert_int_equal(s->every, 0);
	assert_string_equal(s->timezone, "Europe/Berlin");
	assert_int_equal(s->catch_up, CATCH_UP_MODE_ALL);
	assert_int_equal(s->overlap, OVERLAP_MODE_ALLOW);
	assert_int_equal(s->priority, 2);
	assert_int_equal(s->timeout, 300 * S);
	s = fleet->schedules[1];
	assert_string_equal(s->func, "");
	assert_null(s->args);
	assert_null(s->cron);
	assert_int_equal(s->every, 500 * MS);
	assert_null(s->timezone);
	assert_int_equal(s->catch_up, CATCH_UP_MODE_ONE);
	assert_int_equal(s->overlap, OVERLAP_MODE_SKIP);
	assert_int_equal(s->priority, 1);
	assert_int_equal(s->timeout, -1);
	fleet_free(fleet);
}

/* --- errors
 * ------------------------------------------------------------------- */

static const struct {
	const char *body, *error;
} of_worker[] = {
	{ "module = \"\";", ".module: an empty path" },
	{ "module = \"a-${index}.so\";",
	    ".module: ${index} can't be used here" },
	{ "module = \"m.so\"; command = \"x\";",
	    ".module: can't be set together with command: a module is run by "
	    "supervisord's own program" },
	{ "command = \"x\"; threads = 0;",
	    ".threads: 0 is not within 1 to 1024" },
	{ "command = \"x\"; threads = 1025;",
	    ".threads: 1025 is not within 1 to 1024" },
	{ "command = \"x\"; sockets = [ \"htpp\" ];",
	    ".sockets[0]: there is no socket \"htpp\" (did you mean "
	    "\"http\"?)" },
	{ "command = \"x\"; sockets = \"frobnicate\";",
	    ".sockets: there is no socket \"frobnicate\"" },
	{ "command = \"x\"; sockets = [ \"http\", \"http\" ];",
	    ".sockets[1]: \"http\" is in it twice" },
	{ "command = \"x\"; sockets = 5;",
	    ".sockets: must be an array of names of sockets, not a number" },
	{ "command = \"x\"; tasks = 5;",
	    ".tasks: must be a group { }, not a number" },
	{ "command = \"x\"; tasks = { mode = \"exce\"; };",
	    ".tasks.mode: \"exce\" is not known (did you mean \"exec\"?)" },
	{ "command = \"x\"; tasks = { mode = \"exec\"; }; threads = 2;",
	    ".threads: must be 1 with tasks.mode \"exec\", where each task is "
	    "a process: for more at once there is processes" },
	{ "module = \"m.so\"; tasks = { mode = \"exec\"; };",
	    ".tasks.mode: tasks.mode \"exec\" runs a command for each task, "
	    "not a module" },
	{ "command = \"x\"; tasks = { timout = 5; };",
	    ".tasks.timout: unknown setting (did you mean \"timeout\"?)" },
	{ "command = \"x\"; tasks = { retries = -2; };",
	    ".tasks.retries: -2 is not within -1 to 2147483647" },
	{ "command = \"x\"; tasks = { backoff = { initial = \"2h\"; }; };",
	    ".tasks.backoff: max (1h) is less than initial (2h)" },
	{ "command = \"x\"; tasks = { backoff = { reset_after = 1; }; };",
	    ".tasks.backoff.reset_after: unknown setting" },
	{ "command = \"x\"; tasks = { max_queue = -1; };",
	    ".tasks.max_queue: -1 is not within 0 to 9007199254740992" },
	{ "command = \"x\"; tasks = { key_rate = -1; };",
	    ".tasks.key_rate: -1 is not within 0 to 1000000" },
	{ "command = \"x\"; tasks = { durability = \"some\"; };",
	    ".tasks.durability: \"some\" is not known (did you mean "
	    "\"none\"?)" },
	{ "command = \"x\"; tasks = { store = \"redis\"; };",
	    ".tasks.store: neither \"local\" nor the URL of a Redis "
	    "(\"redis://HOST/0\", \"unix:///PATH\")" },
	{ "command = \"x\"; tasks = { store = \"rediss://h\"; };",
	    ".tasks.store: rediss:// (TLS) is not supported: let a tunnel "
	    "(stunnel, ssh, WireGuard) carry redis://" },
	{ "command = \"x\"; tasks = { store = \"redis://u:secret@/0\"; };",
	    ".tasks.store: the host is missing" },
#ifdef WITH_HIREDIS
	{ "command = \"x\"; tasks = { store = \"redis://h\"; lease = "
	  "\"100ms\"; };",
	    ".tasks.lease: shorter than half a second: a lease has to outlast "
	    "a restart of the broker" },
#else
	{ "command = \"x\"; tasks = { store = \"redis://h\"; };",
	    ".tasks.store: this supervisord was built without hiredis: tasks "
	    "can only be kept in the \"local\" store" },
#endif
	{ "command = \"x\"; recycle = { max_tasks = 5; };",
	    ".recycle.max_tasks: needs a worker with tasks { } or a module" },
	{ "command = \"x\"; recycle = { max_memory = 512; };",
	    ".recycle.max_memory: 512 bytes are less than any process has "
	    "(such as \"512M\")" },
	{ "command = \"x\"; recycle = { jitter = 2; };",
	    ".recycle.jitter: 2 is not within 0 to 1" },
	{ "command = \"x\"; autoscale = { };",
	    ".autoscale: needs a worker with tasks { } or a module, or cpu or "
	    "command" },
	{ "module = \"m.so\"; autoscale = { min = 9; };",
	    ".autoscale.min: min (9) is more than max (8)" },
	{ "module = \"m.so\"; autoscale = { min = 0; };",
	    ".autoscale.min: 0 is not within 1 to 20000" },
	{ "module = \"m.so\"; autoscale = { min_spare = 5; max_spare = 4; };",
	    ".autoscale.min_spare: min_spare (5) is more than max_spare (4)" },
	{ "command = \"x\"; autoscale = { cpu = 5; command = \"n\"; };",
	    ".autoscale.command: can't be set together with cpu" },
	{ "module = \"m.so\"; autoscale = { cpu = 5; backlog = 1; };",
	    ".autoscale.backlog: can't be set together with cpu" },
	{ "module = \"m.so\"; autoscale = { command = \"n\"; max_spare = 1; };",
	    ".autoscale.max_spare: can't be set together with command" },
	{ "module = \"m.so\"; autoscale = { interval = \"5s\"; };",
	    ".autoscale.interval: is for cpu or command alone" },
	{ "command = \"x\"; autoscale = { cpu = 5; interval = \"1ms\"; };",
	    ".autoscale.interval: must be at least 100ms" },
	{ "module = \"m.so\"; autoscale = { cpu = -5; };",
	    ".autoscale.cpu: -5 is not within 0 to 100000" },
	{ "module = \"m.so\"; autoscale = { command = \"\"; };",
	    ".autoscale.command: the command is empty" },
};

static void
each_fault_of_a_worker_has_its_words(void **state)
{
	struct buf text, error;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(of_worker); i++) {
		buf_init(&text);
		buf_init(&error);
		buf_fmt(&text,
		    "sockets: { http: { listen = \"tcp://:80\"; }; };\n"
		    "workers = (\n{ name = \"web\"; %s } );",
		    of_worker[i].body);
		buf_fmt(&error, "F:3: workers.web%s\n", of_worker[i].error);
		expect_errors(buf_text(&text), buf_text(&error));
		buf_done(&text);
		buf_done(&error);
	}
}

#define NO_ADDRESS(text, why)                                                  \
	"listen = \"" text "\";",                                              \
	    ".listen: \"" text "\" is not an address to listen at "            \
	    "(\"tcp://HOST:PORT\", \"udp://HOST:PORT\" or \"unix://PATH\"): " why

static const struct {
	const char *body, *error;
} of_socket[] = {
	{ NO_ADDRESS("8080", "none of the three is in front") },
	{ NO_ADDRESS("http://x:80", "none of the three is in front") },
	{ NO_ADDRESS("tcp://", "the port is missing") },
	{ NO_ADDRESS("tcp://host", "the port is missing") },
	{ NO_ADDRESS(
	    "tcp://host:", "the port is not a number from 0 to 65535") },
	{ NO_ADDRESS(
	    "tcp://host:65536", "the port is not a number from 0 to 65535") },
	{ NO_ADDRESS(
	    "tcp://host:http", "the port is not a number from 0 to 65535") },
	{ NO_ADDRESS("tcp://::1:80",
	    "an IPv6 address goes in [ ], as in \"[::1]:80\"") },
	{ NO_ADDRESS("tcp://[::1]", "the port is missing") },
	{ NO_ADDRESS("tcp://[::1", "a \"]\" is missing") },
	{ NO_ADDRESS("tcp://[1.2.3.4]:1", "no IPv6 address is in the [ ]") },
	{ NO_ADDRESS("tcp://[::1%]:1", "no IPv6 address is in the [ ]") },
	{ NO_ADDRESS("tcp://256.0.0.1:1", "that is not an IPv4 address") },
	{ NO_ADDRESS("tcp://a b:1", "that is not the name of a host") },
	{ NO_ADDRESS("udp://-a:1", "that is not the name of a host") },
	{ NO_ADDRESS("unix://", "the path is missing") },
	{ NO_ADDRESS("unix:///run/", "the path is that of a folder") },
	{ NO_ADDRESS("unix://@x",
	    "an abstract name has no permissions and is not supported") },
	{ "listen = \"unix:///0123456789012345678901234567890123456789012345678"
	  "90123456789012345678901234567890123456789012345678901234567\";",
	    ".listen: the path /0123456789012345678901234567890123456789012345"
	    "67890123456789012345678901234567890123456789012345678901234567 is "
	    "too long for a socket (107 bytes at most)" },
	{ "listen = 5;", ".listen: must be a string, not a number" },
	{ "", ": listen is missing" },
	{ "listen = \"tcp://:1\"; backlog = 0;",
	    ".backlog: 0 is not within 1 to 65535" },
	{ "listen = \"tcp://:1\"; mode = \"0600\";",
	    ".mode: only a unix:// socket has permissions" },
	{ "listen = \"unix://x\"; mode = 0600;",
	    ".mode: must be a string of octal digits: write \"0600\"" },
	{ "listen = \"unix://x\"; reuse_port = true;",
	    ".reuse_port: a unix:// socket has no port" },
	{ "listen = \"udp://:1\"; backlog = 5;",
	    ".backlog: a udp:// socket has no connections" },
	{ "listen = \"tcp://:1\"; reuseport = true;",
	    ".reuseport: unknown setting (did you mean \"reuse_port\"?)" },
	{ "listen = \"tcp://*:99\";",
	    ".listen: \"tcp://*:99\" is where sockets.first (F:1) listens "
	    "already" },
	{ "listen = \"tcp://:1\"; name = \"x\";", ".name: unknown setting" },
};

static void
each_fault_of_a_socket_has_its_words(void **state)
{
	struct buf text, error;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(of_socket); i++) {
		buf_init(&text);
		buf_init(&error);
		buf_fmt(&text,
		    "sockets: { first: { listen = \"tcp://:99\"; };\nx: { %s "
		    "}; };",
		    of_socket[i].body);
		buf_fmt(&error, "F:2: sockets.x%s\n", of_socket[i].error);
		expect_errors(buf_text(&text), buf_text(&error));
		buf_done(&text);
		buf_done(&error);
	}
}

static const struct {
	const char *body, *error;
} of_schedule[] = {
	{ "", ": every or cron is missing" },
	{ "every = 5; cron = \"@daily\";",
	    ".cron: can't be set together with every" },
	{ "every = 0;", ".every: must be at least 10ms" },
	{ "every = 5; timezone = \"Europe/Berlin\";",
	    ".timezone: goes with cron: only the calendar has a time zone" },
	{ "cron = \"0 25 * * *\";",
	    ".cron: \"0 25 * * *\" is no time: hour \"25\": not within 0 to "
	    "23" },
	{ "cron = \"0 3 * *\";",
	    ".cron: \"0 3 * *\" is no time: 4 fields, not 5: minute, hour, day "
	    "of month, month, day of week" },
	{ "cron = \"0 0 31 FEB *\";",
	    ".cron: \"0 0 31 FEB *\" never comes: no year has such a day" },
	{ "cron = \"@reboot\";",
	    ".cron: \"@reboot\" is no time: \"@reboot\" is not @hourly, "
	    "@daily, @weekly, @monthly or @yearly" },
	{ "cron = \"@daily\"; timezone = \"Europe/Berlni\";",
	    ".timezone: there is no time zone \"Europe/Berlni\" in "
	    "/usr/share/zoneinfo (such as \"Europe/Berlin\")" },
	{ "every = 5; args = \"{ 'a': 1 }\";",
	    ".args: not JSON: wrong at byte 3, before \"'a': 1 }\"" },
	{ "every = 5; args = \"[ 1,\";", ".args: not JSON: it ends too soon" },
	{ "every = 5; catch_up = \"once\";",
	    ".catch_up: \"once\" is not known (did you mean \"one\"?)" },
	{ "every = 5; overlap = \"kill\";",
	    ".overlap: \"kill\" is not \"skip\", \"queue\" or \"allow\"" },
	{ "every = 5; priority = 1;",
	    ".priority: must be a string, not a number" },
	{ "every = 5; timeout = -1;", ".timeout: -1 is negative" },
};

/* The worker, the function or both are what is wrong. */
static const struct {
	const char *body, *error;
} of_reference[] = {
	{ "task = \"thumb\"; func = \"f\";",
	    ".task: there is no worker \"thumb\" (did you mean \"thumbs\"?)" },
	{ "task = \"plain\"; func = \"f\";",
	    ".task: the worker \"plain\" (F:1) takes no tasks: it has neither "
	    "a module nor tasks { }" },
	{ "task = \"thumbs\";",
	    ": func is missing: the function of the worker" },
	{ "func = \"f\";", ": task is missing: the worker that gets it" },
	{ "task = \"thumbs\"; func = \"\";", ".func: an empty name" },
};

static void
expect_of_schedule(const char *task, const char *body, const char *error)
{
	struct buf text, errors;

	buf_init(&text);
	buf_init(&errors);
	buf_fmt(&text,
	    "workers: { thumbs: { module = \"m.so\"; }; plain: { command = "
	    "\"x\"; }; };\nschedules: {\nnightly: { %s%s }; };",
	    task, body);
	buf_fmt(&errors, "F:3: schedules.nightly%s\n", error);
	expect_errors(buf_text(&text), buf_text(&errors));
	buf_done(&text);
	buf_done(&errors);
}

static void
each_fault_of_a_schedule_has_its_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(of_schedule); i++)
		expect_of_schedule("task = \"thumbs\"; func = \"f\"; ",
		    of_schedule[i].body, of_schedule[i].error);
	for (size_t i = 0; i < N_ELEMENTS(of_reference); i++)
		expect_of_schedule(
		    "every = 5; ", of_reference[i].body, of_reference[i].error);
}

static void
names_are_told_of_in_all_files_at_once(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, found;

	(void)state;
	expect_errors("sockets: [ 1 ];\nschedules = 5;\n",
	    "F:1: sockets: must be a group { NAME: { ... }; } or a list "
	    "( { name = ...; } )\n"
	    "F:2: schedules: must be a group { NAME: { ... }; } or a list "
	    "( { name = ...; } )\n");
	expect_errors(
	    "sockets: { a b: 5; };", "F:1: expected \"=\" after \"a\"\n");
	expect_errors("sockets = ( { name = \"a b\"; },\n{ }, 5 );",
	    "F:1: sockets.a b: \"a b\" can't be a name: a socket's name is "
	    "made of letters, digits, \"_\", \"-\" and \".\" and starts with "
	    "neither \"-\" nor \".\"\n"
	    "F:2: sockets[1]: needs a name: { name = \"...\"; ... }\n"
	    "F:2: sockets[2]: must be a group { name = \"...\"; ... }\n");
	expect_errors("defaults: { module = \"a\"; command = \"b\";\nsockets = "
		      "\"x\"; };",
	    "F:1: defaults.module: can't be set together with command: a "
	    "module is run by supervisord's own program\n"
	    "F:2: defaults.sockets: there is no socket \"x\"\n");
	buf_init(&files);
	buf_init(&found);
	add_file(&files, TOP,
	    "include = [ \"b.cfg\" ];\n"
	    "sockets: { s: { listen = \"tcp://:2\"; };\n"
	    " u: { listen = \"\"; }; u: 5; };\n"
	    "workers: { w: { command = \"x\"; sockets = [ \"S\" ]; tasks = {}; "
	    "}; };\n"
	    "schedules: { n: { task = \"w\"; func = \"f\"; every = 1; }; };\n");
	add_file(&files, "/c/b.cfg",
	    "sockets: { s: { listen = \"tcp://:1\"; }; };\n"
	    "schedules: { n: { task = \"w\"; func = \"f\"; every = 1; }; };\n");
	assert_int_equal(load_from(&files, false, &fleet, &found), -EINVAL);
	shorten(&found);
	assert_string_equal(buf_text(&found),
	    "F:2: sockets.s: defined twice, first at /c/b.cfg:1\n"
	    "F:3: sockets.u.listen: \"\" is not an address to listen at "
	    "(\"tcp://HOST:PORT\", \"udp://HOST:PORT\" or \"unix://PATH\"): "
	    "none of the three is in front\n"
	    "F:3: sockets.u: must be a group { }\n"
	    "F:4: workers.w.sockets[0]: there is no socket \"S\" (did you mean "
	    "\"s\"?)\n"
	    "F:5: schedules.n: defined twice, first at /c/b.cfg:2\n");
	buf_done(&files);
	buf_done(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_worker_has_none_of_it),
		cmocka_unit_test(tasks_not_set_are_as_documented),
		cmocka_unit_test(tasks_are_read),
		cmocka_unit_test(a_module_takes_the_place_of_a_command),
		cmocka_unit_test(a_plain_worker_follows_cpu_or_a_command),
		cmocka_unit_test(defaults_are_for_those_they_make_sense_for),
		cmocka_unit_test(sockets_are_read),
		cmocka_unit_test(workers_name_sockets_of_all_files),
		cmocka_unit_test(schedules_are_read),
		cmocka_unit_test(each_fault_of_a_worker_has_its_words),
		cmocka_unit_test(each_fault_of_a_socket_has_its_words),
		cmocka_unit_test(each_fault_of_a_schedule_has_its_words),
		cmocka_unit_test(names_are_told_of_in_all_files_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
