#ifndef BROKER_LINES_H
#define BROKER_LINES_H

/*
 * The worker protocol as JSON lines: one object a line, in and out. What a
 * worker says comes out as the same struct for either framing. Nothing here
 * does I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/buf.h"
#include "supervisord/broker/task.h"
#include "supervisord/proto/wire.h"

/* What a worker has said. */
struct said {
	enum wire_type type;
	uint64_t id;
	uint16_t thread;
	bool json;      /* DONE: data is JSON */
	bool for_good;  /* FAILED */
	bool more;      /* DONE, FAILED: pieces follow */
	bool later;     /* it is not the first of them */
	uint32_t share; /* PROGRESS */
	/* DONE: the result; FAILED, PROGRESS: text; HELLO: JSON; SYNC: ids, u64
	 * little-endian each. Borrowed from what was parsed, or from own. */
	const char *data;
	size_t size;
	struct buf own, line; /* line: what was parsed, mended */
};

/*
 * Parses one line (without its newline), which must stay as long as ret is
 * used; said_done frees. A surrogate that stands alone in an escape is taken
 * for U+FFFD: Python writes file names that are no UTF-8 with such. 0; -EINVAL:
 * no JSON object; -EPROTO: one that says nothing of the protocol, or says it
 * wrongly; -ENOMEM.
 */
int lines_parse(const char *line, size_t size, struct said *ret);
void said_done(struct said *s);

/* Appends a line: a task; a message that is an id under a key ("cancel"). */
void lines_task(struct buf *out, const struct task_row *row, uint32_t attempt);
void lines_id(struct buf *out, const char *key, uint64_t id);

#endif
