#include "supervisord/broker/clients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/clients_int.h"

#define CONNECTIONS 8192
#define IDLE_AFTER  10. /* seconds; younger ones do not make room for others */
#define GROUPS      1024
#define ACCEPTS     64 /* in one turn */
#define BACKLOG     1024
#define KEPT_NAME   "broker/listen"

/* --- who may what --------------------------------------------------------- */

static bool
has_uid(const uid_t *uids, size_t n, uid_t uid)
{
	for (size_t i = 0; i < n; i++) {
		if (uids[i] == uid)
			return true;
	}
	return false;
}

static bool
has_gid(const gid_t *gids, size_t n, const gid_t *mine, size_t count)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < count; k++) {
			if (gids[i] == mine[k])
				return true;
		}
	}
	return false;
}

void
client_identify(struct client *c)
{
	const struct broker *b = c->of->b;
	struct ucred cred = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t size = sizeof cred;
	gid_t gids[GROUPS + 1];
	size_t n;

	c->may_look = c->may_change = c->trusted = false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	c->uid = cred.uid;
	c->pid = cred.pid;
	size = sizeof gids - sizeof gids[0];
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0)
		size = 0;
	n = size / sizeof gids[0];
	gids[n++] = cred.gid;
	c->trusted = cred.uid == 0 || cred.uid == geteuid();
	c->may_change = c->trusted ||
			has_uid(b->admin_uids, b->admin_uids_count, c->uid) ||
			has_gid(b->admin_gids, b->admin_gids_count, gids, n);
	c->may_look = c->may_change ||
		      has_uid(b->viewer_uids, b->viewer_uids_count, c->uid) ||
		      has_gid(b->viewer_gids, b->viewer_gids_count, gids, n);
}

/* --- connections ---------------------------------------------------------- */

/* Makes room: the connection that has been idle for the longest goes. */
static void
close_idle(struct clients *of, double least)
{
	ev_tstamp now = ev_now(of->b->loop);
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &of->all) {
		struct client *c = LIST_ENTRY(l, struct client, link);

		if (now - c->heard < least)
			return;
		if (c->requests == 0) {
			client_close(c);
			return;
		}
	}
}

/* false: there is nobody more, or nothing to take him with. */
static bool
accept_one(struct clients *of)
{
	int fd = accept4(of->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* The client is told by a closed connection, and the listener
		 * does not stay readable for ever. */
		close(of->spare);
		fd = accept4(of->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		of->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close_idle(of, IDLE_AFTER);
		log_warn("clients: no descriptor for a connection: refused");
		return false;
	}
	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED;
	if (of->count >= CONNECTIONS)
		close_idle(of, 0.);
	if (of->count >= CONNECTIONS) {
		close(fd);
		log_warn("clients: %d connections are in use: one more refused",
		    CONNECTIONS);
		return true;
	}
	if (client_new(of, fd) == NULL)
		log_error("clients: no memory for a connection: refused");
	return true;
}

static void
accept_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct clients *of = CONTAINER_OF(io, struct clients, io);

	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPTS && accept_one(of); i++)
		continue;
}

static void
resume(struct ev_loop *loop, ev_idle *w, int events)
{
	struct clients *of = CONTAINER_OF(w, struct clients, resume);
	struct list *l, *tmp;

	(void)events;
	ev_idle_stop(loop, w);
	LIST_FOREACH(l, tmp, &of->hungry)
		client_resume(LIST_ENTRY(l, struct client, hungry));
}

void
clients_turn(struct broker *b)
{
	struct list *l, *tmp;

	if (b->clients == NULL)
		return;
	LIST_FOREACH(l, tmp, &b->clients->dirty)
		client_flush(LIST_ENTRY(l, struct client, dirty));
}

/* --- the listening socket ------------------------------------------------- */

static int
apply_mode(const struct broker *b, const char *path)
{
	if (b->socket_group != (gid_t)-1 &&
	    chown(path, (uid_t)-1, b->socket_group) < 0)
		log_warn("can't give %s to the group of control.group: %s",
		    path, strerror(errno));
	return chmod(path, b->socket_mode) < 0 ? -errno : 0;
}

/*
 * Bound under another name and renamed, so that the socket has its mode before
 * anybody can connect, and a stale one is replaced at once.
 */
static int
make_socket(const struct broker *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *slash = strrchr(b->tasks_path, '/');
	int folder = slash != NULL ? (int)(slash + 1 - b->tasks_path) : 0;
	int fd, r;

	r = snprintf(a.sun_path, sizeof a.sun_path, "%.*s.tasks.%d", folder,
	    b->tasks_path, (int)getpid());
	if (r < 0 || (size_t)r >= sizeof a.sun_path ||
	    strlen(b->tasks_path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
		r = -errno;
	else if ((r = apply_mode(b, a.sun_path)) == 0 &&
		 (listen(fd, BACKLOG) < 0 ||
		     rename(a.sun_path, b->tasks_path) < 0))
		r = -errno;
	if (r < 0) {
		unlink(a.sun_path);
		close(fd);
		return r;
	}
	return fd;
}

static bool
has_socket(const struct broker *b)
{
	struct stat st;

	return stat(b->tasks_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Takes the socket, or makes one and has it kept. */
static int
start_listening(struct clients *of, int fd)
{
	struct msg_name name = { KEPT_NAME };

	if (fd < 0) {
		fd = make_socket(of->b);
		if (fd < 0) {
			log_error("can't listen on %s: %s", of->b->tasks_path,
			    strerror(-fd));
			return fd;
		}
		peer_send(
		    &of->b->guardian, MSG_BROKER_KEEP, &name, NULL, 0, fd);
	}
	if (of->fd >= 0) {
		ev_io_stop(of->b->loop, &of->io);
		close(of->fd);
	}
	of->fd = fd;
	ev_io_set(&of->io, fd, EV_READ);
	ev_io_start(of->b->loop, &of->io);
	return 0;
}

int
clients_new(struct broker *b, int listen_fd)
{
	struct clients *of = calloc(1, sizeof *of);
	int r;

	/* Its name is gone, or it has another now: nobody would find it. */
	if (listen_fd >= 0 && !has_socket(b)) {
		close(listen_fd);
		listen_fd = -1;
	}
	if (of == NULL || (of->chunk = malloc(CLIENT_CHUNK)) == NULL) {
		free(of);
		if (listen_fd >= 0)
			close(listen_fd);
		return -ENOMEM;
	}
	of->b = b;
	of->fd = -1;
	of->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_init(&of->all);
	list_init(&of->dirty);
	list_init(&of->hungry);
	ev_init(&of->io, accept_ready);
	ev_idle_init(&of->resume, resume);
	r = start_listening(of, listen_fd);
	if (r < 0) {
		close(of->spare);
		free(of->chunk);
		free(of);
		return r;
	}
	b->clients = of;
	if (listen_fd >= 0)
		clients_configure(b);
	return 0;
}

void
clients_configure(struct broker *b)
{
	struct list *l, *tmp;

	if (b->clients == NULL)
		return;
	if (!has_socket(b))
		start_listening(b->clients, -1);
	else if (apply_mode(b, b->tasks_path) < 0)
		log_warn("can't set the mode of %s: %s", b->tasks_path,
		    strerror(errno));
	LIST_FOREACH(l, tmp, &b->clients->all)
		client_identify(LIST_ENTRY(l, struct client, link));
}

void
clients_free(struct broker *b)
{
	struct clients *of = b->clients;
	struct list *l, *tmp;

	if (of == NULL)
		return;
	clients_turn(b);
	LIST_FOREACH(l, tmp, &of->all)
		client_close(LIST_ENTRY(l, struct client, link));
	ev_io_stop(b->loop, &of->io);
	ev_idle_stop(b->loop, &of->resume);
	close(of->fd);
	close(of->spare);
	free(of->chunk);
	free(of);
	b->clients = NULL;
}
