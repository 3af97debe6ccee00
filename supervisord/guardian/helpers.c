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
#include "supervisord/guardian/broker.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/keep.h"
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

/* --- what each is -------------------------------------------------------- */

static void
prepare_master(void)
{
	/* What the one before asked for, it asked for itself. */
	books_drop_all();
	tree_untell();
	news_handover(master.starts + 1, master.last_status);
}

static bool
master_muted(void)
{
	return news_handing_over() || !news_room() || upgrade_under_way();
}

static void
master_ended(const siginfo_t *info)
{
	if (!guardian.ready && info->si_code == CLD_EXITED)
		quit(info->si_status);
}

static int
tell_logger(int channel)
{
	int error = helper_send_peer(&logger);

	return error == 0 ? keep_tell(channel) : error;
}

struct helper master = { .name = "master",
	.id = HELPER_MASTER,
	.timer = TIMER_MASTER,
	.arguments = true,
	.prepare = prepare_master,
	.tell = news_send,
	.read = requests_read,
	.drain = requests_drain,
	.muted = master_muted,
	.ended = master_ended,
	.wanted = true,
	.channel = -1,
	.peer = -1 };

struct helper logger = { .name = "logger",
	.id = HELPER_LOGGER,
	.timer = TIMER_LOGGER,
	.up = MSG_LOGGER_UP,
	.prepare = keep_untold,
	.tell = tell_logger,
	.wanted = true,
	.channel = -1,
	.peer = -1 };

struct helper broker = { .name = "broker",
	.id = HELPER_BROKER,
	.timer = TIMER_BROKER,
	.up = MSG_BROKER_UP,
	.prepare = broker_prepare,
	.tell = broker_tell,
	.read = broker_read,
	.drain = broker_drain,
	.muted = upgrade_under_way,
	.ended = broker_ended,
	.channel = -1,
	.peer = -1 };

static struct helper *const helpers[HELPER_COUNT] = {
	[HELPER_MASTER] = &master,
	[HELPER_LOGGER] = &logger,
	[HELPER_BROKER] = &broker,
};

/* --- the start ----------------------------------------------------------- */

/* In the child. */
_Noreturn static void
become(const struct helper *h, int channel)
{
	int log = h->id == HELPER_BROKER ? keep_get("log") : -1;
	char path[PATH_MAX];
	sigset_t none;

	snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 32, guardian.helpers,
	    h->name);
	setsid(); /* a terminal's Ctrl-C is the guardian's alone */
	if (dup2(LOOP_NULL, 0) < 0 || dup2(channel, HELPER_FD) < 0)
		_exit(1);
	/* The log file is the broker's stderr. The logger's stays as it was: it
	 * is where workers' "inherit" goes. */
	if (log >= 0 && dup2(log, STDERR_FILENO) < 0)
		_exit(1);
	guardian.argv[0] = (char *)(uintptr_t)h->name;
	if (!h->arguments)
		guardian.argv[1] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, guardian.argv);
	log_error("cannot run %s: %s", path, strerrordesc_np(errno));
	_exit(1);
}

static uint32_t
reads(const struct helper *h)
{
	return h->read != NULL && !h->silenced ? EPOLLIN : 0U;
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
	h->waits_for_room = h->silenced = h->finishing = h->done = false;
	error = loop_watch(h->channel, WATCH_HELPER, h->id, reads(h));
	if (error < 0) {
		kill(h->pid, SIGKILL); /* its end will start the next one */
		return 0;
	}
	log_debug("started the %s as process %d", h->name, (int)h->pid);
	return 0;
}

void
helper_start(struct helper *h)
{
	int error;

	if (!h->wanted || h->pid != 0)
		return;
	h->prepare();
	error = start(h);
	if (error == 0) {
		if (h->up != 0)
			news_up(h->up, h->pid);
		return;
	}
	log_error("cannot start the %s: %s", h->name, strerrordesc_np(-error));
	loop_timer(h->timer, clock_mono() + DELAY_MOST);
}

void
helpers_start(void)
{
	helper_start(&logger);
	helper_start(&master);
}

/* --- the end ------------------------------------------------------------- */

static struct helper *
find(pid_t pid)
{
	for (int i = 0; i < HELPER_COUNT; i++) {
		if (helpers[i]->pid == pid)
			return helpers[i];
	}
	return NULL;
}

bool
helper_is(pid_t pid)
{
	return find(pid) != NULL;
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
		return; /* one of the program before us: helper_replace */
	if (h->finishing)
		log_debug("the %s has finished", h->name);
	else if (info->si_code == CLD_EXITED)
		log_warn(
		    "the %s exited with status %d", h->name, info->si_status);
	else
		log_warn("the %s was killed by SIG%s", h->name,
		    sigabbrev_np(info->si_status) != NULL
			? sigabbrev_np(info->si_status)
			: "?");
}

void
helper_ended(pid_t pid, const siginfo_t *info)
{
	struct helper *h = find(pid);
	bool exited = info->si_code == CLD_EXITED;

	if (h == NULL)
		return;
	if (h->drain != NULL)
		h->drain(); /* what it sent, it meant */
	close_channel(h);
	h->pid = 0;
	h->last_status = exited ? info->si_status << 8 : info->si_status;
	if (quit_under_way())
		return;
	if (h->ended != NULL)
		h->ended(info);
	if (quit_under_way())
		return;
	say_end(h, info);
	if (h->wanted)
		loop_timer(h->timer, restart_at(h));
}

void
helper_broken(struct helper *h)
{
	log_error("killing the %s: it sent what is no request", h->name);
	close_channel(h);
	kill(h->pid, SIGKILL);
}

void
helper_closed(struct helper *h)
{
	close_channel(h);
	/* It is ending. The master may take a moment; any other, should it
	 * not be ending, is of no use any more. */
	if (h == &master)
		loop_timer(TIMER_CLOSED, clock_mono() + CLOSED_PATIENCE);
	else if (!quit_under_way() && !h->finishing)
		kill(h->pid, SIGKILL);
}

void
helper_master_stays(void)
{
	if (master.pid <= 0 || master.channel >= 0)
		return;
	log_error("killing the master: it has closed its channel");
	kill(master.pid, SIGKILL);
}

/* --- its channel --------------------------------------------------------- */

void
helper_event(enum helper_id id, uint32_t events)
{
	struct helper *h = helpers[id];

	if (h->channel < 0)
		return;
	if ((events & EPOLLIN) != 0 && h->read != NULL)
		h->read();
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		helper_closed(h);
}

static void
watch_for(struct helper *h, bool room, bool silenced)
{
	if (h->waits_for_room == room && h->silenced == silenced)
		return;
	h->waits_for_room = room;
	h->silenced = silenced;
	(void)loop_watch(
	    h->channel, WATCH_HELPER, h->id, reads(h) | (room ? EPOLLOUT : 0U));
}

static int
tell(struct helper *h)
{
	int error;

	if (h->done)
		return 0;
	error = h->tell(h->channel);
	if (error < 0 || !h->finishing)
		return error;
	error = channel_send(h->channel, MSG_FINISH, NULL, NULL, 0, -1);
	h->done = error == 0;
	return error;
}

void
helpers_tell(void)
{
	for (int i = 0; i < HELPER_COUNT; i++) {
		struct helper *h = helpers[i];
		bool room;

		if (h->channel < 0 || (quit_under_way() && !h->finishing))
			continue;
		room = tell(h) == -EAGAIN;
		watch_for(h, room, h->muted != NULL && h->muted());
	}
}

void
helper_peer(struct helper *h, int fd)
{
	fd = loop_move_up(fd);
	if (fd < 0)
		return;
	if (h->peer >= 0)
		close(h->peer);
	h->peer = fd;
}

int
helper_send_peer(struct helper *h)
{
	int error;

	if (h->peer < 0)
		return 0;
	error = channel_send(h->channel, MSG_PEER, NULL, NULL, 0, h->peer);
	if (error < 0)
		return error;
	close(h->peer);
	h->peer = -1;
	return 0;
}

void
helper_finish(struct helper *h)
{
	if (h->pid > 0)
		h->finishing = true;
}

/* --- the end of all ------------------------------------------------------ */

void
helpers_finish(void)
{
	if (master.pid > 0)
		kill(master.pid, SIGKILL);
	for (int i = 0; i < HELPER_COUNT; i++) {
		loop_timer_off(helpers[i]->timer);
		if (helpers[i] != &master)
			helper_finish(helpers[i]);
	}
}

bool
helpers_are_gone(void)
{
	for (int i = 0; i < HELPER_COUNT; i++) {
		if (helpers[i]->pid != 0)
			return false;
	}
	return true;
}

void
helpers_kill(void)
{
	for (int i = 0; i < HELPER_COUNT; i++) {
		if (helpers[i]->pid == 0)
			continue;
		log_warn("the %s has not ended in time", helpers[i]->name);
		kill(helpers[i]->pid, SIGKILL);
	}
}

void
helper_replace(struct helper *h, pid_t old, int channel)
{
	/* The channel stayed open until now, so that it does not take the
	 * guardian for dead. */
	h->pid = old;
	h->done = true;
	if (old > 0)
		kill(old, SIGKILL);
	else
		loop_timer(h->timer, clock_mono());
	/* What the old broker has told to keep is taken at its end; what the
	 * old master asked for is not, for its successor is told of none. */
	if (h == &broker && old > 0)
		h->channel = channel;
	else if (channel >= 0)
		close(channel);
}
