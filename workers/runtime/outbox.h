#ifndef RUNTIME_OUTBOX_H
#define RUNTIME_OUTBOX_H

/*
 * What waits to be written to the task socket: letters in order, each made of
 * whole frames. Small frames share a letter, so that one send takes many; a
 * large body is a letter of its own, in pieces. No locking: the link's mutex
 * guards it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/proto/wire.h"

struct letter {
	struct letter *next;
	bool pieces; /* one body: frames of full size, but the last */
	bool begun;  /* its first piece has been taken out to be sent */
	bool again;  /* from the start, see outbox_again */
	size_t size, sent, room;
	uint8_t data[];
};

struct outbox {
	struct letter *first, *last;
	struct letter *spare;
	uint64_t added, sent; /* bytes, for ever */
};

void outbox_done(struct outbox *o);
void outbox_clear(struct outbox *o); /* forgets what is in it */

static inline bool
outbox_empty(const struct outbox *o)
{
	return o->first == NULL;
}

/* Adds a frame whose body is at most WIRE_BODY; false: no memory. */
bool outbox_frame(struct outbox *o, uint8_t type, uint8_t flags, uint16_t slot,
    uint64_t id, const void *body, size_t size);

/* A letter with a body of any size, not in the box yet; NULL: no memory. */
struct letter *letter_new(uint8_t type, uint8_t flags, uint16_t slot,
    uint64_t id, const void *body, size_t size);
void outbox_add(struct outbox *o, struct letter *l); /* takes l */

/* The next piece to send: whole frames, 32 KiB at most. NULL: none. */
const uint8_t *outbox_next(struct outbox *o, size_t *ret_size);
/* So much of it has been taken by the socket. */
void outbox_took(struct outbox *o, size_t n);

/*
 * The reader has changed: a body of which a part has been sent is sent again
 * from its start, once its frame has ended.
 */
void outbox_again(struct outbox *o);

#endif
