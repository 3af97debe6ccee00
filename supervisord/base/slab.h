#ifndef BASE_SLAB_H
#define BASE_SLAB_H

/*
 * Things of one size that come and go by the thousand: what is given back is
 * kept for the next one. malloc's quick lists are short, and calloc does not
 * look into them. A slab is of one thread. Not under the address sanitizer,
 * which is to see each use of what was freed.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct slab {
	size_t size;
	uint32_t most; /* kept; more than these are freed */
	uint32_t count;
	void *first; /* each begins with the address of the next */
};

#ifdef __SANITIZE_ADDRESS__
#define SLAB(type, most)                                                       \
	{                                                                      \
		sizeof(type), 0, 0, NULL                                       \
	}
#else
#define SLAB(type, most)                                                       \
	{                                                                      \
		sizeof(type), most, 0, NULL                                    \
	}
#endif

/* Zeroed; NULL: no memory. */
static inline void *
slab_take(struct slab *s)
{
	void *p = s->first;

	if (p == NULL)
		return calloc(1, s->size);
	memcpy(&s->first, p, sizeof s->first);
	s->count--;
	return memset(p, 0, s->size);
}

static inline void
slab_give(struct slab *s, void *p)
{
	if (s->count >= s->most) {
		free(p);
		return;
	}
	memcpy(p, &s->first, sizeof s->first);
	s->first = p;
	s->count++;
}

#endif
