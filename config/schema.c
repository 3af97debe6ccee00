#include "config/schema.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "config/load_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"

#define YEAR_NS (365 * 86400 * NS_PER_SEC)
#define SIZES   (1LL << 50)

#define WORKER(field)   offsetof(struct worker, field)
#define RULES(field)    offsetof(struct worker, rules.field)
#define SETTINGS(field) offsetof(struct settings, field)
#define BACKOFF(field)  offsetof(struct backoff, field)
#define OUTPUT(field)   offsetof(struct output, field)
#define ABSENT(name)                                                           \
	{                                                                      \
		.key = name, .flags = SETTING_ABSENT                           \
	}

static const char *const restart_words[] = { "always", "on-failure", "never",
	NULL };
static const char *const scope_words[] = { "tree", "group", "process", NULL };
static const char *const level_words[] = { "error", "warn", "info", "debug",
	NULL };
static const char *const format_words[] = { "text", "json", NULL };

_Static_assert(RESTART_ALWAYS == 0 && RESTART_ON_FAILURE == 1 &&
		   RESTART_NEVER == 2 && SCOPE_TREE == 0 && SCOPE_GROUP == 1 &&
		   SCOPE_PROCESS == 2 && LOG_LEVEL_ERROR == 0 &&
		   LOG_LEVEL_DEBUG == 3 && LOG_FORMAT_TEXT == 0 &&
		   LOG_FORMAT_JSON == 1,
    "the words are in the order of their enums");

/* clang-format off */
static const struct setting backoff_members[] = {
	{ "initial", &type_duration, BACKOFF(initial), "\"100ms\"", .max = YEAR_NS,
	  .help = "first delay" },
	{ "max", &type_duration, BACKOFF(max), "\"30s\"", .max = YEAR_NS,
	  .help = "longest delay" },
	{ "factor", &type_factor, BACKOFF(factor), "2.0", .min = 1, .max = 1000,
	  .help = "each delay is this times the one before" },
	{ "jitter", &type_factor, BACKOFF(jitter), "0.1", .min = 0, .max = 1,
	  .help = "a delay d becomes d * (1 +- jitter)" },
	{ "reset_after", &type_duration, BACKOFF(reset_after), "\"10s\"", .max = YEAR_NS,
	  .help = "an instance that lived longer is restarted at once" },
	{ 0 }
};

static const struct setting output_members[] = {
	{ "file", NULL, 0, .flags = SETTING_INDEX | SETTING_LATER,
	  .help = "path; without it the default file" },
	{ "max_size", &type_size, OUTPUT(max_size), "\"50M\"", .max = SIZES,
	  .help = "rotated when it would grow beyond; 0: never" },
	{ "keep", &type_int, OUTPUT(keep), "10", .max = 10000,
	  .help = "rotated files kept" },
	{ "compress", &type_bool, OUTPUT(compress), "false",
	  .help = "gzip rotated files" },
	{ "timestamps", &type_bool, OUTPUT(timestamps), "false",
	  .help = "a time in front of each line" },
	{ 0 }
};

const struct setting schema_worker[] = {
	{ "name", NULL, 0, .flags = SETTING_LATER,
	  .help = "of a worker in a list" },
	{ "command", &type_command, WORKER(argv), .flags = SETTING_RESTART | SETTING_INDEX,
	  .help = "what to run" },
	{ "processes", &type_processes, WORKER(processes), "1", .max = FLEET_INSTANCES,
	  .flags = SETTING_PROCESSES, .help = "number of instances" },
	{ "autostart", &type_bool, RULES(autostart), "true",
	  .flags = SETTING_RULES, .help = "start with supervisord" },
	{ "directory", &type_path, WORKER(directory), .flags = SETTING_RESTART | SETTING_INDEX,
	  .help = "working directory" },
	{ "umask", &type_umask, WORKER(umask), .max = 0777,
	  .flags = SETTING_RESTART, .help = "umask in octal" },
	{ "environment", &type_environment, WORKER(environment),
	  .flags = SETTING_RESTART | SETTING_INDEX | SETTING_LATER, .help = "variables" },
	{ "environment_file", NULL, 0, .flags = SETTING_LATER,
	  .help = "files of NAME=VALUE lines" },
	{ "clean_environment", &type_bool, 0, .flags = SETTING_LATER,
	  .help = "inherit nothing" },
	{ "restart", &type_enum, RULES(restart), "\"always\"", .words = restart_words,
	  .flags = SETTING_RULES, .help = "what follows an exit" },
	{ "exit_codes", &type_exit_codes, WORKER(rules), "[ 0 ]", .max = 255,
	  .flags = SETTING_RULES, .help = "what on-failure takes for success" },
	{ "start_seconds", &type_duration, RULES(start_seconds), "\"1s\"", .max = YEAR_NS,
	  .flags = SETTING_RULES, .help = "alive this long: started" },
	{ "start_retries", &type_int, RULES(start_retries), "5", .min = -1, .max = INT_MAX,
	  .flags = SETTING_RULES, .help = "failed starts in a row before FATAL; -1: never" },
	{ "backoff", &type_backoff, RULES(backoff), "{}", .members = backoff_members,
	  .flags = SETTING_RULES, .help = "delays between tries" },
	{ "stop_signal", NULL, 0, .flags = SETTING_LATER,
	  .help = "first signal of a stop" },
	{ "stop_timeout", &type_duration, 0, .max = YEAR_NS, .flags = SETTING_LATER,
	  .help = "then SIGKILL" },
	{ "stop", &type_stop, WORKER(rules), .max = YEAR_NS,
	  .flags = SETTING_RULES | SETTING_LATER, .help = "a ladder of signals" },
	{ "stop_scope", &type_enum, RULES(scope), "\"tree\"", .words = scope_words,
	  .flags = SETTING_RULES, .help = "whom a stop reaches" },
	{ "stdout", &type_output, WORKER(out), "{}", .members = output_members,
	  .flags = SETTING_OUTPUT | SETTING_INDEX, .help = "where output goes" },
	{ "stderr", &type_stderr, WORKER(err), "\"stdout\"", .members = output_members,
	  .flags = SETTING_OUTPUT | SETTING_INDEX, .help = "where errors go" },

	ABSENT("module"), ABSENT("threads"), ABSENT("user"), ABSENT("group"),
	ABSENT("groups"), ABSENT("nice"), ABSENT("io_class"),
	ABSENT("cpu_affinity"), ABSENT("oom_score_adj"), ABSENT("limits"),
	ABSENT("cgroup"), ABSENT("security"), ABSENT("credentials"),
	ABSENT("start_timeout"), ABSENT("ready"), ABSENT("watchdog"),
	ABSENT("health"), ABSENT("silence"), ABSENT("rolling"),
	ABSENT("recycle"), ABSENT("autoscale"), ABSENT("sockets"),
	ABSENT("after"), ABSENT("requires"), ABSENT("every"), ABSENT("cron"),
	ABSENT("timezone"), ABSENT("overlap"), ABSENT("tasks"),
	{ 0 }
};

static const struct setting log_members[] = {
	{ "file", &type_log_file, SETTINGS(log_file), "\"stderr\"", .flags = SETTING_FIXED,
	  .help = "\"stderr\" or a path" },
	{ "level", &type_enum, SETTINGS(log_level), "\"info\"", .words = level_words,
	  .help = "what is worth a line" },
	{ "format", &type_either, SETTINGS(log_json), "\"text\"", .words = format_words,
	  .help = "of a line" },
	{ 0 }
};

const struct setting schema_master[] = {
	{ "state_dir", &type_state_dir, SETTINGS(state_dir), .flags = SETTING_FIXED,
	  .help = "database and default logs" },
	{ "run_dir", &type_run_dir, SETTINGS(run_dir), .flags = SETTING_FIXED,
	  .help = "control socket" },
	{ "log", &type_group, 0, "{}", .members = log_members,
	  .help = "supervisord's own log" },
	{ "exit_with", &type_string, SETTINGS(exit_with),
	  .help = "worker whose end is supervisord's" },
	{ "shutdown_timeout", &type_duration, SETTINGS(shutdown_timeout), "\"90s\"", .max = YEAR_NS,
	  .help = "longest orderly shutdown" },
	{ "max_starting", &type_int, SETTINGS(max_starting), "0", .max = FLEET_INSTANCES,
	  .help = "most instances STARTING at once; 0: no cap" },
	{ 0 }
};

const struct setting schema_control[] = {
	{ "mode", &type_mode, SETTINGS(control_mode), "\"0660\"", .max = 0777, .flags = SETTING_FIXED,
	  .help = "of the socket, in octal" },
	{ "group", &type_group_id, SETTINGS(control_group), .flags = SETTING_FIXED,
	  .help = "of the socket" },
	{ "admins", &type_names, SETTINGS(admins), "[]",
	  .help = "who may do all" },
	{ "viewers", &type_names, SETTINGS(viewers), "[]",
	  .help = "who may look" },
	{ 0 }
};

const struct setting schema_top[] = {
	{ "include", .help = "more files" },
	{ "master", .members = schema_master, .help = "supervisord itself" },
	{ "control", .members = schema_control, .help = "who may command it" },
	{ "defaults", .members = schema_worker, .help = "for every worker" },
	{ "workers", .members = schema_worker, .help = "what to run" },
	ABSENT("sockets"), ABSENT("groups"), ABSENT("schedules"), ABSENT("http"),
	{ 0 }
};
/* clang-format on */

_Static_assert(
    N_ELEMENTS(schema_worker) <= SETTINGS_MAX, "a table is larger than slots");

const struct setting *
schema_find(const struct setting *rows, const char *key)
{
	for (; rows->key != NULL; rows++) {
		if (strcmp(rows->key, key) == 0)
			return rows;
	}
	return NULL;
}

size_t
schema_index(const struct setting *rows, const char *key)
{
	return (size_t)(schema_find(rows, key) - rows);
}

/* Damerau's distance (adjacent letters swapped cost one), case ignored. */
unsigned
schema_distance(const char *a, const char *b)
{
	unsigned char d[34][34];
	size_t n = strlen(a), m = strlen(b), i, j;
	unsigned best, limit;

	if (n == 0 || n > 32 || m > 32)
		return SCHEMA_FAR;
	for (i = 0; i <= n; i++)
		d[i][0] = (unsigned char)i;
	for (j = 0; j <= m; j++)
		d[0][j] = (unsigned char)j;
	for (i = 1; i <= n; i++) {
		for (j = 1; j <= m; j++) {
			bool same = strncasecmp(a + i - 1, b + j - 1, 1) == 0;

			best = d[i - 1][j - 1] + !same;
			best = MIN_OF(best, d[i - 1][j] + 1U);
			best = MIN_OF(best, d[i][j - 1] + 1U);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = MIN_OF(best, d[i - 2][j - 2] + 1U);
			d[i][j] = (unsigned char)best;
		}
	}
	limit = n <= 3 ? 1 : n <= 8 ? 2 : 3;
	return d[n][m] <= limit ? d[n][m] : SCHEMA_FAR;
}

const char *
schema_nearest(const struct setting *rows, const char *key)
{
	const char *nearest = NULL;
	unsigned best = SCHEMA_FAR;

	for (; rows->key != NULL; rows++) {
		unsigned d = schema_distance(key, rows->key);

		if (d < best) {
			best = d;
			nearest = rows->key;
		}
	}
	return nearest;
}
