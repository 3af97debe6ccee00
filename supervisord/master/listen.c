#include "supervisord/master/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"

/* --- addresses ------------------------------------------------------------ */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

bool
listen_is_any(const struct socket_setting *s)
{
	return s->host == NULL || s->host[0] == '\0' ||
	       strcmp(s->host, "*") == 0;
}

static int
socket_type(const struct socket_setting *s)
{
	return s->kind == SOCKET_UDP ? SOCK_DGRAM : SOCK_STREAM;
}

/* 0, or -errno or words for what getaddrinfo(3) says. */
static int
resolve(const struct socket_setting *s, struct addrinfo **ret,
    const char **ret_words)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE,
		.ai_family = AF_UNSPEC,
		.ai_socktype = socket_type(s) };
	int r = getaddrinfo(
	    listen_is_any(s) ? NULL : s->host, s->port, &hints, ret);

	if (r == 0)
		return 0;
	*ret_words = r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
	return -EADDRNOTAVAIL;
}

static bool
is_port_of(in_port_t is, in_port_t should)
{
	return should == 0 || is == should; /* 0: any that was free */
}

static bool
same_inet(const union address *is, const struct addrinfo *should)
{
	if (is->any.sa_family != should->ai_family)
		return false;
	if (should->ai_family == AF_INET) {
		struct sockaddr_in a;

		memcpy(&a, should->ai_addr, sizeof a);
		return is_port_of(is->in.sin_port, a.sin_port) &&
		       is->in.sin_addr.s_addr == a.sin_addr.s_addr;
	}
	if (should->ai_family == AF_INET6) {
		struct sockaddr_in6 a;

		memcpy(&a, should->ai_addr, sizeof a);
		return is_port_of(is->in6.sin6_port, a.sin6_port) &&
		       memcmp(&is->in6.sin6_addr, &a.sin6_addr,
			   sizeof a.sin6_addr) == 0;
	}
	return false;
}

bool
listen_is_at(int fd, const struct socket_setting *s)
{
	union address a = { .any.sa_family = AF_UNSPEC };
	socklen_t size = sizeof a;
	struct addrinfo *list;
	const char *words;
	bool same = false;
	int type = 0;

	if (getsockname(fd, &a.any, &size) < 0)
		return false;
	if (s->kind == SOCKET_UNIX)
		return a.any.sa_family == AF_UNIX &&
		       strcmp(a.un.sun_path, s->path) == 0;
	size = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    type != socket_type(s) || resolve(s, &list, &words) < 0)
		return false;
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
		same = same || same_inet(&a, ai);
	freeaddrinfo(list);
	return same;
}

/* --- opening -------------------------------------------------------------- */

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

/* fd is closed where that fails. */
static int
finish(int fd, const struct socket_setting *s)
{
	int error;

	if (s->kind == SOCKET_UDP || listen(fd, (int)s->backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int
open_address(const struct socket_setting *s, const struct addrinfo *ai)
{
	bool any = listen_is_any(s);
	int fd = socket(
		ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol),
	    error;

	if (fd < 0)
		return -errno;
	/* For udp it would let a second one take the datagrams. */
	if ((s->kind != SOCKET_TCP ||
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0) &&
	    (!s->reuse_port ||
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0) &&
	    (ai->ai_family != AF_INET6 ||
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any) == 0) &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return finish(fd, s);
	error = errno;
	close(fd);
	return -error;
}

/* The first of its addresses that can be had; without a host IPv6's, which
 * takes IPv4's connections too. */
static int
open_inet(const struct socket_setting *s, const char **ret_words)
{
	static const int families[] = { AF_INET6, AF_INET };
	struct addrinfo *list;
	int r = resolve(s, &list, ret_words), fd = -EADDRNOTAVAIL;

	if (r < 0)
		return r;
	if (!listen_is_any(s))
		fd = open_address(s, list);
	for (size_t i = 0;
	     fd < 0 && listen_is_any(s) && i < N_ELEMENTS(families); i++) {
		for (struct addrinfo *ai = list; fd < 0 && ai != NULL;
		     ai = ai->ai_next) {
			if (ai->ai_family == families[i])
				fd = open_address(s, ai);
		}
		if (fd == -EADDRINUSE || fd == -EACCES)
			break;
	}
	freeaddrinfo(list);
	return fd;
}

/* A path somebody has left: 0; -EADDRINUSE where somebody listens on it, or
 * where it is no socket. */
static int
clear_path(const struct sockaddr_un *a)
{
	struct stat st;
	int fd, error = 0;

	if (lstat(a->sun_path, &st) < 0)
		return 0; /* bind says what is wrong, if anything is */
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)a, sizeof *a) < 0)
		error = errno;
	close(fd);
	if (error != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) < 0 ? -errno : 0;
}

/* Nobody can connect before it listens, and so not before it has its mode. */
static int
open_unix(const struct socket_setting *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, r;

	if (strlen(s->path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, s->path, strlen(s->path) + 1);
	r = clear_path(&a);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    (s->mode != FLEET_NO_UMASK && chmod(s->path, s->mode) < 0)) {
		r = -errno;
		close(fd);
		return r;
	}
	return finish(fd, s);
}

int
listen_open(const struct socket_setting *s, struct buf *error)
{
	const char *words = NULL;
	int fd = s->kind == SOCKET_UNIX ? open_unix(s) : open_inet(s, &words);

	if (fd < 0)
		buf_fmt(error, "%s:%u: sockets.%s: cannot listen on %s: %s",
		    s->source != NULL ? s->source : "config", s->line, s->name,
		    s->listen, words != NULL ? words : strerror(-fd));
	return fd;
}

void
listen_adjust(int fd, const struct socket_setting *s)
{
	if (s->kind != SOCKET_UNIX)
		(void)set_option(fd, SOL_SOCKET, SO_REUSEPORT, s->reuse_port);
	if (s->kind != SOCKET_UDP && listen(fd, (int)s->backlog) < 0)
		log_warn("sockets.%s: backlog: %s", s->name, strerror(errno));
	if (s->kind == SOCKET_UNIX && s->mode != FLEET_NO_UMASK &&
	    chmod(s->path, s->mode) < 0)
		log_warn("sockets.%s: mode: %s", s->name, strerror(errno));
}
