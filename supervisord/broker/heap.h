#ifndef BROKER_HEAP_H
#define BROKER_HEAP_H

/*
 * A binary heap, smallest (a, b) first, of things that know their place in it:
 * `offset` is where in a thing its uint32_t index is. Keys are held in the heap
 * itself, so that sifting touches the things only to tell them where they are.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NONE UINT32_MAX

struct heap_entry {
	int64_t a;
	uint64_t b;
	void *item;
};

struct heap {
	struct heap_entry *at;
	uint32_t count, room;
	size_t offset;
};

void heap_init(struct heap *h, size_t offset);
void heap_done(struct heap *h); /* frees its memory, not the things */
bool heap_push(struct heap *h, int64_t a, uint64_t b, void *item);
void *heap_top(const struct heap *h); /* NULL: empty */
void *heap_pop(struct heap *h);       /* NULL: empty */
void heap_remove(struct heap *h, void *item);
/* Sorts it (it stays a heap): at[0] is the smallest, at[count - 1] the largest.
 */
void heap_sort(struct heap *h);
/* Room for one more, so that the next push can't fail. */
bool heap_reserve(struct heap *h);
void heap_drop_at(struct heap *h, uint32_t index);

#endif
