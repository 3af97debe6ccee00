/* What a config means: defaults, each setting, variables, merging. */

#include "tests/unit/config_helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/schema.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/proto/messages.h"
#include "tests/unit/skip.h"

_Static_assert(FLEET_NAME_MAX == WORKER_NAME_MAX,
    "a name that may be in a config fits into messages");

#define MS NS_PER_MS
#define S  NS_PER_SEC

static void
assert_words(char **words, const char *expected)
{
	struct buf b;

	buf_init(&b);
	for (; *words != NULL; words++)
		buf_fmt(&b, "%s|", *words);
	assert_string_equal(buf_text(&b), expected);
	buf_done(&b);
}

static void
what_is_not_set_is_as_documented(void **state)
{
	struct fleet *fleet = fleet_of("workers: { web: { command = \"x\"; };"
				       "};");
	const struct worker *w = fleet->workers[0];

	(void)state;
	assert_int_equal(fleet->count, 1);
	assert_string_equal(w->name, "web");
	assert_string_equal(w->source, TOP);
	assert_int_equal(w->line, 1);
	assert_int_equal(w->processes, 1);
	assert_words(w->argv, "x|");
	assert_null(w->directory);
	assert_int_equal(w->umask, FLEET_NO_UMASK);
	/* sorted, the first of a name, without SUPERVISOR_INDEX and a value
	 * that would read as a template */
	assert_words(w->environment, "EMPTY=|HOME=/home/me|PATH=/bin|");
	assert_true(w->rules.autostart);
	assert_int_equal(w->rules.restart, RESTART_ALWAYS);
	assert_int_equal(w->rules.exit_codes_count, 1);
	assert_int_equal(w->rules.exit_codes[0], 0);
	assert_int_equal(w->rules.start_seconds, S);
	assert_int_equal(w->rules.start_retries, 5);
	assert_int_equal(w->rules.backoff.initial, 100 * MS);
	assert_int_equal(w->rules.backoff.max, 30 * S);
	assert_true(w->rules.backoff.factor == 2.0);
	assert_true(w->rules.backoff.jitter == 0.1);
	assert_int_equal(w->rules.backoff.reset_after, 10 * S);
	assert_int_equal(w->rules.stop_count, 2);
	assert_int_equal(w->rules.stop[0].signo, SIGTERM);
	assert_int_equal(w->rules.stop[0].wait, 10 * S);
	assert_int_equal(w->rules.stop[1].signo, SIGKILL);
	assert_int_equal(w->rules.stop[1].wait, 0);
	assert_int_equal(w->rules.scope, SCOPE_TREE);
	assert_int_equal(w->out.kind, OUTPUT_FILE);
	assert_null(w->out.file);
	assert_int_equal(w->out.max_size, 50 << 20);
	assert_int_equal(w->out.keep, 10);
	assert_false(w->out.compress);
	assert_false(w->out.timestamps);
	assert_int_equal(w->err.kind, OUTPUT_STDOUT);
	fleet_free(fleet);
}

static void
settings_not_set_are_as_documented(void **state)
{
	struct fleet *fleet = fleet_of("workers: {};");
	const struct settings *s = &fleet->settings;

	(void)state;
	assert_int_equal(fleet->count, 0);
	if (geteuid() == 0) {
		assert_string_equal(s->state_dir, "/var/lib/supervisord");
		assert_string_equal(s->run_dir, "/run/supervisord");
	} else {
		assert_string_equal(
		    s->state_dir, "/home/me/.local/state/supervisord");
	}
	assert_null(s->log_file);
	assert_int_equal(s->log_level, LOG_LEVEL_INFO);
	assert_false(s->log_json);
	assert_null(s->exit_with);
	assert_int_equal(s->shutdown_timeout, 90 * S);
	assert_int_equal(s->max_starting, 0);
	assert_int_equal(s->control_mode, 0660);
	assert_int_equal(s->control_group, (gid_t)-1);
	assert_null(s->admins[0]);
	assert_null(s->viewers[0]);
	fleet_free(fleet);
}

static void
settings_are_read(void **state)
{
	struct fleet *fleet = fleet_of(
	    "master: { state_dir = \"none\"; run_dir = \"run\"; log = { file = "
	    "\"./l\"; level = \"debug\"; format = \"json\"; }; exit_with = "
	    "\"w\"; shutdown_timeout = 1.5; max_starting = 7; };"
	    "control: { mode = \"600\"; group = 12; admins = [ \"root\", "
	    "\"@wheel\" ]; viewers = \"5\"; };"
	    "workers: { w: { command = \"x\"; }; };");
	const struct settings *s = &fleet->settings;

	(void)state;
	assert_null(s->state_dir);
	assert_string_equal(s->run_dir, "/c/run");
	assert_string_equal(s->log_file, "/c/l");
	assert_int_equal(s->log_level, LOG_LEVEL_DEBUG);
	assert_true(s->log_json);
	assert_string_equal(s->exit_with, "w");
	assert_int_equal(s->shutdown_timeout, 1500 * MS);
	assert_int_equal(s->max_starting, 7);
	assert_int_equal(s->control_mode, 0600);
	assert_int_equal(s->control_group, 12);
	assert_words(s->admins, "root|@wheel|");
	assert_words(s->viewers, "5|");
	fleet_free(fleet);
}

static void
a_workers_settings_are_read(void **state)
{
	struct fleet *fleet = fleet_with(
	    "processes = 4; autostart = false; directory = \"d\"; umask = "
	    "\"027\"; restart = \"on-failure\"; exit_codes = [ 0, 2, 0 ]; "
	    "start_seconds = \"250ms\"; start_retries = -1; backoff = { "
	    "initial = 1; factor = 3; }; stop_signal = \"quit\"; stop_timeout "
	    "= \"1m\"; stop_scope = \"group\"; stdout = \"null\"; stderr = { "
	    "file = \"e-${index}.log\"; max_size = \"1K\"; keep = 2; compress "
	    "= true; timestamps = true; };");
	const struct worker *w = fleet_find(fleet, "web");

	(void)state;
	assert_int_equal(w->processes, 4);
	assert_false(w->rules.autostart);
	assert_string_equal(w->directory, "/c/d");
	assert_int_equal(w->umask, 027);
	assert_int_equal(w->rules.restart, RESTART_ON_FAILURE);
	assert_int_equal(w->rules.exit_codes_count, 2);
	assert_int_equal(w->rules.exit_codes[1], 2);
	assert_int_equal(w->rules.start_seconds, 250 * MS);
	assert_int_equal(w->rules.start_retries, -1);
	assert_int_equal(w->rules.backoff.initial, S);
	assert_int_equal(w->rules.backoff.max, 30 * S);
	assert_true(w->rules.backoff.factor == 3.0);
	assert_int_equal(w->rules.stop[0].signo, SIGQUIT);
	assert_int_equal(w->rules.stop[0].wait, 60 * S);
	assert_int_equal(w->rules.scope, SCOPE_GROUP);
	assert_int_equal(w->out.kind, OUTPUT_NULL);
	assert_int_equal(w->err.kind, OUTPUT_FILE);
	assert_string_equal(w->err.file, "/c/e-\x01.log");
	assert_int_equal(w->err.max_size, 1024);
	assert_int_equal(w->err.keep, 2);
	assert_true(w->err.compress);
	assert_true(w->err.timestamps);
	fleet_free(fleet);
}

static void
commands_become_argv(void **state)
{
	static const struct {
		const char *command, *argv;
	} cases[] = {
		{ "\"gunicorn app:app -w 4\"", "gunicorn|app:app|-w|4|" },
		{ "\"./run 'a b'\"", "/c/run|a b|" },
		{ "\"bin/run ./a\"", "/c/bin/run|./a|" },
		{ "\"/bin/run\"", "/bin/run|" },
		{ "[ \"sh\", \"-c\", \"echo $A | cat; $${B}\" ]",
		    "sh|-c|echo $A | cat; ${B}|" },
		{ "\"${worker} ${index}-${config_dir} ${NO:-a b} '${HOME}'\"",
		    "web|\x01-/c|a b|/home/me|" },
		{ "[ \"x\", \"\", \"${EMPTY}\" ]", "x|||" },
		{ "( \"x\", \"y\" )", "x|y|" },
	};
	struct fleet *fleet;
	char text[256];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		snprintf(text, sizeof text,
		    "workers: { web: { command = %s; } }", cases[i].command);
		fleet = fleet_of(text);
		assert_words(fleet->workers[0]->argv, cases[i].argv);
		fleet_free(fleet);
	}
}

static void
processes_may_go_by_cores(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
	} cases[] = {
		{ "processes = 0;", 0 },
		{ "processes = 20000;", 20000 },
		{ "processes = \"cores\";", 6 },
		{ "processes = \"cores*2\";", 12 },
		{ "processes = \"cores / 4\";", 1 },
		{ "processes = \"cores/100\";", 1 },
		{ "processes = \"3\";", 3 },
		{ "processes = \"${WEB_CONCURRENCY:-9}\";", 9 },
	};
	struct fleet *fleet;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		fleet = fleet_with(cases[i].text);
		assert_int_equal(fleet->workers[0]->processes, cases[i].n);
		fleet_free(fleet);
	}
}

static void
stop_is_a_ladder(void **state)
{
	struct fleet *fleet = fleet_with("stop = [ \"TERM 10s\", \"QUIT\" ];");
	const struct rules *r = &fleet->workers[0]->rules;

	(void)state;
	assert_int_equal(r->stop_count, 3);
	assert_int_equal(r->stop[0].wait, 10 * S);
	assert_int_equal(r->stop[1].signo, SIGQUIT);
	assert_int_equal(r->stop[1].wait, 10 * S);
	assert_int_equal(r->stop[2].signo, SIGKILL);
	fleet_free(fleet);
	fleet = fleet_with("stop = [ \"INT 1s\", \"KILL\" ];");
	r = &fleet->workers[0]->rules;
	assert_int_equal(r->stop_count, 2);
	assert_int_equal(r->stop[1].signo, SIGKILL);
	fleet_free(fleet);
	fleet = fleet_with("stop_signal = \"KILL\";");
	r = &fleet->workers[0]->rules;
	assert_int_equal(r->stop_count, 1);
	assert_int_equal(r->stop[0].wait, 0);
	fleet_free(fleet);
}

static void
a_worker_overrides_defaults_setting_by_setting(void **state)
{
	struct fleet *fleet = fleet_of(
	    "defaults: { command = \"d ${worker}\"; restart = \"never\"; "
	    "backoff = { initial = 5; }; stop = [ \"INT 1s\" ]; environment = "
	    "{ A = 1; B = 1; }; };"
	    "workers: { a: {}; b: { restart = \"always\"; backoff = { max = "
	    "60; }; stop_timeout = 3; environment = { B = 2; C = true; }; }; "
	    "};");
	const struct worker *a = fleet_find(fleet, "a");
	const struct worker *b = fleet_find(fleet, "b");

	(void)state;
	assert_words(a->argv, "d|a|");
	assert_words(b->argv, "d|b|");
	assert_int_equal(a->rules.restart, RESTART_NEVER);
	assert_int_equal(b->rules.restart, RESTART_ALWAYS);
	/* whole values: b's backoff knows nothing of that in defaults */
	assert_int_equal(a->rules.backoff.initial, 5 * S);
	assert_int_equal(b->rules.backoff.initial, 100 * MS);
	assert_int_equal(a->rules.stop[0].signo, SIGINT);
	assert_int_equal(b->rules.stop[0].signo, SIGTERM);
	assert_int_equal(b->rules.stop[0].wait, 3 * S);
	/* but the environment is merged */
	assert_words(a->environment, "A=1|B=1|EMPTY=|HOME=/home/me|PATH=/bin|");
	assert_words(
	    b->environment, "A=1|B=2|C=true|EMPTY=|HOME=/home/me|PATH=/bin|");
	fleet_free(fleet);
}

static void
the_later_variable_wins(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, errors;

	(void)state;
	buf_init(&files);
	buf_init(&errors);
	add_file(&files, TOP,
	    "defaults: { command = \"x\"; clean_environment = true; };"
	    "workers: {"
	    " a: { environment = { A = \"e\"; }; environment_file = \"f\"; };"
	    " b: { environment_file = \"f\"; environment = { A = \"e\"; }; };"
	    " c: { environment_file = [ \"f\", \"-no\", \"/g\" ]; };"
	    " d: { environment = [ \"_=1\", \"I=${index}\" ]; };"
	    " e: { clean_environment = false; };"
	    "};");
	add_file(&files, "/c/f",
	    "# a comment\n\n A=f\nexport B=\"x \\\"y\\\" \\n\"  \nC='$D'\r\n");
	add_file(&files, "/g", "A=g=h");
	add_record(&files, FILE_RECORD, -ENOENT, "/c/no", "", 0);
	assert_int_equal(load_from(&files, false, &fleet, &errors), 0);
	assert_words(
	    fleet_find(fleet, "a")->environment, "A=f|B=x \"y\" \\n|C=$D|");
	assert_words(
	    fleet_find(fleet, "b")->environment, "A=e|B=x \"y\" \\n|C=$D|");
	assert_words(
	    fleet_find(fleet, "c")->environment, "A=g=h|B=x \"y\" \\n|C=$D|");
	assert_words(fleet_find(fleet, "d")->environment, "I=\x01|_=1|");
	assert_words(fleet_find(fleet, "e")->environment,
	    "EMPTY=|HOME=/home/me|PATH=/bin|");
	fleet_free(fleet);
	buf_done(&files);
	buf_done(&errors);
}

static void
workers_that_are_alike_share_their_environment(void **state)
{
	struct fleet *fleet = fleet_of(
	    "defaults: { command = \"x\"; };"
	    "workers: { a: {}; b: {}; c: { environment = { A = 1; }; }; };");

	(void)state;
	assert_ptr_equal(
	    fleet->workers[0]->environment, fleet->workers[1]->environment);
	assert_ptr_not_equal(
	    fleet->workers[0]->environment, fleet->workers[2]->environment);
	assert_ptr_equal(fleet->workers[0]->environment[0],
	    fleet->workers[2]->environment[1]);
	fleet_free(fleet);
}

static void
both_forms_and_all_files_make_one_fleet_in_order(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, errors;

	(void)state;
	buf_init(&files);
	buf_init(&errors);
	add_file(&files, TOP,
	    "workers: { b: { command = \"./x\"; }; a: { command = \"x\"; }; };"
	    "include = [ \"conf.d/*.cfg\", \"z.cfg\" ];"
	    "master: { max_starting = 3; };");
	add_record(&files, GLOB_RECORD, 0, "/c/conf.d/*.cfg",
	    "/c/conf.d/1.cfg\0/c/conf.d/2.cfg", 32);
	add_file(&files, "/c/conf.d/1.cfg",
	    "workers = ( { name = \"1.x\"; command = \"./x\"; directory = "
	    "\".\"; } ); include = \"deep/d.cfg\";");
	add_file(&files, "/c/conf.d/2.cfg", "# nothing\n");
	add_file(&files, "/c/conf.d/deep/d.cfg",
	    "workers: { _d: { command = \"${config_dir}\"; }; }");
	add_file(&files, "/c/z.cfg",
	    "master: { shutdown_timeout = 5; }; defaults: { umask = \"077\"; "
	    "};");
	assert_int_equal(load_from(&files, false, &fleet, &errors), 0);
	assert_int_equal(fleet->count, 4);
	assert_string_equal(fleet->workers[0]->name, "b");
	assert_string_equal(fleet->workers[1]->name, "a");
	assert_string_equal(fleet->workers[2]->name, "1.x");
	assert_string_equal(fleet->workers[3]->name, "_d");
	assert_words(fleet->workers[0]->argv, "/c/x|");
	assert_words(fleet->workers[2]->argv, "/c/conf.d/x|");
	assert_string_equal(fleet->workers[2]->directory, "/c/conf.d");
	assert_words(fleet->workers[3]->argv, "/c/conf.d/deep|");
	assert_string_equal(fleet->workers[3]->source, "/c/conf.d/deep/d.cfg");
	assert_int_equal(fleet->workers[3]->umask, 077);
	assert_int_equal(fleet->settings.max_starting, 3);
	assert_int_equal(fleet->settings.shutdown_timeout, 5 * S);
	fleet_free(fleet);
	buf_done(&files);
	buf_done(&errors);
}

static void
as_pid_1_output_is_inherited(void **state)
{
	struct fleet *fleet = NULL;
	struct buf files, errors;

	(void)state;
	buf_init(&files);
	buf_init(&errors);
	add_file(&files, TOP,
	    "defaults: { command = \"x\"; };"
	    "workers: { a: {}; b: { stdout = \"b.log\"; }; };");
	assert_int_equal(load_from(&files, true, &fleet, &errors), 0);
	assert_int_equal(fleet->workers[0]->out.kind, OUTPUT_INHERIT);
	assert_int_equal(fleet->workers[0]->err.kind, OUTPUT_STDOUT);
	assert_int_equal(fleet->workers[1]->out.kind, OUTPUT_FILE);
	fleet_free(fleet);
	buf_done(&files);
	buf_done(&errors);
}

static void
holes_are_filled(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(fleet_fill("a\x01", 12345, out, sizeof out), 0);
	assert_string_equal(out, "a12345");
	assert_int_equal(fleet_fill("\x01-\x01", 10, out, sizeof out), 0);
	assert_string_equal(out, "10-10");
	assert_int_equal(fleet_fill("", 0, out, sizeof out), 0);
	assert_string_equal(out, "");
	assert_int_equal(fleet_fill("1234567", 0, out, sizeof out), 0);
	assert_int_equal(
	    fleet_fill("12345678", 0, out, sizeof out), -ENAMETOOLONG);
	assert_int_equal(
	    fleet_fill("123\x01", 12345, out, sizeof out), -ENAMETOOLONG);
	assert_int_equal(fleet_fill("", 0, out, 0), -ENAMETOOLONG);
}

static void
workers_are_found_by_name(void **state)
{
	struct worker a = { .name = helper_home };
	struct worker *all[] = { &a };
	struct fleet by_hand = { .workers = all, .count = 1 };
	struct fleet *fleet = fleet_with("");

	(void)state;
	assert_ptr_equal(fleet_find(fleet, "web"), fleet->workers[0]);
	assert_null(fleet_find(fleet, "we"));
	assert_null(fleet_find(fleet, ""));
	assert_ptr_equal(fleet_find(&by_hand, helper_home), &a);
	assert_null(fleet_find(&by_hand, "x"));
	fleet_free(fleet);
	fleet_free(NULL);
}

/* In both forms, in time that grows with their number. */
static void
ten_thousand_workers_are_read(void **state)
{
	struct fleet *fleet;
	struct buf text;

	(void)state;
	for (int list = 0; list < 2; list++) {
		buf_init(&text);
		buf_str(&text, list ? "workers = (" : "workers: {");
		for (int i = 0; i < 10000; i++) {
			if (list)
				buf_fmt(&text, "%s{ name = \"w%d\";",
				    i > 0 ? "," : "", i);
			else
				buf_fmt(&text, "w%d: {", i);
			buf_fmt(&text, " command = \"x %d\"; }\n", i);
		}
		buf_str(&text, list ? ");" : "};");
		fleet = fleet_of(buf_text(&text));
		assert_int_equal(fleet->count, 10000);
		assert_int_equal(fleet_find(fleet, "w9999")->line, 10000);
		fleet_free(fleet);
		buf_done(&text);
	}
}

static const struct setting *const tables[] = { schema_top, schema_worker,
	schema_master, schema_control };

static void
check_page(const char *page, const struct setting *rows)
{
	char item[64];

	for (; rows->key != NULL; rows++) {
		if (rows->flags & SETTING_ABSENT)
			snprintf(item, sizeof item, "\n.Ic %s", rows->key);
		else
			snprintf(item, sizeof item, ".It Ic %s", rows->key);
		if (strstr(page, item) == NULL)
			fail_msg("supervisord.cfg.5 has no \"%s\"", item);
		if (rows->members != NULL && rows->type != NULL)
			check_page(page, rows->members);
	}
}

static void
every_setting_is_in_the_manual(void **state)
{
	FILE *f = fopen("config/supervisord.cfg.5", "re");
	char *page;
	size_t n;

	(void)state;
	if (f == NULL)
		SKIP_BECAUSE("not run from the top of the sources");
	page = calloc(1, 1 << 20);
	n = fread(page, 1, (1 << 20) - 1, f);
	assert_true(n > 0);
	fclose(f);
	for (size_t i = 0; i < N_ELEMENTS(tables); i++)
		check_page(page, tables[i]);
	free(page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_set_is_as_documented),
		cmocka_unit_test(settings_not_set_are_as_documented),
		cmocka_unit_test(settings_are_read),
		cmocka_unit_test(a_workers_settings_are_read),
		cmocka_unit_test(commands_become_argv),
		cmocka_unit_test(processes_may_go_by_cores),
		cmocka_unit_test(stop_is_a_ladder),
		cmocka_unit_test(
		    a_worker_overrides_defaults_setting_by_setting),
		cmocka_unit_test(the_later_variable_wins),
		cmocka_unit_test(
		    workers_that_are_alike_share_their_environment),
		cmocka_unit_test(
		    both_forms_and_all_files_make_one_fleet_in_order),
		cmocka_unit_test(as_pid_1_output_is_inherited),
		cmocka_unit_test(holes_are_filled),
		cmocka_unit_test(workers_are_found_by_name),
		cmocka_unit_test(ten_thousand_workers_are_read),
		cmocka_unit_test(every_setting_is_in_the_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
