#include "supervisord/guardian/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/guardian/books.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/hybrid.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/proto/stages.h"
#include "workers/launch/launch.h"

static int
open_kept(const char *name, bool err)
{
	char kept[PROTO_NAME + 8];
	int fd;

	snprintf(kept, sizeof kept, "%s/%s", err ? "err" : "out", name);
	fd = keep_get(kept);
	if (fd < 0)
		return -ENOENT;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, LOOP_NULL + 1);
	return fd >= 0 ? fd : -errno;
}

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
	case LAUNCH_OUT_KEPT:
		return open_kept(name, err);
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

/*
 * Brokers that do not get on may leave many ended instances behind. To forget
 * them costs that their last tasks are run again; to have no room costs more.
 */
static int
make_channel(struct slot *s, uint32_t threads, int *ret_fd)
{
	int error = hybrid_make(s, threads, ret_fd);
	unsigned n;

	if (error != -EMFILE && error != -ENFILE)
		return error;
	n = hybrid_forget_ended(broker.pid > 0);
	if (n == 0)
		return error;
	log_warn("no room for descriptors: the task sockets of %u ended "
		 "instances are not kept for the broker",
	    n);
	return hybrid_make(s, threads, ret_fd);
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
	error = make_channel(s, m->threads, &ret->task_fd);
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

void
launch_request(const struct msg_launch *m)
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
