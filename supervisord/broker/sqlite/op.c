#include <stdlib.h>

#include "supervisord/base/slab.h"
#include "supervisord/broker/store.h"

/* The loop's: nobody else makes or frees one. */
static struct slab ops = SLAB(struct store_op, 4096);

struct store_op *
store_op_new(enum store_kind kind)
{
	struct store_op *op = slab_take(&ops);

	if (op == NULL)
		return NULL;
	op->kind = kind;
	list_init(&op->link);
	return op;
}

static void
free_rows(struct task_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		task_row_done(&rows[i]);
	free(rows);
}

void
store_op_free(struct store_op *op)
{
	if (op == NULL)
		return;
	free(op->change.error);
	free(op->change.words);
	if (op->row != NULL) {
		task_row_done(op->row);
		free(op->row);
	}
	body_release(op->result);
	free(op->text);
	free(op->limits);
	free_rows(op->rows, op->count);
	free_rows(op->follow, op->follow_count);
	free(op->ids);
	slab_give(&ops, op);
}

void
store_found_done(struct store_found *found)
{
	free(found->pools);
	free(found->schedules);
	free_rows(found->running, found->running_count);
	*found = (struct store_found){ 0 };
}
