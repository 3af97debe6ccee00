#include "workers/runtime/outbox.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_MAX (WIRE_HEAD + WIRE_BODY)

static struct letter *
letter_alloc(size_t room)
{
	struct letter *l = malloc(sizeof *l + room);

	if (l == NULL)
		return NULL;
	*l = (struct letter){ .room = room };
	return l;
}

static void
letter_free(struct outbox *o, struct letter *l)
{
	if (l->room == FRAME_MAX && o->spare == NULL) {
		*l = (struct letter){ .room = FRAME_MAX };
		o->spare = l;
		return;
	}
	free(l);
}

void
outbox_clear(struct outbox *o)
{
	struct letter *l;

	while ((l = o->first) != NULL) {
		o->first = l->next;
		letter_free(o, l);
	}
	o->last = NULL;
	o->sent = o->added;
}

void
outbox_done(struct outbox *o)
{
	outbox_clear(o);
	free(o->spare);
	*o = (struct outbox){ 0 };
}

void
outbox_add(struct outbox *o, struct letter *l)
{
	l->next = NULL;
	if (o->last != NULL)
		o->last->next = l;
	else
		o->first = l;
	o->last = l;
	o->added += l->size;
}

static void
put_frame(struct letter *l, const struct wire_head *head, const void *body)
{
	wire_put_head(l->data + l->size, head);
	if (head->size > 0)
		memcpy(l->data + l->size + WIRE_HEAD, body, head->size);
	l->size += WIRE_HEAD + head->size;
}

bool
outbox_frame(struct outbox *o, uint8_t type, uint8_t flags, uint16_t slot,
    uint64_t id, const void *body, size_t size)
{
	struct wire_head head = { (uint32_t)size, type, flags, slot, id };
	struct letter *l = o->last;

	if (l == NULL || l->pieces || l->room - l->size < WIRE_HEAD + size) {
		l = o->spare != NULL ? o->spare : letter_alloc(FRAME_MAX);
		if (l == NULL)
			return false;
		if (l == o->spare)
			o->spare = NULL;
		outbox_add(o, l);
	}
	put_frame(l, &head, body);
	o->added += WIRE_HEAD + size;
	return true;
}

struct letter *
letter_new(uint8_t type, uint8_t flags, uint16_t slot, uint64_t id,
    const void *body, size_t size)
{
	size_t frames = size > 0 ? (size + WIRE_BODY - 1) / WIRE_BODY : 1;
	struct letter *l = letter_alloc(size + frames * WIRE_HEAD);
	const uint8_t *at = body;

	if (l == NULL)
		return NULL;
	l->pieces = true;
	for (size_t i = 0; i < frames; i++) {
		size_t n = size < WIRE_BODY ? size : WIRE_BODY;
		struct wire_head head = { (uint32_t)n, type, flags, slot, id };

		if (i > 0)
			head.flags |= WIRE_LATER;
		if (i + 1 < frames)
			head.flags |= WIRE_MORE;
		put_frame(l, &head, at);
		if (n > 0)
			at += n;
		size -= n;
	}
	return l;
}

const uint8_t *
outbox_next(struct outbox *o, size_t *ret_size)
{
	struct letter *l = o->first;
	size_t end;

	if (l == NULL)
		return NULL;
	if (l->again && l->sent % FRAME_MAX == 0) {
		o->sent -= l->sent;
		l->sent = 0;
		l->again = false;
	}
	/* A letter of small frames has the room of one large; the pieces of a
	 * body lie as far apart. */
	end = (l->sent / FRAME_MAX + 1) * FRAME_MAX;
	l->begun = true;
	*ret_size = (end < l->size ? end : l->size) - l->sent;
	return l->data + l->sent;
}

void
outbox_took(struct outbox *o, size_t n)
{
	struct letter *l = o->first;

	l->sent += n;
	o->sent += n;
	if (l->sent < l->size)
		return;
	o->first = l->next;
	if (o->first == NULL)
		o->last = NULL;
	letter_free(o, l);
}

void
outbox_again(struct outbox *o)
{
	/* begun, not sent: a piece may be on its way this moment. */
	if (o->first != NULL && o->first->pieces && o->first->begun)
		o->first->again = true;
}
