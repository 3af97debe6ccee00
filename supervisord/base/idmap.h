#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

/*
 * Things found by a number that is not 0, where that happens several times for
 * each of them and has to cost next to nothing. The link is embedded in the
 * thing. Adding can't fail: where there is no memory for more buckets their
 * chains get longer. Several may have the same number.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/util.h"

struct idlink {
	struct idlink *next;
	uint64_t id; /* 0: in no map */
};

/* All zero it is empty. */
struct idmap {
	struct idlink **buckets; /* NULL: none yet, all are in `only` */
	struct idlink *only;
	unsigned bits; /* of the number of buckets */
	uint32_t count;
};

void idmap_done(struct idmap *m); /* frees its memory, not the things */
/* 0 is left out: nobody could find it. */
void idmap_add(struct idmap *m, struct idlink *l, uint64_t id);
void idmap_remove(struct idmap *m, struct idlink *l); /* if it is in it */
/* For going through all of them: the one after l, or the first (NULL). */
struct idlink *idmap_next(const struct idmap *m, const struct idlink *l);

/* Ids mostly come one after the other; the high bits of the product spread
 * those that don't, too. */
static inline size_t
idmap_bucket(const struct idmap *m, uint64_t id)
{
	return (id * 0x9e3779b97f4a7c15ULL) >> (64U - m->bits);
}

/* l and what is behind it in its chain: the first with that number. */
static inline struct idlink *
idmap_same(struct idlink *l, uint64_t id)
{
	while (l != NULL && l->id != id)
		l = l->next;
	return l;
}

static inline struct idlink *
idmap_find(const struct idmap *m, uint64_t id)
{
	return idmap_same(
	    m->buckets != NULL ? m->buckets[idmap_bucket(m, id)] : m->only, id);
}

#define IDMAP_ENTRY(l, type, member) CONTAINER_OF(l, type, member)

/* The element in hand may be removed or freed; no other may. */
#define IDMAP_FOREACH(l, tmp, map)                                             \
	for ((l) = idmap_next(map, NULL);                                      \
	     (l) != NULL && ((tmp) = idmap_next(map, l), true); (l) = (tmp))

#endif
