#include "supervisord/proto/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"

/* So many messages are taken before the loop looks at anybody else. */
#define RECEIVE_BATCH 256
/* One that reads is not given more time than this. */
#define PATIENCE_MS 1000

struct waiting {
	uint32_t type;
	int32_t fd;
	uint32_t body_size;
	uint32_t tail_size;
	/* body, tail */
};

static void
watch(struct peer *p)
{
	int want = EV_READ | (p->outbox.size > 0 ? EV_WRITE : 0);

	if (p->fd < 0 || (ev_is_active(&p->io) && p->io.events == want))
		return;
	ev_io_stop(p->loop, &p->io);
	ev_io_set(&p->io, p->fd, want);
	ev_io_start(p->loop, &p->io);
}

static void
lost(struct peer *p, const char *why)
{
	peer_close(p);
	p->gone(p->arg, why);
}

static int
send_waiting(struct peer *p)
{
	size_t at = 0;
	int r = 0;

	while (at < p->outbox.size) {
		const char *data = p->outbox.data + at;
		struct waiting w;

		memcpy(&w, data, sizeof w);
		data += sizeof w;
		r = channel_send(
		    p->fd, w.type, data, data + w.body_size, w.tail_size, w.fd);
		if (r < 0)
			break;
		if (w.fd >= 0)
			close(w.fd);
		at += sizeof w + w.body_size + w.tail_size;
	}
	buf_consume(&p->outbox, at);
	if (p->outbox.size == 0)
		buf_done(&p->outbox);
	return r;
}

static void
ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct peer *p = CONTAINER_OF(io, struct peer, io);
	struct msg msg;

	(void)loop;
	if (events & EV_WRITE) {
		int r = send_waiting(p);

		if (r < 0 && r != -EAGAIN) {
			lost(p, strerror(-r));
			return;
		}
		watch(p);
	}
	for (int i = 0; (events & EV_READ) && i < RECEIVE_BATCH; i++) {
		int fd = p->fd, r = channel_receive(p->fd, &msg);

		if (r == -EAGAIN)
			return;
		if (r == -EMFILE) {
			log_error("no room for a descriptor in %s: %s",
			    msg_name(msg.type), strerror(EMFILE));
			continue;
		}
		if (r <= 0) {
			lost(p, r == 0 ? "closed" : strerror(-r));
			return;
		}
		p->receive(p->arg, &msg);
		if (p->fd != fd)
			return;
	}
}

void
peer_init(struct peer *p, struct ev_loop *loop,
    void (*receive)(void *arg, struct msg *msg),
    void (*gone)(void *arg, const char *why), void *arg)
{
	memset(p, 0, sizeof *p);
	p->loop = loop;
	p->fd = -1;
	p->receive = receive;
	p->gone = gone;
	p->arg = arg;
	buf_init(&p->outbox);
	ev_init(&p->io, ready);
}

void
peer_connect(struct peer *p, int fd)
{
	peer_close(p);
	p->fd = fd;
	watch(p);
}

void
peer_close(struct peer *p)
{
	if (p->fd < 0)
		return;
	ev_io_stop(p->loop, &p->io);
	for (size_t at = 0; at < p->outbox.size;) {
		struct waiting w;

		memcpy(&w, p->outbox.data + at, sizeof w);
		if (w.fd >= 0)
			close(w.fd);
		at += sizeof w + w.body_size + w.tail_size;
	}
	buf_done(&p->outbox);
	close(p->fd);
	p->fd = -1;
}

/* All of it or nothing, so that a failed allocation tears no record. */
static int
put_waiting(struct peer *p, enum msg_type type, const void *body,
    const void *tail, size_t tail_size, int fd)
{
	static const char zero[512];
	struct waiting w = { type, -1, (uint32_t)channel_body_size(type),
		(uint32_t)tail_size };

	if (fd >= 0) {
		w.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (w.fd < 0)
			return -errno;
	}
	if (!buf_reserve(&p->outbox, sizeof w + w.body_size + tail_size)) {
		p->outbox.failed = false;
		if (w.fd >= 0)
			close(w.fd);
		return -ENOMEM;
	}
	buf_add(&p->outbox, &w, sizeof w);
	buf_add(&p->outbox, body != NULL ? body : zero, w.body_size);
	buf_add(&p->outbox, tail, tail_size);
	watch(p);
	return 0;
}

/* Behind all that waits. */
static int
send_by_waiting(struct peer *p, enum msg_type type, const void *body,
    const void *tail, size_t tail_size, int fd)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

	for (;;) {
		int r = send_waiting(p);

		if (r == 0)
			r = channel_send(
			    p->fd, type, body, tail, tail_size, fd);
		if (r != -EAGAIN || poll(&pfd, 1, PATIENCE_MS) == 0)
			return r;
	}
}

void
peer_send(struct peer *p, enum msg_type type, const void *body,
    const void *tail, size_t tail_size, int fd)
{
	int r;

	if (p->fd < 0)
		return;
	if (p->outbox.size == 0) {
		r = channel_send(p->fd, type, body, tail, tail_size, fd);
		if (r == 0)
			return;
		if (r != -EAGAIN) {
			/* A peer that is gone is noticed by reading. */
			log_debug(
			    "can't send %s: %s", msg_name(type), strerror(-r));
			return;
		}
	}
	r = put_waiting(p, type, body, tail, tail_size, fd);
	if (r < 0 && p->reads)
		r = send_by_waiting(p, type, body, tail, tail_size, fd);
	if (r < 0)
		log_error("can't send %s: %s", msg_name(type), strerror(-r));
}

int
peer_wait(struct peer *p, struct msg *ret)
{
	struct pollfd pfd = { .fd = p->fd };
	int r;

	for (;;) {
		r = channel_receive(p->fd, ret);
		if (r != -EAGAIN)
			return r;
		r = send_waiting(p);
		if (r < 0 && r != -EAGAIN)
			return r;
		pfd.events = POLLIN | (p->outbox.size > 0 ? POLLOUT : 0);
		if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
}
