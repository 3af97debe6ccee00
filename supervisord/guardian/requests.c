#include "supervisord/guardian/requests.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/guardian/books.h"
#include "supervisord/guardian/broker.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/launch.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/quit.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"
#include "supervisord/guardian/upgrade.h"
#include "supervisord/proto/stages.h"

#define READ_AT_A_TIME 16 /* then exits get their turn */
#define DRAIN_AT_MOST  100000

/* Until it is reaped its pid is nobody else's, so kill is safe. */
static void
kill_child(const struct msg_kill *m)
{
	struct slot *s = table_get(m->slot, m->gen);

	if (s == NULL || s->child.state != CHILD_ALIVE || m->signo < 0 ||
	    m->signo > 64)
		return;
	if (s->pidfd >= 0) {
		pid_t pid = s->child.pid;

		if (pidfd_send_signal(s->pidfd, m->signo, NULL, 0) == 0 &&
		    m->scope == KILL_GROUP)
			(void)kill(-pid, m->signo);
		return;
	}
	/* A child that is not in its own session yet has no group either. */
	if (m->scope != KILL_GROUP || kill(-s->child.pid, m->signo) < 0)
		(void)kill(s->child.pid, m->signo);
}

static int64_t
started_mono(uint64_t ticks)
{
	struct timespec boot;
	int64_t age;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	age = boot.tv_sec * NS_PER_SEC + boot.tv_nsec -
	      (int64_t)(ticks * (uint64_t)(NS_PER_SEC / sysconf(_SC_CLK_TCK)));
	return clock_mono() - age;
}

/* The pidfd, if the pid is and stays that process. */
static int
open_stranger(const struct msg_adopt *m)
{
	uint64_t ticks = 0;
	int fd, error;

	if (m->pid <= 1 || m->pid == getpid() || helper_is(m->pid) ||
	    table_by_pid(m->pid) != NULL)
		return -EINVAL;
	fd = pidfd_open(m->pid, 0);
	if (fd < 0)
		return -errno;
	fd = loop_move_up(fd);
	if (fd < 0)
		return fd;
	error = proc_start_ticks(m->pid, &ticks);
	if (error == 0 && ticks != m->start_ticks)
		error = -ESRCH;
	if (error == 0 && pidfd_send_signal(fd, 0, NULL, 0) < 0 &&
	    errno == ESRCH)
		error = -ESRCH;
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

static void
adopt(const struct msg_adopt *m)
{
	int fd = open_stranger(m);
	struct slot *s;

	if (fd < 0) {
		news_not_launched(m->cookie, STAGE_FORK, fd);
		return;
	}
	s = table_alloc(m->name);
	if (s == NULL ||
	    loop_watch(fd, WATCH_ADOPTED, s->child.slot, EPOLLIN) < 0) {
		news_not_launched(m->cookie, STAGE_TABLE, ENOSPC);
		if (s != NULL)
			table_free(s);
		close(fd);
		return;
	}
	s->cookie = m->cookie;
	s->pidfd = fd;
	s->child.flags = CHILD_ADOPTED;
	s->child.started_mono = started_mono(m->start_ticks);
	s->child.tag = proc_tag(m->pid);
	spawn_forget(s->child.slot);
	table_set_pid(s, m->pid);
	news_mark(s, NEWS_LAUNCHED);
}

static void
ack(const struct msg_slot *m)
{
	struct slot *s = table_get(m->slot, m->gen);

	if (s != NULL && s->child.state == CHILD_EXITED)
		news_acked(s);
}

static void
add_book(const struct msg_book *m, int fd)
{
	int error = books_add(m->book, fd, m->size);

	if (error < 0)
		log_error("book %u of the master is of no use: %s", m->book,
		    strerrordesc_np(-error));
}

static void
keep(const struct msg_name *m, int fd, bool pipe)
{
	int error = pipe ? keep_set_pipe(m->name, fd) : keep_set(m->name, fd);

	if (error < 0)
		log_error("cannot keep the descriptor \"%s\": %s", m->name,
		    strerrordesc_np(-error));
}

static void
ready(void)
{
	if (!guardian.ready)
		guardian_ready();
	master.delay = 0;
}

static void
log_to(const struct msg_logto *m, int fd)
{
	int error = keep_set("log", fd);

	if (error < 0) {
		log_error("cannot change the log: %s", strerrordesc_np(-error));
		return;
	}
	guardian.log_level =
	    m->level <= LOG_LEVEL_DEBUG ? m->level : LOG_LEVEL_INFO;
	guardian.log_json = m->json != 0;
	guardian_log();
}

static void
drop(const struct msg_name *m)
{
	keep_drop(m->name);
	if (strcmp(m->name, "log") == 0)
		guardian_log();
}

int
request(struct msg *m)
{
	switch ((enum msg_type)m->type) {
	case MSG_READY:
		ready();
		return 0;
	case MSG_BOOK:
		add_book(&m->u.BOOK, m->fd);
		return 0;
	case MSG_BOOK_DROP:
		books_drop(m->u.BOOK_DROP.book);
		return 0;
	case MSG_LAUNCH:
		launch_request(&m->u.LAUNCH);
		return 0;
	case MSG_KILL:
		kill_child(&m->u.KILL);
		return 0;
	case MSG_TREE:
		tree_request(&m->u.TREE);
		return 0;
	case MSG_ACK:
		ack(&m->u.ACK);
		return 0;
	case MSG_KEEP:
		keep(&m->u.KEEP, m->fd, false);
		return 0;
	case MSG_DROP:
		drop(&m->u.DROP);
		return 0;
	case MSG_LOGGER_PEER:
		helper_peer(&logger, m->fd);
		return 0;
	case MSG_BROKER_PEER:
		helper_peer(&broker, m->fd);
		return 0;
	case MSG_BROKER_WANTED:
		broker_want(m->u.BROKER_WANTED.value != 0);
		return 0;
	case MSG_ADOPT:
		adopt(&m->u.ADOPT);
		return 0;
	case MSG_UPGRADE:
		upgrade();
		return 0;
	case MSG_QUIT:
		quit(m->u.QUIT.status & 0xff);
		return 0;
	case MSG_PIPE_KEEP:
		keep(&m->u.PIPE_KEEP, m->fd, true);
		return 0;
	case MSG_LOG_TO:
		log_to(&m->u.LOG_TO, m->fd);
		return 0;
	case MSG_HELLO:
	case MSG_CHILD:
	case MSG_KEPT:
	case MSG_HANDED_OVER:
	case MSG_LAUNCHED:
	case MSG_NOT_LAUNCHED:
	case MSG_EXITED:
	case MSG_SIGNALLED:
	case MSG_TREE_EMPTY:
	case MSG_LOGGER_UP:
	case MSG_NOT_UPGRADED:
	case MSG_BROKER_UP:
	case MSG_BROKER_FD:
	case MSG_CHANNEL:
	case MSG_CHANNEL_SLOTS:
	case MSG_CHANNEL_EXIT:
	case MSG_BROKER_TOLD:
	case MSG_BROKER_KEEP:
	case MSG_BROKER_DROP:
	case MSG_CHANNEL_DONE:
	case MSG_STOPPING:
	case MSG_EXIT_TOLD:
	case MSG_REPLACE:
	case MSG_SCALE:
	case MSG_QUEUE_EVENT:
	case MSG_QUEUE_HEALTH:
	case MSG_HAND_UP:
	case MSG_HAND_IDLE:
	case MSG_PIPE:
	case MSG_PIPE_DROP:
	case MSG_PEER:
	case MSG_FINISH:
	case MSG_SINK:
	case MSG_SINK_DROP:
	case MSG_REOPEN:
	case MSG_TAIL:
	case MSG_TAIL_IS:
	case MSG_SINK_STATE:
	case MSG_HOME:
	case MSG_ORPHAN_PIPE:
	case MSG_ORPHAN_END:
		break;
	}
	if (m->fd >= 0)
		close(m->fd);
	return -EPROTO;
}

/* 1: there may be more. 0: not now. -errno: never again. */
static int
read_one(void)
{
	static struct msg m;
	int got = channel_receive(master.channel, &m);

	if (got == 1)
		return request(&m) == 0 ? 1 : -EPROTO;
	switch (got) {
	case -EAGAIN:
		return 0;
	case -EMFILE:
		log_error("no room for a descriptor of the master");
		return 1;
	case 0:
		return -EPIPE;
	default:
		return got;
	}
}

void
requests_read(void)
{
	for (int i = 0; i < READ_AT_A_TIME; i++) {
		int got;

		if (master.channel < 0 || quit_under_way() || !news_room() ||
		    upgrade_under_way())
			return;
		got = read_one();
		if (got == -EPROTO)
			helper_broken(&master);
		else if (got < 0)
			helper_closed(&master);
		if (got <= 0)
			return;
	}
}

void
requests_drain(void)
{
	for (int i = 0; i < DRAIN_AT_MOST && master.channel >= 0; i++) {
		if (quit_under_way() || read_one() <= 0)
			return;
	}
}
