/*
 * What runs inside a hybrid worker's process: a module with its threads, or a
 * command run once per task. worker(7) is its page, link.h how it works.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "workers/runtime/connection.h"
#include "workers/runtime/exec.h"
#include "workers/runtime/link.h"
#include "workers/runtime/link_int.h"
#include "workers/runtime/module.h"
#include "workers/runtime/thread.h"

/* Unbegun tasks to have at hand. A command takes long: only the next. */
#define PREFETCH      32
#define PREFETCH_EXEC 8

struct options {
	const char *module;
	char **command;
	unsigned threads;
	int fd, slots_fd; /* or -1 */
};

static int
usage(void)
{
	fprintf(stderr,
	    "usage: worker --module PATH [--threads N]\n"
	    "       worker --exec -- COMMAND [ARG...]\n"
	    "Started by supervisord for a hybrid worker: see worker(7).\n");
	return EXIT_USAGE;
}

/* A whole number from 1 (or 0) on, or -1. */
static int
number(const char *text, int least, int most)
{
	char *end;
	long n;

	if (text == NULL || *text == '\0')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' && n >= least && n <= most ? (int)n
								     : -1;
}

static int
read_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{ "module", required_argument, NULL, 'm' },
		{ "threads", required_argument, NULL, 't' },
		{ "exec", no_argument, NULL, 'e' },
		{ NULL, 0, NULL, 0 },
	};
	bool exec = false;
	int c, n;

	*o = (struct options){ .threads = 1, .fd = -1, .slots_fd = -1 };
	while ((c = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (c) {
		case 'm':
			o->module = optarg;
			break;
		case 't':
			n = number(optarg, 1, WIRE_THREADS_MAX);
			if (n < 0)
				return usage();
			o->threads = (unsigned)n;
			break;
		case 'e':
			exec = true;
			break;
		default:
			return usage();
		}
	}
	if (exec)
		o->command = argv + optind;
	if (exec != (optind < argc) || exec == (o->module != NULL) ||
	    (exec && o->threads != 1))
		return usage();
	return 0;
}

/* A descriptor the environment names, made our own; -1: none. */
static int
inherited(const char *name, int *ret_fd)
{
	const char *text = getenv(name);

	*ret_fd = -1;
	if (text == NULL)
		return 0;
	*ret_fd = number(text, 3, INT32_MAX);
	if (*ret_fd < 0 || fcntl(*ret_fd, F_SETFD, FD_CLOEXEC) < 0) {
		log_error("%s=%s is no descriptor", name, text);
		return EXIT_SOCKET;
	}
	return 0;
}

static void
forget_environment(void)
{
	unsetenv(WIRE_ENV_FD);
	unsetenv(WIRE_ENV_SLOTS);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

/* 0, 1 and 2 are somebody's, or what is opened next would be. */
static void
fill_standard(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 &&
	       fd <= STDERR_FILENO)
		(void)fcntl(fd, F_SETFD, 0);
	if (fd >= 0)
		close(fd);
}

static void
on_terminate(int signo)
{
	(void)signo;
	link_terminate();
}

static void
set_signals(bool module)
{
	struct sigaction a = { .sa_handler = on_terminate,
		.sa_flags = SA_RESTART };

	sigemptyset(&a.sa_mask);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGINT, &a, NULL);
	/* A module's init may have blocked them, for its threads say. */
	sigaddset(&a.sa_mask, SIGTERM);
	sigaddset(&a.sa_mask, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &a.sa_mask, NULL);
	/* For a command it is to be as it was. */
	if (module)
		signal(SIGPIPE, SIG_IGN);
}

/* What is to be done at all? Sockets need on_connection, tasks handlers. */
static int
check_work(const struct options *o, int sockets)
{
	if (o->fd < 0 && sockets == 0) {
		log_error("nothing to do: neither a task socket (%s) nor "
			  "listening sockets (LISTEN_FDS)%s",
		    WIRE_ENV_FD,
		    o->command != NULL ? "" : " the module would serve");
		return EXIT_NOTHING;
	}
	return 0;
}

static void
say_hello(const struct options *o)
{
	struct buf b;

	buf_init(&b);
	jw_object(&b);
	jw_kv_int(&b, "hello", WIRE_VERSION);
	jw_kv_int(&b, "threads", o->threads);
	jw_kv_int(
	    &b, "prefetch", o->command != NULL ? PREFETCH_EXEC : PREFETCH);
	if (o->module != NULL) {
		jw_key(&b, "functions");
		module_functions(&b);
	}
	jw_object_end(&b);
	/* Its first byte must not look like the other framing's (wire.h). */
	if ((b.size & 0xff) == '{')
		buf_char(&b, ' ');
	if (b.failed || b.size > WIRE_BODY)
		link_die(EXIT_NOTHING, "too many functions for a HELLO");
	link_hello(b.data, b.size);
	buf_done(&b);
}

/* A handler that called exit() is worth a line: it looks like a crash. */
static void
at_exit(void)
{
	if (!link_in_child() && the_link.count > 0)
		log_error("exit() was called by a handler or a library it "
			  "uses; a module must return");
}

static int
start(const struct options *o)
{
	int sockets, r = 0;

	if (o->module != NULL)
		r = module_load(o->module);
	if (r != 0)
		return r;
	sockets = connection_open(o->module != NULL && module_serves());
	if (sockets < 0)
		return -sockets;
	r = check_work(o, sockets);
	if (r != 0)
		return r;
	forget_environment();
	r = o->module != NULL ? module_init(o->threads) : exec_open(o->command);
	if (r != 0)
		return r;
	r = link_open(o->module != NULL ? &module_engine : &exec_engine,
	    o->threads, o->fd, o->slots_fd);
	if (r != 0)
		return r;
	if (connection_poll(the_link.poller, WATCHED_LISTENER) < 0) {
		log_error("cannot wait for connections: %s", strerror(errno));
		return EXIT_SOCKET;
	}
	set_signals(o->module != NULL);
	atexit(at_exit);
	r = threads_start();
	/* Only now: who says HELLO is started, and can do its tasks. */
	if (r == 0 && o->fd >= 0)
		say_hello(o);
	return r;
}

int
main(int argc, char **argv)
{
	struct options o;
	int r;

	log_init("worker");
	fill_standard();
	r = read_options(argc, argv, &o);
	if (r == 0)
		r = inherited(WIRE_ENV_FD, &o.fd);
	if (r == 0)
		r = inherited(WIRE_ENV_SLOTS, &o.slots_fd);
	if (r == 0)
		r = start(&o);
	if (r != 0)
		_exit(r); /* not at_exit: no handler is to blame */
	link_watch();
	threads_join();
	if (o.module != NULL)
		module_cleanup();
	else
		exec_close();
	r = the_link.status;
	link_close();
	return r;
}
