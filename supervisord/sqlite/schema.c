#include "supervisord/sqlite/schema.h"

#include <stdio.h>

static int
ask_int(sqlite3 *sql, const char *text, int *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(sql, text, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
schema_look(sqlite3 *sql, const struct schema *s, enum schema_verdict *ret,
    int *ret_version)
{
	int application = 0, version = 0, tables = 0, rc;

	rc = ask_int(sql, "PRAGMA application_id", &application);
	if (rc == SQLITE_OK)
		rc = ask_int(sql, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc =
		    ask_int(sql, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc != SQLITE_OK)
		return rc;
	*ret_version = version;
	if (application == s->application && version > s->version)
		*ret = SCHEMA_NEWER;
	else if (application == s->application && version > 0)
		*ret = SCHEMA_OURS;
	else if (application == 0 && version == 0 && tables == 0)
		*ret = SCHEMA_EMPTY;
	else
		*ret = SCHEMA_FOREIGN;
	return SQLITE_OK;
}

int
schema_migrate(sqlite3 *sql, const struct schema *s, int version)
{
	char mark[128];
	int rc = SQLITE_OK;

	for (int v = version; v < s->version && rc == SQLITE_OK; v++) {
		snprintf(mark, sizeof mark,
		    "PRAGMA application_id = %d; PRAGMA user_version = %d",
		    s->application, v + 1);
		rc = sqlite3_exec(sql, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(sql, s->steps[v], NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(sql, mark, NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(sql, "COMMIT", NULL, NULL, NULL);
		if (rc != SQLITE_OK && !sqlite3_get_autocommit(sql))
			sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL);
	}
	return rc;
}
