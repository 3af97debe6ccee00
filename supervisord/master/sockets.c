#include "supervisord/master/sockets.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
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
#include "supervisord/master/handover.h"
#include "supervisord/master/master.h"

struct one {
	char name[PROTO_NAME]; /* "socket/http" */
	char *address;         /* kind, host and port, or path */
	char *path;            /* of a Unix socket; else NULL */
	int fd;
	bool opened; /* by this reload: nobody else knows of it yet */
};

struct sockets {
	size_t count;
	struct one ones[];
};

/* --- addresses ------------------------------------------------------------ */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

/* No host: every address of this machine, of both families. */
static bool
is_any(const struct socket_setting *s)
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
	int r = getaddrinfo(is_any(s) ? NULL : s->host, s->port, &hints, ret);

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

/* Is the socket what the setting asks for? */
static bool
is_at(int fd, const struct socket_setting *s)
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
	bool any = is_any(s);
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
	if (!is_any(s))
		fd = open_address(s, list);
	for (size_t i = 0; fd < 0 && is_any(s) && i < N_ELEMENTS(families);
	     i++) {
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

static int
open_one(const struct socket_setting *s, struct buf *error)
{
	const char *words = NULL;
	int fd = s->kind == SOCKET_UNIX ? open_unix(s) : open_inet(s, &words);

	if (fd < 0)
		buf_fmt(error, "%s:%u: sockets.%s: cannot listen on %s: %s",
		    s->source != NULL ? s->source : "config", s->line, s->name,
		    s->listen, words != NULL ? words : strerror(-fd));
	return fd;
}

/* --- sets of sockets ------------------------------------------------------ */

static void
forget(struct one *one)
{
	free(one->address);
	free(one->path);
}

static void
free_all(struct sockets *set)
{
	for (size_t i = 0; i < set->count; i++)
		forget(&set->ones[i]);
	free(set);
}

void
sockets_abandon(struct sockets *prepared)
{
	if (prepared == NULL)
		return;
	for (size_t i = 0; i < prepared->count; i++) {
		const struct one *one = &prepared->ones[i];

		if (!one->opened)
			continue;
		close(one->fd);
		if (one->path != NULL)
			unlink(one->path);
	}
	free_all(prepared);
}

/* Two settings with the same one are about the same socket. */
static char *
address_of(const struct socket_setting *s)
{
	struct buf b;

	buf_init(&b);
	if (s->kind == SOCKET_UNIX)
		buf_fmt(&b, "unix %s", s->path);
	else
		buf_fmt(&b, "%s %s %s", s->kind == SOCKET_UDP ? "udp" : "tcp",
		    is_any(s) ? "*" : s->host, s->port);
	return buf_take(&b);
}

static int
describe(struct one *one, const struct socket_setting *s)
{
	snprintf(one->name, sizeof one->name, "socket/%s", s->name);
	one->fd = -1;
	one->address = address_of(s);
	one->path = s->kind == SOCKET_UNIX ? strdup(s->path) : NULL;
	return one->address == NULL ||
		       (s->kind == SOCKET_UNIX && one->path == NULL)
		   ? -ENOMEM
		   : 0;
}

/* What is open at the address already: under its name, or under another that
 * the new config does not have any more. */
static const struct one *
find_open(const struct sockets *set, const struct fleet *new,
    const struct one *wanted)
{
	const struct one *found = NULL;

	for (size_t i = 0; set != NULL && i < set->count; i++) {
		const struct one *one = &set->ones[i];

		if (one->fd < 0 || strcmp(one->address, wanted->address) != 0)
			continue;
		if (strcmp(one->name, wanted->name) == 0)
			return one;
		if (fleet_socket(new, one->name + strlen("socket/")) == NULL)
			found = one;
	}
	return found;
}

int
sockets_prepare(struct master *m, const struct fleet *new, struct sockets **ret,
    struct buf *error)
{
	struct sockets *set =
	    calloc(1, sizeof *set + new->sockets_count * sizeof set->ones[0]);
	int r = -ENOMEM;

	if (set == NULL)
		goto failed;
	for (size_t i = 0; i < new->sockets_count; i++) {
		const struct socket_setting *s = new->sockets[i];
		struct one *one = &set->ones[set->count++];
		const struct one *open;

		r = describe(one, s);
		if (r < 0)
			goto failed;
		open = find_open(m->sockets, new, one);
		one->fd = open != NULL ? open->fd : open_one(s, error);
		one->opened = open == NULL && one->fd >= 0;
		r = one->fd;
		if (r < 0)
			goto failed;
	}
	*ret = set;
	return 0;
failed:
	if (error->size == 0)
		buf_str(error, strerror(-r));
	sockets_abandon(set);
	return r;
}

static void
keep(struct master *m, const struct one *one)
{
	struct msg_name name = { "" };

	memcpy(name.name, one->name, sizeof name.name);
	peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, one->fd);
}

static void
drop(struct master *m, const char *of)
{
	struct msg_name name = { "" };

	snprintf(name.name, sizeof name.name, "%s", of);
	peer_send(&m->guardian, MSG_DROP, &name, NULL, 0, -1);
}

static const struct one *
find_name(const struct sockets *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->ones[i].name, name) == 0)
			return &set->ones[i];
	}
	return NULL;
}

/* What may change of an open one. */
static void
adjust(const struct one *one, const struct socket_setting *s)
{
	if (s->kind != SOCKET_UNIX)
		(void)set_option(
		    one->fd, SOL_SOCKET, SO_REUSEPORT, s->reuse_port);
	if (s->kind != SOCKET_UDP && listen(one->fd, (int)s->backlog) < 0)
		log_warn("sockets.%s: backlog: %s", s->name, strerror(errno));
	if (one->path != NULL && s->mode != FLEET_NO_UMASK &&
	    chmod(one->path, s->mode) < 0)
		log_warn("sockets.%s: mode: %s", s->name, strerror(errno));
}

static void
leave(struct master *m, const struct sockets *old, const struct sockets *new)
{
	for (size_t i = 0; i < old->count; i++) {
		const struct one *one = &old->ones[i];
		bool used = one->fd < 0, path_used = one->path == NULL;

		for (size_t j = 0; j < new->count; j++) {
			used = used || new->ones[j].fd == one->fd;
			path_used =
			    path_used || (new->ones[j].path !=
					     NULL &&strcmp(new->ones[j].path,
						 one->path) == 0);
		}
		if (find_name(new, one->name) == NULL)
			drop(m, one->name);
		if (!used)
			close(one->fd);
		if (!path_used)
			unlink(one->path);
	}
}

void
sockets_apply(struct master *m, struct sockets *prepared)
{
	struct sockets *old = m->sockets;

	for (size_t i = 0; i < prepared->count; i++) {
		struct one *one = &prepared->ones[i];
		const struct one *before =
		    old != NULL ? find_name(old, one->name) : NULL;

		if (!one->opened && i < m->fleet->sockets_count)
			adjust(one, m->fleet->sockets[i]);
		if (before == NULL || before->fd != one->fd)
			keep(m, one);
		one->opened = false;
	}
	if (old != NULL) {
		leave(m, old, prepared);
		free_all(old);
	}
	m->sockets = prepared;
}

/* --- the start ------------------------------------------------------------ */

/* What was kept under the name is ours from here on. */
static int
take_kept(struct handover *h, const char *name)
{
	for (size_t i = 0; i < h->sockets_count; i++) {
		struct kept_socket *k = &h->sockets[i];
		int fd = k->fd;

		if (fd < 0 || strcmp(k->name, name) != 0)
			continue;
		k->fd = -1;
		return fd;
	}
	return -1;
}

static int
start_one(struct master *m, struct handover *h, struct one *one,
    const struct socket_setting *s)
{
	struct buf error;
	int kept = take_kept(h, one->name);

	if (kept >= 0 && is_at(kept, s)) {
		one->fd = kept;
		adjust(one, s);
		return 0;
	}
	buf_init(&error);
	one->fd = open_one(s, &error);
	if (one->fd >= 0) {
		keep(m, one);
		if (kept >= 0)
			close(kept);
	} else {
		log_error("%s", buf_text(&error));
	}
	buf_done(&error);
	if (one->fd >= 0 || m->hello.first)
		return MIN_OF(one->fd, 0);
	/* A master that was killed within a reload, say: better the socket
	 * there is than none. */
	one->fd = kept;
	return 0;
}

int
sockets_start(struct master *m, struct handover *h)
{
	const struct fleet *fleet = m->fleet;
	int r = 0;

	m->sockets =
	    calloc(1, sizeof *m->sockets +
			  fleet->sockets_count * sizeof m->sockets->ones[0]);
	if (m->sockets == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < fleet->sockets_count; i++) {
		struct one *one = &m->sockets->ones[m->sockets->count++];
		int e = describe(one, fleet->sockets[i]);

		if (e == 0)
			e = start_one(m, h, one, fleet->sockets[i]);
		if (e < 0)
			r = e;
	}
	for (size_t i = 0; i < h->sockets_count; i++) {
		if (h->sockets[i].fd >= 0 &&
		    find_name(m->sockets, h->sockets[i].name) == NULL)
			drop(m, h->sockets[i].name);
	}
	return r;
}

void
sockets_unlink(const struct master *m)
{
	for (size_t i = 0; m->sockets != NULL && i < m->sockets->count; i++) {
		if (m->sockets->ones[i].path != NULL)
			unlink(m->sockets->ones[i].path);
	}
}
