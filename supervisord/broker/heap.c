#include "supervisord/broker/heap.h"

#include <stdlib.h>

void
heap_init(struct heap *h, size_t offset)
{
	*h = (struct heap){ .offset = offset };
}

void
heap_done(struct heap *h)
{
	free(h->at);
	h->at = NULL;
	h->count = h->room = 0;
}

static uint32_t *
place(const struct heap *h, void *item)
{
	return (uint32_t *)(void *)((char *)item + h->offset);
}

static bool
before(const struct heap_entry *x, const struct heap_entry *y)
{
	return x->a != y->a ? x->a < y->a : x->b < y->b;
}

static void
put(struct heap *h, uint32_t i, struct heap_entry e)
{
	h->at[i] = e;
	*place(h, e.item) = i;
}

static void
up(struct heap *h, uint32_t i, struct heap_entry e)
{
	while (i > 0 && before(&e, &h->at[(i - 1) / 2])) {
		put(h, i, h->at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, e);
}

static void
down(struct heap *h, uint32_t i, struct heap_entry e)
{
	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= h->count)
			break;
		if (c + 1 < h->count && before(&h->at[c + 1], &h->at[c]))
			c++;
		if (!before(&h->at[c], &e))
			break;
		put(h, i, h->at[c]);
		i = c;
	}
	put(h, i, e);
}

bool
heap_reserve(struct heap *h)
{
	uint32_t room = h->room != 0 ? h->room * 2 : 64;
	struct heap_entry *at;

	if (h->count < h->room)
		return true;
	at = realloc(h->at, room * sizeof(*at));
	if (at == NULL)
		return false;
	h->at = at;
	h->room = room;
	return true;
}

bool
heap_push(struct heap *h, int64_t a, uint64_t b, void *item)
{
	if (!heap_reserve(h))
		return false;
	h->count++;
	up(h, h->count - 1, (struct heap_entry){ a, b, item });
	return true;
}

void *
heap_top(const struct heap *h)
{
	return h->count > 0 ? h->at[0].item : NULL;
}

void
heap_drop_at(struct heap *h, uint32_t index)
{
	struct heap_entry last = h->at[--h->count];
	void *item = h->at[index].item;

	*place(h, item) = HEAP_NONE;
	if (index == h->count)
		return;
	if (index > 0 && before(&last, &h->at[(index - 1) / 2]))
		up(h, index, last);
	else
		down(h, index, last);
}

void *
heap_pop(struct heap *h)
{
	void *item = heap_top(h);

	if (item != NULL)
		heap_drop_at(h, 0);
	return item;
}

void
heap_remove(struct heap *h, void *item)
{
	uint32_t i = *place(h, item);

	if (i < h->count && h->at[i].item == item)
		heap_drop_at(h, i);
}

static int
compare(const void *x, const void *y)
{
	const struct heap_entry *a = x, *b = y;

	return before(a, b) ? -1 : before(b, a);
}

void
heap_sort(struct heap *h)
{
	if (h->count > 1)
		qsort(h->at, h->count, sizeof(*h->at), compare);
	for (uint32_t i = 0; i < h->count; i++)
		*place(h, h->at[i].item) = i;
}
