#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

/*
 * Every setting there is: one row each, which the reader, the presets, the
 * diff and the check of the manual page walk.
 */

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;
struct setting;

/*
 * What a setting's value looks like. read stores it in *field, or reports what
 * is wrong and returns -EINVAL. Without same the diff passes over the row.
 */
struct type {
	const char *words; /* "a duration such as \"10s\"" */
	int (*read)(struct reader *r, const config_setting_t *s,
	    const struct setting *row, void *field);
	bool (*same)(const void *a, const void *b);
};

enum setting_flag {
	/* a change is applied to what runs: rules, output, number */
	SETTING_RULES = 1 << 0,
	SETTING_OUTPUT = 1 << 1,
	SETTING_PROCESSES = 1 << 2,
	SETTING_RESTART = 1 << 3, /* instances must be replaced */
	SETTING_FIXED = 1 << 4,   /* supervisord must be restarted */
	SETTING_INDEX = 1 << 5,   /* a template: ${index} may be used */
	SETTING_LATER = 1 << 6,   /* read by hand, together with others */
	SETTING_ABSENT = 1 << 7,  /* not supported yet */
	SETTING_TASKS = 1 << 8    /* as the first three: tasks, recycle, ... */
};

struct setting {
	const char *key;
	const struct type *type;
	size_t offset;            /* of the field in its struct */
	const char *preset;       /* the default as libconfig text, or NULL */
	const char *const *words; /* of an enum, NULL-terminated */
	const struct setting *members; /* of a group */
	const char *group; /* its name among the presets; NULL: its key */
	int64_t min, max;  /* of numbers, sizes, durations */
	unsigned flags;
	const char *help;
};

#define SETTINGS_MAX 64 /* rows of one table at most */

/* Each ends with a row without a key. */
extern const struct setting schema_top[], schema_worker[], schema_master[],
    schema_control[], schema_socket[], schema_schedule[];

/* The row of that key, or NULL. */
const struct setting *schema_find(const struct setting *rows, const char *key);

/* The key closest to a mistyped one, or NULL when none is close. */
const char *schema_nearest(const struct setting *rows, const char *key);

/* Whether b is a likely meaning of the mistyped a; smaller is likelier. */
#define SCHEMA_FAR 99
unsigned schema_distance(const char *a, const char *b);

#endif
