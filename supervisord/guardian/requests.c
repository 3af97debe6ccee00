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
#include "supervisord/guardian/hybrid.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/quit.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"
#include "supervisord/guardian/upgrade.h"
#include "supervisord/proto/stages.h"
#include "workers/launch/launch.h"

#define READ_AT_A_TIME 16 /* then exits get their turn */
#define DRAIN_AT_MOST  100000

static int
open_output(unsigned kind, const char *name, bool err)
{
	char stream[PROTO_NAME + 8];

	switch ((enum launch_output)kind) {
	case LAUNCH_OUT_NULL:
		return LOOP_NULL;
	case LAUNCH_OUT_INHERIT:
		return -1;
	case LAUNCH_OUT_STDOUT:
		return err ? 1 : -EINVAL;
	case LAUNCH_OUT_PIPE:
		snprintf(
		    stream, sizeof stream, "%s%s", name, err ? "/err" : "");
		if (strlen(stream) >= PROTO_NAME)
			return -ENAMETOOLONG;
		return keep_writer(stream);
	}
	return -EINVAL;
}

/* -1 is a valid answer of open_output: inherit. */
static int
open_outputs(const struct msg_launch *m, struct spawn *spawn)
{
	spawn->out_fd = open_output(m->out, m->name, false);
	if (spawn->out_fd < -1)
		return spawn->out_fd;
	spawn->err_fd = open_output(m->err, m->name, true);
	if (spawn->err_fd >= -1)
		return 0;
	if (spawn->out_fd > LOOP_NULL)
		close(spawn->out_fd);
	return spawn->err_fd;
}

/* Of what the child gets beyond its output: what is kept here as "socket/NAME",
 * then the two of a hybrid worker. */
struct extras {
	int fds[SPAWN_FDS];
	unsigned count;
	int task_fd; /* the worker's end, ours until it has it; -1 */
};

static int
find_sockets(const struct spawn *spawn, struct extras *ret)
{
	const char *book = spawn->book->data;
	uint64_t size = spawn->book->size;
	unsigned n = launch_sockets(book, size, spawn->spec);

	for (unsigned i = 0; i < n; i++) {
		const char *name = launch_socket(book, size, spawn->spec, i);
		char kept[PROTO_NAME] = "socket/";
		size_t prefix = strlen(kept);

		if (name == NULL)
			return -EPROTO;
		if (strlen(name) >= sizeof kept - prefix)
			return -ENAMETOOLONG;
		memcpy(kept + prefix, name, strlen(name) + 1);
		ret->fds[i] = keep_get(kept);
		if (ret->fds[i] < 0)
			return -ENOENT;
	}
	ret->count = n;
	return 0;
}

/* 0, or -errno and at which stage. */
static int
find_extras(const struct msg_launch *m, struct slot *s,
    const struct spawn *spawn, struct extras *ret, enum launch_stage *stage)
{
	int error;

	ret->count = 0;
	ret->task_fd = -1;
	*stage = STAGE_SOCKETS;
	error = find_sockets(spawn, ret);
	if (error < 0 || m->threads == 0)
		return error;
	*stage = STAGE_CHANNEL;
	error = hybrid_make(s, m->threads, &ret->task_fd);
	if (error < 0)
		return error;
	ret->fds[ret->count++] = ret->task_fd;
	ret->fds[ret->count++] = s->memory_fd;
	return 0;
}

/* 0, or -errno and at which stage. */
static int
launch_into(const struct msg_launch *m, struct slot *s, struct book *book,
    enum launch_stage *stage)
{
	struct spawn spawn = {
		.book = book, .spec = m->spec, .index = m->index
	};
	struct extras extras;
	pid_t pid;
	int error;

	s->cookie = m->cookie;
	s->child.tag = tag_of(s->child.slot, s->child.gen);
	s->child.started_mono = clock_mono();
	spawn.slot = s->child.slot;
	spawn.tag = s->child.tag;
	error = find_extras(m, s, &spawn, &extras, stage);
	if (error < 0)
		return error;
	spawn.fds = extras.fds;
	spawn.fd_count = extras.count;
	*stage = STAGE_PIPE;
	error = open_outputs(m, &spawn);
	if (error == 0) {
		*stage = STAGE_FORK;
		pid = spawn_child(&spawn);
		if (pid > 0)
			table_set_pid(s, pid);
		error = pid < 0 ? pid : 0;
	}
	if (extras.task_fd >= 0)
		close(extras.task_fd);
	return error;
}

static void
launch(const struct msg_launch *m)
{
	enum launch_stage stage = STAGE_NONE;
	struct book *book = books_get(m->book);
	struct slot *s;
	int error;

	if (book == NULL) {
		news_not_launched(m->cookie, STAGE_SPEC, ENOENT);
		return;
	}
	s = table_alloc(m->name);
	if (s == NULL) {
		news_not_launched(m->cookie, STAGE_TABLE, ENOSPC);
		return;
	}
	error = launch_into(m, s, book, &stage);
	if (error < 0) {
		hybrid_close(s);
		table_free(s);
		news_not_launched(m->cookie, stage, error);
		return;
	}
	news_mark(s, NEWS_LAUNCHED);
	hybrid_launched(s);
}

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
		launch(&m->u.LAUNCH);
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
