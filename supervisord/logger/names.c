#include "supervisord/logger/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

static uint32_t
hash_of(const char *key)
{
	uint32_t h = 2166136261U; /* FNV-1a */

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char)*key) * 16777619U;
	return h;
}

struct names_node *
names_find(const struct names *t, const char *key)
{
	uint32_t h = hash_of(key);
	struct names_node *n;

	if (t->size == 0)
		return NULL;
	for (n = t->rows[h & (t->size - 1)]; n != NULL; n = n->next) {
		if (n->hash == h && strcmp(n->key, key) == 0)
			return n;
	}
	return NULL;
}

static int
grow(struct names *t)
{
	size_t size = t->size == 0 ? FIRST_SIZE : t->size * 2;
	struct names_node **rows = calloc(size, sizeof *rows);

	if (rows == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < t->size; i++) {
		struct names_node *n, *next;

		for (n = t->rows[i]; n != NULL; n = next) {
			next = n->next;
			n->next = rows[n->hash & (size - 1)];
			rows[n->hash & (size - 1)] = n;
		}
	}
	free(t->rows);
	t->rows = rows;
	t->size = size;
	return 0;
}

int
names_add(struct names *t, struct names_node *n, const char *key)
{
	/* Without memory for a larger table the chains get longer. */
	if (t->count >= t->size && grow(t) < 0 && t->size == 0)
		return -ENOMEM;
	n->key = key;
	n->hash = hash_of(key);
	n->next = t->rows[n->hash & (t->size - 1)];
	t->rows[n->hash & (t->size - 1)] = n;
	t->count++;
	return 0;
}

void
names_remove(struct names *t, struct names_node *n)
{
	struct names_node **at = &t->rows[n->hash & (t->size - 1)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	t->count--;
}
