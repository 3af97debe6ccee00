#include "supervisord/guardian/run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/broker.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/quit.h"
#include "supervisord/guardian/reap.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"
#include "supervisord/guardian/upgrade.h"

#define EVENTS 32

struct guardian guardian = { .ready_fd = -1, .log_level = LOG_LEVEL_INFO };

static int signal_fd = -1;

/* --- finding the programs ------------------------------------------------ */

int
guardian_find_helpers(const char *exe, char *ret, size_t size)
{
	static const char *const places[] = { "libexec/supervisord",
		"../libexec/supervisord" };
	const char *slash = strrchr(exe, '/');
	int length = slash != NULL ? (int)(slash - exe) : 0;
	char path[PATH_MAX];

	for (size_t i = 0; i < N_ELEMENTS(places); i++) {
		int n = snprintf(path, sizeof path, "%.*s/%s/master", length,
		    exe, places[i]);

		if (n < 0 || (size_t)n >= sizeof path || access(path, X_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		snprintf(ret, size, "%s", path);
		return 0;
	}
	return -ENOENT;
}

int
run_locate(char **argv)
{
	ssize_t n =
	    readlink("/proc/self/exe", guardian.exe, sizeof guardian.exe - 1);

	log_init("guardian");
	guardian.argv = argv;
	/* Without /proc, the way it was called must do. */
	if (n <= 0 && realpath(argv[0], guardian.exe) == NULL) {
		fprintf(stderr, "supervisord: cannot find its own program\n");
		return -ENOENT;
	}
	if (guardian_find_helpers(
		guardian.exe, guardian.helpers, sizeof guardian.helpers) < 0) {
		fprintf(stderr,
		    "supervisord: there is no libexec/supervisord/master beside "
		    "%s or its folder\n",
		    guardian.exe);
		return -ENOENT;
	}
	return 0;
}

/* --- the start ----------------------------------------------------------- */

/* The parent of --daemon ends with what its child says, or as its child. */
static void
wait_for_ready(int fd)
{
	unsigned char status = 1;

	while (read(fd, &status, 1) < 0 && errno == EINTR)
		continue;
	_exit(status);
}

static int
go_to_background(void)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(fd[1]);
		wait_for_ready(fd[0]);
	}
	setsid();
	close(fd[0]);
	guardian.ready_fd = loop_move_up(fd[1]);
	return guardian.ready_fd < 0 ? guardian.ready_fd : 0;
}

static void
tell_parent(int status)
{
	unsigned char byte = (unsigned char)status;

	if (guardian.ready_fd < 0)
		return;
	(void)!write(guardian.ready_fd, &byte, 1);
	close(guardian.ready_fd);
	guardian.ready_fd = -1;
}

void
guardian_exit(int status)
{
	tell_parent(status);
	_exit(status);
}

void
guardian_ready(void)
{
	bool background = guardian.ready_fd >= 0;

	guardian.ready = true;
	tell_parent(0);
	if (!background)
		return;
	/* The terminal belongs to somebody else from here on; a file that
	 * stderr was sent to goes on being the log. */
	dup2(LOOP_NULL, STDIN_FILENO);
	dup2(LOOP_NULL, STDOUT_FILENO);
	if (isatty(STDERR_FILENO))
		dup2(LOOP_NULL, STDERR_FILENO);
}

void
guardian_log(void)
{
	int fd = keep_get("log");

	log_setup((enum log_level)guardian.log_level, guardian.log_json,
	    fd >= 0 ? fd : STDERR_FILENO);
}

/* 0 to 2 are open, LOOP_NULL is /dev/null, nothing inherited lies around. */
static int
arrange_descriptors(bool resumed)
{
	int fd;

	if (!resumed && close_range(3, ~0U, 0) < 0) {
		for (fd = 3; fd < sysconf(_SC_OPEN_MAX); fd++)
			close(fd);
	}
	do {
		/* NOLINTNEXTLINE(android-cloexec-open): all inherit 0 to 2 */
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < LOOP_NULL);
	if (fd < 0)
		return -errno;
	if (fd != LOOP_NULL && dup2(fd, LOOP_NULL) < 0)
		return -errno;
	if (fd != LOOP_NULL)
		close(fd);
	return fcntl(LOOP_NULL, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int
raise_nofile(bool resumed)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (!resumed)
		guardian.nofile = limit;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

/*
 * All signals are blocked for good and come by descriptor. Nothing is ignored,
 * for that is inherited through exec; SA_NOCLDSTOP: only ends matter.
 */
static int
take_signals(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL,
		.sa_flags = SA_NOCLDSTOP };
	static const int ours[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP,
		SIGUSR1, SIGUSR2 };
	sigset_t all, set;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&set);
	for (size_t i = 0; i < N_ELEMENTS(ours); i++)
		sigaddset(&set, ours[i]);
	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &plain, NULL);
	signal_fd =
	    loop_move_up(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	if (signal_fd < 0)
		return signal_fd;
	return loop_watch(signal_fd, WATCH_SIGNALS, 0, EPOLLIN);
}

static void
become_reaper(void)
{
	guardian.pid1 = getpid() == 1;
	if (!guardian.pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1L) < 0)
		log_warn("cannot become a subreaper: what workers leave behind "
			 "will not be found");
}

static void
new_run(void)
{
	if (getrandom(&guardian.run, sizeof guardian.run, GRND_NONBLOCK) !=
	    sizeof guardian.run)
		guardian.run = (uint64_t)clock_mono() ^ (uint64_t)getpid();
	guardian.started_wall_ms = clock_wall_ms();
}

static int
start(int daemon, bool *ret_resumed)
{
	int report_fd = -1, error;
	bool resumed = upgrade_resume(&report_fd);

	*ret_resumed = resumed;
	error = arrange_descriptors(resumed);
	if (error == 0)
		error = raise_nofile(resumed);
	if (error == 0 && daemon && !resumed)
		error = go_to_background();
	if (error == 0)
		error = loop_init();
	if (error == 0)
		error = take_signals();
	if (error == 0)
		error = spawn_init(&guardian.nofile, report_fd);
	return error;
}

int
run_start(int daemon)
{
	bool resumed;
	int error = start(daemon, &resumed);

	if (error < 0) {
		log_error("cannot start: %s", strerrordesc_np(-error));
		return error;
	}
	become_reaper();
	table_init();
	keep_init();
	if (!resumed)
		new_run();
	tag_init(guardian.run);
	if (resumed) {
		upgrade_restore();
		guardian_log();
		log_info("supervisord " VERSION " goes on");
		reap_sweep(); /* SIGCHLDs from between the programs */
	} else {
		helpers_start();
	}
	return 0;
}

/* --- the loop ------------------------------------------------------------ */

static void
on_signal(const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD) {
		reap_signalled((pid_t)info->ssi_pid);
		return;
	}
	news_signal(info);
	if (info->ssi_signo == SIGQUIT || news_stops() >= 2 ||
	    (!guardian.ready && news_stops() > 0))
		quit_expected();
}

static void
read_signals(void)
{
	struct signalfd_siginfo info[8];
	ssize_t n = read(signal_fd, info, sizeof info);

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof info[0]; i++)
		on_signal(&info[i]);
}

static void
on_event(const struct loop_event *e)
{
	switch (e->watch) {
	case WATCH_SIGNALS:
		read_signals();
		break;
	case WATCH_HELPER:
		helper_event((enum helper_id)e->slot, e->events);
		break;
	case WATCH_ADOPTED:
		reap_adopted(e->slot);
		break;
	case WATCH_TIMER:
		break; /* loop_wait has seen to it */
	}
}

static void
on_timer(enum timer timer)
{
	switch (timer) {
	case TIMER_SWEEP:
		reap_sweep();
		break;
	case TIMER_TREE:
		tree_scan();
		break;
	case TIMER_STAGED:
		spawn_tidy();
		break;
	case TIMER_MASTER:
		helper_start(&master);
		break;
	case TIMER_LOGGER:
		helper_start(&logger);
		break;
	case TIMER_BROKER:
		helper_start(&broker);
		break;
	case TIMER_BROKER_PATIENCE:
		broker_patience_over();
		break;
	case TIMER_CLOSED:
		helper_master_stays();
		break;
	case TIMER_UPGRADE:
		upgrade_again();
		break;
	case TIMER_PATIENCE:
		quit_patience_over();
		break;
	case TIMER_COUNT:
		break;
	}
}

static void
run_timers(void)
{
	int64_t now = clock_mono();

	for (int i = 0; i < TIMER_COUNT; i++) {
		if (loop_timer_due((enum timer)i, now))
			on_timer((enum timer)i);
	}
}

void
run_for_ever(void)
{
	struct loop_event events[EVENTS];

	for (;;) {
		int n;

		spawn_tidy();
		helpers_tell();
		quit_step();
		n = loop_wait(events, EVENTS);
		for (int i = 0; i < n; i++)
			on_event(&events[i]);
		run_timers();
	}
}
