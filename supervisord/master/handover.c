#include "supervisord/master/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/master/master.h"

static int
add_child(struct handover *h, const struct msg_child *child)
{
	if (h->count == h->room) {
		size_t room = h->room > 0 ? h->room * 2 : 64;
		struct msg_child *grown =
		    realloc(h->children, room * sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		h->children = grown;
		h->room = room;
	}
	h->children[h->count++] = *child;
	return 0;
}

/* One that can't be noted is opened anew, or complained about. */
static void
add_socket(struct handover *h, const char *name, int fd)
{
	struct kept_socket *grown =
	    realloc(h->sockets, (h->sockets_count + 1) * sizeof *h->sockets);

	if (grown == NULL) {
		close(fd);
		return;
	}
	h->sockets = grown;
	snprintf(grown[h->sockets_count].name, sizeof grown->name, "%s", name);
	grown[h->sockets_count++].fd = fd;
}

static void
take_kept(struct handover *h, const char *name, int fd)
{
	const struct {
		const char *name;
		int *fd;
	} places[] = {
		{ "config", &h->config },
		{ "memory", &h->memory },
		{ "lock", &h->lock },
		{ "control", &h->control },
		{ "log", &h->log },
	};

	for (size_t i = 0; i < N_ELEMENTS(places); i++) {
		if (strcmp(places[i].name, name) == 0 && *places[i].fd < 0) {
			*places[i].fd = fd;
			return;
		}
	}
	if (strncmp(name, "socket/", strlen("socket/")) == 0)
		add_socket(h, name, fd);
	else
		close(fd);
}

static int
by_start(const void *a, const void *b)
{
	const struct msg_child *x = a, *y = b;

	return x->started_mono < y->started_mono
		   ? -1
		   : x->started_mono > y->started_mono;
}

int
handover_read(struct master *m, struct handover *ret)
{
	struct msg msg;
	int r;

	memset(ret, 0, sizeof *ret);
	ret->config = ret->memory = ret->lock = ret->control = ret->log = -1;
	for (;;) {
		r = peer_wait(&m->guardian, &msg);
		if (r == 0)
			return -EPIPE;
		if (r < 0)
			return r;
		if (msg.type == MSG_HELLO) {
			m->hello = msg.u.HELLO;
			if (m->hello.version != PROTO_VERSION) {
				log_error("the guardian that runs is of "
					  "another version than this master "
					  "(%u, not %u): install both of one "
					  "version, then restart supervisord",
				    m->hello.version, PROTO_VERSION);
				return -EPROTO;
			}
		} else if (msg.type == MSG_CHILD) {
			r = add_child(ret, &msg.u.CHILD);
			if (r < 0)
				return r;
		} else if (msg.type == MSG_KEPT) {
			take_kept(ret, msg.u.KEPT.name, msg.fd);
		} else if (msg.type == MSG_HANDED_OVER) {
			break;
		} else {
			log_error("unexpected %s in the handover",
			    msg_name(msg.type));
			return -EPROTO;
		}
	}
	if (ret->count > 0)
		qsort(ret->children, ret->count, sizeof ret->children[0],
		    by_start);
	return 0;
}

void
handover_done(struct handover *h)
{
	free(h->children);
	h->children = NULL;
	h->count = 0;
	for (size_t i = 0; i < h->sockets_count; i++) {
		if (h->sockets[i].fd >= 0)
			close(h->sockets[i].fd);
	}
	free(h->sockets);
	h->sockets = NULL;
	h->sockets_count = 0;
	if (h->config >= 0)
		close(h->config);
	if (h->memory >= 0)
		close(h->memory);
	h->config = h->memory = -1;
}
