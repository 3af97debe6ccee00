#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "workers/client/sv_int.h"

#define CHUNK      (256U << 10)
#define RETRY_MS   20
#define RETRY_MOST 500

/* --- buffers -------------------------------------------------------------- */

char *
sv_buf_room(struct sv_buf *b, size_t more)
{
	size_t room = b->room > 0 ? b->room : 4096;
	char *data;

	while (room - b->size < more) {
		if (room > SIZE_MAX / 2)
			return NULL;
		room *= 2;
	}
	if (room > b->room) {
		data = realloc(b->data, room);
		if (data == NULL)
			return NULL;
		b->data = data;
		b->room = room;
	}
	return b->data + b->size;
}

void
sv_buf_consume(struct sv_buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->size - n);
	b->size -= n;
}

void
sv_buf_done(struct sv_buf *b)
{
	free(b->data);
	*b = (struct sv_buf){ 0 };
}

int64_t
sv_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- the socket ----------------------------------------------------------- */

static void
watch(struct sv_client *c, bool out)
{
	struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0),
		.data.fd = c->fd };

	c->wants_out = out;
	epoll_ctl(c->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void
set_timer(struct sv_client *c, int ms)
{
	struct itimerspec t = { { 0, 0 },
		{ ms / 1000, (ms % 1000) * 1000000L } };

	timerfd_settime(c->timer, 0, &t, NULL);
}

/* The first frame of a connection; nothing else is in `out` yet. */
static int
greet(struct sv_client *c)
{
	static const char hello[] = "{\"hello\":1}";
	char *to = sv_buf_room(&c->out, WIRE_HEAD + sizeof hello);

	if (to == NULL)
		return -ENOMEM;
	wire_put_head(
	    to, &(struct wire_head){ sizeof hello - 1, WIRE_HELLO, 0, 0, 0 });
	memcpy(to + WIRE_HEAD, hello, sizeof hello - 1);
	c->out.size = WIRE_HEAD + sizeof hello - 1;
	return 0;
}

static int
connect_now(struct sv_client *c)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct epoll_event e = { .events = EPOLLIN };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(a.sun_path, c->path, sizeof a.sun_path);
	e.data.fd = fd;
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		r = -errno;
	else
		r = greet(c);
	if (r < 0) {
		close(fd);
		return r;
	}
	c->fd = fd;
	c->wants_out = false;
	c->broken = false;
	return 0;
}

static void
try_later(struct sv_client *c)
{
	c->lost_ns = sv_now();
	c->retry_ms = RETRY_MS;
}

int
sv_conn_start(struct sv_client *c)
{
	int r;

	if (c->fd >= 0 || c->lost_ns != 0)
		return 0;
	r = connect_now(c);
	if (r != -EAGAIN)
		return r;
	/* So many are connecting that it can't take them all at once. */
	try_later(c);
	set_timer(c, c->retry_ms);
	return 0;
}

int
sv_conn_open(struct sv_client *c)
{
	struct epoll_event e = { .events = EPOLLIN };

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->epoll < 0 || c->timer < 0)
		return -errno;
	e.data.fd = c->timer;
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->timer, &e) < 0)
		return -errno;
	return sv_conn_start(c);
}

static void
drop(struct sv_client *c)
{
	if (c->fd >= 0) {
		/* A child of the caller's that has it, too, must not be heard
		 * of for ever. */
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->fd, NULL);
		close(c->fd);
	}
	c->fd = -1;
	c->broken = false;
	c->in.size = c->out.size = c->out_at = 0;
}

void
sv_conn_close(struct sv_client *c)
{
	drop(c);
	if (c->epoll >= 0)
		close(c->epoll);
	if (c->timer >= 0)
		close(c->timer);
	sv_buf_done(&c->in);
	sv_buf_done(&c->out);
}

/* Tries it; gives up when patience is over. */
static int
reconnect(struct sv_client *c)
{
	if (connect_now(c) == 0) {
		c->lost_ns = 0;
		sv_requests_resend(c);
		return 0;
	}
	if (sv_now() - c->lost_ns > c->patience_ms * 1000000LL) {
		c->lost_ns = 0;
		sv_requests_fail(
		    c, -ECONNRESET, "the connection to supervisord is lost");
		return -ECONNRESET;
	}
	set_timer(c, c->retry_ms);
	c->retry_ms =
	    c->retry_ms * 2 > RETRY_MOST ? RETRY_MOST : c->retry_ms * 2;
	return 0;
}

static int
lost(struct sv_client *c)
{
	drop(c);
	try_later(c);
	sv_requests_lost(c);
	/* With nobody waiting the next request connects. */
	if (c->pending == 0) {
		c->lost_ns = 0;
		return 0;
	}
	return reconnect(c);
}

void
sv_conn_flush(struct sv_client *c)
{
	while (c->fd >= 0 && !c->broken && c->out_at < c->out.size) {
		ssize_t n = send(c->fd, c->out.data + c->out_at,
		    c->out.size - c->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->broken = errno != EAGAIN;
			break;
		}
		c->out_at += (size_t)n;
	}
	if (c->out_at == c->out.size) {
		c->out.size = c->out_at = 0;
	} else if (c->out_at > c->out.size / 2) {
		sv_buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	if (c->fd >= 0 && c->wants_out != (c->out.size > 0))
		watch(c, c->out.size > 0);
}

static void
take_frames(struct sv_client *c)
{
	size_t at = 0;

	while (c->in.size - at >= WIRE_HEAD && !c->broken) {
		struct wire_head head;

		wire_get_head(c->in.data + at, &head);
		if (head.size > WIRE_BODY) {
			c->broken = true;
			break;
		}
		if (c->in.size - at < WIRE_HEAD + head.size)
			break;
		sv_request_frame(c, &head, c->in.data + at + WIRE_HEAD);
		at += WIRE_HEAD + head.size;
	}
	sv_buf_consume(&c->in, at);
}

static void
receive(struct sv_client *c)
{
	ssize_t n;

	if (sv_buf_room(&c->in, CHUNK) == NULL) {
		c->broken = true;
		return;
	}
	n = recv(c->fd, c->in.data + c->in.size, CHUNK, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->broken = true;
		return;
	}
	c->in.size += (size_t)n;
	take_frames(c);
}

int
sv_conn_turn(struct sv_client *c, int timeout_ms)
{
	struct epoll_event events[2];
	uint64_t ticks;
	int n;

	sv_conn_flush(c);
	if (c->broken)
		return lost(c);
	n = epoll_wait(c->epoll, events, 2, timeout_ms);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		n = -errno;
		sv_requests_fail(c, n, "the client's descriptors are closed");
		return n;
	}
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == c->fd) {
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				receive(c);
		} else if (events[i].data.fd == c->timer &&
			   read(c->timer, &ticks, sizeof ticks) > 0 &&
			   c->fd < 0 && c->lost_ns != 0) {
			int r = reconnect(c);

			if (r < 0)
				return r;
		}
	}
	sv_conn_flush(c);
	return c->broken ? lost(c) : 0;
}
