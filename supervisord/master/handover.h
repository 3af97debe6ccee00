#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

/* What the guardian tells a new master, read before the loop runs. */

#include <stdbool.h>
#include <stddef.h>

#include "supervisord/proto/messages.h"

struct master;

struct handover {
	struct msg_child *children; /* sorted by the time of their launch */
	size_t count, room;
	/* kept descriptors, -1: none; ours */
	int config, memory, lock, control, log;
};

/* Reads until HANDED_OVER. 0 or -errno. */
int handover_read(struct master *m, struct handover *ret);
void handover_done(struct handover *h);

#endif
