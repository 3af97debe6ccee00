#include "supervisord/logger/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/sink.h"
#include "supervisord/logger/stamp.h"
#include "supervisord/logger/stream.h"
#include "supervisord/logger/syslog.h"

#define GUARDED_WRITE 4096

static int poller = -1;

int
flow_init(const char *dev_log)
{
	syslog_path(dev_log);
	poller = epoll_create1(EPOLL_CLOEXEC);
	return poller < 0 ? -errno : 0;
}

int
flow_poller(void)
{
	return poller;
}

void
flow_wake(void)
{
	struct epoll_event events[16];
	int n = epoll_wait(poller, events, N_ELEMENTS(events), 0);

	for (int i = 0; i < n; i++) {
		struct sink *s = events[i].data.ptr;

		s->blocked = false;
		stream_wake(s);
	}
}

int
flow_open(struct sink *s)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0)
		return -errno;
	s->regular = false;
	s->guarded = false;
	/* An open file of our own: non-blocking for us alone. A regular file
	 * has to be shared instead, for its position. */
	if (!S_ISREG(st.st_mode)) {
		s->fd = open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (s->fd >= 0)
			return 0;
		s->guarded = true;
	}
	s->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	return s->fd < 0 ? -errno : 0;
}

static ssize_t
wait_for_room(struct sink *s)
{
	struct epoll_event e = { .events = EPOLLOUT | EPOLLONESHOT,
		.data.ptr = s };

	if (epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &e) < 0 &&
	    epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return -EIO;
	s->blocked = true;
	return -EAGAIN;
}

static ssize_t
put(struct sink *s, const char *data, size_t size)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	ssize_t n;

	if (s->guarded) {
		if (poll(&p, 1, 0) != 1)
			return -EAGAIN;
		size = MIN_OF(size, (size_t)GUARDED_WRITE);
	}
	n = write(s->fd, data, size);
	return n < 0 ? -errno : n;
}

/* What was formatted and found no room. */
static ssize_t
put_rest(struct sink *s)
{
	while (s->out.size > 0) {
		ssize_t n = put(s, s->out.data, s->out.size);

		if (n < 0)
			return n == -EAGAIN ? wait_for_room(s) : n;
		buf_consume(&s->out, (size_t)n);
	}
	return 0;
}

static size_t
whole_lines(const char *data, size_t size)
{
	const char *nl = memrchr(data, '\n', size);

	return nl != NULL ? (size_t)(nl - data) + 1 : size;
}

static ssize_t
put_stamped(struct sink *s, struct pipe *p, const char *data, size_t size)
{
	char when[CLOCK_TEXT];
	size_t used;
	ssize_t n;

	/* Little at a time: what is in s->out dies with this process. */
	used = stamp_format(&s->out, data, size,
	    clock_format(clock_wall_ms(), when, sizeof when), !s->mid_line,
	    GUARDED_WRITE, true);
	if (s->out.failed) {
		buf_done(&s->out);
		return -ENOMEM;
	}
	n = put(s, s->out.data, s->out.size);
	if (n < 0) {
		buf_clear(&s->out);
		return n == -EAGAIN ? wait_for_room(s) : n;
	}
	buf_consume(&s->out, (size_t)n);
	s->mid_line = data[used - 1] != '\n';
	return peek_drop(p->fd, used);
}

ssize_t
flow_move(struct sink *s, struct pipe *p, size_t avail)
{
	const char *data;
	ssize_t n = put_rest(s);

	if (n < 0)
		return n;
	n = peek(p->fd, avail, &data);
	if (n <= 0)
		return n < 0 ? n : -EAGAIN;
	n = (ssize_t)whole_lines(data, (size_t)n);
	if ((s->flags & SINK_TIMESTAMPS) != 0)
		return put_stamped(s, p, data, (size_t)n);
	n = put(s, data, (size_t)n);
	if (n < 0)
		return n == -EAGAIN ? wait_for_room(s) : n;
	return peek_drop(p->fd, (size_t)n);
}
