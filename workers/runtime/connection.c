#include "workers/runtime/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "workers/runtime/link.h"

#define FIRST_FD    3
#define SOCKETS_MAX 256

static struct {
	int count;
	const char *name[SOCKETS_MAX];
	char *names; /* what they point into */
} listeners;

static int
number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (text == NULL)
		return 0;
	n = strtol(text, &end, 10);
	return *end == '\0' && n > 0 && n <= INT32_MAX ? (int)n : 0;
}

static void
read_names(int count)
{
	const char *env = getenv("LISTEN_FDNAMES");
	char *at = listeners.names = env != NULL ? strdup(env) : NULL;

	for (int i = 0; i < count; i++) {
		char *name = strsep(&at, ":");

		listeners.name[i] = name != NULL && *name ? name : "unknown";
	}
}

static int
option(int fd, int which)
{
	socklen_t size = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, which, &value, &size) < 0 ? -1
								    : value;
}

static int
check(int fd, const char *name)
{
	int type = option(fd, SO_TYPE), on = 1;

	if (type == SOCK_DGRAM) {
		log_error("socket \"%s\" is a udp socket: a module serves "
			  "connections, of tcp and unix sockets; let a command "
			  "have it",
		    name);
		return EXIT_SOCKET;
	}
	if (type != SOCK_STREAM || option(fd, SO_ACCEPTCONN) != 1) {
		log_error(
		    "descriptor %d (socket \"%s\") does not listen", fd, name);
		return EXIT_SOCKET;
	}
	/* Several processes wait on it: who comes late must not be held. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return EXIT_SOCKET;
	/* Inherited by what is accepted; a unix socket has no such thing. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return 0;
}

int
connection_open(bool serve)
{
	int count = number_of("LISTEN_FDS");

	if (number_of("LISTEN_PID") != getpid())
		return 0;
	if (count > SOCKETS_MAX) {
		log_error("%d sockets; %d are served", count, SOCKETS_MAX);
		return -EXIT_SOCKET;
	}
	read_names(count);
	for (int i = 0; i < count; i++) {
		int r;

		(void)fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
		r = serve ? check(FIRST_FD + i, listeners.name[i]) : 0;
		if (r != 0)
			return -r;
	}
	listeners.count = serve ? count : 0;
	return listeners.count;
}

int
connection_poll(int poller, unsigned first)
{
	for (int i = 0; i < listeners.count; i++) {
		/* One process of many is woken for a connection. */
		struct epoll_event e = {
			.events = EPOLLIN | EPOLLEXCLUSIVE,
			.data.u32 = first + (unsigned)i,
		};

		if (epoll_ctl(poller, EPOLL_CTL_ADD, FIRST_FD + i, &e) < 0)
			return -errno;
	}
	return 0;
}

void
connection_refuse(int poller)
{
	for (int i = 0; i < listeners.count; i++)
		(void)epoll_ctl(poller, EPOLL_CTL_DEL, FIRST_FD + i, NULL);
}

/* The connection stays in the queue and would be reported at once again;
 * nothing tells when there is room. */
static void
wait_for_room(const char *why)
{
	static int said; /* only who leads comes here */

	if (!said)
		log_warn("cannot take a connection: %s; trying again", why);
	said = 1;
	(void)poll(NULL, 0, 50);
}

_Noreturn static void
closed(int i)
{
	char what[PEER_TEXT];

	snprintf(what, sizeof what, "the socket \"%s\"", listeners.name[i]);
	link_closed(FIRST_FD + i, what);
}

int
connection_accept(int i)
{
	int fd = accept4(FIRST_FD + i, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && (errno == EBADF || errno == ENOTSOCK || errno == EINVAL))
		closed(i);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			  errno == ENOBUFS))
		wait_for_room(strerror(errno));
	return fd;
}

bool
connection_waits(void)
{
	struct pollfd p[SOCKETS_MAX];

	for (int i = 0; i < listeners.count; i++)
		p[i] = (struct pollfd){ .fd = FIRST_FD + i, .events = POLLIN };
	return poll(p, (nfds_t)listeners.count, 0) > 0;
}

const char *
connection_socket(int i)
{
	return listeners.name[i];
}

void
connection_peer(int fd, char out[PEER_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "";

	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	} a;

	socklen_t size = sizeof a;

	memset(&a, 0, sizeof a);
	if (getpeername(fd, &a.any, &size) < 0) {
		snprintf(out, PEER_TEXT, "unknown");
	} else if (a.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
		snprintf(out, PEER_TEXT, "%s:%u", host, ntohs(a.v4.sin_port));
	} else if (a.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
		snprintf(
		    out, PEER_TEXT, "[%s]:%u", host, ntohs(a.v6.sin6_port));
	} else {
		snprintf(out, PEER_TEXT, "unix");
	}
}
