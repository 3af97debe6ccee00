/* Opening, transactions, and what to say when it does not work. */

#include "supervisord/broker/sqlite/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/util.h"

#define BUSY_MS    2000
#define LENGTH_MAX (64 << 20)
#define WAL_HEAD   32
#define WAL_FRAME  24 /* before each page */
#define PAGE       4096
/* A disk that was full has room again when so much fits: 256 KiB. */
#define ROOM_FRAMES 64

static int
say(struct db *db, int code, const char *words)
{
	snprintf(db->words, sizeof db->words, "%s", words);
	return code;
}

int
db_failed(struct db *db, int rc)
{
	rc = file_primary(rc);
	file_words(db->sql, rc, db->words, sizeof db->words);
	return rc;
}

static int
configure(struct db *db, int cache_kib)
{
	int rc = file_configure(db->sql, LENGTH_MAX, BUSY_MS, cache_kib);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sql,
		    "PRAGMA journal_size_limit = 67108864;"
		    "PRAGMA synchronous = FULL",
		    NULL, NULL, NULL);
	db->full = true;
	return rc;
}

static int
note_wal(void *arg, sqlite3 *sql, const char *name, int frames)
{
	struct db *db = arg;

	(void)sql;
	(void)name;
	db->wal_frames = frames;
	return SQLITE_OK;
}

static int
open_at(struct db *db, const char *path, int flags, int cache_kib)
{
	int rc;

	memset(db, 0, sizeof *db);
	db->wal_fd = -1;
	if (path != NULL && (flags & SQLITE_OPEN_READONLY) == 0) {
		rc = file_make(path, false, db->words, sizeof db->words);
		if (rc != SQLITE_OK)
			return rc;
	}
	rc = sqlite3_open_v2(
	    path != NULL ? path : ":memory:", &db->sql, flags, NULL);
	if (db->sql == NULL)
		return say(db, SQLITE_NOMEM, "out of memory");
	if (rc == SQLITE_OK)
		rc = configure(db, cache_kib);
	return rc;
}

/* seen(id, pool): true; tells which tasks a statement is about to change. */
static void
see_pool(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct db *db = sqlite3_user_data(context);

	if (count == 2 && db->seen_count < N_ELEMENTS(db->seen)) {
		db->seen[db->seen_count++] = sqlite3_value_int64(values[0]);
		db->seen_pool = sqlite3_value_int64(values[1]);
	}
	sqlite3_result_int(context, 1);
}

static int
data_version(struct db *db)
{
	sqlite3_stmt *stmt = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(
		db->sql, "PRAGMA data_version", -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		version = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return version;
}

int
db_open(struct db *db, const char *path, bool *ret_fresh)
{
	int rc =
	    open_at(db, path, SQLITE_OPEN_READWRITE | FILE_OPEN_FLAGS, 16384);

	if (db->sql == NULL)
		return rc;
	if (rc == SQLITE_OK)
		rc = db_schema(db->sql, ret_fresh, db->words, sizeof db->words);
	if (rc == SQLITE_OK && sqlite3_db_readonly(db->sql, "main") == 1)
		rc = SQLITE_READONLY;
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(db->sql, "seen", 2,
		    SQLITE_UTF8 | SQLITE_DIRECTONLY, db, see_pool, NULL, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_wal_hook(db->sql, note_wal, db);
		db->version = data_version(db);
		return rc;
	}
	if (rc != FILE_FOREIGN)
		rc = db_failed(db, rc);
	db_close(db, false);
	return rc;
}

int
db_open_reader(struct db *db, const char *path)
{
	int rc =
	    open_at(db, path, SQLITE_OPEN_READONLY | FILE_OPEN_FLAGS, 2048);

	if (db->sql != NULL && rc != SQLITE_OK) {
		rc = db_failed(db, rc);
		db_close(db, false);
	}
	return rc;
}

void
db_close(struct db *db, bool tidy)
{
	for (size_t i = 0; i < SQLS; i++)
		sqlite3_finalize(db->stmt[i]);
	for (size_t i = 0; i < DB_MASKS; i++)
		sqlite3_finalize(db->masks[i].stmt);
	memset(db->stmt, 0, sizeof db->stmt);
	memset(db->masks, 0, sizeof db->masks);
	if (db->sql != NULL && !tidy)
		sqlite3_db_config(
		    db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (db->wal_fd >= 0)
		close(db->wal_fd);
	db->wal_fd = -1;
	sqlite3_close(db->sql);
	db->sql = NULL;
	db->pools_count = 0;
}

/* --- the file ------------------------------------------------------------- */

bool
db_moved(struct db *db, const char *path)
{
	return path != NULL && db->sql != NULL &&
	       file_has_moved(db->sql, path, &db->wal_inode);
}

/* The locks are on the file and its -shm: the log may be opened and closed. */
static int
open_wal(const char *path, int flags)
{
	char wal[PATH_MAX];

	if (!file_wal_name(path, wal, sizeof wal))
		return -1;
	return open(wal, flags | O_CLOEXEC);
}

/* What the log is like after a commit: what db_cut goes by. */
static void
mark(struct db *db, const char *path)
{
	if (db->wal_fd < 0)
		db->wal_fd = open_wal(path, O_RDWR);
	db->marked = db->wal_fd >= 0 && db->wal_frames > 0 &&
		     pread(db->wal_fd, db->head, WAL_HEAD, 0) == WAL_HEAD;
}

void
db_cut(struct db *db)
{
	unsigned char head[WAL_HEAD];
	off_t size = 0;

	/* Where somebody else has written to it, nothing is known. */
	if (!db->marked || data_version(db) != db->version ||
	    pread(db->wal_fd, head, WAL_HEAD, 0) != WAL_HEAD)
		return;
	/* With another header the failed transaction had begun the log anew:
	 * all that was in it before had come home. */
	if (memcmp(head, db->head, WAL_HEAD) == 0)
		size = WAL_HEAD + (off_t)db->wal_frames * (WAL_FRAME + PAGE);
	if (ftruncate(db->wal_fd, size) == 0)
		fdatasync(db->wal_fd);
}

int
db_room(struct db *db)
{
	off_t at = WAL_HEAD + (off_t)db->wal_frames * (WAL_FRAME + PAGE);
	int r;

	if (db->wal_fd < 0)
		return SQLITE_OK;
	/* What it adds is zeros, which end a log as its end does. */
	r = posix_fallocate(
	    db->wal_fd, at, (off_t)ROOM_FRAMES * (WAL_FRAME + PAGE));
	return r == ENOSPC || r == EDQUOT || r == EFBIG
		   ? say(db, SQLITE_FULL, "disk full")
		   : SQLITE_OK;
}

/* --- transactions --------------------------------------------------------- */

int
db_begin(struct db *db, bool full)
{
	sqlite3_stmt *stmt;
	int rc = SQLITE_OK;

	if (full != db->full) {
		rc = sqlite3_exec(db->sql,
		    full ? "PRAGMA synchronous = FULL"
			 : "PRAGMA synchronous = NORMAL",
		    NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			db->full = full;
	}
	db->ended_count = 0;
	stmt = rc == SQLITE_OK ? db_sql(db, SQL_BEGIN, &rc) : NULL;
	return stmt != NULL ? db_run(db, stmt) : db_failed(db, rc);
}

int
db_commit(struct db *db, const char *path)
{
	int rc = db_ended_flush(db);
	sqlite3_stmt *stmt =
	    rc == SQLITE_OK ? db_sql(db, SQL_COMMIT, &rc) : NULL;

	if (stmt == NULL)
		return rc;
	rc = db_run(db, stmt);
	if (rc == SQLITE_OK && path != NULL)
		mark(db, path);
	return rc;
}

void
db_rollback(struct db *db)
{
	/* What was read or made in it may be gone. */
	db->pools_count = 0;
	if (db->sql != NULL && !sqlite3_get_autocommit(db->sql))
		sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
}

int
db_checkpoint(struct db *db)
{
	int log = 0, home = 0;
	int rc = sqlite3_wal_checkpoint_v2(
	    db->sql, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &home);

	return rc == SQLITE_OK || rc == SQLITE_BUSY ? SQLITE_OK
						    : db_failed(db, rc);
}
