#include "supervisord/broker/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/clients_int.h"
#include "supervisord/rpc/listen.h"

#define CONNECTIONS 8192
#define KEPT_NAME   "broker/listen"

/* --- connections ---------------------------------------------------------- */

static struct client *
client_of(struct conn *c)
{
	return CONTAINER_OF(c, struct client, conn);
}

static void
init(struct conn *conn)
{
	struct client *c = client_of(conn);

	c->b = CONTAINER_OF(conn->of, struct clients, conns)->b;
	list_init(&c->calls);
	list_init(&c->pending);
	list_init(&c->series);
}

static void
line(struct conn *c, const char *text, size_t size)
{
	calls_take(client_of(c), text, size, false, 0);
}

static size_t
take(struct conn *conn, const char *data, size_t size)
{
	struct client *c = client_of(conn);

	if (c->framing == FRAMING_NONE && size > 0)
		c->framing = *data == '{' ? FRAMING_LINES : FRAMING_FRAMES;
	return c->framing == FRAMING_LINES
		   ? conn_take_lines(conn, data, size, line)
		   : frames_take(c, data, size);
}

static void
abandon(struct conn *c)
{
	calls_abandon(client_of(c));
	frames_abandon(client_of(c));
}

static const struct access *
access_now(struct conns *of)
{
	return &CONTAINER_OF(of, struct clients, conns)->b->access;
}

static const struct conn_server server = { "clients", sizeof(struct client),
	CONNECTIONS, init, take, abandon, access_now };

void
clients_turn(struct broker *b)
{
	if (b->clients != NULL)
		conns_turn(&b->clients->conns);
}

/* --- the listening socket ------------------------------------------------- */

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
	struct broker *b = of->b;

	if (fd < 0) {
		fd = socket_listen(
		    b->tasks_path, b->socket_mode, b->socket_group);
		if (fd < 0) {
			log_error("can't listen on %s: %s", b->tasks_path,
			    strerror(-fd));
			return fd;
		}
		peer_send(&b->guardian, MSG_BROKER_KEEP, &name, NULL, 0, fd);
	}
	conns_listen(&of->conns, fd);
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
	if (of == NULL || conns_init(&of->conns, &server, b->loop) < 0) {
		free(of);
		if (listen_fd >= 0)
			close(listen_fd);
		return -ENOMEM;
	}
	of->b = b;
	r = start_listening(of, listen_fd);
	if (r < 0) {
		conns_done(&of->conns);
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
	int r;

	if (b->clients == NULL)
		return;
	if (!has_socket(b))
		start_listening(b->clients, -1);
	else if ((r = socket_mode(
		      b->tasks_path, b->socket_mode, b->socket_group)) < 0)
		log_warn("can't set the mode of %s: %s", b->tasks_path,
		    strerror(-r));
	conns_identify(&b->clients->conns);
}

void
clients_free(struct broker *b)
{
	if (b->clients == NULL)
		return;
	conns_done(&b->clients->conns);
	free(b->clients);
	b->clients = NULL;
}
