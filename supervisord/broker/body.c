#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/task.h"

struct body *
body_new(const void *data, size_t size)
{
	struct body *b;

	if (size > UINT32_MAX - sizeof *b - 1)
		return NULL;
	b = malloc(sizeof *b + size + 1);
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
	if (b != NULL && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(b);
}
