#include <stdlib.h>
#include <string.h>

#include "supervisord/base/slab.h"
#include "supervisord/broker/task.h"

/* Most arguments and results are short, and live too long for malloc's quick
 * lists. One may be made by one thread and released by another: each keeps what
 * it has released. */
struct small {
	struct body body;
	char data[120];
};

static __thread struct slab smalls = SLAB(struct small, 1024);

static bool
is_small(size_t size)
{
	return size < sizeof(struct small) - sizeof(struct body);
}

struct body *
body_new(const void *data, size_t size)
{
	struct body *b;

	if (size > UINT32_MAX - sizeof *b - 1)
		return NULL;
	b = is_small(size) ? slab_take(&smalls) : malloc(sizeof *b + size + 1);
	if (b == NULL)
		return NULL;
	b->refs = 1;
	b->size = (uint32_t)size;
	if (data != NULL && size > 0)
		memcpy(b->data, data, size);
	b->data[size] = '\0';
	return b;
}

struct body *
body_hold(struct body *b)
{
	if (b != NULL)
		__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void
body_release(struct body *b)
{
	if (b == NULL || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (is_small(b->size))
		slab_give(&smalls, b);
	else
		free(b);
}
