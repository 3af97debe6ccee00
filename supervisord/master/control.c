#include "supervisord/master/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/log.h"
#include "supervisord/master/master.h"
#include "supervisord/master/rpc.h"
#include "supervisord/rpc/listen.h"
#include "supervisord/rpc/message.h"

#define CONNECTIONS 4096
/* Unsent bytes with which events don't wait for the end of the turn: thousands
 * may come in one. A subscriber behind CONN_UNREAD is closed. */
#define EVENTS_BURST (64U << 10)

struct control {
	struct conns conns;
	struct master *m;
	ev_prepare turn;
	unsigned subscribers;
};

static struct client *
client_of(struct conn *c)
{
	return CONTAINER_OF(c, struct client, conn);
}

static struct control *
control_of(const struct conn *c)
{
	return CONTAINER_OF(c->of, struct control, conns);
}

/* --- clients -------------------------------------------------------------- */

static void
forget_subscription(struct client *c)
{
	if (!c->conn.listens)
		return;
	c->conn.listens = false;
	control_of(&c->conn)->subscribers--;
	for (size_t i = 0; c->targets != NULL && c->targets[i] != NULL; i++)
		free(c->targets[i]);
	free(c->targets);
	c->targets = NULL;
}

static void
init(struct conn *c)
{
	client_of(c)->m = control_of(c)->m;
	list_init(&client_of(c)->requests);
}

static size_t
take(struct conn *c, const char *data, size_t size)
{
	return conn_take_lines(c, data, size, rpc_line);
}

static void
abandon(struct conn *c)
{
	struct list *l, *tmp;

	forget_subscription(client_of(c));
	LIST_FOREACH(l, tmp, &client_of(c)->requests)
		request_abandon(LIST_ENTRY(l, struct request, link));
}

static const struct access *
access_now(struct conns *of)
{
	return CONTAINER_OF(of, struct control, conns)->m->access;
}

static const struct conn_server server = { "control", sizeof(struct client),
	CONNECTIONS, init, take, abandon, access_now };

static void
turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	(void)loop;
	(void)events;
	conns_turn(&CONTAINER_OF(w, struct control, turn)->conns);
}

/* --- events --------------------------------------------------------------- */

void
client_subscribe(struct client *c, char **targets)
{
	forget_subscription(c);
	c->conn.listens = true;
	c->targets = targets;
	control_of(&c->conn)->subscribers++;
}

static bool
wants(const struct client *c, const char *name)
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

static void
publish_to(struct conn *c, const struct buf *line)
{
	if (conn_unread(c) > EVENTS_BURST)
		conn_push(c);
	if (!c->broken && conn_unread(c) > CONN_UNREAD) {
		log_warn("control: pid %d does not read its events: "
			 "connection closed",
		    (int)c->who.pid);
		conn_break(c);
	}
	conn_put_line(c, line);
}

void
control_publish(
    struct control *control, const char *name, const struct buf *event)
{
	struct list *l, *tmp;
	struct buf line;

	buf_init(&line);
	rpc_put_notification(&line, "event", event);
	LIST_FOREACH(l, tmp, &control->conns.all) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (c->listens && wants(client_of(c), name))
			publish_to(c, &line);
	}
	buf_done(&line);
}

/* --- the listening socket ------------------------------------------------- */

static int
socket_path(const struct settings *s, char *ret, size_t size)
{
	return (size_t)snprintf(ret, size, "%s/control.sock", s->run_dir) < size
		   ? 0
		   : -ENAMETOOLONG;
}

static int
make_socket(const struct settings *s)
{
	char path[sizeof((struct sockaddr_un *)0)->sun_path];

	if (socket_path(s, path, sizeof path) < 0)
		return -ENAMETOOLONG;
	return socket_listen(path, s->control_mode, s->control_group);
}

int
control_apply_settings(struct master *m)
{
	const struct settings *s = &m->fleet->settings;
	char path[sizeof((struct sockaddr_un *)0)->sun_path];

	if (m->control != NULL)
		conns_identify(&m->control->conns);
	if (socket_path(s, path, sizeof path) < 0)
		return -ENAMETOOLONG;
	return socket_mode(path, s->control_mode, s->control_group);
}

int
control_open(struct master *m, int kept_fd)
{
	struct control *control = calloc(1, sizeof *control);
	struct msg_name name = { "control" };
	int fd = kept_fd;

	if (control == NULL)
		return -ENOMEM;
	control->m = m;
	if (conns_init(&control->conns, &server, m->loop) < 0) {
		free(control);
		return -ENOMEM;
	}
	if (fd < 0)
		fd = make_socket(&m->fleet->settings);
	if (fd < 0) {
		conns_done(&control->conns);
		free(control);
		return fd;
	}
	if (kept_fd < 0)
		peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, fd);
	conns_listen(&control->conns, fd);
	/* Last of those that run when a turn ends. */
	ev_prepare_init(&control->turn, turn_ends);
	ev_set_priority(&control->turn, EV_MINPRI);
	ev_prepare_start(m->loop, &control->turn);
	m->control = control;
	return 0;
}

void
control_unlink(struct master *m)
{
	char path[sizeof((struct sockaddr_un *)0)->sun_path];

	if (m->control != NULL)
		conns_turn(&m->control->conns);
	if (socket_path(&m->fleet->settings, path, sizeof path) == 0)
		unlink(path);
}
