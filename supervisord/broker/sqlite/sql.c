/* The statements of a connection, and the names of pools. */

#include "supervisord/broker/sqlite/db.h"

#include <stdio.h>
#include <string.h>

static const char *const texts[SQLS] = {

#define SQL(NAME, text) [SQL_##NAME] = text,
#include "supervisord/broker/sqlite/sql.def"
#undef SQL
};

sqlite3_stmt *
db_sql(struct db *db, enum sql which, int *rc)
{
	*rc = SQLITE_OK;
	if (db->stmt[which] == NULL) {
		*rc = sqlite3_prepare_v3(db->sql, texts[which], -1,
		    SQLITE_PREPARE_PERSISTENT, &db->stmt[which], NULL);
		if (*rc != SQLITE_OK)
			*rc = db_failed(db, *rc);
	}
	return db->stmt[which];
}

int
db_end(struct db *db, sqlite3_stmt *stmt, int rc)
{
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = SQLITE_OK;
	else
		rc = db_failed(db, rc);
	sqlite3_reset(stmt);
	return rc;
}

int
db_run(struct db *db, sqlite3_stmt *stmt)
{
	return db_end(db, stmt, sqlite3_step(stmt));
}

int
db_run_id(struct db *db, enum sql which, uint64_t id)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	return db_run(db, stmt);
}

/* --- pools ---------------------------------------------------------------- */

static void
remember(struct db *db, int64_t id, const char *name)
{
	size_t at = db->pools_count < DB_POOLS ? db->pools_count++
					       : db->next_pool++ % DB_POOLS;

	db->pools[at].id = id;
	snprintf(db->pools[at].name, sizeof db->pools[at].name, "%s", name);
}

int
db_pool_id(struct db *db, const char *name, bool make, int64_t *ret)
{
	sqlite3_stmt *stmt;
	int rc;

	*ret = 0;
	for (size_t i = 0; i < db->pools_count; i++)
		if (strcmp(db->pools[i].name, name) == 0) {
			*ret = db->pools[i].id;
			return SQLITE_OK;
		}
	stmt = db_sql(db, SQL_POOL_ID, &rc);
	if (stmt == NULL)
		return rc;
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	rc = db_end(db, stmt, rc);
	if (rc == SQLITE_OK && *ret == 0 && make) {
		stmt = db_sql(db, SQL_POOL_NEW, &rc);
		if (stmt == NULL)
			return rc;
		sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
		rc = db_run(db, stmt);
		*ret = sqlite3_last_insert_rowid(db->sql);
	}
	if (rc == SQLITE_OK && *ret != 0)
		remember(db, *ret, name);
	return rc;
}

const char *
db_pool_name(struct db *db, int64_t id)
{
	sqlite3_stmt *stmt;
	int rc;

	for (size_t i = 0; i < db->pools_count; i++)
		if (db->pools[i].id == id)
			return db->pools[i].name;
	stmt = db_sql(db, SQL_POOL_NAME, &rc);
	if (stmt == NULL)
		return "";
	sqlite3_bind_int64(stmt, 1, id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		remember(db, id, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_reset(stmt);
	for (size_t i = 0; i < db->pools_count; i++)
		if (db->pools[i].id == id)
			return db->pools[i].name;
	return "";
}
