/* Every error in the words a user reads. `F` stands for the file's path. */

#include "tests/unit/config_helper.h"

#include <errno.h>

#include "supervisord/base/util.h"

/* What is wrong within one worker: `workers: { web: { BODY } }`, the body on
 * line 2; the error without "F:2: workers.web". */
static const struct {
	const char *body, *error;
} of_worker[] = {
	{ "command = \"x\"; proceses = 2;",
	    ".proceses: unknown setting (did you mean \"processes\"?)" },
	{ "command = \"x\"; frobnicate = 2;", ".frobnicate: unknown setting" },
	{ "command = \"x\"; name = \"y\";", ".name: unknown setting" },
	{ "command = \"x\"; ready = \"started\";",
	    ".ready: not supported yet" },
	{ "processes = 1;", ": command or module is missing" },
	/* command */
	{ "command = \"\";", ".command: the command is empty" },
	{ "command = [];", ".command: the command is empty" },
	{ "command = [ \"\" ];", ".command[0]: the program's name is empty" },
	{ "command = 5;",
	    ".command: must be a string or an array of strings, not a "
	    "number" },
	{ "command = ( \"a\", 5 );",
	    ".command[1]: must be a string, not a number" },
	{ "command = \"a 'b\";", ".command: a closing ' is missing" },
	{ "command = \"A=1 b\";",
	    ".command: \"A=1\" is no program: no shell is run, set variables "
	    "in environment { }" },
	{ "command = \"a | b\";",
	    ".command: \"|\" means something to a shell, but no shell is run: "
	    "quote it, or write [ \"sh\", \"-c\", \"...\" ]" },
	{ "command = \"a\\x01\";",
	    ".command: a string can't hold a byte 0x01" },
	{ "command = \"${NO}\";",
	    ".command: ${NO} is not set and has no default (${NO:-default}; a "
	    "literal \"${\" is written \"$${\")" },
	/* numbers */
	{ "command = \"x\"; processes = -1;",
	    ".processes: -1 is not within 0 to 20000" },
	{ "command = \"x\"; processes = 20001;",
	    ".processes: 20001 is not within 0 to 20000" },
	{ "command = \"x\"; processes = 1.5;",
	    ".processes: must be a number or \"cores\", \"cores*2\", "
	    "\"cores/2\", not a number with a point" },
	{ "command = \"x\"; processes = \"cores+1\";",
	    ".processes: \"cores+1\" is not a number of cores (\"cores\", "
	    "\"cores*2\", \"cores/2\")" },
	{ "command = \"x\"; processes = \"cores*5000\";",
	    ".processes: 30000 is not within 0 to 20000" },
	{ "command = \"x\"; processes = \"many\";",
	    ".processes: \"many\" is not a whole number" },
	{ "command = \"x\"; processes = \"${index}\";",
	    ".processes: ${index} can't be used here" },
	{ "command = \"x\"; autostart = \"yes\";",
	    ".autostart: \"yes\" is not true or false" },
	{ "command = \"x\"; autostart = 1;",
	    ".autostart: must be true or false, not a number" },
	{ "command = \"x\"; start_retries = -2;",
	    ".start_retries: -2 is not within -1 to 2147483647" },
	{ "command = \"x\"; start_seconds = \"10x\";",
	    ".start_seconds: \"10x\" is not a duration (such as \"250ms\", "
	    "\"10s\", \"5m\", \"2h\", \"1d\" or a number of seconds)" },
	{ "command = \"x\"; start_seconds = -1;",
	    ".start_seconds: -1 is negative" },
	{ "command = \"x\"; start_seconds = \"99999999d\";",
	    ".start_seconds: 99999999d is too long" },
	{ "command = \"x\"; start_seconds = { };",
	    ".start_seconds: must be a duration (\"10s\", or a number of "
	    "seconds), not a group { }" },
	{ "command = \"x\"; umask = 022;",
	    ".umask: must be a string of octal digits: write \"0022\"" },
	{ "command = \"x\"; umask = \"028\";",
	    ".umask: \"028\" is not an octal number from 0 to 0777" },
	{ "command = \"x\"; umask = \"1000\";",
	    ".umask: \"1000\" is not an octal number from 0 to 0777" },
	/* words */
	{ "command = \"x\"; restart = \"allways\";",
	    ".restart: \"allways\" is not known (did you mean \"always\"?)" },
	{ "command = \"x\"; restart = \"7\";",
	    ".restart: \"7\" is not \"always\", \"on-failure\" or \"never\"" },
	{ "command = \"x\"; restart = true;",
	    ".restart: must be a string, not true or false" },
	{ "command = \"x\"; stop_scope = \"family\";",
	    ".stop_scope: \"family\" is not \"tree\", \"group\" or "
	    "\"process\"" },
	{ "command = \"x\"; directory = \"\";", ".directory: an empty path" },
	/* rules */
	{ "command = \"x\"; exit_codes = [ 0, 256 ];",
	    ".exit_codes[1]: 256 is not within 0 to 255" },
	{ "command = \"x\"; exit_codes = \"none\";",
	    ".exit_codes: must be an array of exit codes, not a string" },
	{ "command = \"x\"; backoff = { factor = 0.5; };",
	    ".backoff.factor: 0.5 is not within 1 to 1000" },
	{ "command = \"x\"; backoff = { jitter = 2; };",
	    ".backoff.jitter: 2 is not within 0 to 1" },
	{ "command = \"x\"; backoff = { initial = \"1m\"; };",
	    ".backoff: max (30s) is less than initial (1m)" },
	{ "command = \"x\"; backoff = { inital = \"1m\"; };",
	    ".backoff.inital: unknown setting (did you mean \"initial\"?)" },
	{ "command = \"x\"; backoff = 5;",
	    ".backoff: must be a group { }, not a number" },
	{ "command = \"x\"; stop_signal = \"FOO\";",
	    ".stop_signal: \"FOO\" is not a signal (such as \"TERM\" or "
	    "\"QUIT\")" },
	{ "command = \"x\"; stop = [];", ".stop: no step" },
	{ "command = \"x\"; stop = [ \"KILL\", \"TERM\" ];",
	    ".stop[1]: nothing can follow KILL" },
	{ "command = \"x\"; stop = [ \"KILL 5s\" ];",
	    ".stop[0]: KILL is the end and takes no time" },
	{ "command = \"x\"; stop = [ \"TERM soon\" ];",
	    ".stop[0]: \"TERM soon\" is not a signal and a duration "
	    "(\"TERM 10s\")" },
	{ "command = \"x\"; stop = [ \"\" ];",
	    ".stop[0]: \"\" is not a signal (such as \"TERM\" or \"QUIT\")" },
	{ "command = \"x\"; stop = [ \"TERM\" ]; stop_timeout = 5;",
	    ".stop: can't be set together with stop_timeout" },
	/* output */
	{ "command = \"x\"; stdout = \"stdout\";",
	    ".stdout: \"stdout\" is not known here (supervisord's own is "
	    "\"inherit\"; a file of that name is \"./stdout\")" },
	{ "command = \"x\"; stderr = { file = \"null\"; };",
	    ".stderr.file: \"null\" is not a file: write stderr = \"null\" (a "
	    "file of that name is \"./null\")" },
	{ "command = \"x\"; stdout = { max_size = \"1X\"; };",
	    ".stdout.max_size: \"1X\" is not a size (such as \"64K\", "
	    "\"512M\", \"2G\" or a number of bytes)" },
	{ "command = \"x\"; stdout = \"log/\";",
	    ".stdout: \"/c/log/\" is a folder, not a file" },
	{ "command = \"x\"; stdout = true;",
	    ".stdout: must be \"inherit\", \"null\", \"syslog\", a path or a "
	    "group { }, not true or false" },
	{ "command = \"x\"; stdout = \"/l\"; stderr = { file = \"/l\"; "
	  "keep = 1; };",
	    ".stderr: writes to the same file as workers.web.stdout (F:2), "
	    "but with another max_size, keep, compress or timestamps" },
	/* environment */
	{ "command = \"x\"; environment = { A = 1.5; };",
	    ".environment.A: must be a string, a whole number, true or false, "
	    "not a number with a point" },
	{ "command = \"x\"; environment = { SUPERVISOR_INDEX = 1; };",
	    ".environment.SUPERVISOR_INDEX: is set by supervisord itself" },
	{ "command = \"x\"; environment = [ \"A\" ];",
	    ".environment[0]: expected \"NAME=VALUE\"" },
	{ "command = \"x\"; environment = 5;",
	    ".environment: must be a group { } of variables, not a number" },
	{ "command = \"x\"; environment_file = \"none.env\";",
	    ".environment_file: /c/none.env does not exist" },
};

/* Whole files. */
static const struct {
	const char *text, *errors;
} of_file[] = {
	{ "groups: {};\nwrkers: {};\ncommand = \"x\";\nfoo = 1;",
	    "F:1: groups: not supported yet\n"
	    "F:2: wrkers: unknown setting (did you mean \"workers\"?)\n"
	    "F:3: command: is a worker's setting: it belongs into defaults or "
	    "a worker\n"
	    "F:4: foo: unknown setting\n" },
	{ "workers: { a: { command = \"x\"; };\n a: { command = \"x\"; }; };",
	    "F:2: workers.a: defined twice, first at F:1\n" },
	{ "workers = ( { name = \"a\"; command = \"x\"; },\n 5,\n { command = "
	  "\"x\"; },\n { name = \"a\"; command = \"y\"; } );",
	    "F:2: workers[1]: must be a group { name = \"...\"; ... }\n"
	    "F:3: workers[2]: needs a name: { name = \"...\"; ... }\n"
	    "F:4: workers.a: defined twice, first at F:1\n" },
	{ "workers: { all: { command = \"x\"; };\n -a: { command = \"x\"; }; "
	  "\n b: 5; };",
	    "F:1: workers.all: \"all\" can't be a worker's name: as a target "
	    "it means every worker\n"
	    "F:2: workers.-a: \"-a\" can't be a target: a worker's name is "
	    "made of letters, digits, \"_\", \"-\" and \".\" and starts with "
	    "neither \"-\" nor \".\"\n"
	    "F:3: workers.b: must be a group { }\n" },
	{ "workers = ( { name = \"a b:0\"; command = \"x\"; } );",
	    "F:1: workers.a b:0: \"a b:0\" can't be a target: a worker's name "
	    "is made of letters, digits, \"_\", \"-\" and \".\" and starts "
	    "with neither \"-\" nor \".\"\n" },
	{ "workers: { a2345678901234567890123456789012345678901234567890"
	  "123456789012345: { command = \"x\"; }; };",
	    "F:1: workers.a2345678901234567890123456789012345678901234567890"
	    "123456789012345: a worker's name can't be longer than 64 "
	    "bytes\n" },
	{ "workers: [ \"a\" ];\nmaster = 5;\ncontrol = \"x\";\ndefaults = "
	  "();\ninclude = 5;",
	    "F:1: workers: must be a group { NAME: { ... }; } or a list "
	    "( { name = ...; } )\n"
	    "F:2: master: must be a group { }\n"
	    "F:3: control: must be a group { }\n"
	    "F:4: defaults: must be a group { }\n"
	    "F:5: include: must be an array of paths, not a number\n" },
	{ "workers: { web: { command = \"x\"; }; };\nmaster: { exit_with = "
	  "\"wbe\"; };",
	    "F:2: master.exit_with: there is no worker \"wbe\" (did you mean "
	    "\"web\"?)\n" },
	{ "master: {\nlog = { level = \"inf\"; };\nstate_dir = 5;\n"
	  "max_starting = -1;\nrun_dir = \"${worker}\"; };",
	    "F:2: master.log.level: \"inf\" is not known (did you mean "
	    "\"info\"?)\n"
	    "F:3: master.state_dir: must be a string, not a number\n"
	    "F:4: master.max_starting: -1 is not within 0 to 20000\n"
	    "F:5: master.run_dir: ${worker} is known in a worker only\n" },
	{ "master: { run_dir = \"/01234567890123456789012345678901234567890"
	  "123456789012345678901234567890123456789012345678901234567890\"; };",
	    "F:1: master.run_dir: the path is too long for a socket in it (94 "
	    "bytes at most)\n" },
	{ "control: { mode = 0660;\ngroup = \"no-such\";\nviewers = [ \"@\" "
	  "];\nadmins = [ 5 ]; };",
	    "F:1: control.mode: must be a string of octal digits: write "
	    "\"0660\"\n"
	    "F:2: control.group: there is no group \"no-such\"\n"
	    "F:3: control.viewers[0]: an empty name\n"
	    "F:4: control.admins[0]: must be a string, not a number\n" },
	/* a fault in defaults is told once, also where nobody uses it */
	{ "defaults: { restart = \"x\"; nme = 1;\ncommand = \"a ${NO:-}|\"; "
	  "name = \"x\"; };\n"
	  "workers: { a: {}; b: {}; c: { restart = \"never\"; }; };",
	    "F:1: defaults.nme: unknown setting (did you mean \"name\"?)\n"
	    "F:1: defaults.restart: \"x\" is not \"always\", \"on-failure\" or "
	    "\"never\"\n"
	    "F:2: defaults.name: unknown setting\n"
	    "F:2: defaults.command: \"|\" means something to a shell, but no "
	    "shell is run: quote it, or write [ \"sh\", \"-c\", \"...\" ]\n" },
	{ "defaults: { stop = [ \"TERM\" ]; stop_signal = \"INT\"; };",
	    "F:1: defaults.stop: can't be set together with stop_signal\n" },
	/* set twice, and the rest is still checked */
	{ "workers: { a: { command = \"x\";\ncommand = \"y\";\numask = 5; }; "
	  "};\nworkers: { };",
	    "F:2: workers.a.command: set twice, first at F:1\n"
	    "F:3: workers.a.umask: must be a string of octal digits: write "
	    "\"0005\"\n"
	    "F:4: workers: set twice, first at F:1\n" },
	{ "workers: { a: { command = \"x\"; stdout = \"/l\"; };\n"
	  "b: { command = \"x\"; stdout = { file = \"/l\"; max_size = 5; }; "
	  "}; };",
	    "F:2: workers.b.stdout: writes to the same file as "
	    "workers.a.stdout (F:1), but with another max_size, keep, "
	    "compress or timestamps\n" },
	{ "defaults: { command = \"x\"; };\nworkers: { a: { processes = 20000; "
	  "};\nb: { };\nc: { }; };",
	    "F:3: workers.b.processes: all workers together have more than "
	    "20000 instances from here on\n" },
	{ "workers: {", "F:1: the \"{\" opened here is never closed\n" },
	{ "include = [ \"no.cfg\",\n\"no/*.cfg\", \"\"\n ];",
	    "F:1: include[0]: /c/no.cfg does not exist\n"
	    "F:2: include[1]: /c/no/*.cfg: does not exist\n"
	    "F:2: include[2]: an empty path\n" },
};

static void
each_fault_of_a_worker_has_its_words(void **state)
{
	struct buf text, error;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(of_worker); i++) {
		buf_init(&text);
		buf_init(&error);
		buf_fmt(
		    &text, "workers: { web:\n{ %s }; };", of_worker[i].body);
		/* A worker's own line is that of its name. */
		buf_fmt(&error, "F:%d: workers.web%s\n",
		    of_worker[i].error[0] == ':' ? 1 : 2, of_worker[i].error);
		if (strncmp(of_worker[i].error, ".stderr: writes", 15) == 0) {
			buf_clear(&error);
			buf_str(&error,
			    "F:1: workers.web.stderr: writes to the same file "
			    "as workers.web.stdout (F:1), but with another "
			    "max_size, keep, compress or timestamps\n");
		}
		expect_errors(buf_text(&text), buf_text(&error));
		buf_done(&text);
		buf_done(&error);
	}
}

static void
each_fault_of_a_file_has_its_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(of_file); i++)
		expect_errors(of_file[i].text, of_file[i].errors);
}

static void
all_files_are_told_of_in_one_go(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, found;

	(void)state;
	buf_init(&files);
	buf_init(&found);
	add_file(&files, TOP,
	    "include = [ \"b.cfg\", \"a.cfg\", \"b.cfg\" ];\n"
	    "master: { max_starting = 1; };\n"
	    "workers: { w: { command = \"x\"; }; };");
	add_file(&files, "/c/a.cfg",
	    "master: { max_starting = 1; };\nworkers: { w: { command = "
	    "\"\"; }; };\ninclude = \"supervisord.cfg\";");
	add_file(&files, "/c/b.cfg", "workers: { b: { command = ; }; };");
	assert_int_equal(load_from(&files, false, &fleet, &found), -EINVAL);
	shorten(&found);
	assert_string_equal(buf_text(&found),
	    "/c/a.cfg:2: workers.w.command: the command is empty\n"
	    "/c/a.cfg:3: include: F includes itself\n"
	    "/c/b.cfg:1: expected a value, not \";\"\n"
	    "F:1: include[2]: /c/b.cfg is included twice, first at F:1\n"
	    "F:2: master.max_starting: set twice, first at /c/a.cfg:1\n"
	    "F:3: workers.w: defined twice, first at /c/a.cfg:2\n");
	buf_done(&files);
	buf_done(&found);
}

static void
a_file_of_variables_is_told_of_by_its_own_lines(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, found;

	(void)state;
	buf_init(&files);
	buf_init(&found);
	add_file(&files, TOP,
	    "defaults: { command = \"x\"; environment_file = \"e\"; };\n"
	    "workers: { a: {}; b: {}; };");
	add_file(&files, "/c/e",
	    "# fine\nA=1\nB\nC=\"x\n=5\nD E=1\nSUPERVISOR_WORKER=x\n");
	assert_int_equal(load_from(&files, false, &fleet, &found), -EINVAL);
	assert_string_equal(buf_text(&found),
	    "/c/e:3: expected NAME=VALUE\n"
	    "/c/e:4: the closing quote is not at the end of the line\n"
	    "/c/e:5: \"\" a name is missing before \"=\"\n"
	    "/c/e:6: \"D E\" is not the name of a variable\n"
	    "/c/e:7: \"SUPERVISOR_WORKER\" is set by supervisord itself\n");
	buf_done(&files);
	buf_done(&found);
}

static void
a_damaged_snapshot_is_an_error(void **state)
{
	static const char junk[] = "svdcfg01junk";
	struct load load = { .path = TOP, .from = junk, .from_size = 12 };
	struct fleet *fleet = NULL;
	struct buf found;

	(void)state;
	buf_init(&found);
	assert_int_equal(load_fleet(&load, &fleet, NULL, &found), -EINVAL);
	assert_string_equal(
	    buf_text(&found), TOP ": the snapshot of the config is damaged\n");
	buf_done(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_of_a_worker_has_its_words),
		cmocka_unit_test(each_fault_of_a_file_has_its_words),
		cmocka_unit_test(all_files_are_told_of_in_one_go),
		cmocka_unit_test(
		    a_file_of_variables_is_told_of_by_its_own_lines),
		cmocka_unit_test(a_damaged_snapshot_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
