/* One connection: bytes in, bytes out. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/rpc/conn_int.h"

/* What an emptied buffer may keep for the next answers. */
#define KEPT_ROOM (64U << 10)

size_t
conn_unread(const struct conn *c)
{
	return c->out.size - c->out_at;
}

static struct ev_loop *
loop_of(const struct conn *c)
{
	return c->of->loop;
}

static void
watch(struct conn *c)
{
	int want = conn_unread(c) > 0 ? EV_WRITE : 0;

	if (!c->held && !c->finishing && !c->shut)
		want |= EV_READ;
	/* The turn's end, which mostly empties `out`, comes back here. */
	if (list_linked(&c->dirty))
		return;
	if (c->broken || (ev_is_active(&c->io) &&
			     (c->io.events & (EV_READ | EV_WRITE)) == want))
		return;
	ev_io_stop(loop_of(c), &c->io);
	if (want == 0)
		return;
	ev_io_set(&c->io, c->fd, want);
	ev_io_start(loop_of(c), &c->io);
}

bool
conn_is_full(const struct conn *c)
{
	return conn_unread(c) > CONN_UNREAD || c->requests >= CONN_REQUESTS;
}

/* --- in ------------------------------------------------------------------- */

static void
too_long(struct conn *c)
{
	static const char text[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
	    "\"message\":\"a request must be one line of at most 1 MiB\"}}\n";

	buf_add(&c->out, text, sizeof text - 1);
	conn_finish(c);
}

size_t
conn_take_lines(struct conn *c, const char *data, size_t size,
    void (*line)(struct conn *c, const char *text, size_t size))
{
	size_t at = 0, from = c->scanned;

	c->scanned = 0;
	while (!c->broken && !c->finishing) {
		const char *start = data + at, *end = NULL;
		size_t length, blank = 0;

		if (conn_is_full(c)) {
			conn_hold(c);
			return at;
		}
		if (size - at > from)
			end = memchr(start + from, '\n', size - at - from);
		length = end != NULL ? (size_t)(end - start) : size - at;
		if (length > CONN_LINE) {
			too_long(c);
			return size;
		}
		if (end == NULL) {
			c->scanned = length;
			return at;
		}
		from = 0;
		while (blank < length && strchr(" \t\r", start[blank]) != NULL)
			blank++;
		if (blank < length)
			line(c, start, length);
		at += length + 1;
	}
	return size;
}

static void
out_of_memory(struct conn *c)
{
	log_error("%s: no memory for pid %d: connection closed",
	    c->of->server->name, (int)c->who.pid);
	conn_break(c);
}

/* What was left over is in `in`; mostly nothing is, and what has come is taken
 * from where it was read to. */
static ssize_t
receive(struct conn *c)
{
	ssize_t n;
	size_t taken;

	if (c->in.size == 0) {
		n = recv(c->fd, c->of->chunk, CONN_CHUNK, MSG_DONTWAIT);
		if (n <= 0)
			return n;
		taken = c->of->server->take(c, c->of->chunk, (size_t)n);
		buf_add(&c->in, c->of->chunk + taken, (size_t)n - taken);
	} else {
		if (!buf_reserve(&c->in, CONN_CHUNK / 4))
			return 1;
		n = recv(c->fd, c->in.data + c->in.size,
		    c->in.room - c->in.size - 1, MSG_DONTWAIT);
		if (n <= 0)
			return n;
		c->in.size += (size_t)n;
		buf_consume(
		    &c->in, c->of->server->take(c, c->in.data, c->in.size));
	}
	return n;
}

/* Closed on the other side, not only shut for writing. */
static bool
is_gone(const struct conn *c)
{
	struct pollfd p = { .fd = c->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
read_some(struct conn *c)
{
	ssize_t n = receive(c);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		conn_break(c);
		return;
	}
	if (n == 0) {
		/* It may still read: what it asked for is answered first. */
		c->shut = true;
		conn_touch(c);
		if (is_gone(c))
			conn_break(c);
		return;
	}
	if (c->in.failed) {
		out_of_memory(c);
		return;
	}
	if (c->in.size == 0)
		buf_done(&c->in);
	/* The busy go to the back: the longest idle is the first to be closed
	 * when there are too many. */
	c->heard = ev_now(loop_of(c));
	list_remove(&c->link);
	list_append(&c->of->all, &c->link);
}

static void
conn_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct conn *c = CONTAINER_OF(io, struct conn, io);

	(void)loop;
	if (events & EV_WRITE)
		conn_touch(c);
	if ((events & EV_READ) && !c->broken)
		read_some(c);
	watch(c);
}

void
conn_hold(struct conn *c)
{
	c->held = true;
}

void
conn_resume(struct conn *c)
{
	list_remove(&c->hungry);
	if (c->broken || c->finishing || !c->held || conn_is_full(c))
		return;
	c->held = false;
	conn_touch(c);
	if (c->in.size > 0) {
		buf_consume(
		    &c->in, c->of->server->take(c, c->in.data, c->in.size));
		if (c->in.size == 0)
			buf_done(&c->in);
	}
	watch(c);
}

/* It has read, or was answered: it may be read from again. */
static void
let_go_on(struct conn *c)
{
	if (!c->held || conn_is_full(c) || list_linked(&c->hungry))
		return;
	list_append(&c->of->hungry, &c->hungry);
	ev_idle_start(loop_of(c), &c->of->resume);
}

/* --- out ------------------------------------------------------------------ */

void
conn_touch(struct conn *c)
{
	if (!list_linked(&c->dirty))
		list_append(&c->of->dirty, &c->dirty);
}

void
conn_put_line(struct conn *c, const struct buf *text)
{
	if (c->broken)
		return;
	if (text->failed) {
		out_of_memory(c);
		return;
	}
	buf_reserve(&c->out, text->size + 1);
	buf_add(&c->out, text->data, text->size);
	buf_char(&c->out, '\n');
	conn_touch(c);
}

void
conn_break(struct conn *c)
{
	if (c->broken)
		return;
	c->broken = true;
	ev_io_stop(loop_of(c), &c->io);
	conn_touch(c);
}

void
conn_finish(struct conn *c)
{
	c->finishing = true;
	conn_touch(c);
}

void
conn_began(struct conn *c)
{
	c->requests++;
}

void
conn_answered(struct conn *c)
{
	c->requests--;
	conn_touch(c);
}

static void
send_out(struct conn *c)
{
	while (conn_unread(c) > 0) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, conn_unread(c),
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			conn_break(c);
		if (n < 0)
			break;
		c->out_at += (size_t)n;
	}
	if (conn_unread(c) == 0) {
		if (c->out.room > KEPT_ROOM)
			buf_done(&c->out);
		else
			buf_clear(&c->out);
		c->out_at = 0;
	} else if (c->out_at > c->out.size / 2) {
		buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
}

void
conn_push(struct conn *c)
{
	if (!c->broken && !c->out.failed)
		send_out(c);
	conn_touch(c);
}

/* Nothing more will come from it, and nothing it waits for. */
static bool
is_over(const struct conn *c)
{
	return c->shut && c->requests == 0 && !c->held && !c->listens;
}

void
conn_settle(struct conn *c)
{
	list_remove(&c->dirty);
	if (c->out.failed && !c->broken)
		out_of_memory(c);
	if (!c->broken)
		send_out(c);
	if (!c->broken && conn_unread(c) > CONN_DROP) {
		log_warn("%s: pid %d does not read its results (%zu bytes "
			 "wait): connection closed",
		    c->of->server->name, (int)c->who.pid, conn_unread(c));
		conn_break(c);
	}
	if (c->broken ||
	    (conn_unread(c) == 0 && (c->finishing || is_over(c)))) {
		conn_close(c);
		return;
	}
	let_go_on(c);
	watch(c);
}

/* --- life ----------------------------------------------------------------- */

struct conn *
conn_new(struct conns *of, int fd)
{
	struct conn *c = calloc(1, of->server->size);

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->of = of;
	c->fd = fd;
	c->heard = ev_now(of->loop);
	list_init(&c->link);
	list_init(&c->dirty);
	list_init(&c->hungry);
	list_append(&of->all, &c->link);
	of->count++;
	ev_init(&c->io, conn_ready);
	access_of_peer(of->server->access(of), fd, &c->who);
	of->server->init(c);
	watch(c);
	return c;
}

void
conn_close(struct conn *c)
{
	c->broken = true;
	ev_io_stop(loop_of(c), &c->io);
	close(c->fd);
	c->of->server->abandon(c);
	list_remove(&c->link);
	list_remove(&c->dirty);
	list_remove(&c->hungry);
	c->of->count--;
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}
