#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

/*
 * Memory that is freed as a whole, and a hash table. A fleet is one arena; what
 * only its loading needs is another.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

void *arena_alloc(struct arena *a, size_t size); /* zeroed; NULL: no memory */
char *arena_copy(
    struct arena *a, const char *text, size_t size); /* adds a NUL */
void arena_done(struct arena *a);

/* From bytes to a pointer. Keys are borrowed. All zero is an empty map. */
struct map {
	struct map_slot {
		const void *key;
		size_t size;
		uint64_t hash;
		void *value; /* NULL: a free slot */
	} * slots;

	size_t room, count;
};

void *map_get(const struct map *m, const void *key, size_t size);
/* The key must not be in the map yet, the value not be NULL. 0 or -ENOMEM. */
int map_put(struct map *m, const void *key, size_t size, void *value);
void map_done(struct map *m);

#endif
