#include "supervisord/base/idmap.h"

#include <stdlib.h>

#define FIRST_BITS 6

static struct idlink **
chain_of(struct idmap *m, uint64_t id)
{
	return m->buckets != NULL ? &m->buckets[idmap_bucket(m, id)] : &m->only;
}

static void
put(struct idmap *m, struct idlink *l)
{
	struct idlink **chain = chain_of(m, l->id);

	l->next = *chain;
	*chain = l;
}

static void
move_chain(struct idlink *l, struct idmap *to)
{
	struct idlink *next;

	for (; l != NULL; l = next) {
		next = l->next;
		put(to, l);
	}
}

static size_t
buckets_count(const struct idmap *m)
{
	return m->buckets != NULL ? (size_t)1 << m->bits : 0;
}

static void
grow(struct idmap *m)
{
	struct idmap wider = { .count = m->count,
		.bits = m->buckets != NULL ? m->bits + 1 : FIRST_BITS };

	wider.buckets = calloc((size_t)1 << wider.bits, sizeof *wider.buckets);
	if (wider.buckets == NULL)
		return;
	for (size_t i = 0; i < buckets_count(m); i++)
		move_chain(m->buckets[i], &wider);
	move_chain(m->only, &wider);
	free(m->buckets);
	*m = wider;
}

void
idmap_done(struct idmap *m)
{
	free(m->buckets);
	*m = (struct idmap){ 0 };
}

void
idmap_add(struct idmap *m, struct idlink *l, uint64_t id)
{
	if (id == 0)
		return;
	if (m->count >= buckets_count(m))
		grow(m);
	l->id = id;
	put(m, l);
	m->count++;
}

void
idmap_remove(struct idmap *m, struct idlink *l)
{
	struct idlink **at;

	if (l->id == 0)
		return;
	for (at = chain_of(m, l->id); *at != l; at = &(*at)->next)
		continue;
	*at = l->next;
	*l = (struct idlink){ 0 };
	m->count--;
}

struct idlink *
idmap_next(const struct idmap *m, const struct idlink *l)
{
	size_t i = 0;

	if (l != NULL && l->next != NULL)
		return l->next;
	if (m->buckets == NULL)
		return l == NULL ? m->only : NULL;
	if (l != NULL)
		i = idmap_bucket(m, l->id) + 1;
	while (i < buckets_count(m) && m->buckets[i] == NULL)
		i++;
	return i < buckets_count(m) ? m->buckets[i] : NULL;
}
