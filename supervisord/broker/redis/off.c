/* Built without hiredis: there is no shared store. */

#include <errno.h>

#include "supervisord/broker/redis/shared.h"

#ifndef WITH_HIREDIS

bool
shared_built(void)
{
	return false;
}

int
shared_start(struct ev_loop *loop, const struct shared_options *options,
    struct shared **ret)
{
	(void)loop;
	(void)options;
	*ret = NULL;
	return -ENOTSUP;
}

void
shared_worker(struct shared *s, const char *worker, bool on)
{
	(void)s;
	(void)worker;
	(void)on;
}

void
shared_watch(struct shared *s, uint64_t id, bool on)
{
	(void)s;
	(void)id;
	(void)on;
}

void
shared_add(struct shared *s, struct store_op *op)
{
	(void)s;
	(void)op;
}

void
shared_flush(struct shared *s)
{
	(void)s;
}

uint64_t
shared_new_id(struct shared *s)
{
	(void)s;
	return 0;
}

bool
shared_leased(const struct shared *s)
{
	(void)s;
	return false;
}

size_t
shared_backlog(const struct shared *s)
{
	(void)s;
	return 0;
}

void
shared_stop(struct shared *s, bool leave)
{
	(void)s;
	(void)leave;
}

#endif
