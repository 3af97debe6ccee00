#ifndef STATE_STATE_H
#define STATE_STATE_H

/*
 * What is remembered: instances, events, exits, incarnations of the master.
 *
 * The caller's thread only appends rows to a queue in memory and never waits
 * for a disk. A thread of state's own writes them, everything that has gathered
 * since the last commit in one transaction, and says through a descriptor what
 * is committed. A store that can't be written goes on as a database in memory
 * and is tried again (state_health says so); what memory held is written when
 * it works again.
 *
 * Times: wall clock in milliseconds since the epoch for people, durations in
 * milliseconds. Strings are borrowed for the call only, NULL is stored as NULL.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/buf.h"

struct state;

struct state_options {
	const char *dir;     /* holds state.db, made if missing; NULL: memory */
	int64_t keep_events; /* most rows of events; 0: the default, 100000 */
	int64_t keep_exits;  /* 0: the default, 50000 */
	int64_t keep_days;   /* rows older than this go; 0: the default, 30 */
	int64_t memory_rows; /* most rows waiting; 0: the default, 50000 */
	int64_t retry_ms;    /* between tries of a broken store; 0: 10 s */
};

/* The instance's row; one a name. */
struct state_instance {
	const char *name, *worker;
	int index;
	bool wanted_up;
	bool wanted_by_user;  /* somebody asked; else it is autostart's doing */
	const char *state;    /* "RUNNING" */
	int pid;              /* 0: none */
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
	const char *boot_id;
	int64_t started_ms; /* of the present or last process; 0: never */
	int64_t restarts;
	const char *reason;
};

struct state_event {
	int64_t at_ms;
	const char *name;      /* the instance's; NULL: supervisord itself */
	const char *from, *to; /* states; NULL for other kinds of event */
	const char *kind;      /* "state", "reload", "signal", "store", ... */
	const char *reason;
	int64_t actor_uid; /* -1: nobody asked */
	int64_t actor_pid;
	const char *actor_command; /* "supervisorctl stop web" */
};

struct state_exit {
	uint64_t key; /* one a process, ever: a second row with it is ignored
		       * (an exit told twice, to two masters); 0: none */
	const char *name;
	int pid;
	int64_t started_ms, ended_ms, duration_ms;
	int code;  /* exit status, or -1 */
	int signo; /* or 0 */
	bool core;
	const char *cause; /* "exited 1", "killed by SIGSEGV (core dumped)" */
	int64_t user_us, system_us, maxrss_kb;
	const char *last_lines;
};

/*
 * Opens (or makes, or migrates) the store and starts the thread. A store that
 * starts out in memory only is no error: state_health has words for the user,
 * and STATE_HEALTH is the first news.
 * Errors: -ENOMEM, -EAGAIN (no thread). The process must not fork afterwards.
 */
int state_open(const struct state_options *options, struct state **ret);

/* Commits what is queued, waiting at most wait_ms, and ends the thread. */
void state_close(struct state *s, int64_t wait_ms);

/* Readable when state_poll has something to say: a commit, health, an answer.
 */
int state_fd(const struct state *s);

/*
 * Appending. Each returns the row's sequence number (> 0), or 0 where there was
 * no memory for it. While a disk hangs, the oldest events and exits that wait
 * are let go for new ones; state_health says how many. Of an instance or a fact
 * only the newest row is written, and none is let go.
 */
uint64_t state_put_instance(struct state *s, const struct state_instance *row);
uint64_t state_put_event(struct state *s, const struct state_event *row);
uint64_t state_put_exit(struct state *s, const struct state_exit *row);
/* Sequence number of the last event that was in the store at open. A later one
 * was not stored. */
uint64_t state_last_event(const struct state *s);
/* The instance left the config. Its exits and events stay. */
uint64_t state_drop_instance(struct state *s, const char *name);
/* Text under a key, for the master's own small facts ("scale.web" = "4");
 * NULL forgets it. */
uint64_t state_put_fact(struct state *s, const char *key, const char *value);
/* Sets the last lines (the end of them: 8 KiB) of the newest exit row of
 * (name, pid) put earlier. */
uint64_t state_put_last_lines(
    struct state *s, const char *name, int pid, const char *last_lines);
/* Wakes the writer: everything put so far may be committed now. */
void state_flush(struct state *s);

enum state_said {
	STATE_NOTHING,
	STATE_COMMITTED,
	STATE_HEALTH,
	STATE_ANSWER
};

struct state_news {
	enum state_said said;
	uint64_t committed; /* every row up to this one is safe (or in the
			     * memory store, when the disk is broken) */
	uint64_t token;     /* of an answer */
	int error;          /* of an answer: 0 or -errno */
	struct buf json;    /* of an answer: a JSON array; the receiver's */
};

/* The next news, STATE_NOTHING when there is none. Call until then. */
enum state_said state_poll(struct state *s, struct state_news *ret);

/*
 * NULL: healthy. Else words: "state is kept in memory: disk full
 * (/.../state.db)"; also, for an hour, what happened to the file (it was
 * damaged and begun anew). As of the last state_poll; valid until the next one.
 */
const char *state_health(struct state *s);

/* Questions, answered by the thread through state_poll under the token. */
struct state_question {
	uint64_t token;
	const char *what;   /* "events" or "history" */
	char *const *names; /* NULL-terminated names of instances, or of
			     * workers for all of theirs; NULL: all */
	int64_t since_ms;   /* 0: no bound */
	int64_t limit;      /* most rows, the newest of them; 0: 1000 */
};

int state_ask(struct state *s, const struct state_question *q);

/*
 * What was stored by earlier masters, for the start: called between state_open
 * and the first put, in the caller's thread, from memory read at open.
 */
struct state_saved {
	char *name, *worker, *state, *boot_id, *reason;
	int index;
	bool wanted_up, wanted_by_user;
	int pid;
	uint64_t start_ticks;
	int64_t started_ms, restarts;
};

/* false: unknown name */
bool state_saved_instance(
    struct state *s, const char *name, const struct state_saved **ret);
void state_each_saved(struct state *s,
    void (*each)(const struct state_saved *row, void *arg), void *arg);
const char *state_saved_fact(struct state *s, const char *key);
void state_forget_saved(struct state *s); /* frees what was read at open */

/*
 * Incarnations: one row a master. Begin says whether the last run of the whole
 * supervisord (by `run`, the guardian's id) ended in order.
 */
uint64_t state_begin(struct state *s, uint64_t run, int master_pid,
    const char *version, const char *boot_id, bool *ret_clean,
    uint64_t *ret_incarnation);
uint64_t state_end(struct state *s, bool in_order, const char *why);

#endif
