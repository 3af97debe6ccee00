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
#define FLEET_NAME_MAX   64    /* longest name of a worker or a socket */
#define FLEET_SOCKETS    64    /* most sockets of one worker */
#define FLEET_THREADS    1024  /* most threads of one instance */

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
	int64_t start_timeout; /* 0: none */
	bool announces;        /* started when it says so, by a HELLO */
	int start_retries;     /* -1: never gives up */
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

/* `recycle`: a process is replaced, by its stop ladder, before it grows old. */
struct recycle {
	int64_t max_age;    /* 0: off */
	int64_t max_memory; /* bytes of resident memory; 0: off */
	uint64_t max_tasks; /* 0: off */
	double jitter;      /* 0..1: each limit is drawn from 1 - jitter to 1 */
};

/* `autoscale`: by one of the queue's backlog and idle threads, cpu, command. */
struct autoscale {
	bool on;
	unsigned min, max;             /* instances */
	unsigned backlog;              /* queued tasks per thread to grow at */
	unsigned min_spare, max_spare; /* idle threads; 0: not looked at */
	int64_t cooldown;
	unsigned cpu;     /* percent of a core an instance should use; 0: off */
	char **command;   /* prints how many there should be; NULL: off */
	int64_t interval; /* of both */
};

enum task_mode {
	TASK_MODE_WORKER, /* the process takes task after task */
	TASK_MODE_EXEC    /* the command is run once per task */
};

enum task_durability {
	TASK_DURABLE_FULL,    /* survives a power cut */
	TASK_DURABLE_PROCESS, /* survives any kill, not a power cut */
	TASK_DURABLE_NONE     /* in memory only */
};

/* `tasks`: makes a worker hybrid. */
struct tasks {
	enum task_mode mode;
	int64_t timeout; /* 0: none */
	int64_t grace;   /* from the cancel flag to the kill */
	int64_t sibling_grace;
	int retries; /* further tries after the first; -1: no limit */
	struct backoff backoff; /* between tries; reset_after is not used */
	uint64_t max_queue;     /* 0: no limit */
	int64_t result_ttl;
	int64_t aging; /* 0: strict priorities for ever */
	unsigned max_crashes;
	enum task_durability durability;
	unsigned key_concurrency; /* running at once per limit key; 0: no cap */
	double key_rate;          /* begun per second and limit key; 0: any */
	char *store;   /* URL of the Redis with the queue, or NULL: local */
	int64_t lease; /* of what is claimed there */
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
	char *
	    *sockets; /* NULL-terminated names of fleet sockets; may be NULL */
	char *module; /* absolute path of a shared object, or NULL. argv is
		       * then that path only: the master runs the runtime */
	unsigned threads; /* 1 to FLEET_THREADS */
	bool hybrid;      /* has a module or a `tasks` section: it gets a task
			   * socket, and the broker runs */
	struct tasks tasks;
	struct recycle recycle;
	struct autoscale autoscale;
};

enum socket_kind {
	SOCKET_TCP,
	SOCKET_UDP,
	SOCKET_UNIX
};

/* A listening socket, kept through crashes, reloads and upgrades. */
struct socket_setting {
	char *name;
	const char *source; /* file and line it is defined at; the fleet's */
	unsigned line;
	char *listen; /* as written: "tcp://0.0.0.0:8080" */
	enum socket_kind kind;
	char *host, *port; /* tcp, udp: a name, or an address without brackets,
			    * "" or "*": any; a number, "0": any */
	char *path;        /* unix, absolute */
	unsigned backlog;
	unsigned mode; /* unix: permissions; FLEET_NO_UMASK with the others */
	bool reuse_port;
};

enum catch_up_mode {
	CATCH_UP_MODE_ONE,
	CATCH_UP_MODE_NONE,
	CATCH_UP_MODE_ALL
};

enum overlap_mode {
	OVERLAP_MODE_SKIP,
	OVERLAP_MODE_QUEUE,
	OVERLAP_MODE_ALLOW
};

/* Submits a task when its time comes. */
struct schedule {
	char *name;
	const char *source;
	unsigned line;
	char *task;     /* the worker; it is hybrid */
	char *func;     /* "" may be that of a worker with TASK_MODE_EXEC */
	char *args;     /* JSON text, or NULL */
	char *cron;     /* valid (base/cron.h), or NULL: every counts */
	int64_t every;  /* or 0 */
	char *timezone; /* NULL: UTC; known to exist */
	enum catch_up_mode catch_up;
	enum overlap_mode overlap;
	unsigned priority; /* 0 high, 1 middle, 2 low */
	int64_t timeout;   /* -1: the worker's */
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
	struct socket_setting **sockets; /* in the order of the config */
	size_t sockets_count;
	struct schedule **schedules;
	size_t schedules_count;
	/* What the workers whose queue is shared have in common; NULL: none. */
	const char *shared_store;
	int64_t shared_lease;
	/* Private: memory and index of a fleet that was loaded. NULL in one
	 * that was put together by hand, whose maker frees it. */
	struct fleet_own *own;
};

/* The worker of that name, or NULL. Constant time. */
const struct worker *fleet_find(const struct fleet *fleet, const char *name);

/* The socket of that name, or NULL. Constant time. */
const struct socket_setting *fleet_socket(
    const struct fleet *fleet, const char *name);

/* Neither by cpu nor by a command. */
bool autoscale_by_queue(const struct autoscale *a);

/* Fills the holes of a template. 0, or -ENAMETOOLONG. */
int fleet_fill(const char *template, unsigned index, char *out, size_t size);

void fleet_free(struct fleet *fleet); /* NULL is fine */

#endif
