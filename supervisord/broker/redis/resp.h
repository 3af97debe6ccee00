#ifndef BROKER_REDIS_RESP_H
#define BROKER_REDIS_RESP_H

/* A command for Redis as it goes over the wire, put together piece by piece. */

#include <stdint.h>

#include "supervisord/base/buf.h"

struct resp {
	struct buf b; /* room for the head, then the pieces */
	unsigned count;
	const char *text; /* after resp_end */
	size_t size;
};

void resp_begin(struct resp *r);
void resp_add(struct resp *r, const void *data, size_t size);
void resp_str(struct resp *r, const char *s); /* NULL: "" */
void resp_int(struct resp *r, int64_t n);
void resp_uint(struct resp *r, uint64_t n);
bool resp_end(struct resp *r); /* false: no memory */
void resp_done(struct resp *r);

#endif
