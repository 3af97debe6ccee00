#include "supervisord/broker/stores.h"

void
stores_add(struct broker *b, struct store_op *op)
{
	if (op->shared && b->shared != NULL)
		shared_add(b->shared, op);
	else
		store_add(b->store, op);
}

uint64_t
stores_new_id(struct broker *b, bool shared)
{
	if (!shared)
		return store_new_id(b->store);
	return b->shared != NULL ? shared_new_id(b->shared) : 0;
}
