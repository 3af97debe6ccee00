/*
 * Operations that stand in a row and are alike, in one statement: to begin and
 * end one, and to open its trees, is a good part of what a single row costs.
 * Tasks mostly end in the order they came in, many within a millisecond.
 */

#include <string.h>

#include "supervisord/broker/sqlite/store_int.h"

static bool
is_simple_submit(const struct store_op *op)
{
	return op->kind == STORE_SUBMIT && op->row != NULL &&
	       op->row->id != 0 && row_is_simple(op->row);
}

/* INSERT_MANY of them; false: not so many, or they can't be stored together. */
static bool
submit_many(
    struct store *s, struct list *from, const struct list *batch, int *rc)
{
	const struct task_row *rows[INSERT_MANY];
	struct list *l = from;

	for (size_t i = 0; i < INSERT_MANY; i++, l = l->next) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (l == batch || !is_simple_submit(op))
			return false;
		rows[i] = op->row;
		op->error = QERR_NONE;
		op->existing = 0;
	}
	*rc = row_insert_many(&s->db, rows);
	return *rc == SQLITE_OK || db_is_fatal(*rc);
}

/* --- tasks that are done -------------------------------------------------- */

static bool
ends_alike(const struct task_change *a, const struct task_change *b)
{
	return a->fields == b->fields && a->attempts == b->attempts &&
	       a->started_ms == b->started_ms &&
	       a->finished_ms == b->finished_ms &&
	       a->expires_ms == b->expires_ms &&
	       strcmp(a->instance, b->instance) == 0 && row_is_done_only(b);
}

/* How many from `from` on are done alike, each id one more than the last. */
static size_t
run_of(struct list *from, const struct list *batch, struct store_op **ops)
{
	size_t n = 0;

	for (struct list *l = from; l != batch && n < DB_BATCH; l = l->next) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->kind != STORE_FINISH ||
		    op->change.id !=
			(n > 0 ? ops[0]->change.id + n : op->change.id) ||
		    !ends_alike(
			n > 0 ? &ops[0]->change : &op->change, &op->change))
			break;
		op->error = QERR_NONE;
		ops[n++] = op;
	}
	return n;
}

/* Puts the results of those the statement has changed. */
static int
put_results(struct db *db, struct store_op *const *ops, const bool *stored,
    size_t count)
{
	struct row_result r[RESULTS_MANY];
	int rc = SQLITE_OK;
	size_t n = 0;

	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		if (!stored[i] || ops[i]->result == NULL)
			continue;
		r[n++] = (struct row_result){ ops[i]->change.id, ops[i]->result,
			ops[i]->result_json };
		if (n == RESULTS_MANY) {
			rc = row_put_results(db, r);
			n = 0;
		}
	}
	for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
		rc = row_put_result(db, &r[i]);
	return rc;
}

/* Of a run all that are plain at once, the others after them. */
static size_t
finish_many(
    struct store *s, struct list *from, const struct list *batch, int *rc)
{
	struct store_op *ops[DB_BATCH];
	bool stored[DB_BATCH] = { false };
	size_t n = run_of(from, batch, ops);

	if (n < 2)
		return 0;
	*rc = row_done_many(&s->db, &ops[0]->change, n);
	for (size_t i = 0; *rc == SQLITE_OK && i < s->db.seen_count; i++)
		stored[(uint64_t)s->db.seen[i] - ops[0]->change.id] = true;
	if (*rc == SQLITE_OK)
		*rc = put_results(&s->db, ops, stored, n);
	for (size_t i = 0; *rc == SQLITE_OK && i < n; i++) {
		if (!stored[i])
			*rc = op_apply(s, ops[i]);
	}
	return n;
}

size_t
ops_many(struct store *s, struct list *from, const struct list *batch, int *rc)
{
	const struct store_op *op = LIST_ENTRY(from, struct store_op, link);

	if (op->kind == STORE_FINISH)
		return finish_many(s, from, batch, rc);
	if (op->kind == STORE_SUBMIT && submit_many(s, from, batch, rc))
		return INSERT_MANY;
	return 0;
}
