#ifndef SUPERVISOR_WORKER_H
#define SUPERVISOR_WORKER_H

/*
 * Modules of hybrid workers: what a shared object offers to supervisord's
 * `worker` program, and what it may call.
 *
 * A module is loaded once per process and worked on by `threads` threads. It
 * has named handlers for tasks, or a handler for connections, or both:
 *
 *     #include <supervisor/worker.h>
 *
 *     static void
 *     hello(struct sv_task *task)
 *     {
 *             sv_result_json(task, "\"hello\"");
 *     }
 *
 *     static const struct sv_handler handlers[] = {
 *             { "hello", SV_JSON, hello },
 *             { NULL, SV_JSON, NULL },
 *     };
 *
 *     const struct sv_module supervisor_module = {
 *             .abi = SV_ABI, .name = "hello", .handlers = handlers,
 *     };
 *
 *     cc -shared -fPIC $(pkg-config --cflags supervisor) -o hello.so hello.c
 *
 * and in the configuration
 *
 *     workers: { greeter: { module = "hello.so"; threads = 8; tasks: { }; }; };
 *
 * Nothing has to be linked: the program that loads the module has these
 * functions. A module that needs libraries of its own links them as usual.
 *
 * Threads. Handlers run in several threads at once, each of which does one
 * thing at a time, a task or a connection. What belongs to a thread alone (a
 * database connection, a random generator) is made by thread_init and comes
 * back as `thread`. A stack is 1 MiB with a guard behind it.
 *
 * What a module must leave alone: exit() and its like (the process is taken
 * for crashed, the tasks being executed for the cause), descriptors it did not
 * open, the dispositions of SIGTERM, SIGINT and SIGPIPE (which is ignored here:
 * writing to a connection that is gone gives EPIPE). A fork is fine if the
 * child execs or ends by _exit(2); it has no access to the task socket, and
 * these functions refuse it.
 *
 * worker(7) tells the whole life of such a process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The number of this interface. A module that was built for another one is
 * refused when it is loaded, with both numbers in the message.
 */
#define SV_ABI 1

/* The largest result, in bytes; a larger one fails its task. */
#define SV_RESULT_MAX (16U << 20)

/* --- tasks -----------------------------------------------------------------
 */

/*
 * The task a handler is called for. All of it is the runtime's and valid until
 * the handler returns.
 */
struct sv_task {
	uint64_t id;
	uint32_t attempt; /* 1, 2…: with id it is unique for ever */
	bool is_json;     /* the payload is JSON text, else any bytes */
	const char *func;
	/* size bytes, and a NUL behind them that size does not count. Without
	 * arguments size is 0. */
	const void *payload;
	size_t size;
	void *thread; /* what thread_init gave for this thread, or NULL */
};

/*
 * Ends the task with a result, a copy of which is taken; it is sent when the
 * handler returns. A handler that returns without any answer has succeeded with
 * nothing to say (null from an SV_JSON handler, no bytes from another), unless
 * it was cancelled, which makes it failed.
 *
 * A result larger than SV_RESULT_MAX, and text that is not valid JSON, makes
 * the task failed for good; so the functions need no checks of their own.
 *
 * These four answer, and only the first answer counts. 0, or
 *   -EALREADY  the task has its answer
 *   -EINVAL    it is no task of the calling thread (any more), or json is NULL
 *   -EMSGSIZE  too large: the task is failed
 *   -EILSEQ    not JSON: the task is failed
 *   -ENOMEM    no memory for the copy: the task is failed, may be tried again
 */
int sv_result(struct sv_task *task, const void *bytes, size_t size);
int sv_result_json(struct sv_task *task, const char *json);

/*
 * Ends the task without success, with a reason for people (UTF-8, at most 4 KiB
 * are kept). sv_fail: it may be tried again if tries are left.
 * sv_fail_for_good: another try is of no use.
 */
int sv_fail(struct sv_task *task, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int sv_fail_for_good(struct sv_task *task, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The rest may also be called by threads the handler has made, as long as it
 * has not returned.
 */

/*
 * Somebody cancelled the task or its time is up: end soon, with or without an
 * answer. After the worker's `grace` the process is killed. Costs one look at
 * memory: ask often.
 */
bool sv_cancelled(const struct sv_task *task);

/* Seconds until the task's timeout, 0 when it is over; INFINITY: no limit. */
double sv_time_left(const struct sv_task *task);

/*
 * Of a run of a schedule (supervisord.cfg(5)): how many due times before its
 * own it stands for, as they passed while supervisord was down or the run
 * before went on. 0 for any other task.
 */
unsigned sv_missed(const struct sv_task *task);

/*
 * Tells how far the task is: share from 0 to 1, or negative for unknown; text
 * may be NULL. Whoever waits for the task sees it. More than about 20 a second
 * are thinned out.
 */
void sv_progress(struct sv_task *task, double share, const char *text);

/* Writes one line, "task 12: …", to standard error, the worker's log. */
void sv_log(const struct sv_task *task, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

enum sv_form {
	SV_JSON, /* takes JSON: a task whose arguments are none is refused */
	SV_BYTES /* takes any bytes, JSON among them (task->is_json tells) */
};

struct sv_handler {
	const char *name; /* at most 128 bytes; NULL ends the table */
	enum sv_form form;
	void (*run)(struct sv_task *task);
};

/* --- connections -----------------------------------------------------------
 */

/*
 * A connection accepted on one of the worker's `sockets` (tcp or unix). The
 * thread is the connection's until the handler returns; then the runtime closes
 * fd. It is a blocking descriptor, closed on exec, with TCP_NODELAY set.
 */
struct sv_connection {
	int fd;
	const char *socket; /* its name under `sockets:` */
	const char *peer;   /* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix" */
	void *thread;       /* as in struct sv_task */
};

/*
 * The process is to end: serve what has been asked for, no more. Reading ends
 * then by itself: the runtime shuts the receiving side of each connection down,
 * so read(2) gives what has come already and then 0. One that is younger than 2
 * seconds may yet be asked for something, and is shut down when it is older.
 */
bool sv_stopping(void);

/*
 * All threads of the process are taken, and a connection or a task waits for
 * one. Who keeps a connection that is idle, or has had it for long, should give
 * it up then. Costs a system call when the threads are taken: ask now and then.
 */
bool sv_crowded(void);

/* --- the module ------------------------------------------------------------
 */

struct sv_worker {
	const char *instance; /* "web:0"; "worker" when started by hand */
	unsigned threads;
};

/*
 * What the runtime looks for in the shared object, by the name
 * supervisor_module. Every function may be NULL; handlers or on_connection is
 * needed.
 */
struct sv_module {
	uint32_t abi; /* SV_ABI */
	const char *name;

	/* Once, before any thread. Other than 0: the process ends and is
	 * started again as `restart` and `backoff` say; write the reason to
	 * standard error. */
	int (*init)(const struct sv_worker *worker);
	/* Once, after all threads, when the process ends in order. */
	void (*cleanup)(void);

	/* In each thread, before and after its work. thread counts from 0.
	 * *ret_state becomes `thread` of its tasks and connections. Other than
	 * 0: the process ends, as with init. */
	int (*thread_init)(unsigned thread, void **ret_state);
	void (*thread_cleanup)(unsigned thread, void *state);

	const struct sv_handler *handlers; /* or NULL */
	void (*on_connection)(struct sv_connection *connection);
};

/* Defined by the module. */
extern const struct sv_module supervisor_module;

#ifdef __cplusplus
}
#endif

#endif
