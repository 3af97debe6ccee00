#include "tests/bench/queue/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

void
die(const char *what)
{
	perror(what);
	exit(1);
}

void
stream_init(struct stream *s, int fd)
{
	*s = (struct stream){ .fd = fd, .out_room = ROOM };
	s->in = malloc(ROOM);
	s->out = malloc(ROOM);
	if (s->in == NULL || s->out == NULL)
		die("malloc");
}

void
put(struct stream *s, uint8_t type, uint64_t id, const void *body, uint32_t n)
{
	struct wire_head h = { n, type, 0, 0, id };

	if (s->out_size + WIRE_HEAD + n > s->out_room) {
		s->out_room *= 2;
		s->out = realloc(s->out, s->out_room);
		if (s->out == NULL)
			die("realloc");
	}
	wire_put_head(s->out + s->out_size, &h);
	if (n > 0)
		memcpy(s->out + s->out_size + WIRE_HEAD, body, n);
	s->out_size += WIRE_HEAD + n;
}

void
flush(struct stream *s)
{
	size_t at = 0;

	while (at < s->out_size) {
		ssize_t n = send(s->fd, s->out + at, s->out_size - at,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			die("send");
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	memmove(s->out, s->out + at, s->out_size - at);
	s->out_size -= at;
}

/* Reads what is there; false at the end. */
bool
fill(struct stream *s)
{
	ssize_t n =
	    recv(s->fd, s->in + s->in_size, ROOM - s->in_size, MSG_DONTWAIT);

	if (n == 0)
		return false;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("recv");
	if (n > 0)
		s->in_size += (size_t)n;
	return true;
}

/* The next whole frame of what was read, from *at on. */
bool
next(struct stream *s, size_t *at, struct wire_head *h, const char **body)
{
	if (s->in_size - *at < WIRE_HEAD)
		return false;
	wire_get_head(s->in + *at, h);
	if (s->in_size - *at < WIRE_HEAD + h->size)
		return false;
	*body = s->in + *at + WIRE_HEAD;
	*at += WIRE_HEAD + h->size;
	return true;
}

void
took(struct stream *s, size_t at)
{
	memmove(s->in, s->in + at, s->in_size - at);
	s->in_size -= at;
}

void
wait_for(struct stream *s)
{
	struct pollfd p = { s->fd,
		(short)(POLLIN | (s->out_size > 0 ? POLLOUT : 0)), 0 };

	(void)poll(&p, 1, -1);
}
