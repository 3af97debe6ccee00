#include "supervisord/guardian/helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/books.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/quit.h"
#include "supervisord/guardian/requests.h"
#include "supervisord/guardian/tree.h"
#include "supervisord/guardian/upgrade.h"
#include "supervisord/proto/channel.h"

#define LONG_ENOUGH     NS_PER_SEC /* lived so long: start the next one at once */
#define CLOSED_PATIENCE NS_PER_SEC
#define DELAY_FIRST     (10 * NS_PER_MS)
#define DELAY_MOST      NS_PER_SEC
#define HELPER_FD       3

struct helper master = { .name = "master", .channel = -1 };
struct helper logger = { .name = "logger", .channel = -1 };
static int logger_peer = -1; /* on its way to the logger */

/* In the child. */
_Noreturn static void
become(const struct helper *h, int channel)
{
	char path[PATH_MAX];
	sigset_t none;

	snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 32, guardian.helpers,
	    h->name);
	setsid(); /* a terminal's Ctrl-C is the guardian's alone */
	if (dup2(LOOP_NULL, 0) < 0 || dup2(channel, HELPER_FD) < 0)
		_exit(1);
	guardian.argv[0] = (char *)(uintptr_t)h->name;
	if (h == &logger)
		guardian.argv[1] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, guardian.argv);
	log_error("cannot run %s: %s", path, strerrordesc_np(errno));
	_exit(1);
}

static int
start(struct helper *h)
{
	int pair[2], error = channel_pair(pair);

	if (error < 0)
		return error;
	pair[0] = loop_move_up(pair[0]);
	if (pair[0] < 0) {
		close(pair[1]);
		return pair[0];
	}
	h->pid = fork();
	if (h->pid == 0)
		become(h, pair[1]);
	error = errno;
	close(pair[1]);
	if (h->pid < 0) {
		h->pid = 0;
		close(pair[0]);
		return -error;
	}
	h->channel = pair[0];
	h->started = clock_mono();
	h->starts++;
	h->waits_for_room = h->muted = false;
	error =
	    loop_watch(h->channel, h == &master ? WATCH_MASTER : WATCH_LOGGER,
		0, h == &master ? EPOLLIN : 0);
	if (error < 0) {
		kill(h->pid, SIGKILL); /* its end will start the next one */
		return 0;
	}
	log_debug("started the %s as process %d", h->name, (int)h->pid);
	return 0;
}

static void
start_or_retry(struct helper *h, enum timer timer)
{
	int error = h->pid == 0 ? start(h) : 0;

	if (error == 0)
		return;
	log_error("cannot start the %s: %s", h->name, strerrordesc_np(-error));
	loop_timer(timer, clock_mono() + DELAY_MOST);
}

void
helper_start_master(void)
{
	/* What the one before asked for, it asked for itself. */
	books_drop_all();
	tree_untell();
	news_handover(master.starts + 1, master.last_status);
	start_or_retry(&master, TIMER_MASTER);
}

void
helper_start_logger(void)
{
	keep_untold();
	start_or_retry(&logger, TIMER_LOGGER);
	if (logger.pid > 0)
		news_logger_up(logger.pid);
}

void
helpers_start(void)
{
	helper_start_logger();
	helper_start_master();
}

bool
helper_is(pid_t pid)
{
	return pid == master.pid || pid == logger.pid;
}

static void
close_channel(struct helper *h)
{
	if (h->channel < 0)
		return;
	loop_unwatch(h->channel);
	close(h->channel);
	h->channel = -1;
}

static int64_t
restart_at(struct helper *h)
{
	int64_t now = clock_mono();

	if (now - h->started > LONG_ENOUGH) {
		h->delay = 0;
		return now;
	}
	h->delay =
	    h->delay == 0 ? DELAY_FIRST : MIN_OF(h->delay * 2, DELAY_MOST);
	return now + h->delay;
}

static void
say_end(const struct helper *h, const siginfo_t *info)
{
	if (h->started == 0)
		return; /* one of the program before us: helpers_replace */
	if (info->si_code == CLD_EXITED)
		log_warn(
		    "the %s exited with status %d", h->name, info->si_status);
	else
		log_warn("the %s was killed by SIG%s", h->name,
		    sigabbrev_np(info->si_status) != NULL
			? sigabbrev_np(info->si_status)
			: "?");
}

static void
master_ended(const siginfo_t *info)
{
	bool exited = info->si_code == CLD_EXITED;

	requests_drain(); /* what it sent, it meant */
	close_channel(&master);
	master.pid = 0;
	master.last_status = exited ? info->si_status << 8 : info->si_status;
	if (quit_under_way())
		return;
	if (!guardian.ready && exited) {
		quit(info->si_status);
		return;
	}
	say_end(&master, info);
	loop_timer(TIMER_MASTER, restart_at(&master));
}

static void
logger_ended(const siginfo_t *info)
{
	close_channel(&logger);
	logger.pid = 0;
	if (quit_under_way())
		return;
	say_end(&logger, info);
	loop_timer(TIMER_LOGGER, restart_at(&logger));
}

void
helper_ended(pid_t pid, const siginfo_t *info)
{
	if (pid == master.pid)
		master_ended(info);
	else if (pid == logger.pid)
		logger_ended(info);
}

void
helper_master_broken(void)
{
	log_error("killing the master: it sent what is no request");
	close_channel(&master);
	kill(master.pid, SIGKILL);
}

void
helper_master_closed(void)
{
	close_channel(&master);
	loop_timer(TIMER_CLOSED, clock_mono() + CLOSED_PATIENCE);
}

void
helper_master_stays(void)
{
	if (master.pid <= 0 || master.channel >= 0)
		return;
	log_error("killing the master: it has closed its channel");
	kill(master.pid, SIGKILL);
}

void
helper_master_event(uint32_t events)
{
	if (master.channel < 0)
		return;
	if ((events & EPOLLIN) != 0)
		requests_read();
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		helper_master_closed();
}

void
helper_logger_event(uint32_t events)
{
	if (logger.channel < 0 || (events & (EPOLLHUP | EPOLLERR)) == 0)
		return;
	/* It is ending; should it not be, it is of no use any more. */
	close_channel(&logger);
	if (!quit_under_way())
		kill(logger.pid, SIGKILL);
}

static void
watch_for(struct helper *h, bool room, bool muted)
{
	uint32_t events = (room ? EPOLLOUT : 0U);

	if (h->waits_for_room == room && h->muted == muted)
		return;
	h->waits_for_room = room;
	h->muted = muted;
	if (h == &master && !muted)
		events |= EPOLLIN;
	(void)loop_watch(
	    h->channel, h == &master ? WATCH_MASTER : WATCH_LOGGER, 0, events);
}

static int
tell_logger(void)
{
	int error = 0;

	if (logger_peer >= 0)
		error = channel_send(
		    logger.channel, MSG_PEER, NULL, NULL, 0, logger_peer);
	if (error < 0)
		return error;
	if (logger_peer >= 0)
		close(logger_peer);
	logger_peer = -1;
	return keep_tell(logger.channel);
}

void
helpers_tell(void)
{
	if (quit_under_way())
		return;
	if (logger.channel >= 0)
		watch_for(&logger, tell_logger() == -EAGAIN, false);
	if (master.channel >= 0) {
		bool room = news_send(master.channel) == -EAGAIN;

		watch_for(&master, room,
		    news_handing_over() || !news_room() || upgrade_under_way());
	}
}

void
helper_logger_peer(int fd)
{
	fd = loop_move_up(fd);
	if (fd < 0)
		return;
	if (logger_peer >= 0)
		close(logger_peer);
	logger_peer = fd;
}

void
helpers_finish(void)
{
	if (master.pid > 0)
		kill(master.pid, SIGKILL);
	if (logger.channel >= 0) {
		(void)keep_tell(logger.channel);
		(void)channel_send(
		    logger.channel, MSG_FINISH, NULL, NULL, 0, -1);
	}
}

void
helpers_replace(
    pid_t old_master, int master_channel, pid_t old_logger, int logger_channel)
{
	/* The channels stayed open until now, so that neither takes the
	 * guardian for dead. */
	master.pid = old_master;
	logger.pid = old_logger;
	if (old_master > 0)
		kill(old_master, SIGKILL);
	else
		loop_timer(TIMER_MASTER, clock_mono());
	if (old_logger > 0)
		kill(old_logger, SIGKILL);
	else
		loop_timer(TIMER_LOGGER, clock_mono());
	if (master_channel >= 0)
		close(master_channel);
	if (logger_channel >= 0)
		close(logger_channel);
}
