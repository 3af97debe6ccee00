#include "supervisord/master/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/log.h"
#include "supervisord/master/access.h"
#include "supervisord/master/master.h"
#include "supervisord/master/rpc.h"

#define REQUEST_MAX (1 << 20) /* one line */
#define UNREAD_MAX                                                             \
	(1 << 20) /* of events; a subscriber behind this is dropped */
#define CONNECTIONS 4096
#define IDLE_AFTER  10. /* seconds; younger ones do not make room for others */
#define GROUPS      256

struct conn {
	struct list link; /* control.conns, the longest idle first */
	struct control *control;
	int fd;
	ev_io io;
	struct buf in, out;
	size_t out_at;  /* sent so far */
	size_t scanned; /* of in: no newline before this */
	struct list requests;
	ev_tstamp heard; /* when something last came from it */
	uid_t uid;
	pid_t pid;
	bool may_look, may_change;
	bool subscribed;
	bool finishing; /* to be closed when out is empty */
	bool broken;    /* to be closed when this turn is over */
	bool dead;      /* closed already; freed when nobody is inside */
	bool shut;      /* the client sends nothing more */
	char **targets; /* of the subscription; NULL: all */
};

struct control {
	struct master *m;
	int fd;
	int spare; /* given up to accept and close when descriptors run out */
	ev_io io;
	ev_prepare sweep;   /* once a turn, when there are any of: */
	struct list broken; /* to be closed: nobody is inside them any more */
	struct list graveyard; /* closed, to be freed */
	struct list conns;
	unsigned count, subscribers;
};

/* --- connections ---------------------------------------------------------- */

static void
watch(struct conn *c)
{
	bool behind = c->out.size - c->out_at > UNREAD_MAX;
	int want = (c->out.size > c->out_at ? EV_WRITE : 0) |
		   (behind || c->finishing || c->shut ? 0 : EV_READ);

	if (c->dead || c->broken ||
	    (ev_is_active(&c->io) && c->io.events == want))
		return;
	ev_io_stop(c->control->m->loop, &c->io);
	if (want == 0)
		return;
	ev_io_set(&c->io, c->fd, want);
	ev_io_start(c->control->m->loop, &c->io);
}

static void
forget_subscription(struct conn *c)
{
	if (!c->subscribed)
		return;
	c->subscribed = false;
	c->control->subscribers--;
	for (size_t i = 0; c->targets != NULL && c->targets[i] != NULL; i++)
		free(c->targets[i]);
	free(c->targets);
	c->targets = NULL;
}

/* It may be in the middle of one of its own calls: freed a little later. */
static void
conn_close(struct conn *c)
{
	struct list *l, *tmp;

	if (c->dead)
		return;
	c->dead = true;
	ev_io_stop(c->control->m->loop, &c->io);
	close(c->fd);
	forget_subscription(c);
	LIST_FOREACH(l, tmp, &c->requests)
		request_abandon(LIST_ENTRY(l, struct request, link));
	list_remove(&c->link);
	list_append(&c->control->graveyard, &c->link);
	c->control->count--;
	if (!ev_is_active(&c->control->sweep))
		ev_prepare_start(c->control->m->loop, &c->control->sweep);
}

/*
 * A connection that breaks while it is sent something has requests that others
 * are just walking through: it is closed when the turn is over.
 */
static void
break_later(struct conn *c)
{
	if (c->dead || c->broken)
		return;
	c->broken = true;
	ev_io_stop(c->control->m->loop, &c->io);
	list_remove(&c->link);
	list_append(&c->control->broken, &c->link);
	if (!ev_is_active(&c->control->sweep))
		ev_prepare_start(c->control->m->loop, &c->control->sweep);
}

static void
sweep(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct control *control = CONTAINER_OF(w, struct control, sweep);
	struct list *l, *tmp;

	(void)events;
	LIST_FOREACH(l, tmp, &control->broken)
		conn_close(LIST_ENTRY(l, struct conn, link));
	LIST_FOREACH(l, tmp, &control->graveyard) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		list_remove(l);
		buf_done(&c->in);
		buf_done(&c->out);
		free(c);
	}
	ev_prepare_stop(loop, w);
}

/* As much as the client takes now. */
static void
flush(struct conn *c)
{
	while (!c->dead && !c->broken && c->out.size > c->out_at) {
		ssize_t n = send(c->fd, c->out.data + c->out_at,
		    c->out.size - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			break_later(c);
			return;
		}
		c->out_at += (size_t)n;
	}
	if (c->out_at == c->out.size) {
		c->out_at = 0;
		buf_done(&c->out);
		if (c->finishing ||
		    (c->shut && list_empty(&c->requests) && !c->subscribed)) {
			break_later(c);
			return;
		}
	}
	watch(c);
}

void
conn_send(struct conn *c, const struct buf *line)
{
	if (c->dead || c->broken)
		return;
	if (c->out_at > 0) {
		buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	buf_add(&c->out, line->data, line->size);
	buf_char(&c->out, '\n');
	if (line->failed || c->out.failed) {
		log_error("control: no memory for an answer to pid %d: "
			  "connection closed",
		    (int)c->pid);
		break_later(c);
		return;
	}
	flush(c);
}

void
conn_answered(struct conn *c)
{
	if (!c->dead && c->shut)
		flush(c);
}

void
conn_finish(struct conn *c)
{
	c->finishing = true;
	flush(c);
}

static void
too_long(struct conn *c)
{
	static const char text[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
	    "\"message\":\"a request must be one line of at most 1 MiB\"}}";
	struct buf line;

	buf_init(&line);
	buf_add(&line, text, sizeof text - 1);
	c->finishing = true;
	conn_send(c, &line);
	buf_done(&line);
}

/* Every whole line that is there, unless the client does not read. */
static void
take_lines(struct conn *c)
{
	while (!c->dead && !c->broken && !c->finishing &&
	       c->out.size - c->out_at <= UNREAD_MAX) {
		char *start = c->in.data;
		char *end = c->in.size > c->scanned
				? memchr(start + c->scanned, '\n',
				      c->in.size - c->scanned)
				: NULL;
		size_t length;

		if (end == NULL) {
			c->scanned = c->in.size;
			if (c->in.size > REQUEST_MAX)
				too_long(c);
			return;
		}
		length = (size_t)(end - start);
		if (length > REQUEST_MAX) {
			too_long(c);
			return;
		}
		c->scanned = 0;
		if (strspn(start, " \t\r") < length)
			rpc_line(c->control->m, c, start, length);
		if (!c->dead)
			buf_consume(&c->in, length + 1);
	}
}

static void
receive(struct conn *c)
{
	ssize_t n;

	if (!buf_reserve(&c->in, 16384)) {
		log_error("control: no memory for a request of pid %d: "
			  "connection closed",
		    (int)c->pid);
		conn_close(c);
		return;
	}
	n = recv(c->fd, c->in.data + c->in.size, c->in.room - c->in.size - 1,
	    MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		conn_close(c);
		return;
	}
	if (n == 0) {
		/* It may still read: what it asked for is answered first. */
		c->shut = true;
		if (list_empty(&c->requests) && c->out.size == c->out_at)
			conn_close(c);
		return;
	}
	c->in.size += (size_t)n;
	c->in.data[c->in.size] = '\0';
	/* The busy go to the back: the longest idle is the first to be closed
	 * when there are too many. */
	c->heard = ev_now(c->control->m->loop);
	list_remove(&c->link);
	list_append(&c->control->conns, &c->link);
	take_lines(c);
	if (!c->dead && c->in.size == 0) {
		buf_done(&c->in);
		c->scanned = 0;
	}
}

static void
conn_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct conn *c = CONTAINER_OF(io, struct conn, io);

	(void)loop;
	if (events & EV_WRITE) {
		flush(c);
		take_lines(c);
	}
	if (!c->dead && !c->broken && (events & EV_READ))
		receive(c);
	if (!c->dead)
		watch(c);
}

static void
identify(struct conn *c)
{
	struct ucred cred = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t size = sizeof cred;
	gid_t gids[GROUPS + 1];

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	c->uid = cred.uid;
	c->pid = cred.pid;
	size = sizeof gids - sizeof gids[0];
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0)
		size = 0;
	gids[size / sizeof gids[0]] = cred.gid;
	access_of(c->control->m->access, cred.uid, gids,
	    size / sizeof gids[0] + 1, &c->may_look, &c->may_change);
}

static void
add_conn(struct control *control, int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (c == NULL) {
		close(fd);
		return;
	}
	c->control = control;
	c->fd = fd;
	c->uid = (uid_t)-1;
	c->heard = ev_now(control->m->loop);
	list_init(&c->requests);
	list_init(&c->link);
	list_append(&control->conns, &c->link);
	control->count++;
	ev_init(&c->io, conn_ready);
	identify(c);
	watch(c);
}

/* Makes room: the connection that has been idle for the longest goes. */
static void
close_idle(struct control *control, double least)
{
	ev_tstamp now = ev_now(control->m->loop);
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &control->conns) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (now - c->heard < least)
			return;
		if (list_empty(&c->requests) && !c->subscribed) {
			conn_close(c);
			return;
		}
	}
}

static void
accept_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct control *control = CONTAINER_OF(io, struct control, io);
	int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)loop;
	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* The client is told by a closed connection, and the listener
		 * does not stay readable for ever. */
		close(control->spare);
		fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close_idle(control, IDLE_AFTER);
		log_warn("control: no descriptor for a connection: refused");
		return;
	}
	if (fd < 0)
		return;
	if (control->count >= CONNECTIONS)
		close_idle(control, 0.);
	add_conn(control, fd);
}

uid_t
conn_uid(const struct conn *c)
{
	return c->uid;
}

pid_t
conn_pid(const struct conn *c)
{
	return c->pid;
}

bool
conn_may_look(const struct conn *c)
{
	return c->may_look;
}

bool
conn_may_change(const struct conn *c)
{
	return c->may_change;
}

struct list *
conn_requests(struct conn *c)
{
	return &c->requests;
}

struct master *
conn_master(const struct conn *c)
{
	return c->control->m;
}

/* --- events --------------------------------------------------------------- */

void
conn_subscribe(struct conn *c, char **targets)
{
	forget_subscription(c);
	c->subscribed = true;
	c->targets = targets;
	c->control->subscribers++;
}

static bool
wants(const struct conn *c, const char *name)
{
	if (c->targets == NULL)
		return true;
	for (size_t i = 0; name != NULL && c->targets[i] != NULL; i++) {
		size_t n = strlen(c->targets[i]);

		if (strncmp(name, c->targets[i], n) == 0 &&
		    (name[n] == '\0' || name[n] == ':'))
			return true;
	}
	return false;
}

bool
control_has_subscribers(const struct control *c)
{
	return c != NULL && c->subscribers > 0;
}

void
control_publish(
    struct control *control, const char *name, const struct buf *event)
{
	static const char head[] =
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":";
	struct list *l, *tmp;
	struct buf line;

	buf_init(&line);
	buf_add(&line, head, sizeof head - 1);
	buf_add(&line, event->data, event->size);
	buf_char(&line, '}');
	LIST_FOREACH(l, tmp, &control->conns) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (!c->subscribed || !wants(c, name))
			continue;
		if (c->out.size - c->out_at > UNREAD_MAX) {
			log_warn("control: pid %d does not read its events: "
				 "connection closed",
			    (int)c->pid);
			break_later(c);
			continue;
		}
		conn_send(c, &line);
	}
	buf_done(&line);
}

/* --- the listening socket ------------------------------------------------- */

static int
apply_mode(const struct settings *s, const char *path)
{
	if (s->control_group != (gid_t)-1 &&
	    chown(path, (uid_t)-1, s->control_group) < 0)
		log_warn("can't give %s to the group of control.group: %s",
		    path, strerror(errno));
	return chmod(path, s->control_mode) < 0 ? -errno : 0;
}

static int
socket_path(const struct settings *s, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	if ((size_t)snprintf(ret->sun_path, sizeof ret->sun_path,
		"%s/control.sock", s->run_dir) >= sizeof ret->sun_path)
		return -ENAMETOOLONG;
	return 0;
}

/*
 * Bound under another name and renamed, so that the socket has its mode before
 * anybody can connect, and a stale one is replaced at once.
 */
static int
make_socket(const struct settings *s)
{
	struct sockaddr_un address, temporary;
	int fd, r = socket_path(s, &address);

	if (r < 0)
		return r;
	temporary = address;
	r = snprintf(temporary.sun_path, sizeof temporary.sun_path,
	    "%s/.ctl.%d", s->run_dir, (int)getpid());
	if (r < 0 || (size_t)r >= sizeof temporary.sun_path)
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(temporary.sun_path);
	if (bind(fd, (struct sockaddr *)&temporary, sizeof temporary) < 0 ||
	    (r = apply_mode(s, temporary.sun_path)) < 0 ||
	    listen(fd, 1024) < 0 ||
	    rename(temporary.sun_path, address.sun_path) < 0) {
		r = errno != 0 ? -errno : r;
		unlink(temporary.sun_path);
		close(fd);
		return r;
	}
	return fd;
}

int
control_apply_settings(struct master *m)
{
	struct sockaddr_un address;

	if (socket_path(&m->fleet->settings, &address) < 0)
		return -ENAMETOOLONG;
	return apply_mode(&m->fleet->settings, address.sun_path);
}

int
control_open(struct master *m, int kept_fd)
{
	struct control *control = calloc(1, sizeof *control);
	struct msg_name name = { "control" };

	if (control == NULL)
		return -ENOMEM;
	control->m = m;
	control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_init(&control->conns);
	list_init(&control->graveyard);
	list_init(&control->broken);
	ev_prepare_init(&control->sweep, sweep);
	control->fd = kept_fd >= 0 ? kept_fd : make_socket(&m->fleet->settings);
	if (control->fd < 0) {
		int r = control->fd;

		free(control);
		return r;
	}
	if (kept_fd < 0)
		peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, control->fd);
	ev_io_init(&control->io, accept_ready, control->fd, EV_READ);
	ev_io_start(m->loop, &control->io);
	m->control = control;
	return 0;
}

void
control_unlink(struct master *m)
{
	struct sockaddr_un address;

	if (socket_path(&m->fleet->settings, &address) == 0)
		unlink(address.sun_path);
}
