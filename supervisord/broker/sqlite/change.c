/* Tasks into the tables. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/rows.h"

static void
bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text != NULL && text[0] != '\0')
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

static void
bind_body(sqlite3_stmt *stmt, int i, const struct body *b)
{
	if (b != NULL)
		sqlite3_bind_blob64(stmt, i, b->data, b->size, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

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

static void
bind_numbers(
    sqlite3_stmt *stmt, int at, const struct task_row *row, int64_t pool)
{
	const int64_t n[] = { (int64_t)row->id, pool, row->state, row->priority,
		row->rank, row->due_ms, row->created_ms, row->started_ms,
		row->finished_ms, row->expires_ms, row->timeout_ms,
		row->result_ttl_ms, row->retries, row->attempts, row->failures,
		row->crashes, row->victims, (int64_t)row->parent,
		(int64_t)row->group, row->schedule, row->fire_ms };

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at + (int)i, n[i]);
}

static bool
is_apart(const struct task_row *row)
{
	return row->payload != NULL && row->payload->size > PAYLOAD_INLINE;
}

/* From parameter `at` on; returns the next one. */
static int
bind_row(sqlite3_stmt *stmt, int at, const struct task_row *row, int64_t pool)
{
	bool apart = is_apart(row);

	bind_numbers(stmt, at, row, pool);
	at += 21;
	sqlite3_bind_int(stmt, at++,
	    (row->json ? FORM_JSON : 0) | (apart ? FORM_APART : 0) |
		(row->key != NULL ? FORM_KEY : 0) |
		(row->schedule != 0 ? FORM_FIRE : 0));
	sqlite3_bind_int(stmt, at++, row->then != NULL || row->group != 0);
	bind_text(stmt, at++, row->func);
	bind_text(stmt, at++, row->key);
	bind_text(stmt, at++, row->limit_key);
	bind_text(stmt, at++, row->instance);
	bind_text(stmt, at++, row->error);
	bind_text(stmt, at++, row->words);
	bind_text(stmt, at++, row->then);
	bind_body(stmt, at++, apart ? NULL : row->payload);
	return at;
}

static int
put_apart(struct db *db, const struct task_row *row)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_BODY_PUT, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	bind_body(stmt, 2, row->payload);
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
	if (which != SQL_MEMBER_NEW)
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
	if (rc == SQLITE_OK && row->group != 0)
		rc = put_index(
		    db, SQL_MEMBER_NEW, (int64_t)row->group, id, NULL, 0);
	return rc;
}

static int
insert(struct db *db, const struct task_row *row, int64_t pool)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_INSERT, &rc);

	if (stmt == NULL)
		return rc;
	bind_row(stmt, 1, row, pool);
	rc = db_run(db, stmt);
	if (rc == SQLITE_OK && is_apart(row))
		rc = put_apart(db, row);
	return rc == SQLITE_OK ? put_indices(db, row, pool) : rc;
}

bool
row_is_simple(const struct task_row *row)
{
	return row->key == NULL && row->schedule == 0 && row->group == 0 &&
	       !is_apart(row);
}

int
row_insert_many(struct db *db, const struct task_row *const rows[INSERT_MANY])
{
	int at = 1, rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_INSERT_MANY, &rc);

	for (size_t i = 0; i < INSERT_MANY && rc == SQLITE_OK; i++) {
		int64_t pool;

		rc = db_pool_id(db, rows[i]->worker, true, &pool);
		at = bind_row(stmt, at, rows[i], pool);
	}
	return rc == SQLITE_OK ? db_run(db, stmt) : rc;
}

int
row_insert(struct db *db, const struct task_row *row, uint64_t *ret_existing,
    uint8_t *ret_state)
{
	int64_t pool;
	int rc;

	*ret_existing = 0;
	*ret_state = TASK_QUEUED;
	rc = db_pool_id(db, row->worker, true, &pool);
	if (rc == SQLITE_OK && row->key != NULL)
		rc = find(
		    db, SQL_BY_KEY, pool, 0, row->key, ret_existing, ret_state);
	if (rc == SQLITE_OK && row->schedule != 0)
		rc = find(db, SQL_BY_FIRE, row->schedule, row->fire_ms, NULL,
		    ret_existing, ret_state);
	if (rc != SQLITE_OK || *ret_existing != 0)
		return rc;
	return insert(db, row, pool);
}

/* --- changes -------------------------------------------------------------- */

static const char *const columns[] = { "state", "rank", "due_ms", "attempts",
	"failures", "crashes", "victims", "started_ms", "finished_ms",
	"instance", "error", "words" };

/* "UPDATE task SET state = ?, ... WHERE id = ?" for the fields in the mask. */
static int
prepare_mask(struct db *db, uint32_t mask, sqlite3_stmt **ret)
{
	bool plain = (mask & 1) != 0;
	struct buf b;
	int rc = SQLITE_NOMEM;

	*ret = NULL;
	buf_init(&b);
	buf_str(&b, "UPDATE task SET ");
	for (size_t i = 0; i < N_ELEMENTS(columns); i++)
		if ((mask >> 1 & 1U << i) != 0)
			buf_fmt(&b, "%s = ?, %s", columns[i],
			    1U << i == CHANGE_FINISHED ? "expires_ms = ?, "
						       : "");
	/* In no index: it costs nothing where it is not needed for a comma. */
	buf_fmt(&b, "linked = linked WHERE id = ?%s",
	    plain ? " AND linked = 0" : "");
	if (!b.failed)
		rc = sqlite3_prepare_v3(db->sql, buf_text(&b), -1,
		    SQLITE_PREPARE_PERSISTENT, ret, NULL);
	buf_done(&b);
	return rc == SQLITE_OK ? rc : db_failed(db, rc);
}

static sqlite3_stmt *
of_mask(struct db *db, uint32_t fields, bool plain, int *rc)
{
	uint32_t mask = fields << 1 | (plain ? 1 : 0);
	sqlite3_stmt *stmt;
	unsigned at;

	*rc = SQLITE_OK;
	for (unsigned i = 0; i < DB_MASKS && db->masks[i].stmt != NULL; i++)
		if (db->masks[i].fields == mask)
			return db->masks[i].stmt;
	*rc = prepare_mask(db, mask, &stmt);
	if (stmt == NULL)
		return NULL;
	at = db->next_mask++ % DB_MASKS;
	sqlite3_finalize(db->masks[at].stmt);
	db->masks[at].fields = mask;
	db->masks[at].stmt = stmt;
	return stmt;
}

/* In the order of columns. */
static int
bind_change(sqlite3_stmt *stmt, const struct task_change *c)
{
	const int64_t n[] = { c->state, c->rank, c->due_ms, c->attempts,
		c->failures, c->crashes, c->victims, c->started_ms,
		c->finished_ms };
	int at = 1;

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		if ((c->fields & 1U << i) != 0) {
			sqlite3_bind_int64(stmt, at++, n[i]);
			if (1U << i == CHANGE_FINISHED)
				sqlite3_bind_int64(stmt, at++, c->expires_ms);
		}
	if ((c->fields & CHANGE_INSTANCE) != 0)
		bind_text(stmt, at++, c->instance);
	if ((c->fields & CHANGE_ERROR) != 0)
		bind_text(stmt, at++, c->error);
	if ((c->fields & CHANGE_WORDS) != 0)
		bind_text(stmt, at++, c->words);
	return at;
}

int
row_change(
    struct db *db, const struct task_change *c, bool plain, bool *ret_found)
{
	int rc;
	sqlite3_stmt *stmt =
	    of_mask(db, c->fields & (2 * CHANGE_WORDS - 1), plain, &rc);

	*ret_found = false;
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, bind_change(stmt, c), (int64_t)c->id);
	rc = db_run(db, stmt);
	*ret_found = rc == SQLITE_OK && sqlite3_changes(db->sql) > 0;
	return rc;
}

int
row_put_result(struct db *db, uint64_t id, const struct body *result, bool json)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_RESULT_PUT, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	sqlite3_bind_int(stmt, 2, json);
	bind_body(stmt, 3, result);
	return db_run(db, stmt);
}
