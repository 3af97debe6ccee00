#ifndef BROKER_STORES_H
#define BROKER_STORES_H

/*
 * The two stores of a broker: the local one (store.h), and beside it, where a
 * worker asks for it, the one that several supervisords share
 * (redis/shared.h). A task's id tells which has it.
 */

#include "supervisord/broker/broker.h"
#include "supervisord/broker/redis/shared.h"

static inline bool
id_shared(uint64_t id)
{
	return id >= SHARED_ID_FIRST;
}

/* To the store that the operation is for. One for a shared store that is not
 * there is the local one's: it knows of no such task. */
void stores_add(struct broker *b, struct store_op *op);
/* 0: there is none to be had now. */
uint64_t stores_new_id(struct broker *b, bool shared);
#endif
