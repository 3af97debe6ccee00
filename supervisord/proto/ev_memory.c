#include "supervisord/proto/ev_memory.h"

#include <ev.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"

#define RESERVE (1U << 20)

/* Lies before each piece of the reserve; what malloc gives is aligned so. */
struct piece {
	_Alignas(16) size_t size;
};

/* Costs nothing before it is needed. Pieces are cut off it one after the other
 * and not given back: an array that has grown grows no more for long. */
static _Alignas(16) char reserve[RESERVE];
static size_t used; /* atomic: each loop may have a thread of its own */

static bool
is_piece(const void *p)
{
	const char *at = p;

	return at >= reserve && at < reserve + RESERVE;
}

static size_t
size_of(void *p)
{
	return is_piece(p) ? ((struct piece *)p - 1)->size
			   : malloc_usable_size(p);
}

static void *
cut_off(size_t size)
{
	size_t whole = sizeof(struct piece) + (size + 15) / 16 * 16;
	size_t at = __atomic_fetch_add(&used, whole, __ATOMIC_RELAXED);
	struct piece *p = (void *)(reserve + at);

	if (at > RESERVE || whole > RESERVE - at) {
		log_error("no memory for the event loop, its reserve is used "
			  "up: the end");
		return NULL;
	}
	log_error("no memory for the event loop: its reserve is used");
	p->size = size;
	return p + 1;
}

static void
give_back(void *p)
{
	if (!is_piece(p))
		free(p);
}

static void *
resize(void *old, long wanted)
{
	size_t size = (size_t)wanted;
	void *p = NULL;

	if (size == 0) {
		give_back(old);
		return NULL;
	}
	if (!is_piece(old))
		p = realloc(old, size);
	if (p != NULL)
		return p;
	if (is_piece(old))
		p = malloc(size);
	if (p == NULL)
		p = cut_off(size);
	if (p != NULL && old != NULL) {
		memcpy(p, old, MIN_OF(size, size_of(old)));
		give_back(old);
	}
	return p;
}

void
ev_memory_setup(void)
{
	ev_set_allocator(resize);
}
