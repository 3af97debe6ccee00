/*
 * The ends of tasks that ended well, noted many at once: which tasks of a pool
 * expire at the same time. An entry in an index for each of them would cost as
 * much as the change of the task itself.
 */

#include "supervisord/broker/sqlite/db.h"

static int
put(struct db *db, size_t i)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_ENDED_PUT, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, db->ended[i].pool);
	sqlite3_bind_int64(stmt, 2, db->ended[i].expires_ms);
	sqlite3_bind_int64(stmt, 3, db->ended[i].count);
	sqlite3_bind_blob64(stmt, 4, db->ended[i].ids,
	    db->ended[i].count * sizeof db->ended[i].ids[0], SQLITE_STATIC);
	return db_run(db, stmt);
}

int
db_ended_flush(struct db *db)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < db->ended_count && rc == SQLITE_OK; i++)
		rc = put(db, i);
	db->ended_count = 0;
	return rc;
}

static bool
fits(const struct db *db, size_t i, int64_t pool, int64_t expires_ms)
{
	return db->ended[i].pool == pool &&
	       db->ended[i].expires_ms == expires_ms &&
	       db->ended[i].count < DB_BATCH;
}

int
db_ended(struct db *db, int64_t pool, int64_t id, int64_t expires_ms)
{
	size_t i = db->ended_count;
	int rc;

	while (i > 0 && !fits(db, i - 1, pool, expires_ms))
		i--;
	if (i == 0) {
		if (db->ended_count == DB_ENDED &&
		    (rc = db_ended_flush(db)) != SQLITE_OK)
			return rc;
		i = ++db->ended_count;
		db->ended[i - 1].pool = pool;
		db->ended[i - 1].expires_ms = expires_ms;
		db->ended[i - 1].count = 0;
	}
	db->ended[i - 1].ids[db->ended[i - 1].count++] = id;
	return SQLITE_OK;
}
