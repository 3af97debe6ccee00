#ifndef RUNTIME_SLOTS_H
#define RUNTIME_SLOTS_H

/*
 * The slots' memory (wire.h): what each thread does, kept where the broker can
 * read it though this process is gone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/proto/wire.h"

enum slot_busy {
	SLOT_IDLE,
	SLOT_TASK,
	SLOT_CONNECTION
};

struct slots {
	struct wire_slot *slot; /* one a thread, always there */
	void *memory;
	size_t size;
	bool shared; /* else START has to be sent */
};

/*
 * Maps the memory behind fd, or takes private memory where there is none (-1)
 * or it is not as it should be, which is said in the log. 0 or -ENOMEM.
 */
int slots_open(struct slots *s, int fd, unsigned threads);

/* In a forked child: what it writes is its own. Async-signal-safe. */
void slots_disown(struct slots *s);

void slot_hello(struct wire_slot *slot); /* by the thread itself */
/* The task is last: who reads it finds the rest in place. */
void slot_task(
    struct wire_slot *slot, uint64_t id, uint32_t attempt, int64_t now);
void slot_connection(struct wire_slot *slot, int64_t now);
void slot_idle(struct wire_slot *slot, int64_t now);
void slot_share(struct wire_slot *slot, uint32_t share);
bool slot_cancelled(const struct wire_slot *slot, uint64_t id);

#endif
