#include "state/schema.h"

#include <stdbool.h>
#include <stdio.h>

#include "supervisord/base/util.h"

/*
 * events and exits are numbered densely by id, so that "how many" is the last
 * id less the first and pruning needs no count. Long text comes last, so that
 * a scan over the short columns reads no overflow pages.
 */
static const char step_tables[] =
    "CREATE TABLE instances ("
    " name TEXT NOT NULL PRIMARY KEY, worker TEXT, idx INTEGER,"
    " wanted_up INTEGER, wanted_by_user INTEGER, state TEXT, pid INTEGER,"
    " start_ticks INTEGER, boot_id TEXT, started_ms INTEGER,"
    " restarts INTEGER, reason TEXT, changed_ms INTEGER"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " name TEXT, kind TEXT, from_state TEXT, to_state TEXT, reason TEXT,"
    " actor_uid INTEGER, actor_pid INTEGER, actor_command TEXT"
    ") STRICT;"
    "CREATE TABLE exits ("
    " id INTEGER PRIMARY KEY, key INTEGER UNIQUE, name TEXT NOT NULL,"
    " pid INTEGER, started_ms INTEGER, ended_ms INTEGER NOT NULL,"
    " duration_ms INTEGER, code INTEGER, signal INTEGER, core INTEGER,"
    " cause TEXT, user_us INTEGER, system_us INTEGER, maxrss_kb INTEGER,"
    " last_lines TEXT"
    ") STRICT;"
    "CREATE INDEX exits_name ON exits (name);"
    "CREATE TABLE incarnations ("
    " id INTEGER PRIMARY KEY, run INTEGER, master_pid INTEGER, version TEXT,"
    " boot_id TEXT, began_ms INTEGER, ended_ms INTEGER, in_order INTEGER,"
    " why TEXT"
    ") STRICT;"
    "CREATE TABLE facts ("
    " key TEXT NOT NULL PRIMARY KEY, value TEXT, changed_ms INTEGER"
    ") STRICT, WITHOUT ROWID;";

#define WHEN(column)                                                           \
	"strftime('%Y-%m-%dT%H:%M:%fZ', " column " / 1000.0, 'unixepoch')"

static const char step_views[] = "CREATE VIEW recent_events AS SELECT id, " WHEN(
    "at_ms") " AS at, name,"
	     " kind, from_state, to_state, reason, actor_uid, actor_pid, actor_command"
	     " FROM events ORDER BY id DESC;"
	     "CREATE VIEW history AS SELECT id, name, pid, " WHEN("started_ms") " AS started_at, " WHEN(
		 "ended_ms") " AS ended_at,"
			     " duration_ms / 1000.0 AS seconds, cause, code, signal, core,"
			     " user_us / 1e6 AS user, system_us / 1e6 AS system, maxrss_kb,"
			     " last_lines FROM exits ORDER BY id DESC;";

const char *const schema_steps[SCHEMA_VERSION] = { step_tables, step_views };

const char schema_memory[] =
    "CREATE TABLE later (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
    " a ANY, b ANY, c ANY, d ANY, e ANY) STRICT;";

static int
ask_int(sqlite3 *db, const char *sql, int *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
schema_look(sqlite3 *db, enum schema_verdict *ret, int *ret_version)
{
	int application = 0, version = 0, tables = 0, rc;

	rc = ask_int(db, "PRAGMA application_id", &application);
	if (rc == SQLITE_OK)
		rc = ask_int(db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = ask_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc != SQLITE_OK)
		return rc;
	*ret_version = version;
	if (application == SCHEMA_APPLICATION && version > SCHEMA_VERSION)
		*ret = SCHEMA_NEWER;
	else if (application == SCHEMA_APPLICATION && version > 0)
		*ret = SCHEMA_OURS;
	else if (application == 0 && version == 0 && tables == 0)
		*ret = SCHEMA_EMPTY;
	else
		*ret = SCHEMA_FOREIGN;
	return SQLITE_OK;
}

int
schema_migrate(sqlite3 *db, int version)
{
	char mark[128];
	int rc = SQLITE_OK;

	for (int v = version; v < SCHEMA_VERSION && rc == SQLITE_OK; v++) {
		snprintf(mark, sizeof mark,
		    "PRAGMA application_id = %d; PRAGMA user_version = %d",
		    SCHEMA_APPLICATION, v + 1);
		rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc =
			    sqlite3_exec(db, schema_steps[v], NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(db, mark, NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
		if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	}
	return rc;
}
