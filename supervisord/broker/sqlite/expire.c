/* The end of results: tasks whose time has come are deleted, with all that
 * belongs to them. */

#include <stdio.h>
#include <string.h>

#include "supervisord/broker/sqlite/store_int.h"

#define LIMIT_MOST 10000

/* Into op->rows: which. Their form is kept in retries for the moment. */
static int
find(struct db *db, struct store_op *op, int64_t pool, int state, size_t limit)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_EXPIRED, &rc);
	struct task_row *row = NULL;

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, pool);
	sqlite3_bind_int(stmt, 2, state);
	sqlite3_bind_int64(stmt, 3, op->now_ms);
	sqlite3_bind_int64(stmt, 4, (int64_t)(limit - op->count));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW &&
	       (row = task_rows_add(&op->rows, &op->count)) != NULL) {
		row->id = (uint64_t)sqlite3_column_int64(stmt, 0);
		row->retries = sqlite3_column_int(stmt, 1);
		row->state = (uint8_t)state;
		snprintf(row->worker, sizeof row->worker, "%s",
		    db_pool_name(db, pool));
	}
	if (rc == SQLITE_ROW) {
		sqlite3_reset(stmt);
		return SQLITE_NOMEM;
	}
	return db_end(db, stmt, rc);
}

/* The batch of `ended` whose time has come first. n 0: there is none. */
struct batch {
	int64_t n, pool, expires_ms;
	struct body *ids;
};

static int
next_batch(struct db *db, int64_t now_ms, struct batch *b)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_ENDED_NEXT, &rc);
	const void *ids;
	bool ok = true;

	*b = (struct batch){ 0 };
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, now_ms);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		b->n = sqlite3_column_int64(stmt, 0);
		b->pool = sqlite3_column_int64(stmt, 1);
		b->expires_ms = sqlite3_column_int64(stmt, 2);
		ids = sqlite3_column_blob(stmt, 3);
		b->ids = body_new(ids, (size_t)sqlite3_column_bytes(stmt, 3));
		ok = b->ids != NULL;
	}
	rc = db_end(db, stmt, rc);
	return ok ? rc : SQLITE_NOMEM;
}

/* Its first `taken` have been seen to. */
static int
cut_batch(struct db *db, const struct batch *b, size_t taken)
{
	size_t left = b->ids->size / sizeof(int64_t) - taken;
	int rc;
	sqlite3_stmt *stmt =
	    db_sql(db, left > 0 ? SQL_ENDED_CUT : SQL_ENDED_DROP, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, b->n);
	if (left > 0) {
		sqlite3_bind_int64(stmt, 2, (int64_t)left);
		sqlite3_bind_blob64(stmt, 3,
		    b->ids->data + taken * sizeof(int64_t),
		    left * sizeof(int64_t), SQLITE_STATIC);
	}
	return db_run(db, stmt);
}

/* One of a batch, if it is still as it was then. */
static int
find_ended(
    struct db *db, struct store_op *op, const struct batch *b, int64_t id)
{
	struct task_row *row;
	int form = -1, rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_ENDED_FORM, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, b->expires_ms);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		form = sqlite3_column_int(stmt, 0);
	rc = db_end(db, stmt, rc);
	if (rc != SQLITE_OK || form < 0)
		return rc;
	row = task_rows_add(&op->rows, &op->count);
	if (row == NULL)
		return SQLITE_NOMEM;
	row->id = (uint64_t)id;
	row->retries = form;
	row->state = TASK_DONE;
	snprintf(
	    row->worker, sizeof row->worker, "%s", db_pool_name(db, b->pool));
	return SQLITE_OK;
}

static int
find_batches(struct db *db, struct store_op *op, size_t limit)
{
	struct batch b;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && op->count < limit) {
		size_t i = 0;

		rc = next_batch(db, op->now_ms, &b);
		if (rc != SQLITE_OK || b.n == 0)
			break;
		for (; rc == SQLITE_OK && op->count < limit &&
		       (i + 1) * sizeof(int64_t) <= b.ids->size;
		     i++) {
			int64_t id;

			memcpy(&id, b.ids->data + i * sizeof id, sizeof id);
			rc = find_ended(db, op, &b, id);
		}
		if (rc == SQLITE_OK)
			rc = cut_batch(db, &b, i);
		body_release(b.ids);
	}
	return rc;
}

static size_t
limit_of(const struct store_op *op)
{
	return op->limit > 0 && op->limit < LIMIT_MOST ? op->limit : LIMIT_MOST;
}

static int
find_all(struct db *db, struct store_op *op, size_t limit)
{
	int rc = SQLITE_OK;
	sqlite3_stmt *pools = db_sql(db, SQL_POOLS, &rc);

	if (pools == NULL)
		return rc;
	while (rc == SQLITE_OK && op->count < limit &&
	       (rc = sqlite3_step(pools)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		for (int state = TASK_DONE;
		     state < TASK_STATES && op->count < limit &&
		     rc == SQLITE_OK;
		     state++)
			rc = find(db, op, sqlite3_column_int64(pools, 0), state,
			    limit);
	}
	sqlite3_reset(pools);
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		return rc;
	return find_batches(db, op, limit);
}

static int
drop_all(struct db *db, uint64_t id, int form)
{
	int rc = SQLITE_OK;

	if ((form & FORM_KEY) != 0)
		rc = db_run_id(db, SQL_KEY_DROP, id);
	if (rc == SQLITE_OK && (form & FORM_FIRE) != 0)
		rc = db_run_id(db, SQL_FIRE_DROP, id);
	if (rc == SQLITE_OK && (form & FORM_APART) != 0)
		rc = db_run_id(db, SQL_BODY_DROP, id);
	if (rc == SQLITE_OK && (form & FORM_EXTRA) != 0)
		rc = db_run_id(db, SQL_EXTRA_DROP, id);
	if (rc == SQLITE_OK)
		rc = db_run_id(db, SQL_RESULT_DROP, id);
	return rc == SQLITE_OK ? db_run_id(db, SQL_DROP, id) : rc;
}

int
expire(struct store *s, struct store_op *op)
{
	size_t limit = limit_of(op);
	int rc = find_all(&s->db, op, limit);

	op->more = op->count == limit;
	for (size_t i = 0; i < op->count && rc == SQLITE_OK; i++) {
		struct task_row *row = &op->rows[i];

		rc = drop_all(&s->db, row->id, row->retries);
		row->retries = 0;
	}
	if (rc == SQLITE_OK)
		rc = db_soonest(&s->db, TASK_DONE, TASK_DEAD, &op->next_due_ms);
	return rc;
}
