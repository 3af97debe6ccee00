#ifndef LOGGER_NAMES_H
#define LOGGER_NAMES_H

/* A hash table by name; nodes are embedded in what they find. */

#include <stddef.h>
#include <stdint.h>

struct names_node {
	struct names_node *next;
	const char *key; /* borrowed: a field of the element */
	uint32_t hash;
};

struct names {
	struct names_node **rows;
	size_t size, count;
};

struct names_node *names_find(const struct names *t, const char *key);
/* The key must not be in the table yet. 0 or -ENOMEM. */
int names_add(struct names *t, struct names_node *n, const char *key);
void names_remove(struct names *t, struct names_node *n);

#endif
