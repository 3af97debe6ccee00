#ifndef POLICY_LIFE_H
#define POLICY_LIFE_H

/*
 * The life of an instance, as pure code: no clock, no I/O, no allocation.
 *
 *     (life, rules, input) -> (life, actions)
 *
 * life.c holds the table of rows (states, event, action, next state) and the
 * one interpreter that writes the state. What is wanted is data beside the
 * state; a settling step after each input raises UP or DOWN where wanted and
 * actual differ, so that restart, stop-while-starting and start-while-stopping
 * need no rows of their own.
 */

#include <stdbool.h>
#include <stdint.h>

struct rules;

enum life_state {
#define STATE(NAME, code) ST_##NAME,
#include "supervisord/master/policy/states.def"
#undef STATE
	ST_COUNT
};

/* What the table's rows are about. */
enum life_event {
	ON_UP,           /* wanted, and may start now */
	ON_WAIT,         /* wanted, but it is not its turn */
	ON_DOWN,         /* not wanted, or to be bounced */
	ON_SPAWNED,      /* there is a process */
	ON_NOT_SPAWNED,  /* the machine had no room for one */
	ON_STARTED,      /* ready */
	ON_FAILED,       /* ended before it was ready; will be tried again */
	ON_GAVE_UP,      /* ended before it was ready, once too often */
	ON_EXIT_AGAIN,   /* ended; to be restarted at once */
	ON_EXIT_LATER,   /* ended after a short life; restarted after a delay */
	ON_EXIT_DONE,    /* ended; not to be restarted */
	ON_GONE,         /* ended as asked; nothing else to wait for */
	ON_GONE_LEAVING, /* ended as asked; descendants may be left */
	ON_EMPTY,        /* no descendant is left */
	ON_TIMER,        /* the deadline has passed */
	ON_COUNT
};

/*
 * Everything policy remembers of an instance. Plain data: it lives in memory
 * that outlives the master.
 */
struct life {
	uint8_t state;  /* enum life_state, written by the interpreter alone */
	uint8_t wanted; /* up? */
	uint8_t bounce; /* to be stopped once, though wanted: a restart */
	uint8_t kick; /* start out of EXITED, FATAL, BACKOFF: asked for anew */
	uint8_t launching;  /* a launch is under way, no process known yet */
	uint8_t alive;      /* the process exists */
	uint8_t step;       /* rung of the stop ladder, in STOPPING */
	uint8_t leaving;    /* STOPPING: process gone, descendants awaited */
	uint32_t failures;  /* failed starts in a row */
	uint32_t level;     /* exponent of the next delay */
	uint32_t surprises; /* events the table has no row for */
	uint32_t finishing; /* RUNNING: goes down when its tasks are done */
	int64_t deadline;   /* monotonic ns; 0: none */
	int64_t started;    /* monotonic ns of the process's start */
	int64_t since;      /* monotonic ns of the last change of state */
	uint64_t restarts;  /* by itself, not by a user */
};

enum life_input_kind {
	IN_WANT_UP,   /* a user's or autostart's start */
	IN_WANT_DOWN, /* a stop */
	IN_BOUNCE,    /* a restart: down once, then up */
	IN_FINISH,    /* down (leave), or a restart, when its tasks are done */
	IN_FINISHED,  /* they are */
	IN_TURN,      /* a waiting instance may start */
	IN_SPAWNED,
	IN_NOT_SPAWNED,
	IN_EXIT,
	IN_EMPTY,
	IN_READY, /* it says itself that it is up */
	IN_HEARD, /* it can be heard to say so, from now on */
	IN_TIMER
};

struct life_input {
	enum life_input_kind kind;
	int64_t now; /* monotonic ns */
	bool turn;   /* a start need not wait (always true without a cap) */
	double dice; /* 0 <= dice < 1, for the jitter */
	bool hard;   /* IN_BOUNCE: by the last rung, SIGKILL, at once */
	bool leave;  /* IN_FINISH: for good */
	bool deaf;   /* IN_TIMER: it could not be heard to be up */
	/* IN_EXIT */
	bool success; /* the exit is one `exit_codes` takes for success */
	bool no_exec; /* its command never ran */
	bool no_tree; /* descendants can't be found on this machine */
};

enum life_action {
	LIFE_LAUNCH = 1,
	LIFE_SIGNAL = 2,    /* signo, to the process or its group */
	LIFE_TREE = 4,      /* tree_signo to what it left; wants IN_EMPTY */
	LIFE_TREE_KILL = 8, /* KILL what a crashed one left; no answer wanted */
	LIFE_TIMER = 16,    /* life.deadline has changed */
	LIFE_FINISH = 32    /* life.finishing has changed: tasks, or none */
};

/* Transitions of one step, in order: a restart may make several. */
#define LIFE_CHANGES 4

struct life_change {
	enum life_state from, to;
	enum life_event event;
};

struct life_output {
	unsigned actions; /* enum life_action */
	int signo;
	int tree_signo;
	int64_t delay; /* ns until the next try, where one was set */
	struct life_change changes[LIFE_CHANGES];
	unsigned count;
};

extern const char *const life_state_names[ST_COUNT]; /* "RUNNING" */
extern const int life_state_codes[ST_COUNT];
extern const char *const life_event_names[ON_COUNT];

/* A new instance: STOPPED, not wanted. */
void life_init(struct life *life, int64_t now);

/* One input. Fills *out whole. */
void life_step(struct life *life, const struct rules *rules,
    const struct life_input *in, struct life_output *out);

/* The rules have changed under it: deadlines are set anew where they depend
 * on them. */
void life_rules_changed(struct life *life, const struct rules *rules,
    int64_t now, struct life_output *out);

/*
 * A process was found that an earlier supervisord started: RUNNING from now
 * on, or STOPPING when it is not wanted.
 */
void life_adopt(struct life *life, const struct rules *rules, int64_t started,
    int64_t now, struct life_output *out);

/* Is there a row? For tests and the reference. */
bool life_has_row(
    enum life_state state, enum life_event event, enum life_state *ret_next);

/* Down for good unless somebody asks: STOPPED, EXITED or FATAL, no process. */
bool life_is_down(const struct life *life);

#endif
