/* Tasks out of the tables: what a SELECT of SQL_SHORT or SQL_WHOLE gives. */

#include "supervisord/broker/sqlite/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of payloads that are read at once. */
#define BYTES_MOST ((size_t)8 << 20)

static bool
text_of(sqlite3_stmt *stmt, int column, char **ret)
{
	const void *text;

	if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
		return true;
	text = sqlite3_column_text(stmt, column);
	*ret = text != NULL ? strdup(text) : NULL;
	return *ret != NULL;
}

static bool
body_of(sqlite3_stmt *stmt, int column, struct body **ret)
{
	const void *data = sqlite3_column_blob(stmt, column);
	int size = sqlite3_column_bytes(stmt, column);

	*ret = body_new(data, data != NULL ? (size_t)size : 0);
	return *ret != NULL;
}

static int
payload_apart(struct db *db, struct task_row *row)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_BODY_GET, &rc);
	bool ok = true;

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		ok = body_of(stmt, 0, &row->payload);
	rc = db_end(db, stmt, rc);
	return ok ? rc : SQLITE_NOMEM;
}

static bool
read_extra(sqlite3_stmt *stmt, struct task_row *row)
{
	int c = 0;

	row->parent = (uint64_t)sqlite3_column_int64(stmt, c++);
	row->group = (uint64_t)sqlite3_column_int64(stmt, c++);
	row->schedule = (uint32_t)sqlite3_column_int64(stmt, c++);
	row->fire_ms = sqlite3_column_int64(stmt, c++);
	row->failures = (uint32_t)sqlite3_column_int64(stmt, c++);
	row->crashes = (uint32_t)sqlite3_column_int64(stmt, c++);
	row->victims = (uint32_t)sqlite3_column_int64(stmt, c++);
	row->missed = (uint32_t)sqlite3_column_int64(stmt, c++);
	return text_of(stmt, c, &row->key) &&
	       text_of(stmt, c + 1, &row->limit_key) &&
	       text_of(stmt, c + 2, &row->error) &&
	       text_of(stmt, c + 3, &row->words) &&
	       text_of(stmt, c + 4, &row->then);
}

static int
extra_of(struct db *db, struct task_row *row)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_EXTRA_GET, &rc);
	bool ok = true;

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		ok = read_extra(stmt, row);
	rc = db_end(db, stmt, rc);
	return ok ? rc : SQLITE_NOMEM;
}

static void
read_numbers(sqlite3_stmt *stmt, struct task_row *row)
{
	int c = 2;

	row->state = (uint8_t)sqlite3_column_int(stmt, c++);
	row->priority = (uint8_t)sqlite3_column_int(stmt, c++);
	row->rank = sqlite3_column_int64(stmt, c++);
	row->due_ms = sqlite3_column_int64(stmt, c++);
	row->created_ms = sqlite3_column_int64(stmt, c++);
	row->started_ms = sqlite3_column_int64(stmt, c++);
	row->finished_ms = sqlite3_column_int64(stmt, c++);
	row->expires_ms = sqlite3_column_int64(stmt, c++);
	row->timeout_ms = sqlite3_column_int64(stmt, c++);
	row->result_ttl_ms = sqlite3_column_int64(stmt, c++);
	row->retries = sqlite3_column_int(stmt, c++);
	row->attempts = (uint32_t)sqlite3_column_int64(stmt, c);
	/* Held until its group is over. */
	if (row->expires_ms < 0)
		row->expires_ms = 0;
	/* A damaged or foreign hand's state would index arrays. */
	if (row->state >= TASK_STATES)
		row->state = TASK_DEAD;
	if (row->priority >= PRIORITIES)
		row->priority = PRIORITY_LOW;
}

int
row_read(struct db *db, sqlite3_stmt *stmt, struct task_row *row, bool whole)
{
	enum {
		FORM = 14,
		FUNC,
		INSTANCE,
		PAYLOAD
	};

	int form = sqlite3_column_int(stmt, FORM);
	const void *instance = sqlite3_column_text(stmt, INSTANCE);
	bool ok;
	int rc = SQLITE_OK;

	row->id = (uint64_t)sqlite3_column_int64(stmt, 0);
	snprintf(row->worker, sizeof row->worker, "%s",
	    db_pool_name(db, sqlite3_column_int64(stmt, 1)));
	read_numbers(stmt, row);
	row->json = (form & FORM_JSON) != 0;
	snprintf(row->instance, sizeof row->instance, "%s",
	    instance != NULL ? (const char *)instance : "");
	ok = text_of(stmt, FUNC, &row->func);
	if (ok && whole && sqlite3_column_type(stmt, PAYLOAD) != SQLITE_NULL)
		ok = body_of(stmt, PAYLOAD, &row->payload);
	if (!ok)
		return SQLITE_NOMEM;
	if ((form & FORM_EXTRA) != 0)
		rc = extra_of(db, row);
	if (rc == SQLITE_OK && whole && (form & FORM_APART) != 0)
		rc = payload_apart(db, row);
	return rc;
}

int
rows_read(struct db *db, sqlite3_stmt *stmt, bool whole, struct task_row **rows,
    size_t *count, bool *ret_more)
{
	size_t bytes = 0;
	int rc, r = SQLITE_OK;

	while (r == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct task_row *row = task_rows_add(rows, count);

		r = row != NULL ? row_read(db, stmt, row, whole) : SQLITE_NOMEM;
		if (ret_more == NULL || r != SQLITE_OK || row->payload == NULL)
			continue;
		bytes += row->payload->size;
		if (bytes >= BYTES_MOST) {
			*ret_more = true;
			break;
		}
	}
	if (r != SQLITE_OK) {
		sqlite3_reset(stmt);
		return r;
	}
	return db_end(db, stmt, rc);
}

int
row_get(struct db *db, uint64_t id, struct task_row *row, bool *ret_found)
{
	int rc, r = SQLITE_OK;
	sqlite3_stmt *stmt = db_sql(db, SQL_GET, &rc);

	*ret_found = false;
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*ret_found = true;
		r = row_read(db, stmt, row, true);
	}
	rc = db_end(db, stmt, rc);
	return rc != SQLITE_OK ? rc : r;
}

int
row_result(struct db *db, struct task_row *row)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_RESULT_GET, &rc);
	bool ok = true;

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		row->result_json = sqlite3_column_int(stmt, 0) != 0;
		ok = body_of(stmt, 1, &row->result);
	}
	rc = db_end(db, stmt, rc);
	return ok ? rc : SQLITE_NOMEM;
}

/* --- what people ask ------------------------------------------------------ */

static int
answer_task(struct db *db, struct store_op *op)
{
	struct task_row *row = task_rows_add(&op->rows, &op->count);
	bool found;
	int rc;

	if (row == NULL)
		return SQLITE_NOMEM;
	rc = row_get(db, op->change.id, row, &found);
	if (rc == SQLITE_OK && found)
		rc = row_result(db, row);
	if (rc == SQLITE_OK && !found) {
		op->count = 0;
		op->error = QERR_NO_TASK;
	}
	return rc;
}

static int
list(struct db *db, struct store_op *op, enum sql which, int64_t pool)
{
	int64_t before = op->after_id != 0 && op->after_id <= INT64_MAX
			     ? (int64_t)op->after_id
			     : INT64_MAX;
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, before);
	sqlite3_bind_int64(stmt, 2, op->limit);
	if (which != SQL_LIST_ALL)
		sqlite3_bind_int64(stmt, 3, pool);
	return rows_read(db, stmt, false, &op->rows, &op->count, NULL);
}

static int
newest_first(const void *a, const void *b)
{
	const struct task_row *x = a, *y = b;

	return x->id < y->id ? 1 : x->id > y->id ? -1 : 0;
}

static int
answer_list(struct db *db, struct store_op *op)
{
	const uint32_t all = (1U << TASK_STATES) - 1;
	uint32_t states = op->states != 0 ? op->states & all : all;
	int64_t pool = 0;
	int rc = SQLITE_OK;

	if (op->worker[0] != '\0') {
		rc = db_pool_id(db, op->worker, false, &pool);
		if (rc != SQLITE_OK || pool == 0)
			return rc; /* never had a task */
	}
	if (pool == 0 && states == all)
		return list(db, op, SQL_LIST_ALL, 0);
	for (int s = 0; s < TASK_STATES && rc == SQLITE_OK; s++)
		if ((states & (1U << s)) != 0)
			rc =
			    list(db, op, (enum sql)(SQL_LIST_QUEUED + s), pool);
	if (op->count > 1)
		qsort(op->rows, op->count, sizeof *op->rows, newest_first);
	while (op->count > op->limit)
		task_row_done(&op->rows[--op->count]);
	return rc;
}

int
read_answer(struct db *db, struct store_op *op)
{
	return op->kind == STORE_TASK ? answer_task(db, op)
				      : answer_list(db, op);
}
