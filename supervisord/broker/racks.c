/*
 * Which hand gets the next task, without looking at all of them: hands are kept
 * in buckets by the number of their idle threads. The one with the most of them
 * comes first, so that work is spread.
 */

#include "supervisord/broker/core_int.h"

#define EXACT 48

void
rack_init(struct rack *r)
{
	r->bits = 0;
	for (size_t i = 0; i < RACK_BUCKETS; i++)
		list_init(&r->bucket[i]);
}

/* Exact up to EXACT, then by octaves. n > 0. */
static unsigned
bucket_of(uint32_t n)
{
	unsigned octave;

	if (n < EXACT)
		return n;
	octave = 31U - (unsigned)__builtin_clz(n / EXACT);
	return MIN_OF(EXACT + octave, RACK_BUCKETS - 1);
}

static void
rack_add(struct rack *r, struct hand *h, uint32_t n)
{
	unsigned i = bucket_of(n);

	list_append(&r->bucket[i], &h->pool_link);
	r->bits |= 1ULL << i;
}

void
rack_place(struct pool *p, struct hand *h)
{
	list_remove(&h->pool_link);
	if (h->closed)
		list_append(&p->closed, &h->pool_link);
	else if (h->alone || p->reserved == h)
		list_append(&p->full, &h->pool_link);
	else if (h->held < h->threads)
		rack_add(&p->idle, h, h->threads - h->held);
	else if (h->held < h->threads + h->prefetch)
		rack_add(&p->room, h, h->threads + h->prefetch - h->held);
	else
		list_append(&p->full, &h->pool_link);
}

struct hand *
rack_first(struct rack *r)
{
	while (r->bits != 0) {
		unsigned i = 63U - (unsigned)__builtin_clzll(r->bits);

		if (!list_empty(&r->bucket[i]))
			return LIST_ENTRY(
			    r->bucket[i].next, struct hand, pool_link);
		r->bits &= ~(1ULL << i);
	}
	return NULL;
}

static void
each_of(struct list *head, void (*each)(struct hand *h, void *arg), void *arg)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, head) {
		each(LIST_ENTRY(l, struct hand, pool_link), arg);
	}
}

void
rack_each(struct pool *p, void (*each)(struct hand *h, void *arg), void *arg)
{
	for (size_t i = 0; i < RACK_BUCKETS; i++) {
		each_of(&p->idle.bucket[i], each, arg);
		each_of(&p->room.bucket[i], each, arg);
	}
	each_of(&p->full, each, arg);
	each_of(&p->closed, each, arg);
}
