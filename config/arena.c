#include "config/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	_Alignas(16) char data[];
};

void *
arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->blocks;
	size_t need = (size + 15) & ~(size_t)15, room;

	if (need < size)
		return NULL;
	if (b == NULL || b->room - b->used < need) {
		room = need > BLOCK / 4 ? need : BLOCK - sizeof *b;
		b = calloc(1, sizeof *b + room);
		if (b == NULL)
			return NULL;
		b->room = room;
		/* A large piece goes behind the block in use. */
		if (a->blocks != NULL && room == need) {
			b->next = a->blocks->next;
			a->blocks->next = b;
		} else {
			b->next = a->blocks;
			a->blocks = b;
		}
	}
	b->used += need;
	return b->data + b->used - need;
}

char *
arena_copy(struct arena *a, const char *text, size_t size)
{
	char *copy = arena_alloc(a, size + 1);

	if (copy != NULL && size > 0)
		memcpy(copy, text, size);
	return copy;
}

void
arena_done(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	a->blocks = NULL;
}

/* FNV-1a, finished by a mix, for the slots are counted by the low bits. */
static uint64_t
hash_of(const void *key, size_t size)
{
	const unsigned char *p = key;
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3U;
	return h ^ h >> 29;
}

static struct map_slot *
slot_of(const struct map *m, const void *key, size_t size, uint64_t hash)
{
	size_t i = hash & (m->room - 1);

	while (m->slots[i].value != NULL &&
	       (m->slots[i].hash != hash || m->slots[i].size != size ||
		   (size > 0 && memcmp(m->slots[i].key, key, size) != 0)))
		i = (i + 1) & (m->room - 1);
	return &m->slots[i];
}

void *
map_get(const struct map *m, const void *key, size_t size)
{
	if (m->room == 0)
		return NULL;
	return slot_of(m, key, size, hash_of(key, size))->value;
}

static int
map_grow(struct map *m)
{
	struct map bigger = { .room = m->room > 0 ? 2 * m->room : 64 };

	bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
	if (bigger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->room; i++) {
		struct map_slot *s = &m->slots[i];

		if (s->value != NULL)
			*slot_of(&bigger, s->key, s->size, s->hash) = *s;
	}
	bigger.count = m->count;
	free(m->slots);
	*m = bigger;
	return 0;
}

int
map_put(struct map *m, const void *key, size_t size, void *value)
{
	struct map_slot *s;
	uint64_t hash = hash_of(key, size);

	if (m->count * 4 >= m->room * 3 && map_grow(m) < 0)
		return -ENOMEM;
	s = slot_of(m, key, size, hash);
	if (s->value == NULL)
		m->count++;
	*s = (struct map_slot){ key, size, hash, value };
	return 0;
}

void
map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}
