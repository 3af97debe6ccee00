#ifndef STATE_ROWS_H
#define STATE_ROWS_H

/*
 * A row on its way to the writer, and the queue of them. A row is one block of
 * memory: its values are in the order of its statement's parameters (rows.def)
 * and its texts stand behind them.
 *
 * The queue has no lock of its own. Of an instance or a fact only the newest
 * row waits (a key has at most one), so that part is as small as the fleet;
 * events and exits are bounded, the oldest go first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/list.h"

enum row_kind {
#define ROW(NAME, parameters, sql, select) ROW_##NAME,
#include "state/rows.def"
#undef ROW
	ROW_KINDS
};

enum value_type {
	VALUE_NULL,
	VALUE_INT,
	VALUE_TEXT
};

struct value {
	enum value_type type;

	union {
		int64_t n;
		const char *text;
	} as;
};

struct row {
	struct list link;
	struct row *next_in_bucket;
	uint32_t bytes; /* of the whole block */
	uint16_t kind;
	uint16_t count;
	struct value v[];
};

/* A copy of the values; NULL when there is no memory. */
struct row *row_new(enum row_kind kind, const struct value *v, size_t count);

#define QUEUE_BUCKETS 1024
#define QUEUE_BYTES   ((size_t)32 << 20) /* most memory for events and exits */

struct queue {
	struct list keyed;   /* instances, facts, incarnations */
	struct list history; /* events, exits */
	struct row *bucket[QUEUE_BUCKETS];
	size_t waiting; /* rows in history */
	size_t waiting_bytes;
};

void queue_init(struct queue *q);
bool queue_empty(const struct queue *q);
/* Takes the row. Returns how many old rows it had to let go for it. */
size_t queue_add(struct queue *q, struct row *row, size_t most);
/* Moves everything into `to`, which must be empty. */
void queue_move(struct queue *q, struct queue *to);
void queue_free_rows(struct queue *q);

#endif
