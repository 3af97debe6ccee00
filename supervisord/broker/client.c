#include "supervisord/broker/clients_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"

/* What an emptied buffer may keep for the next answers. */
#define KEPT_ROOM (64U << 10)

static size_t
unread(const struct client *c)
{
	return c->out.size - c->out_at;
}

static struct ev_loop *
loop_of(const struct client *c)
{
	return c->of->b->loop;
}

static void
watch(struct client *c)
{
	int want = unread(c) > 0 ? EV_WRITE : 0;

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

/* Whether it has more under way than it may have. */
static bool
too_much(const struct client *c)
{
	return unread(c) > CLIENT_UNREAD || c->requests >= CLIENT_REQUESTS;
}

/* --- in ------------------------------------------------------------------- */

static void
too_long(struct client *c)
{
	static const char text[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
	    "\"message\":\"a request must be one line of at most 1 MiB\"}}\n";

	buf_add(&c->out, text, sizeof text - 1);
	client_finish(c);
}

static size_t
lines_take(struct client *c, const char *data, size_t size)
{
	size_t at = 0, from = c->scanned;

	c->scanned = 0;
	while (!c->broken && !c->finishing) {
		const char *line = data + at, *end = NULL;
		size_t length, blank = 0;

		if (too_much(c)) {
			c->held = true;
			return at;
		}
		if (size - at > from)
			end = memchr(line + from, '\n', size - at - from);
		length = end != NULL ? (size_t)(end - line) : size - at;
		if (length > CLIENT_LINE) {
			too_long(c);
			return size;
		}
		if (end == NULL) {
			c->scanned = length;
			return at;
		}
		from = 0;
		while (blank < length && strchr(" \t\r", line[blank]) != NULL)
			blank++;
		if (blank < length)
			calls_take(c, line, length, false, 0);
		at += length + 1;
	}
	return size;
}

static size_t
take(struct client *c, const char *data, size_t size)
{
	if (c->framing == FRAMING_NONE && size > 0)
		c->framing = *data == '{' ? FRAMING_LINES : FRAMING_FRAMES;
	return c->framing == FRAMING_LINES ? lines_take(c, data, size)
					   : frames_take(c, data, size);
}

static void
out_of_memory(struct client *c)
{
	log_error(
	    "clients: no memory for pid %d: connection closed", (int)c->pid);
	client_break(c);
}

/* What was left over is in `in`; mostly nothing is, and what has come is taken
 * from where it was read to. */
static ssize_t
receive(struct client *c)
{
	ssize_t n;
	size_t taken;

	if (c->in.size == 0) {
		n = recv(c->fd, c->of->chunk, CLIENT_CHUNK, MSG_DONTWAIT);
		if (n <= 0)
			return n;
		taken = take(c, c->of->chunk, (size_t)n);
		buf_add(&c->in, c->of->chunk + taken, (size_t)n - taken);
	} else {
		if (!buf_reserve(&c->in, CLIENT_CHUNK / 4))
			return 1;
		n = recv(c->fd, c->in.data + c->in.size,
		    c->in.room - c->in.size - 1, MSG_DONTWAIT);
		if (n <= 0)
			return n;
		c->in.size += (size_t)n;
		buf_consume(&c->in, take(c, c->in.data, c->in.size));
	}
	return n;
}

/* Closed on the other side, not only shut for writing. */
static bool
is_gone(const struct client *c)
{
	struct pollfd p = { .fd = c->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
read_some(struct client *c)
{
	ssize_t n = receive(c);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		client_break(c);
		return;
	}
	if (n == 0) {
		/* It may still read: what it asked for is answered first. */
		c->shut = true;
		client_touch(c);
		if (is_gone(c))
			client_break(c);
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
client_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *c = CONTAINER_OF(io, struct client, io);

	(void)loop;
	if (events & EV_WRITE)
		client_touch(c);
	if ((events & EV_READ) && !c->broken)
		read_some(c);
	watch(c);
}

void
client_resume(struct client *c)
{
	list_remove(&c->hungry);
	if (c->broken || c->finishing || !c->held || too_much(c))
		return;
	c->held = false;
	client_touch(c);
	if (c->in.size > 0) {
		buf_consume(&c->in, take(c, c->in.data, c->in.size));
		if (c->in.size == 0)
			buf_done(&c->in);
	}
	watch(c);
}

/* It has read, or was answered: it may be read from again. */
static void
let_go_on(struct client *c)
{
	if (!c->held || too_much(c) || list_linked(&c->hungry))
		return;
	list_append(&c->of->hungry, &c->hungry);
	ev_idle_start(loop_of(c), &c->of->resume);
}

/* --- out ------------------------------------------------------------------ */

void
client_touch(struct client *c)
{
	if (!list_linked(&c->dirty))
		list_append(&c->of->dirty, &c->dirty);
}

void
client_break(struct client *c)
{
	if (c->broken)
		return;
	c->broken = true;
	ev_io_stop(loop_of(c), &c->io);
	client_touch(c);
}

void
client_finish(struct client *c)
{
	c->finishing = true;
	client_touch(c);
}

void
client_began(struct client *c)
{
	c->requests++;
}

void
client_answered(struct client *c)
{
	c->requests--;
	client_touch(c);
}

static void
send_out(struct client *c)
{
	while (unread(c) > 0) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, unread(c),
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			client_break(c);
		if (n < 0)
			break;
		c->out_at += (size_t)n;
	}
	if (unread(c) == 0) {
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
client_flush(struct client *c)
{
	list_remove(&c->dirty);
	if (c->out.failed && !c->broken)
		out_of_memory(c);
	if (!c->broken)
		send_out(c);
	if (!c->broken && unread(c) > CLIENT_DROP) {
		log_warn("clients: pid %d does not read its results (%zu bytes "
			 "wait): connection closed",
		    (int)c->pid, unread(c));
		client_break(c);
	}
	if (c->broken ||
	    (unread(c) == 0 &&
		(c->finishing || (c->shut && c->requests == 0 && !c->held)))) {
		client_close(c);
		return;
	}
	let_go_on(c);
	watch(c);
}

/* --- life ----------------------------------------------------------------- */

struct client *
client_new(struct clients *of, int fd)
{
	struct client *c = calloc(1, sizeof *c);

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->of = of;
	c->fd = fd;
	c->uid = (uid_t)-1;
	c->heard = ev_now(of->b->loop);
	list_init(&c->link);
	list_init(&c->dirty);
	list_init(&c->hungry);
	list_init(&c->calls);
	list_init(&c->pending);
	list_init(&c->series);
	list_append(&of->all, &c->link);
	of->count++;
	ev_init(&c->io, client_ready);
	client_identify(c);
	watch(c);
	return c;
}

void
client_close(struct client *c)
{
	c->broken = true;
	ev_io_stop(loop_of(c), &c->io);
	close(c->fd);
	calls_abandon(c);
	frames_abandon(c);
	list_remove(&c->link);
	list_remove(&c->dirty);
	list_remove(&c->hungry);
	c->of->count--;
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}
