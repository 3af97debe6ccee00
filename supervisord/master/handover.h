#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

/* What the guardian tells a new master, read before the loop runs. */

#include <stdbool.h>
#include <stddef.h>

#include "supervisord/proto/messages.h"

struct master;

/* "socket/http", and its descriptor; -1 once somebody has taken it. */
struct kept_socket {
	char name[PROTO_NAME];
	int fd;
};

struct handover {
	struct msg_child *children; /* sorted by the time of their launch */
	size_t count, room;
	/* kept descriptors, -1: none; ours */
	int config, memory, lock, control, log;
	struct kept_socket *sockets;
	size_t sockets_count;
};

/* Reads until HANDED_OVER. 0 or -errno. */
int handover_read(struct master *m, struct handover *ret);
void handover_done(struct handover *h);

#endif
