#ifndef CONFIG_FLEET_H
#define CONFIG_FLEET_H

/*
 * What the user wants: a fleet, as read from the config and never changed
 * afterwards. A reload makes a new one. Durations are nanoseconds, sizes
 * bytes, paths absolute.
 *
 * Templates: a string marked (template) may hold FLEET_HOLE bytes; each stands
 * for the instance's index in decimal (the user wrote ${index}). All other
 * variables are expanded by the time a fleet exists.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FLEET_HOLE '\x01'

#define FLEET_EXIT_CODES 32
#define FLEET_STOP_STEPS 16
#define FLEET_NO_UMASK   0xffffffffU
#define FLEET_INSTANCES  20000 /* most instances, of all workers together */
#define FLEET_NAME_MAX   64    /* longest name of a worker */

enum restart_mode {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_NEVER
};

enum stop_scope {
	SCOPE_TREE,
	SCOPE_GROUP,
	SCOPE_PROCESS
};

struct backoff {
	int64_t initial, max, reset_after;
	double factor; /* >= 1 */
	double jitter; /* 0..1: a delay d becomes d * (1 +- jitter) */
};

/* One rung of the ladder: the signal, then at most `wait` for the end. */
struct stop_step {
	int signo;
	int64_t wait; /* the last rung is SIGKILL and its wait is 0: for ever */
};

/* What policy needs to know of a worker. Applied live on a reload. */
struct rules {
	bool autostart;
	enum restart_mode restart;
	uint8_t exit_codes[FLEET_EXIT_CODES];
	unsigned exit_codes_count;
	int64_t start_seconds;
	int start_retries; /* -1: never gives up */
	struct backoff backoff;
	struct stop_step stop[FLEET_STOP_STEPS]; /* always ends with SIGKILL */
	unsigned stop_count;
	enum stop_scope scope;
};

enum output_kind {
	OUTPUT_FILE,
	OUTPUT_INHERIT,
	OUTPUT_NULL,
	OUTPUT_SYSLOG,
	OUTPUT_STDOUT /* stderr only: joined with stdout */
};

struct output {
	enum output_kind kind;
	char *file;       /* (template) absolute; NULL: the default,
			   * LOG_DIR/INSTANCE.log       (stderr of its own:
			   * LOG_DIR/INSTANCE.err.log) */
	int64_t max_size; /* 0: never rotated; default 50M */
	unsigned keep;    /* rotated files kept; default 10 */
	bool compress;
	bool timestamps;
};

struct worker {
	char *name;
	const char *source; /* file and line it is defined at; the fleet's */
	unsigned line;
	unsigned processes; /* 0 is allowed: none until scaled */
	char **argv;        /* NULL-terminated, (template) each. argv[0] with a
			     * slash is absolute, else searched in PATH */
	char *directory;    /* (template) NULL: supervisord's own */
	unsigned umask;     /* or FLEET_NO_UMASK */
	char *
	    *environment; /* NULL-terminated "NAME=value", (template) each: the
			   * whole of it, sorted by name, supervisord's own
			   * included unless clean_environment, but without
			   * the SUPERVISOR_ variables, which the master adds */
	struct rules rules;
	struct output out, err;
};

enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON
};

struct settings {
	char *state_dir; /* NULL: "none", keep state in memory */
	char *run_dir;
	char *log_file; /* NULL: stderr */
	int log_level;  /* enum log_level */
	bool log_json;
	char *exit_with; /* a worker's name, or NULL */
	int64_t shutdown_timeout;
	unsigned max_starting; /* 0: no cap */
	mode_t control_mode;
	gid_t control_group; /* (gid_t)-1: none asked for */
	char **admins,
	    **viewers; /* NULL-terminated: "name", "123" or "@group" */
};

struct fleet_own;

struct fleet {
	struct settings settings;
	struct worker **workers; /* in the order of the config */
	size_t count;
	/* Private: memory and index of a fleet that was loaded. NULL in one
	 * that was put together by hand, whose maker frees it. */
	struct fleet_own *own;
};

/* The worker of that name, or NULL. Constant time. */
const struct worker *fleet_find(const struct fleet *fleet, const char *name);

/* Fills the holes of a template. 0, or -ENAMETOOLONG. */
int fleet_fill(const char *template, unsigned index, char *out, size_t size);

void fleet_free(struct fleet *fleet); /* NULL is fine */

#endif
