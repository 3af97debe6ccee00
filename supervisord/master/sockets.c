#include "supervisord/master/sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/master/handover.h"
#include "supervisord/master/listen.h"
#include "supervisord/master/master.h"
#include "supervisord/master/rescue.h"

struct one {
	char name[PROTO_NAME]; /* "socket/http" */
	char *address;         /* kind, host and port, or path */
	char *path;            /* of a Unix socket; else NULL */
	int fd;
	bool opened; /* by this reload or start, which may come to nothing */
};

struct sockets {
	size_t count;
	struct one ones[];
};

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
		    listen_is_any(s) ? "*" : s->host, s->port);
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

static bool
is_claimed(const struct sockets *set, int fd)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->ones[i].fd == fd)
			return true;
	}
	return false;
}

/* What is open at an address already is taken over, under whatever name. */
static void
claim(struct sockets *set, const struct sockets *open, bool same_name)
{
	for (size_t i = 0; i < set->count; i++) {
		struct one *one = &set->ones[i];

		for (size_t j = 0; one->fd < 0 && j < open->count; j++) {
			const struct one *o = &open->ones[j];

			if (o->fd >= 0 &&
			    strcmp(o->address, one->address) == 0 &&
			    (!same_name || strcmp(o->name, one->name) == 0) &&
			    !is_claimed(set, o->fd))
				one->fd = o->fd;
		}
	}
}

static int
open_missing(struct sockets *set, const struct fleet *new, struct buf *error)
{
	for (size_t i = 0; i < set->count; i++) {
		struct one *one = &set->ones[i];

		if (one->fd >= 0)
			continue;
		one->fd = listen_open(new->sockets[i], error);
		if (one->fd < 0)
			return one->fd;
		one->opened = true;
	}
	return 0;
}

int
sockets_prepare(struct master *m, const struct fleet *new, struct sockets **ret,
    struct buf *error)
{
	struct sockets *set =
	    calloc(1, sizeof *set + new->sockets_count * sizeof set->ones[0]);
	int r = set != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < new->sockets_count; i++)
		r = describe(&set->ones[set->count++], new->sockets[i]);
	if (r == 0 && m->sockets != NULL) {
		/* Several may be at port 0, or share a port. */
		claim(set, m->sockets, true);
		claim(set, m->sockets, false);
	}
	if (r == 0)
		r = open_missing(set, new, error);
	if (r == 0) {
		*ret = set;
		return 0;
	}
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
			listen_adjust(one->fd, m->fleet->sockets[i]);
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

static bool
is_it(int fd, const void *setting)
{
	return listen_is_at(fd, setting);
}

/* Opened; or else got from an instance that has outlived a guardian. */
static int
open_or_rescue(
    struct master *m, struct one *one, const struct socket_setting *s)
{
	struct buf error;
	int fd;

	buf_init(&error);
	fd = listen_open(s, &error);
	one->opened = fd >= 0;
	if (fd == -EADDRINUSE && m->hello.first) {
		int rescued = rescue_socket(m, is_it, s);

		if (rescued >= 0) {
			log_info("sockets.%s: got back from an instance that "
				 "lives on",
			    s->name);
			fd = rescued;
		}
	}
	if (fd < 0)
		log_error(
		    "%s", error.failed ? strerror(ENOMEM) : buf_text(&error));
	buf_done(&error);
	return fd;
}

static int
start_one(struct master *m, struct handover *h, struct one *one,
    const struct socket_setting *s)
{
	int kept = take_kept(h, one->name);

	if (kept >= 0 && listen_is_at(kept, s)) {
		one->fd = kept;
		listen_adjust(one->fd, s);
		return 0;
	}
	one->fd = open_or_rescue(m, one, s);
	if (one->fd >= 0) {
		keep(m, one);
		if (kept >= 0)
			close(kept);
		return 0;
	}
	if (m->hello.first)
		return one->fd;
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
	if (r < 0) {
		sockets_abandon(m->sockets);
		m->sockets = NULL;
		return r;
	}
	for (size_t i = 0; i < m->sockets->count; i++)
		m->sockets->ones[i].opened = false;
	for (size_t i = 0; i < h->sockets_count; i++) {
		if (h->sockets[i].fd >= 0 &&
		    find_name(m->sockets, h->sockets[i].name) == NULL)
			drop(m, h->sockets[i].name);
	}
	return 0;
}

void
sockets_unlink(const struct master *m)
{
	for (size_t i = 0; m->sockets != NULL && i < m->sockets->count; i++) {
		const struct one *one = &m->sockets->ones[i];

		/* One that could not be opened may be somebody else's. */
		if (one->path != NULL && one->fd >= 0)
			unlink(one->path);
	}
}
