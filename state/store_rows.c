/*
 * Writing: each kind of row has one prepared statement, made when it is first
 * needed. What can't be told to the file while it is broken is written down in
 * the memory store's own table `later`, and done again on the file.
 */

#include <string.h>

#include "state/schema.h"
#include "state/store.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

#define AGE_EVERY_NS     (3600 * NS_PER_SEC)
#define CHECKPOINT_PAGES 1000
#define LATER_VALUES     5
#define MS_A_DAY         (24 * 3600 * INT64_C(1000))

static const struct row_sql {
	int parameters;
	const char *put, *get;
} rows[ROW_KINDS] = {

#define ROW(NAME, parameters, sql, select)                                     \
	[ROW_##NAME] = { parameters, sql, select },
#include "state/rows.def"
#undef ROW
};

/*
 * A prune takes a bounded bite, so that a bound that was lowered by much costs
 * no commit more than a few milliseconds.
 */
#define BITE "5000"
#define PRUNE(table)                                                           \
	"DELETE FROM " table " WHERE id <= (SELECT max(id) FROM " table        \
	") - ?1 AND id < (SELECT min(id) FROM " table ") + " BITE
#define PRUNE_OLD(table, column)                                               \
	"DELETE FROM " table " WHERE id < coalesce((SELECT id FROM " table     \
	" WHERE " column " >= ?1 ORDER BY id LIMIT 1),"                        \
	" 9223372036854775807) AND id < (SELECT min(id) FROM " table           \
	") + " BITE

static const char *const others[STMT_COUNT] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_LATER] = "INSERT INTO later (kind, a, b, c, d, e)"
		       " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[STMT_PRUNE_EVENTS] = PRUNE("events"),
	[STMT_PRUNE_EXITS] = PRUNE("exits"),
	[STMT_PRUNE_LATER] = PRUNE("later"),
	[STMT_PRUNE_INCARNATIONS] = PRUNE("incarnations"),
	[STMT_OLD_EVENTS] = PRUNE_OLD("events", "at_ms"),
	[STMT_OLD_EXITS] = PRUNE_OLD("exits", "ended_ms"),
};

static int
ready(struct store *st, size_t which, sqlite3_stmt **ret)
{
	int rc = SQLITE_OK;

	if (st->stmt[which] == NULL)
		rc = sqlite3_prepare_v3(st->db,
		    /* cppcheck-suppress arrayIndexOutOfBoundsCond */
		    which < ROW_KINDS ? rows[which].put : others[which], -1,
		    SQLITE_PREPARE_PERSISTENT, &st->stmt[which], NULL);
	*ret = st->stmt[which];
	return file_primary(rc);
}

/* Runs a statement that is bound, and leaves it ready for the next time. */
static int
run(sqlite3_stmt *stmt)
{
	int rc = file_primary(sqlite3_step(stmt));

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int
run_plain(struct store *st, size_t which)
{
	sqlite3_stmt *stmt;
	int rc = ready(st, which, &stmt);

	return rc == SQLITE_OK ? run(stmt) : rc;
}

static int
run_number(struct store *st, size_t which, int64_t n)
{
	sqlite3_stmt *stmt;
	int rc = ready(st, which, &stmt);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(stmt, 1, n);
	return run(stmt);
}

static int
bind_one(sqlite3_stmt *stmt, int at, const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		return SQLITE_OK;
	case VALUE_INT:
		return sqlite3_bind_int64(stmt, at, v->as.n);
	case VALUE_TEXT:
		return sqlite3_bind_text(
		    stmt, at, v->as.text, -1, SQLITE_STATIC);
	}
	return SQLITE_OK;
}

int
store_begin(struct store *st)
{
	return run_plain(st, STMT_BEGIN);
}

void
store_rollback(struct store *st)
{
	if (!sqlite3_get_autocommit(st->db))
		run_plain(st, STMT_ROLLBACK);
}

/* Did the row change something only the file may have? */
static bool
is_for_later(struct store *st, enum row_kind kind)
{
	if (!st->stands_in || rows[kind].get != NULL)
		return false;
	return kind == ROW_INSTANCE_DROP || kind == ROW_FACT_DROP ||
	       sqlite3_changes(st->db) == 0;
}

static int
put_later(
    struct store *st, enum row_kind kind, const struct value *v, size_t count)
{
	sqlite3_stmt *stmt;
	int rc = ready(st, STMT_LATER, &stmt);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int(stmt, 1, (int)kind);
	for (size_t i = 0; i < count && i < LATER_VALUES; i++)
		bind_one(stmt, (int)i + 2, &v[i]);
	return run(stmt);
}

/* What is wrong with the row itself must not cost the others. */
static bool
row_is_refused(int rc)
{
	return rc == SQLITE_CONSTRAINT || rc == SQLITE_TOOBIG ||
	       rc == SQLITE_MISMATCH;
}

int
store_put(
    struct store *st, enum row_kind kind, const struct value *v, size_t count)
{
	sqlite3_stmt *stmt;
	int rc = ready(st, kind, &stmt), bad = SQLITE_OK;

	if (rc != SQLITE_OK)
		return rc;
	for (size_t i = 0; i < count && bad == SQLITE_OK; i++)
		bad = file_primary(bind_one(stmt, (int)i + 1, &v[i]));
	if (bad == SQLITE_OK) {
		rc = run(stmt);
	} else {
		sqlite3_clear_bindings(stmt);
		rc = bad;
	}
	if (rc == SQLITE_OK && is_for_later(st, kind))
		rc = put_later(st, kind, v, count);
	if (row_is_refused(rc)) {
		st->refused++;
		rc = SQLITE_OK;
	}
	return rc;
}

static int
bound(struct store *st, size_t which, int64_t most)
{
	int rc = run_number(st, which, most);

	if (rc == SQLITE_OK && st->stands_in)
		st->pruned += sqlite3_changes(st->db);
	return rc;
}

static int
prune(struct store *st)
{
	int64_t now = clock_mono(), oldest;
	bool more;
	int rc;

	rc = bound(st, STMT_PRUNE_EVENTS, st->keep.events);
	if (rc == SQLITE_OK)
		rc = bound(st, STMT_PRUNE_EXITS, st->keep.exits);
	if (rc == SQLITE_OK && st->stands_in)
		rc = bound(st, STMT_PRUNE_LATER, st->keep.events);
	if (rc != SQLITE_OK || now < st->next_age)
		return rc;
	oldest = clock_wall_ms() - st->keep.days * MS_A_DAY;
	rc = run_number(st, STMT_PRUNE_INCARNATIONS, 1000);
	if (rc == SQLITE_OK)
		rc = run_number(st, STMT_OLD_EVENTS, oldest);
	more = sqlite3_changes(st->db) > 0;
	if (rc == SQLITE_OK)
		rc = run_number(st, STMT_OLD_EXITS, oldest);
	more |= sqlite3_changes(st->db) > 0;
	st->next_age = more ? now : now + AGE_EVERY_NS;
	return rc;
}

int
store_commit(struct store *st)
{
	int rc = prune(st);

	return rc == SQLITE_OK ? run_plain(st, STMT_COMMIT) : rc;
}

int
store_checkpoint(struct store *st)
{
	if (st->path == NULL || st->wal_pages < CHECKPOINT_PAGES)
		return SQLITE_OK;
	return file_primary(sqlite3_wal_checkpoint_v2(
	    st->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

/* One row of `get`, from column `first` on, into the statement of its kind. */
static int
carry_row(sqlite3_stmt *get, int first, struct store *to, int kind)
{
	sqlite3_stmt *put;
	int rc = ready(to, (size_t)kind, &put);

	if (rc != SQLITE_OK)
		return rc;
	for (int i = 0; i < rows[kind].parameters; i++)
		sqlite3_bind_value(
		    put, i + 1, sqlite3_column_value(get, first + i));
	rc = run(put);
	if (row_is_refused(rc)) {
		to->refused++;
		rc = SQLITE_OK;
	}
	return rc;
}

/* kind < 0: the first column says which. */
static int
carry(struct store *from, struct store *to, int kind, const char *sql)
{
	sqlite3_stmt *get = NULL;
	int rc = SQLITE_OK;

	if (sqlite3_prepare_v2(from->db, sql, -1, &get, NULL) != SQLITE_OK)
		return SQLITE_OK;
	while (rc == SQLITE_OK && sqlite3_step(get) == SQLITE_ROW) {
		if (kind >= 0)
			rc = carry_row(get, 0, to, kind);
		else
			rc = carry_row(get, 1, to, sqlite3_column_int(get, 0));
	}
	sqlite3_finalize(get);
	return rc;
}

int
store_carry(struct store *from, struct store *to, bool with_history)
{
	static const enum row_kind what[] = { ROW_INSTANCE, ROW_FACT, ROW_BEGIN,
		ROW_EVENT, ROW_EXIT };

	size_t count = with_history ? N_ELEMENTS(what) : 2;
	int rc = SQLITE_OK;

	/* First what was done to rows the other store may not have had: a drop
	 * that was followed by a new row must not take that one away. */
	if (from->stands_in)
		rc = carry(from, to, -1,
		    "SELECT kind, a, b, c, d, e FROM later ORDER BY id");
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
		rc = carry(from, to, (int)what[i], rows[what[i]].get);
	return rc;
}
