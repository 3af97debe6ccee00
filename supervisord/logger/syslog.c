#include "supervisord/logger/syslog.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/flow.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/sink.h"
#include "supervisord/logger/stream.h"

#define PRIORITY  30   /* daemon.info */
#define LINE_MAX_ 8000 /* longer ones are sent in parts */
#define SAY_AGAIN (60 * NS_PER_SEC)

static const char *dev_log = "/dev/log";
static int sock = -1;
static uint64_t lost;
static int64_t said;
static bool last;

void
syslog_path(const char *path)
{
	if (path != NULL)
		dev_log = path;
}

void
syslog_last_lines(void)
{
	last = true;
}

static int
connect_log(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (sock >= 0)
		return 0;
	snprintf(a.sun_path, sizeof a.sun_path, "%s", dev_log);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&a, sizeof a) < 0) {
		int err = errno;

		close(sock);
		sock = -1;
		return -err;
	}
	return 0;
}

static int
send_line(struct iovec *iov, int count)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)count };
	int r = 0;

	/* Twice: a restarted syslogd has another socket at the path. */
	for (int i = 0; i < 2; i++) {
		r = connect_log();
		if (r < 0)
			return r;
		if (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		r = -errno;
		if (r == -EAGAIN || r == -ENOBUFS || r == -EMSGSIZE)
			return r;
		close(sock);
		sock = -1;
	}
	return r;
}

static void
line_lost(struct stream *s, size_t size, int err)
{
	int64_t now = clock_mono();

	lost++;
	s->dropped += size;
	if (said != 0 && now - said < SAY_AGAIN)
		return;
	log_warn("%llu lines were not taken by syslog (%s): %s",
	    (unsigned long long)lost, dev_log, strerror(err));
	said = now;
	lost = 0;
}

static void
put_line(struct stream *s, const char *line, size_t size)
{
	char head[160], when[32] = "";
	time_t now = time(NULL);
	struct iovec iov[2];
	struct tm tm;
	int n, r;

	if (localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof when, "%b %e %H:%M:%S", &tm);
	n = snprintf(head, sizeof head, "<%d>%s %s: ", PRIORITY, when, s->name);
	iov[0].iov_base = head;
	iov[0].iov_len = (size_t)n;
	iov[1].iov_base = (void *)(uintptr_t)line;
	iov[1].iov_len = size;
	r = send_line(iov, 2);
	if (r < 0)
		line_lost(s, size + 1, -r);
}

static bool
nobody_writes(const struct pipe *p)
{
	struct pollfd f = { .fd = p->fd };

	return poll(&f, 1, 0) == 1 && (f.revents & POLLHUP) != 0;
}

ssize_t
syslog_move(struct sink *sink, struct pipe *p, size_t avail)
{
	const char *data;
	ssize_t n = peek(p->fd, avail, &data);
	size_t used = 0;

	(void)sink;
	if (n <= 0)
		return n < 0 ? n : -EAGAIN;
	while (used < (size_t)n) {
		size_t left = MIN_OF((size_t)n - used, (size_t)LINE_MAX_);
		const char *nl = memchr(data + used, '\n', left);
		size_t size = nl != NULL ? (size_t)(nl - data) - used : left;

		/* A line without its end stays in the pipe until it comes,
		 * unless nobody is left who could write it. */
		if (nl == NULL && left < LINE_MAX_ && !last &&
		    !nobody_writes(p))
			break;
		if (size > 0)
			put_line(p->stream, data + used, size);
		used += size + (nl != NULL);
	}
	return used > 0 ? peek_drop(p->fd, used) : -EAGAIN;
}
