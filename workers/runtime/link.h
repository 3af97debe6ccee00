#ifndef RUNTIME_LINK_H
#define RUNTIME_LINK_H

/*
 * Between the threads and the outside: the task socket, the queue of tasks that
 * have not begun, the answers that are not written yet.
 *
 * Idle threads take turns to read: one of them leads, waiting for tasks (and
 * connections) in epoll; what it gets it does itself, so that a task that comes
 * alone changes no thread on its way. Before it begins it lays the lead down.
 * If its work looks long, or more has come, others are woken; else the watcher,
 * the program's first thread, looks every millisecond whether the lead has been
 * left lying, and gives it to an idle thread or, with none, takes it itself:
 * cancelling, recalling and SYNC work however busy the threads are. When all
 * is quiet nobody wakes.
 *
 * One mutex guards it all; what is read and written goes on outside of it.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/proto/wire.h"
#include "workers/include/supervisor/worker.h"
#include "workers/runtime/frames.h"
#include "workers/runtime/outbox.h"
#include "workers/runtime/slots.h"

enum {
	EXIT_USAGE = 2,
	EXIT_LOAD = 100,    /* the module cannot be loaded */
	EXIT_SYMBOL = 101,  /* it has no supervisor_module */
	EXIT_ABI = 102,     /* it is built for another interface */
	EXIT_NOTHING = 103, /* nothing to do: no handlers, or not for this */
	EXIT_INIT = 104,    /* its init or thread_init failed */
	EXIT_SOCKET = 105,  /* a descriptor of the environment is not right */
	EXIT_BROKEN = 106,  /* the broker speaks another protocol */
	EXIT_CLOSED = 107,  /* the module closed a descriptor of ours */
	EXIT_MEMORY = 108,
	EXIT_THREAD = 109 /* the module ended a thread of ours */
};

struct job {
	struct job *next;
	uint64_t id;
	uint32_t attempt, timeout_ms, missed;
	const struct sv_handler *handler; /* NULL: the engine's any */
	bool is_json, cancelled;
	size_t size, func_size;
	char data[]; /* payload, NUL, func, NUL */
};

struct thread;

/* What the threads do: the module's handlers, or a command. */
struct engine {
	/* 0, or an exit status; said in the log. */
	int (*thread_begin)(struct thread *t);
	void (*thread_end)(struct thread *t);
	/* Runs t->task to its answer. */
	void (*run)(struct thread *t, const struct job *job);
	void (*serve)(struct thread *t, struct sv_connection *c);
	/* A task that is being run should end; may be NULL. */
	void (*cancel)(struct thread *t);
	/* The handler of that name; false: unknown. */
	bool (*find)(const char *func, size_t size,
	    const struct sv_handler **ret_handler);
};

/* The largest answer that needs no memory of its own. */
#define ANSWER_SMALL 4096

struct thread {
	struct sv_task task;
	const struct engine *engine;
	unsigned index;
	pthread_t pthread;
	struct wire_slot *slot;
	bool in_task;     /* read and written by the thread itself only */
	int64_t deadline; /* 0: none */
	uint32_t missed;
	/* the answer so far */
	uint8_t answer; /* WIRE_DONE, WIRE_FAILED or 0 */
	uint8_t answer_flags;
	size_t small_size;
	struct letter *letter; /* instead of small */
	char small[ANSWER_SMALL];
	/* guarded by the link */
	struct job *job;
	int connection; /* or -1 */
	bool hushed;    /* nothing more is read from it */
	uint64_t last;  /* the task before, and where its answer ends */
	uint64_t last_end;
	bool cancelled; /* atomic */
	int64_t began;
	int64_t told_at, told_tokens; /* thin its progress out */
};

enum leader {
	LEAD_NOBODY,
	LEAD_THREAD,
	LEAD_WATCHER
};

struct link {
	pthread_mutex_t mutex;
	pthread_cond_t idle;
	const struct engine *engine;
	struct thread *threads;
	unsigned count;
	unsigned waiting; /* idle threads without the lead */
	unsigned running, serving;

	int fd; /* the task socket, or -1 */
	dev_t fd_dev;
	ino_t fd_ino;
	int poller;  /* epoll: fd, stop_fd, listeners */
	int kick_fd; /* wakes the watcher */
	int stop_fd; /* readable for good: the threads end */

	enum leader leader;
	uint64_t leads;   /* counts up when the lead is laid down */
	bool lead_wanted; /* by a thread, from the watcher */
	bool watcher_asleep;

	struct job *first, *last; /* not begun */
	unsigned queued;
	int64_t mean; /* of a task's time, ns; moving */

	struct frames in;
	struct outbox out;
	int64_t out_since;      /* when the first of what is in it came */
	bool flushing, blocked; /* blocked: waits for room in the socket */

	struct slots slots;
	bool draining, lost, ending; /* lost: the other side is gone */
	int status;                  /* the process ends with */
};

extern struct link the_link;

/* fd: the task socket or -1; slots_fd or -1. 0 or an exit status. */
int link_open(
    const struct engine *engine, unsigned threads, int fd, int slots_fd);
void link_close(void);

/* The first thing said; JSON. */
void link_hello(const char *json, size_t size);

/* What a thread may do next. */
struct work {
	struct job *job; /* or NULL */
	int listener;    /* with a connection */
	int connection;  /* or -1 */
	unsigned wake;   /* threads, when the mutex is free */
};

/* Waits for it; false: the thread is to end. */
bool link_next(struct thread *t, struct work *ret);
/* The job has its answer in t; frees the job. */
void link_finish(struct thread *t);
/* The connection has been served. */
void link_served(struct thread *t);

/* From any thread: a PROGRESS frame, unless the socket is behind. */
void link_progress(
    struct thread *t, uint32_t share, const char *text, size_t size);

/* Runs until all is done; the watcher's, on the program's first thread. */
void link_watch(void);
/* SIGTERM has come; async-signal-safe. */
void link_terminate(void);
bool link_draining(void);
/* All threads are taken, and a task or a connection waits for one. */
bool link_crowded(void);

/* Whether this is a process some handler forked. */
bool link_in_child(void);

/* Whoever had the descriptor, the runtime's `what`, has closed it: the end. */
void link_closed(int fd, const char *what) __attribute__((noreturn));

/* Says why in the log and ends the process at once. */
void link_die(int status, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif
