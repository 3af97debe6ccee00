/* What becomes of tasks that are in the tables. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/rows.h"

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
	UNDONE = 1 << 26,   /* only if it is not done */
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
	buf_fmt(&b, " WHERE id %s%s%s",
	    (mask & RUN) != 0 ? "BETWEEN ? AND ?" : "= ?",
	    (mask & UNDONE) != 0 ? " AND state <> 3" : "",
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
		row_bind_text(stmt, at++, c->instance);
	if ((mask & CHANGE_FINISHED) != 0)
		sqlite3_bind_blob(
		    stmt, at++, zeros, room_left(c), SQLITE_STATIC);
	if ((mask & CHANGE_ERROR) != 0)
		row_bind_text(stmt, at++, c->error);
	if ((mask & CHANGE_WORDS) != 0)
		row_bind_text(stmt, at++, c->words);
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
	uint32_t mask = (c->fields & COMMON) | (mark ? MARK : 0);
	int rc = change(db, c,
	    mask | ((c->fields & CHANGE_STATE) == 0 ? UNDONE : 0), ret_found);

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
	row_bind_body(stmt, at++, r->data);
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
