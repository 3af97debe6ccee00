#ifndef PROTO_MESSAGES_H
#define PROTO_MESSAGES_H

/*
 * The fixed parts of the messages in messages.def. Fixed-width fields, no
 * hidden padding (asserted in channel.c), names NUL-terminated (checked on
 * receipt).
 */

#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 2

/* "thumbs:12", NUL included. Worker names are at most WORKER_NAME_MAX bytes. */
#define PROTO_NAME      80
#define WORKER_NAME_MAX 64

/* No message, header and tail included, is larger. */
#define PROTO_MESSAGE_MAX 16384

enum msg_type {
#define MSG(number, NAME, body, tail, fds, direction) MSG_##NAME = number,
#include "supervisord/proto/messages.def"
#undef MSG
};

struct msg_empty {
	uint64_t unused;
};

struct msg_hello {
	uint32_t version; /* PROTO_VERSION */
	uint32_t guardian_pid;
	uint32_t first;       /* 1: nothing was supervised before this master */
	uint32_t pid1;        /* 1: the guardian is PID 1 */
	uint32_t masters;     /* masters started so far, this one included */
	uint32_t last_status; /* wait status of the master before this one */
	uint32_t slots;       /* size of the child table */
	uint32_t no_tree; /* 1: descendants can't be found here (no /proc) */
	int64_t started_wall_ms; /* when supervisord was started */
	uint64_t run; /* identifies this guardian, kept across upgrades */
};

/* Where a child is in its life, as far as the guardian knows. */
enum child_state {
	CHILD_ALIVE = 1,
	CHILD_EXITED = 2
};

enum child_flags {
	CHILD_ADOPTED = 1,  /* not our child: its exit status can't be known */
	CHILD_NO_EXEC = 2,  /* it ended before its program ran: stage, error */
	CHILD_TREE_LEFT = 4 /* reserved: it has left descendants */
};

struct msg_child {
	uint32_t slot;
	uint32_t gen;
	int32_t pid;
	uint16_t state; /* enum child_state */
	uint16_t flags; /* enum child_flags */
	int32_t code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0 unknown */
	int32_t status; /* exit status or signal number */
	int32_t stage;  /* enum launch_stage, with CHILD_NO_EXEC */
	int32_t error;  /* errno, with CHILD_NO_EXEC */
	int64_t started_mono; /* ns, at the launch */
	int64_t ended_mono;   /* ns, at the reaping */
	int64_t user_us;      /* rusage of the child and what it waited for */
	int64_t system_us;
	int64_t maxrss_kb;
	uint64_t tag; /* RLIMIT_RTTIME tag of its descendants */
	char name[PROTO_NAME];
};

struct msg_name {
	char name[PROTO_NAME];
};

struct msg_launched {
	uint32_t cookie; /* the launch's */
	uint32_t slot;
	uint32_t gen;
	int32_t pid;
	int64_t started_mono;
	uint64_t tag;
};

struct msg_failed {
	uint32_t cookie;
	int32_t stage; /* enum launch_stage */
	int32_t error; /* errno */
	uint32_t pad;
};

struct msg_signal {
	int32_t signo;
	int32_t
	    sender_pid; /* 0: from outside of our pid namespace, or the tty */
	uint32_t sender_uid;
	uint32_t count; /* 1 for the first TERM or INT, 2 for the second... */
};

struct msg_slot {
	uint32_t slot;
	uint32_t gen;
};

struct msg_flag {
	uint32_t value;
	uint32_t pad;
};

struct msg_pid {
	int32_t pid;
	uint32_t count; /* how many there have been */
};

struct msg_book {
	uint32_t book; /* any number, chosen by the master */
	uint32_t pad;
	uint64_t size;
};

/* What becomes the child's stdout or stderr. */
enum launch_output {
	LAUNCH_OUT_NULL = 0,    /* /dev/null */
	LAUNCH_OUT_INHERIT = 1, /* the guardian's own */
	LAUNCH_OUT_PIPE = 2,    /* the log pipe kept under the stream's name */
	LAUNCH_OUT_STDOUT = 3,  /* stderr only: the same as stdout */
	LAUNCH_OUT_KEPT = 4     /* what is kept as "out/NAME", "err/NAME" */
};

struct msg_launch {
	uint32_t cookie; /* comes back in LAUNCHED or NOT_LAUNCHED */
	uint32_t book;
	uint64_t spec;    /* offset of the spec in the book */
	uint32_t index;   /* the instance's, fills the holes of the spec */
	uint16_t out;     /* enum launch_output; pipe "NAME" */
	uint16_t err;     /* enum launch_output; pipe "NAME/err" */
	uint32_t threads; /* above 0: it gets a task socket, and a memory with a
			   * slot for each of so many threads (wire.h) */
	uint32_t pad;
	char name[PROTO_NAME];
};

enum kill_scope {
	KILL_PROCESS = 0,
	KILL_GROUP = 1
};

struct msg_kill {
	uint32_t slot;
	uint32_t gen;
	int32_t signo;
	uint32_t scope; /* enum kill_scope */
};

struct msg_tree {
	uint32_t slot;
	uint32_t gen;
	int32_t signo; /* 0: only look */
	uint32_t tell; /* 1: TREE_EMPTY when none is left */
};

struct msg_adopt {
	uint32_t cookie; /* answered by LAUNCHED or NOT_LAUNCHED */
	int32_t pid;
	uint64_t
	    start_ticks; /* field 22 of /proc/PID/stat: it must be this one */
	char name[PROTO_NAME];
};

struct msg_quit {
	int32_t status;
	uint32_t pad;
};

struct msg_logto {
	uint32_t level; /* enum log_level */
	uint32_t json;
};

struct msg_pipe {
	uint64_t id; /* never used twice within one guardian */
	char name[PROTO_NAME];
};

enum sink_kind {
	SINK_FILE = 0,
	SINK_SYSLOG =
	    1, /* RFC 3164 datagrams to /dev/log, tag: stream's name */
	SINK_STDERR = 2, /* the logger's own stderr */
	SINK_NULL = 3
};

enum sink_flags {
	SINK_COMPRESS = 1,
	SINK_TIMESTAMPS = 2,
	SINK_FRESH = 4 /* what is in the file is of earlier processes */
};

struct msg_sink {
	char name[PROTO_NAME]; /* of the stream: "web:0" or "web:0/err" */
	uint32_t kind;
	uint32_t flags;
	uint32_t keep; /* rotated files kept; 0: truncated at max_size */
	uint32_t pad;
	int64_t max_size; /* bytes; 0: never rotated */
};

/* Only what was written since the last question of this kind, or since a first
 * SINK_FRESH. */
#define TAIL_OF_EXIT 0x80000000U

struct msg_tail {
	char name[PROTO_NAME];
	uint32_t cookie;
	uint32_t lines; /* asked for (and TAIL_OF_EXIT), or found */
};

struct msg_sinkstate {
	char name[PROTO_NAME];
	uint32_t broken; /* 1: can't be written; 0: works again */
	int32_t error;   /* errno */
	uint64_t
	    dropped; /* bytes dropped since the last message for the name */
};

/* An instance's task socket; its descriptor is the broker's end. */
struct msg_channel {
	uint32_t slot;
	uint32_t gen;
	int32_t pid;
	uint32_t threads;
	int64_t started_mono;
	char name[PROTO_NAME];
};

enum stopping_how {
	STOPPING_NOT = 0, /* what was said before is taken back */
	STOPPING_NOW = 1,
	STOPPING_WHEN_DONE = 2 /* not yet: HAND_IDLE when it has no task left */
};

struct msg_stopping {
	uint32_t slot;
	uint32_t gen;
	uint32_t stopping; /* enum stopping_how */
	uint32_t pad;
};

enum replace_how {
	REPLACE_DRAIN = 0, /* by its stop ladder, when another is up for it */
	REPLACE_KILL = 1,  /* at once, by SIGKILL */
	REPLACE_SOON = 2,  /* not yet; but it takes no more tasks */
	REPLACE_NOT = 3,   /* that was taken back */
	REPLACE_BROKEN = 4 /* at once, by SIGKILL: as if it had crashed */
};

struct msg_replace {
	uint32_t slot;
	uint32_t gen;
	uint32_t how; /* enum replace_how */
	uint32_t pad;
};

struct msg_scale {
	char name[PROTO_NAME]; /* of the worker */
	uint32_t instances;
	uint32_t pad;
};

struct msg_event {
	char name[PROTO_NAME]; /* a worker, an instance, or "" */
	char kind[16];         /* "task", "queue" */
};

const char *msg_name(unsigned type); /* "LAUNCH"; "?" for an unknown number */

#endif
