/* Who may connect: accepting, and the turn of all connections. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/rpc/conn_int.h"

#define IDLE_AFTER 10. /* seconds; younger ones do not make room for others */
#define ACCEPTS    64  /* in one turn */
#define AGAIN      .1  /* seconds, before it is tried again */

/* Makes room: the connection that has been idle for the longest goes. */
static void
close_idle(struct conns *of, double least)
{
	ev_tstamp now = ev_now(of->loop);
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &of->all) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (now - c->heard < least)
			return;
		if (c->requests == 0 && !c->listens) {
			conn_close(c);
			return;
		}
	}
}

/* The client is told by a closed connection, and the listener does not stay
 * readable for ever. Where not even that can be done, it is not listened to for
 * a moment: the loop would do nothing else. */
static void
refuse_one(struct conns *of)
{
	int fd;

	close(of->spare);
	fd = accept4(of->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	of->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close_idle(of, IDLE_AFTER);
	log_warn("%s: no descriptor for a connection: %s", of->server->name,
	    fd >= 0 ? "refused" : "it waits");
	if (fd >= 0)
		return;
	ev_io_stop(of->loop, &of->io);
	ev_timer_set(&of->again, AGAIN, 0.);
	ev_timer_start(of->loop, &of->again);
}

static void
listen_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct conns *of = CONTAINER_OF(timer, struct conns, again);

	(void)events;
	ev_io_start(loop, &of->io);
}

/* false: there is nobody more, or nothing to take him with. */
static bool
accept_one(struct conns *of)
{
	int fd = accept4(of->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		refuse_one(of);
		return false;
	}
	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED;
	if (of->count >= of->server->most)
		close_idle(of, 0.);
	if (of->count >= of->server->most) {
		close(fd);
		log_warn("%s: %u connections are in use: one more refused",
		    of->server->name, of->server->most);
		return true;
	}
	if (conn_new(of, fd) == NULL)
		log_error("%s: no memory for a connection: refused",
		    of->server->name);
	return true;
}

static void
accept_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct conns *of = CONTAINER_OF(io, struct conns, io);

	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPTS && accept_one(of); i++)
		continue;
}

static void
resume(struct ev_loop *loop, ev_idle *w, int events)
{
	struct conns *of = CONTAINER_OF(w, struct conns, resume);
	struct list *l, *tmp;

	(void)events;
	ev_idle_stop(loop, w);
	LIST_FOREACH(l, tmp, &of->hungry)
		conn_resume(LIST_ENTRY(l, struct conn, hungry));
}

void
conns_turn(struct conns *of)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &of->dirty)
		conn_settle(LIST_ENTRY(l, struct conn, dirty));
}

void
conns_identify(struct conns *of)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &of->all) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		access_of_peer(of->server->access(of), c->fd, &c->who);
	}
}

int
conns_init(
    struct conns *of, const struct conn_server *server, struct ev_loop *loop)
{
	*of = (struct conns){ .server = server, .loop = loop, .fd = -1 };
	of->chunk = malloc(CONN_CHUNK);
	if (of->chunk == NULL)
		return -ENOMEM;
	of->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_init(&of->all);
	list_init(&of->dirty);
	list_init(&of->hungry);
	ev_init(&of->io, accept_ready);
	ev_idle_init(&of->resume, resume);
	ev_timer_init(&of->again, listen_again, AGAIN, 0.);
	return 0;
}

void
conns_listen(struct conns *of, int fd)
{
	ev_timer_stop(of->loop, &of->again);
	if (of->fd >= 0) {
		ev_io_stop(of->loop, &of->io);
		close(of->fd);
	}
	of->fd = fd;
	ev_io_set(&of->io, fd, EV_READ);
	ev_io_start(of->loop, &of->io);
}

void
conns_done(struct conns *of)
{
	struct list *l, *tmp;

	conns_turn(of);
	LIST_FOREACH(l, tmp, &of->all)
		conn_close(LIST_ENTRY(l, struct conn, link));
	ev_io_stop(of->loop, &of->io);
	ev_timer_stop(of->loop, &of->again);
	ev_idle_stop(of->loop, &of->resume);
	if (of->fd >= 0)
		close(of->fd);
	close(of->spare);
	free(of->chunk);
}
