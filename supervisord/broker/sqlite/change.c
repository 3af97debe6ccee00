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

/* What a new task has, from parameter `at` on; returns the next one. */
static int
bind_row(sqlite3_stmt *stmt, int at, const struct task_row *row, int64_t pool)
{
	bool apart = is_apart(row);
	const int64_t n[] = { (int64_t)row->id, pool, row->priority, row->rank,
		row->created_ms, row->timeout_ms, row->result_ttl_ms,
		row->retries,
		(row->json ? FORM_JSON : 0) | (apart ? FORM_APART : 0) |
		    (row->key != NULL ? FORM_KEY : 0) |
		    (row->schedule != 0 ? FORM_FIRE : 0) |
		    (has_extra(row) ? FORM_EXTRA : 0) };

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at++, n[i]);
	bind_text(stmt, at++, row->func);
	bind_body(stmt, at++, apart ? NULL : row->payload);
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
	bind_text(stmt, at, row->instance);
}

static int
put_extra(struct db *db, const struct task_row *row)
{
	const int64_t n[] = { (int64_t)row->id, (int64_t)row->parent,
		(int64_t)row->group, row->schedule, row->fire_ms, row->failures,
		row->crashes, row->victims };
	int at = 1, rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_EXTRA_PUT, &rc);

	if (stmt == NULL)
		return rc;
	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		sqlite3_bind_int64(stmt, at++, n[i]);
	bind_text(stmt, at++, row->key);
	bind_text(stmt, at++, row->limit_key);
	bind_text(stmt, at++, row->error);
	bind_text(stmt, at++, row->words);
	bind_text(stmt, at, row->then);
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

/* In the order of change_fields. */
static const char *const columns[] = { "state", "rank", "due_ms", "attempts",
	"failures", "crashes", "victims", "started_ms", "finished_ms",
	"instance", "error", "words" };

/* Those that are in extra. */
#define RARE                                                                   \
	(CHANGE_FAILURES | CHANGE_CRASHES | CHANGE_VICTIMS | CHANGE_ERROR |    \
	    CHANGE_WORDS)
#define COMMON ((2U * CHANGE_WORDS - 1) & ~(uint32_t)RARE)

/* What UPDATE, beside the fields. */
enum {
	OF_EXTRA = 1 << 28, /* of extra, not of task */
	PLAIN = 1 << 29,    /* only if it has not ended and has no extra */
	RUN = 1 << 27,      /* from one id to another */
	MARK = 1 << 30      /* it has one from now on */
};

/* As long as the room of a new row. */
static const char zeros[32];

static void
put_sets(struct buf *b, uint32_t mask)
{
	const char *comma = "";

	for (size_t i = 0; i < N_ELEMENTS(columns); i++)
		if ((mask & 1U << i) != 0) {
			buf_fmt(b, "%s%s = ?%s", comma, columns[i],
			    1U << i == CHANGE_FINISHED ? ", expires_ms = ?"
						       : "");
			comma = ", ";
		}
	if ((mask & CHANGE_FINISHED) != 0) {
		buf_fmt(b, "%sroom = ?", comma);
		comma = ", ";
	}
	if ((mask & MARK) != 0)
		buf_fmt(b, "%sform = form | 16", comma);
	else if (comma[0] == '\0')
		buf_str(b, "id = id");
}

static int
prepare_mask(struct db *db, uint32_t mask, sqlite3_stmt **ret)
{
	struct buf b;
	int rc = SQLITE_NOMEM;

	*ret = NULL;
	buf_init(&b);
	buf_fmt(
	    &b, "UPDATE %s SET ", (mask & OF_EXTRA) != 0 ? "extra" : "task");
	put_sets(&b, mask);
	buf_fmt(&b, " WHERE id %s%s",
	    (mask & RUN) != 0 ? "BETWEEN ? AND ?" : "= ?",
	    (mask & PLAIN) != 0
		? " AND form < 16 AND state < 3 AND seen(id, pool)"
		: "");
	if (!b.failed)
		rc = sqlite3_prepare_v3(db->sql, buf_text(&b), -1,
		    SQLITE_PREPARE_PERSISTENT, ret, NULL);
	buf_done(&b);
	return rc == SQLITE_OK ? rc : db_failed(db, rc);
}

static sqlite3_stmt *
of_mask(struct db *db, uint32_t mask, int *rc)
{
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

/* What is left of a new row's room when it ends: so that the row neither grows
 * nor shrinks, and what is on the page does not have to move. */
static int
room_left(const struct task_change *c)
{
	/* The state and three times. */
	size_t used = 1 + 3 * (size_t)6 + strlen(c->instance);

	return used < sizeof zeros ? (int)(sizeof zeros - used) : 0;
}

/* In the order of columns. */
static int
bind_change(sqlite3_stmt *stmt, const struct task_change *c, uint32_t mask)
{
	const int64_t n[] = { c->state, c->rank, c->due_ms, c->attempts,
		c->failures, c->crashes, c->victims, c->started_ms,
		c->finished_ms };
	int at = 1;

	for (size_t i = 0; i < N_ELEMENTS(n); i++)
		if ((mask & 1U << i) != 0) {
			sqlite3_bind_int64(stmt, at++, n[i]);
			if (1U << i == CHANGE_FINISHED)
				sqlite3_bind_int64(stmt, at++, c->expires_ms);
		}
	if ((mask & CHANGE_INSTANCE) != 0)
		bind_text(stmt, at++, c->instance);
	if ((mask & CHANGE_FINISHED) != 0)
		sqlite3_bind_blob(
		    stmt, at++, zeros, room_left(c), SQLITE_STATIC);
	if ((mask & CHANGE_ERROR) != 0)
		bind_text(stmt, at++, c->error);
	if ((mask & CHANGE_WORDS) != 0)
		bind_text(stmt, at++, c->words);
	return at;
}

static int
change(
    struct db *db, const struct task_change *c, uint32_t mask, bool *ret_found)
{
	int rc;
	sqlite3_stmt *stmt = of_mask(db, mask, &rc);

	*ret_found = false;
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, bind_change(stmt, c, mask), (int64_t)c->id);
	rc = db_run(db, stmt);
	*ret_found = rc == SQLITE_OK && sqlite3_changes(db->sql) > 0;
	return rc;
}

static int
new_extra(struct db *db, uint64_t id)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_EXTRA_NEW, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	return db_run(db, stmt);
}

/* It says more of the rare fields than that they are empty. */
static bool
needs_extra(const struct task_change *c)
{
	return ((c->fields & CHANGE_FAILURES) != 0 && c->failures != 0) ||
	       ((c->fields & CHANGE_CRASHES) != 0 && c->crashes != 0) ||
	       ((c->fields & CHANGE_VICTIMS) != 0 && c->victims != 0) ||
	       ((c->fields & CHANGE_ERROR) != 0 && c->error != NULL) ||
	       ((c->fields & CHANGE_WORDS) != 0 && c->words != NULL);
}

static bool
is_done(const struct task_change *c)
{
	return (c->fields & CHANGE_STATE) != 0 && c->state == TASK_DONE;
}

int
row_change_plain(struct db *db, const struct task_change *c, bool *ret_found)
{
	int rc;

	*ret_found = false;
	if (needs_extra(c))
		return SQLITE_OK;
	db->seen_count = 0;
	rc = change(db, c, (c->fields & COMMON) | PLAIN, ret_found);
	if (rc == SQLITE_OK && *ret_found && is_done(c))
		rc = db_ended(db, db->seen_pool, (int64_t)c->id, c->expires_ms);
	return rc;
}

bool
row_is_done_only(const struct task_change *c)
{
	return is_done(c) && !needs_extra(c);
}

int
row_done_many(struct db *db, const struct task_change *c, size_t count)
{
	const uint32_t mask = (c->fields & COMMON) | PLAIN | RUN;
	int rc, at;
	sqlite3_stmt *stmt = of_mask(db, mask, &rc);

	db->seen_count = 0;
	if (stmt == NULL)
		return rc;
	at = bind_change(stmt, c, mask);
	sqlite3_bind_int64(stmt, at, (int64_t)c->id);
	sqlite3_bind_int64(stmt, at + 1, (int64_t)(c->id + count - 1));
	rc = db_run(db, stmt);
	for (size_t i = 0; i < db->seen_count && rc == SQLITE_OK; i++)
		rc = db_ended(db, db->seen_pool, db->seen[i], c->expires_ms);
	return rc;
}

int
row_change(struct db *db, const struct task_change *c, bool *ret_found)
{
	bool mark = needs_extra(c) || is_done(c), extra;
	int rc =
	    change(db, c, (c->fields & COMMON) | (mark ? MARK : 0), ret_found);

	if (rc == SQLITE_OK && *ret_found && mark)
		rc = new_extra(db, c->id);
	if (rc == SQLITE_OK && *ret_found && (c->fields & RARE) != 0)
		rc = change(db, c, (c->fields & RARE) | OF_EXTRA, &extra);
	return rc;
}

static int
bind_result(sqlite3_stmt *stmt, int at, const struct row_result *r)
{
	sqlite3_bind_int64(stmt, at++, (int64_t)r->id);
	sqlite3_bind_int(stmt, at++, r->json);
	bind_body(stmt, at++, r->data);
	return at;
}

int
row_put_result(struct db *db, const struct row_result *r)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_RESULT_PUT, &rc);

	if (stmt == NULL)
		return rc;
	bind_result(stmt, 1, r);
	return db_run(db, stmt);
}

int
row_put_results(struct db *db, const struct row_result r[RESULTS_MANY])
{
	int at = 1, rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_RESULT_PUT_MANY, &rc);

	if (stmt == NULL)
		return rc;
	for (size_t i = 0; i < RESULTS_MANY; i++)
		at = bind_result(stmt, at, &r[i]);
	return db_run(db, stmt);
}
