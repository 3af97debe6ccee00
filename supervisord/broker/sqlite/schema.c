/* The tables of tasks.db; described for people in TASKS.md. */

#include <stdio.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/db.h"
#include "supervisord/sqlite/schema.h"

#define APPLICATION 0x73767471 /* "svtq" */

/*
 * What every task needs is in `task`, the rest in `extra`, which most tasks
 * have no row in: each column costs at each write. Each index beside the table
 * is one more tree to open and to write each time. So there is one, with at
 * most one entry a task, in which each state has the order it is asked for in;
 * keys, runs of schedules and members of groups have tables of their own. Most
 * tasks end well: those leave the index and are noted many at once in `ended`.
 * What is long comes last in the row. `task` has none of the checks the others
 * have: each is made twice at each write.
 */
/* A new row's room: change.c. */
#define ZEROS "0000000000000000"

static const char step_tables[] =
    "CREATE TABLE seq (one INTEGER PRIMARY KEY CHECK (one = 1),"
    " next INTEGER NOT NULL) STRICT;"
    "INSERT INTO seq VALUES (1, 1);"
    "CREATE TABLE pool (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " paused INTEGER NOT NULL DEFAULT 0,"
    " paused_until_ms INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE task (id INTEGER PRIMARY KEY, pool INTEGER,"
    " state INTEGER DEFAULT 0, priority INTEGER, rank INTEGER,"
    " due_ms INTEGER DEFAULT 0, created_ms INTEGER,"
    " started_ms INTEGER DEFAULT 0, finished_ms INTEGER DEFAULT 0,"
    " expires_ms INTEGER DEFAULT 0, timeout_ms INTEGER,"
    " result_ttl_ms INTEGER, retries INTEGER, attempts INTEGER DEFAULT 0,"
    " form INTEGER,"
    " room BLOB DEFAULT x'" ZEROS ZEROS ZEROS ZEROS
    "', func TEXT, instance TEXT, payload BLOB,"
    " sort INTEGER AS (CASE state WHEN 0 THEN rank WHEN 1 THEN due_ms"
    " WHEN 2 THEN id ELSE CASE WHEN state = 3 AND form < 16 THEN NULL"
    " ELSE expires_ms END END) VIRTUAL);"
    "CREATE INDEX task_order ON task (state, pool, sort)"
    " WHERE sort IS NOT NULL;"
    "CREATE TABLE extra (id INTEGER PRIMARY KEY,"
    " parent INTEGER NOT NULL DEFAULT 0, grp INTEGER NOT NULL DEFAULT 0,"
    " schedule INTEGER NOT NULL DEFAULT 0, fire_ms INTEGER NOT NULL DEFAULT 0,"
    " failures INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,"
    " victims INTEGER NOT NULL DEFAULT 0, key TEXT, limit_key TEXT,"
    " error TEXT, words TEXT, chain TEXT) STRICT;"
    "CREATE TABLE ended (n INTEGER PRIMARY KEY, pool INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, count INTEGER NOT NULL,"
    " ids BLOB NOT NULL) STRICT;"
    "CREATE INDEX ended_order ON ended (expires_ms);"
    "CREATE TABLE task_key (pool INTEGER NOT NULL, key TEXT NOT NULL,"
    " id INTEGER NOT NULL, PRIMARY KEY (pool, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE task_fire (schedule INTEGER NOT NULL,"
    " fire_ms INTEGER NOT NULL, id INTEGER NOT NULL,"
    " PRIMARY KEY (schedule, fire_ms)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE member (grp INTEGER NOT NULL, id INTEGER NOT NULL,"
    " PRIMARY KEY (grp, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE body (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE result (id INTEGER PRIMARY KEY, json INTEGER NOT NULL,"
    " data BLOB NOT NULL) STRICT;"
    "CREATE TABLE grp (id INTEGER PRIMARY KEY, open INTEGER NOT NULL,"
    " chain TEXT) STRICT;"
    "CREATE TABLE schedule (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " anchor_ms INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0,"
    " last_task INTEGER NOT NULL DEFAULT 0) STRICT;";

/* clang-format off */
#define WHEN(column)                                                           \
	" CASE WHEN " column " > 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', "       \
	column " / 1000.0, 'unixepoch') END"

static const char step_view[] =
    "CREATE VIEW tasks AS SELECT t.id, p.name AS worker, t.func,"
    " CASE t.state WHEN 0 THEN 'queued' WHEN 1 THEN 'scheduled'"
    " WHEN 2 THEN 'running' WHEN 3 THEN 'done' WHEN 4 THEN 'failed'"
    " WHEN 5 THEN 'cancelled' ELSE 'dead' END AS state,"
    " CASE t.priority WHEN 0 THEN 'high' WHEN 1 THEN 'middle' ELSE 'low' END"
    " AS priority,"
    WHEN("t.created_ms") " AS created_at," WHEN("t.due_ms") " AS due_at,"
    WHEN("t.started_ms") " AS started_at,"
    WHEN("t.finished_ms") " AS finished_at, t.attempts,"
    " coalesce(x.failures, 0) AS failures, coalesce(x.crashes, 0) AS crashes,"
    " t.instance, x.key, x.limit_key, x.error, x.words,"
    " CASE WHEN t.form & 1 THEN CAST(coalesce(t.payload, (SELECT data FROM body"
    " WHERE id = t.id)) AS TEXT) ELSE coalesce(t.payload, (SELECT data FROM"
    " body WHERE id = t.id)) END AS args,"
    " CASE WHEN r.json THEN CAST(r.data AS TEXT) ELSE r.data END AS result,"
    " coalesce(x.parent, 0) AS parent, coalesce(x.grp, 0) AS \"group\","
    " s.name AS schedule"
    " FROM task t LEFT JOIN extra x ON x.id = t.id"
    " LEFT JOIN pool p ON p.id = t.pool"
    " LEFT JOIN result r ON r.id = t.id"
    " LEFT JOIN schedule s ON s.id = x.schedule;";
/* clang-format on */

/* Groups without a `then` left their members there. */
static const char step_missed[] =
    "ALTER TABLE extra ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;"
    "DELETE FROM member WHERE grp NOT IN (SELECT id FROM grp);";

static const char *const steps[] = { step_tables, step_view, step_missed };

static const struct schema schema = { APPLICATION, N_ELEMENTS(steps), steps };

int
db_schema(sqlite3 *sql, bool *ret_fresh, char *words, size_t size)
{
	enum schema_verdict verdict;
	int version, rc = schema_look(sql, &schema, &verdict, &version);

	if (rc != SQLITE_OK)
		return rc;
	*ret_fresh = verdict == SCHEMA_EMPTY;
	if (verdict == SCHEMA_NEWER) {
		snprintf(words, size,
		    "it was made by a newer supervisord (its schema is %d, "
		    "this one knows %d)",
		    version, schema.version);
		return FILE_FOREIGN;
	}
	if (verdict == SCHEMA_FOREIGN) {
		snprintf(words, size, "it is another program's database");
		return FILE_FOREIGN;
	}
	rc = sqlite3_exec(sql, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	return rc != SQLITE_OK ? rc : schema_migrate(sql, &schema, version);
}
