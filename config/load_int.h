#ifndef CONFIG_LOAD_INT_H
#define CONFIG_LOAD_INT_H

/* What the stages of a load share. Nothing here leaves config/. */

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/arena.h"
#include "config/fleet.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/source.h"
#include "supervisord/base/util.h"

struct load;

/* A parsed file. Its settings find it through their config. */
struct part {
	config_t config;
	const char *path;
	const char *dir; /* relative paths in it start here */
	struct part *next;
};

/* A member of some file's root. */
struct section {
	const struct setting *row; /* of schema_top */
	const config_setting_t *value;
	struct section *next;
};

/* The memory behind a fleet that was loaded. */
struct fleet_own {
	struct fleet fleet;
	struct arena arena;
	struct map workers, sockets, schedules; /* by name */
};

struct loading {
	const struct load *load;
	struct source source;
	struct report report;
	struct fleet_own *own;
	struct fleet *fleet; /* own's */
	struct arena scratch;
	struct part *parts;
	struct part *presets;
	struct section *sections, **last_section;
	struct map included;  /* path to the setting that included it */
	struct map strings;   /* interned, the fleet's */
	struct map arrays;    /* environments, by their pointers */
	struct map env_files; /* by path */
	char **inherited;     /* the environment, sorted, NULL-terminated */
	bool nomem;
};

/* Whom settings are read for. */
struct reader {
	struct loading *l;
	const char *worker; /* NULL: not a worker's */
};

/* The settings of one group, by the row they belong to. */
struct slots {
	const config_setting_t *of[SETTINGS_MAX];
};

/* --- load.c --- */
void *loading_scratch(struct loading *l, size_t size); /* NULL sets nomem */
/* The one copy of that string in the fleet; NULL sets nomem. */
char *loading_keep(struct loading *l, const char *text);

/* "FILE:LINE: path.of.setting: ..." into the report. Returns -EINVAL. */
int fail(struct loading *l, const config_setting_t *s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const struct part *part_of(const config_setting_t *s);
/* "FILE:LINE" of a setting, in scratch memory. */
const char *place_of(struct loading *l, const config_setting_t *s);

/* --- read.c: files into sections --- */
int read_files(struct loading *l);
int read_presets(struct loading *l);
/* Relative to the folder of the file that has s; NULL sets nomem. */
const char *path_of(
    struct loading *l, const config_setting_t *s, const char *path);

/* --- named.c: sections whose members have names --- */
struct named {
	const char *section;     /* "sockets" */
	const char *noun;        /* "socket", as in "a socket's name" */
	const struct map *known; /* by name, what was read before */
	/* Reads an element of a good name that is not known yet. */
	int (*read)(struct loading *l, const config_setting_t *s,
	    const char *name, void *context);
	/* Where a known one is defined. */
	const char *(*source)(const void *known, unsigned *ret_line);
	void *context;
};

/* How many elements the section has in all files. */
size_t named_count(const struct loading *l, const char *section);
/* All of them, in the order of the files. 0, or -EINVAL with reports. */
int named_read(struct loading *l, const struct named *named);
/* The name of an element, or NULL. */
const char *named_name(const config_setting_t *s);
/* Sorts an element's members into slots, but for its name. */
int named_slots(struct loading *l, const config_setting_t *s,
    const struct setting *rows, struct slots *slots);

/* "there is no worker "wbe" (did you mean "web"?)" */
struct nearest {
	const char *wanted;
	const char *name; /* NULL: none is near */
	unsigned distance;
};

void nearest_init(struct nearest *n, const char *wanted);
void nearest_try(struct nearest *n, const char *candidate);
int fail_absent(struct loading *l, const config_setting_t *s, const char *noun,
    const struct nearest *n);

/* --- slots.c: the members of a group --- */
/* Sorts a group's members into slots; what is unknown is reported. */
int slots_fill(struct loading *l, const config_setting_t *group,
    const struct setting *rows, struct slots *slots);
/* Reads what is in the slots, and the presets of what is not. */
int slots_read(struct reader *r, const struct slots *slots,
    const config_setting_t *presets, const struct setting *rows, void *base);
/* A group that is the value of a row with members. */
int members_read(struct reader *r, const config_setting_t *group,
    const struct setting *row, void *base);

/* --- value.c, word.c: settings into fields --- */
extern const struct type type_bool, type_int, type_count, type_duration,
    type_size, type_enum, type_either, type_string, type_path, type_factor,
    type_mode, type_names, type_log_file, type_state_dir, type_group_id,
    type_run_dir, type_group;
/* Of pointers to fields. */
bool same_bool(const void *a, const void *b);
bool same_int(const void *a, const void *b);
bool same_int64(const void *a, const void *b);
bool same_string(const void *a, const void *b); /* may be NULL */
/* NULL-terminated arrays, or NULL. */
bool same_strings(const void *a, const void *b);

/* The expanded text of a string setting; NULL: reported, or nomem. */
const char *text_of(struct reader *r, const config_setting_t *s, bool index);
/* The same for text that comes from s in another way. */
const char *text_expand(
    struct reader *r, const config_setting_t *s, const char *raw, bool index);
/* Reports that the value is none of the type. */
int fail_type(struct reader *r, const config_setting_t *s, const char *words);
bool is_decimal(const char *text);
/* A string, or an array or list of strings: how many, and each of them. */
int strings_count(
    struct reader *r, const config_setting_t *s, const char *words);
const config_setting_t *strings_at(const config_setting_t *s, unsigned i);

/* --- rules.c, command.c, output.c: a worker's own types --- */
extern const struct type type_command, type_argv, type_processes,
    type_exit_codes, type_backoff, type_stop, type_output, type_stderr,
    type_environment, type_umask;
/* Processors this process may run on. */
unsigned cores_count(struct loading *l);

/* stop, or stop_signal and stop_timeout. */
int stop_read(struct reader *r, const struct slots *slots, struct rules *rules);

/* --- hybrid.c: what a hybrid worker has --- */
extern const struct type type_tasks, type_store, type_recycle, type_autoscale,
    type_interval;

/* Checks what goes together, in a worker whose settings have been read; own:
 * those that are not from the defaults. */
int hybrid_check(struct loading *l, const struct slots *own,
    const struct slots *all, struct worker *w);

/* --- sockets.c, schedules.c: the sections --- */
extern const struct type type_listen, type_sockets, type_func, type_json,
    type_every, type_cron, type_zone;
int sockets_read(struct loading *l);
int schedules_read(struct loading *l);

/* --- environment.c --- */
int environment_inherit(struct loading *l);
/* The defaults' layer may be NULL. */
int environment_read(struct reader *r, const struct slots *own,
    const struct slots *defaults, struct worker *w);

/* --- worker.c, settings.c: sections into the fleet --- */
int workers_read(struct loading *l);
int settings_read(struct loading *l);
size_t schema_index(const struct setting *rows, const char *key);
/* Whether two structs have the same values in all rows of a table. */
bool schema_same(const struct setting *rows, const void *a, const void *b);

#endif
