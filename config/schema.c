#include "config/schema.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "config/load_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"

#define YEAR_NS (365 * 86400 * NS_PER_SEC)
#define SIZES   (1LL << 50)
#define COUNTS  (1LL << 53) /* whole numbers that any JSON reader can take */

#define WORKER(field)   offsetof(struct worker, field)
#define RULES(field)    offsetof(struct worker, rules.field)
#define SETTINGS(field) offsetof(struct settings, field)
#define BACKOFF(field)  offsetof(struct backoff, field)
#define OUTPUT(field)   offsetof(struct output, field)
#define TASKS(field)    offsetof(struct tasks, field)
#define RECYCLE(field)  offsetof(struct recycle, field)
#define SCALE(field)    offsetof(struct autoscale, field)
#define SOCKET(field)   offsetof(struct socket_setting, field)
#define SCHEDULE(field) offsetof(struct schedule, field)
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
static const char *const mode_words[] = { "worker", "exec", NULL };
static const char *const durability_words[] = { "full", "process", "none",
	NULL };
static const char *const catch_up_words[] = { "one", "none", "all", NULL };
static const char *const overlap_words[] = { "skip", "queue", "allow", NULL };
static const char *const priority_words[] = { "high", "middle", "low", NULL };

_Static_assert(TASK_MODE_EXEC == 1 && TASK_DURABLE_PROCESS == 1 &&
		   TASK_DURABLE_NONE == 2 && CATCH_UP_MODE_NONE == 1 &&
		   CATCH_UP_MODE_ALL == 2 && OVERLAP_MODE_QUEUE == 1 &&
		   OVERLAP_MODE_ALLOW == 2,
    "the words are in the order of their enums");
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

static const struct setting tasks_backoff_members[] = {
	{ "initial", &type_duration, BACKOFF(initial), "\"1s\"", .max = YEAR_NS,
	  .help = "first delay" },
	{ "max", &type_duration, BACKOFF(max), "\"1h\"", .max = YEAR_NS,
	  .help = "longest delay" },
	{ "factor", &type_factor, BACKOFF(factor), "2.0", .min = 1, .max = 1000,
	  .help = "each delay is this times the one before" },
	{ "jitter", &type_factor, BACKOFF(jitter), "0.1", .min = 0, .max = 1,
	  .help = "a delay d becomes d * (1 +- jitter)" },
	{ 0 }
};

static const struct setting tasks_members[] = {
	{ "mode", &type_enum, TASKS(mode), "\"worker\"", .words = mode_words,
	  .help = "task after task in a process, or a process for each" },
	{ "timeout", &type_duration, TASKS(timeout), "0", .max = YEAR_NS,
	  .help = "longest run of a task; 0: any" },
	{ "grace", &type_duration, TASKS(grace), "\"2s\"", .max = YEAR_NS,
	  .help = "from being told to stop to the kill" },
	{ "sibling_grace", &type_duration, TASKS(sibling_grace), "\"30s\"", .max = YEAR_NS,
	  .help = "what the other threads' tasks get before that kill" },
	{ "retries", &type_int, TASKS(retries), "0", .min = -1, .max = INT_MAX,
	  .help = "further tries after a failure; -1: for ever" },
	{ "backoff", &type_backoff, TASKS(backoff), "{}", .members = tasks_backoff_members,
	  .group = "tasks-backoff", .help = "delays between tries" },
	{ "max_queue", &type_count, TASKS(max_queue), "0", .max = COUNTS,
	  .help = "most waiting tasks; 0: no limit" },
	{ "result_ttl", &type_duration, TASKS(result_ttl), "\"1d\"", .max = 10 * YEAR_NS,
	  .help = "how long an ended task is kept" },
	{ "aging", &type_duration, TASKS(aging), "\"30s\"", .max = YEAR_NS,
	  .help = "a wait that outweighs a priority; 0: none does" },
	{ "max_crashes", &type_int, TASKS(max_crashes), "3", .min = 1, .max = 1000,
	  .help = "a task that crashed so often is dead" },
	{ "durability", &type_enum, TASKS(durability), "\"full\"", .words = durability_words,
	  .help = "what an accepted task survives" },
	{ "key_concurrency", &type_int, TASKS(key_concurrency), "0", .max = INT_MAX,
	  .help = "running at once per limit_key; 0: any number" },
	{ "key_rate", &type_factor, TASKS(key_rate), "0", .max = 1000000,
	  .help = "begun per second and limit_key; 0: any number" },
	{ "store", &type_store, TASKS(store), "\"local\"",
	  .help = "where tasks are kept: here, or in a Redis for several" },
	{ "lease", &type_duration, TASKS(lease), "\"15s\"", .max = YEAR_NS,
	  .help = "with a Redis: silence after which others run them" },
	{ 0 }
};

static const struct setting recycle_members[] = {
	{ "max_age", &type_duration, RECYCLE(max_age), "0", .max = 10 * YEAR_NS,
	  .help = "replaced when it has lived this long; 0: never" },
	{ "max_memory", &type_size, RECYCLE(max_memory), "0",
	  .help = "replaced when it holds so much memory; 0: never" },
	{ "max_tasks", &type_count, RECYCLE(max_tasks), "0", .max = COUNTS,
	  .help = "replaced after so many tasks; 0: never" },
	{ "jitter", &type_factor, RECYCLE(jitter), "0.1", .min = 0, .max = 1,
	  .help = "share by which a limit may come earlier" },
	{ 0 }
};

static const struct setting autoscale_members[] = {
	{ "min", &type_int, SCALE(min), "1", .min = 1, .max = FLEET_INSTANCES,
	  .help = "fewest instances" },
	{ "max", &type_int, SCALE(max), "8", .min = 1, .max = FLEET_INSTANCES,
	  .help = "most instances" },
	{ "backlog", &type_int, SCALE(backlog), "10", .min = 1, .max = INT_MAX,
	  .help = "waiting tasks per thread to grow at" },
	{ "min_spare", &type_int, SCALE(min_spare), "0", .max = INT_MAX,
	  .help = "fewest idle threads; 0: not looked at" },
	{ "max_spare", &type_int, SCALE(max_spare), "0", .max = INT_MAX,
	  .help = "most idle threads; 0: not looked at" },
	{ "cooldown", &type_duration, SCALE(cooldown), "\"10s\"", .max = YEAR_NS,
	  .help = "pause between two steps" },
	{ "cpu", &type_int, SCALE(cpu), "0", .max = 100000,
	  .help = "percent of a core per instance to keep to; 0: not looked at" },
	{ "command", &type_argv, SCALE(command),
	  .help = "prints the number of instances" },
	{ "interval", &type_interval, SCALE(interval), "\"10s\"", .max = YEAR_NS,
	  .help = "how often cpu or command is looked at" },
	{ 0 }
};

const struct setting schema_worker[] = {
	{ "name", NULL, 0, .flags = SETTING_LATER,
	  .help = "of a worker in a list" },
	{ "command", &type_command, WORKER(argv), .flags = SETTING_RESTART | SETTING_INDEX,
	  .help = "what to run" },
	{ "module", &type_path, WORKER(module), .flags = SETTING_RESTART,
	  .help = "a shared object with task handlers, in place of command" },
	{ "threads", &type_int, WORKER(threads), "1", .min = 1, .max = FLEET_THREADS,
	  .flags = SETTING_RESTART, .help = "threads of an instance" },
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
	{ "start_timeout", &type_duration, RULES(start_timeout), "\"60s\"", .max = YEAR_NS,
	  .flags = SETTING_RULES, .help = "not started by then: failed; 0: never" },
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

	{ "sockets", &type_sockets, WORKER(sockets),
	  .flags = SETTING_RESTART, .help = "listening sockets it is given" },
	{ "tasks", &type_tasks, WORKER(tasks), "{}", .members = tasks_members,
	  .flags = SETTING_TASKS, .help = "makes it a hybrid worker, fed by a queue" },
	{ "recycle", &type_recycle, WORKER(recycle), "{}", .members = recycle_members,
	  .flags = SETTING_TASKS, .help = "when an instance is replaced" },
	{ "autoscale", &type_autoscale, WORKER(autoscale), "{}", .members = autoscale_members,
	  .flags = SETTING_TASKS, .help = "instances follow the queue, cpu or a command" },

	ABSENT("user"), ABSENT("group"),
	ABSENT("groups"), ABSENT("nice"), ABSENT("io_class"),
	ABSENT("cpu_affinity"), ABSENT("oom_score_adj"), ABSENT("limits"),
	ABSENT("cgroup"), ABSENT("security"), ABSENT("credentials"),
	ABSENT("ready"), ABSENT("watchdog"),
	ABSENT("health"), ABSENT("silence"), ABSENT("rolling"),
	ABSENT("after"), ABSENT("requires"), ABSENT("every"), ABSENT("cron"),
	ABSENT("timezone"), ABSENT("overlap"),
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

const struct setting schema_socket[] = {
	{ "name", NULL, 0, .flags = SETTING_LATER,
	  .help = "of a socket in a list" },
	{ "listen", &type_listen, 0,
	  .help = "\"tcp://HOST:PORT\", \"udp://HOST:PORT\" or \"unix://PATH\"" },
	{ "backlog", &type_int, SOCKET(backlog), "1024", .min = 1, .max = 65535,
	  .help = "connections that may wait" },
	{ "mode", &type_mode, SOCKET(mode), "\"0660\"", .max = 0777,
	  .help = "of a unix socket, in octal" },
	{ "reuse_port", &type_bool, SOCKET(reuse_port), "false",
	  .help = "others may listen at the port as well" },
	{ 0 }
};

const struct setting schema_schedule[] = {
	{ "name", NULL, 0, .flags = SETTING_LATER,
	  .help = "of a schedule in a list" },
	{ "task", &type_string, SCHEDULE(task),
	  .help = "the worker that gets it" },
	{ "func", &type_func, SCHEDULE(func),
	  .help = "the function" },
	{ "args", &type_json, SCHEDULE(args),
	  .help = "its arguments, as JSON" },
	{ "every", &type_every, SCHEDULE(every), .max = 10 * YEAR_NS,
	  .help = "time from one to the next" },
	{ "cron", &type_cron, SCHEDULE(cron),
	  .help = "times of the calendar" },
	{ "timezone", &type_zone, SCHEDULE(timezone),
	  .help = "whose clock cron goes by" },
	{ "catch_up", &type_enum, SCHEDULE(catch_up), "\"one\"", .words = catch_up_words,
	  .help = "what is made up for of missed times" },
	{ "overlap", &type_enum, SCHEDULE(overlap), "\"skip\"", .words = overlap_words,
	  .help = "while the last one has not ended" },
	{ "priority", &type_enum, SCHEDULE(priority), "\"middle\"", .words = priority_words,
	  .help = "of the task" },
	{ "timeout", &type_duration, SCHEDULE(timeout), .max = YEAR_NS,
	  .help = "of the task, in place of the worker's" },
	{ 0 }
};

const struct setting schema_top[] = {
	{ "include", .help = "more files" },
	{ "master", .members = schema_master, .help = "supervisord itself" },
	{ "control", .members = schema_control, .help = "who may command it" },
	{ "defaults", .members = schema_worker, .help = "for every worker" },
	{ "workers", .members = schema_worker, .help = "what to run" },
	{ "sockets", .members = schema_socket, .help = "where to listen" },
	{ "schedules", .members = schema_schedule, .help = "tasks that come by the clock" },
	ABSENT("groups"), ABSENT("http"),
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

bool
schema_same(const struct setting *rows, const void *a, const void *b)
{
	for (; rows->key != NULL; rows++) {
		if (rows->type != NULL && rows->type->same != NULL &&
		    !rows->type->same((const char *)a + rows->offset,
			(const char *)b + rows->offset))
			return false;
	}
	return true;
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
