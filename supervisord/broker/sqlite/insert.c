/* New tasks into the tables. */

#include <string.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/rows.h"

static int
find(struct db *db, enum sql which, int64_t a, int64_t b, const char *key,
    uint64_t *ret_id, uint8_t *ret_state)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, a);
	if (key != NULL)
		sqlite3_bind_text(stmt, 2, key, -1, SQLITE_STATIC);
	else
		sqlite3_bind_int64(stmt, 2, b);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*ret_id = (uint64_t)sqlite3_column_int64(stmt, 0);
		if (key != NULL)
			*ret_state = (uint8_t)sqlite3_column_int(stmt, 1);
	}
	return db_end(db, stmt, rc);
}

static bool
is_apart(const struct task_row *row)
{
	return row->payload != NULL && row->payload->size > PAYLOAD_INLINE;
}

/* A task that is done without it would be one of `ended`. */
static bool
has_extra(const struct task_row *row)
{
	return row->key != NULL || row->limit_key != NULL ||
	       row->then != NULL || row->parent != 0 || row->group != 0 ||
	       row->schedule != 0 || row->fire_ms != 0 || row->failures != 0 ||
	       row->crashes != 0 || row->victims != 0 || row->error != NULL ||
	       row->words != NULL || row->state == TASK_DONE;
}

/* What tasks that come in together mostly have in common, from parameter `at`
 * on; returns the next one. */
static int
bind_common(
    sqlite3_stmt *stmt, int at, const struct task_row *row, int64_t pool)
{
	const int64_t n[] = { pool, row->priority, row->rank, row->created_ms,
		row->timeout_ms, row->result_ttl_ms, row->retries,
		(row->json ? FORM_JSON : 0) | (is_apart(row) ? FORM_APART : 0) |
		    (row->key != NULL ? FORM_KEY : 0) |
		    (row->schedule != 0 ? FORM_FIRE : 0) |
		    (has_extra(row) ? FORM_EXTRA : 0) };

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at++, n[i]);
	row_bind_text(stmt, at++, row->func);
	return at;
}

/* What a new task has. */
static int
bind_row(sqlite3_stmt *stmt, int at, const struct task_row *row, int64_t pool)
{
	sqlite3_bind_int64(stmt, at++, (int64_t)row->id);
	at = bind_common(stmt, at, row, pool);
	row_bind_body(stmt, at++, is_apart(row) ? NULL : row->payload);
	return at;
}

/* What it has who is not new. */
static void
bind_rest(sqlite3_stmt *stmt, int at, const struct task_row *row)
{
	const int64_t n[] = { row->due_ms, row->state, row->started_ms,
		row->finished_ms, row->expires_ms, row->attempts };

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at++, n[i]);
	row_bind_text(stmt, at, row->instance);
}

static int
put_extra(struct db *db, const struct task_row *row)
{
	const int64_t n[] = { (int64_t)row->id, (int64_t)row->parent,
		(int64_t)row->group, row->schedule, row->fire_ms, row->failures,
		row->crashes, row->victims, row->missed };
	int at = 1, rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_EXTRA_PUT, &rc);

	if (stmt == NULL)
		return rc;
	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at++, n[i]);
	row_bind_text(stmt, at++, row->key);
	row_bind_text(stmt, at++, row->limit_key);
	row_bind_text(stmt, at++, row->error);
	row_bind_text(stmt, at++, row->words);
	row_bind_text(stmt, at, row->then);
	return db_run(db, stmt);
}

static int
put_apart(struct db *db, const struct task_row *row)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_BODY_PUT, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	row_bind_body(stmt, 2, row->payload);
	return db_run(db, stmt);
}

/* The tables in which it is found again. */
static int
put_index(struct db *db, enum sql which, int64_t a, int64_t b, const char *key,
    int64_t id)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, a);
	if (key != NULL)
		sqlite3_bind_text(stmt, 2, key, -1, SQLITE_STATIC);
	else
		sqlite3_bind_int64(stmt, 2, b);
	sqlite3_bind_int64(stmt, 3, id);
	return db_run(db, stmt);
}

static int
put_indices(struct db *db, const struct task_row *row, int64_t pool)
{
	int64_t id = (int64_t)row->id;
	int rc = SQLITE_OK;

	if (row->key != NULL)
		rc = put_index(db, SQL_KEY_NEW, pool, 0, row->key, id);
	if (rc == SQLITE_OK && row->schedule != 0)
		rc = put_index(
		    db, SQL_FIRE_NEW, row->schedule, row->fire_ms, NULL, id);
	return rc;
}

static int
insert(struct db *db, const struct task_row *row, int64_t pool)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_INSERT, &rc);

	if (stmt == NULL)
		return rc;
	bind_rest(stmt, bind_row(stmt, 1, row, pool), row);
	rc = db_run(db, stmt);
	if (rc == SQLITE_OK && has_extra(row))
		rc = put_extra(db, row);
	if (rc == SQLITE_OK && is_apart(row))
		rc = put_apart(db, row);
	return rc == SQLITE_OK ? put_indices(db, row, pool) : rc;
}

bool
row_is_simple(const struct task_row *row)
{
	return row->state == TASK_QUEUED && row->due_ms == 0 &&
	       row->started_ms == 0 && row->finished_ms == 0 &&
	       row->expires_ms == 0 && row->attempts == 0 &&
	       row->instance[0] == '\0' && !has_extra(row) && !is_apart(row);
}

static bool
is_alike(const struct task_row *a, const struct task_row *b)
{
	return a->priority == b->priority && a->rank == b->rank &&
	       a->created_ms == b->created_ms &&
	       a->timeout_ms == b->timeout_ms &&
	       a->result_ttl_ms == b->result_ttl_ms &&
	       a->retries == b->retries && a->json == b->json &&
	       a->func != NULL && b->func != NULL &&
	       strcmp(a->func, b->func) == 0 &&
	       strcmp(a->worker, b->worker) == 0;
}

/* Bound once for all of them: that is a good part of what is left. */
static int
insert_alike(struct db *db, const struct task_row *const rows[INSERT_MANY])
{
	int64_t pool;
	int rc = db_pool_id(db, rows[0]->worker, true, &pool), at;
	sqlite3_stmt *stmt =
	    rc == SQLITE_OK ? db_sql(db, SQL_INSERT_ALIKE, &rc) : NULL;

	if (stmt == NULL)
		return rc;
	at = bind_common(stmt, 1, rows[0], pool);
	for (size_t i = 0; i < INSERT_MANY; i++) {
		sqlite3_bind_int64(stmt, at++, (int64_t)rows[i]->id);
		row_bind_body(stmt, at++, rows[i]->payload);
	}
	return db_run(db, stmt);
}

int
row_insert_many(struct db *db, const struct task_row *const rows[INSERT_MANY])
{
	int at = 1, rc;
	sqlite3_stmt *stmt;
	size_t alike = 1;

	while (alike < INSERT_MANY && is_alike(rows[0], rows[alike]))
		alike++;
	if (alike == INSERT_MANY)
		return insert_alike(db, rows);
	stmt = db_sql(db, SQL_INSERT_MANY, &rc);
	for (size_t i = 0; i < INSERT_MANY && rc == SQLITE_OK; i++) {
		int64_t pool;

		rc = db_pool_id(db, rows[i]->worker, true, &pool);
		at = bind_row(stmt, at, rows[i], pool);
	}
	return rc == SQLITE_OK ? db_run(db, stmt) : rc;
}

/* The task its key is of, 0: none. */
static int
by_key(struct db *db, const struct task_row *row, int64_t *ret_pool,
    uint64_t *ret_existing, uint8_t *ret_state)
{
	int rc = db_pool_id(db, row->worker, true, ret_pool);

	*ret_existing = 0;
	*ret_state = TASK_QUEUED;
	if (rc == SQLITE_OK && row->key != NULL)
		rc = find(db, SQL_BY_KEY, *ret_pool, 0, row->key, ret_existing,
		    ret_state);
	return rc;
}

int
row_by_key(struct db *db, const struct task_row *row, uint64_t *ret_existing)
{
	int64_t pool;
	uint8_t state;

	return by_key(db, row, &pool, ret_existing, &state);
}

int
row_insert(struct db *db, const struct task_row *row, uint64_t *ret_existing,
    uint8_t *ret_state)
{
	int64_t pool;
	int rc = by_key(db, row, &pool, ret_existing, ret_state);

	if (rc == SQLITE_OK && row->schedule != 0)
		rc = find(db, SQL_BY_FIRE, row->schedule, row->fire_ms, NULL,
		    ret_existing, ret_state);
	if (rc != SQLITE_OK || *ret_existing != 0)
		return rc;
	return insert(db, row, pool);
}
