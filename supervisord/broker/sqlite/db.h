#ifndef BROKER_SQLITE_DB_H
#define BROKER_SQLITE_DB_H

/*
 * One connection to tasks.db: opening, what is wrong with it, its statements.
 * It belongs to one thread at a time. Results are SQLite's primary codes, 0 for
 * done. The tables are described in TASKS.md.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/broker/store.h"
#include "supervisord/sqlite/file.h"

/* What a task_row is read from, without and with what may be large. */
#define SQL_SHORT                                                              \
	"id, pool, state, priority, rank, due_ms, created_ms, started_ms,"     \
	" finished_ms, expires_ms, timeout_ms, result_ttl_ms, retries,"        \
	" attempts, form, func, instance"
#define SQL_WHOLE SQL_SHORT ", payload"

enum sql {
#define SQL(NAME, text) SQL_##NAME,
#include "supervisord/broker/sqlite/sql.def"
#undef SQL
	SQLS
};

/* Bits of task.form. */
enum {
	FORM_JSON = 1,  /* the payload is JSON */
	FORM_APART = 2, /* it is in the table body */
	FORM_KEY = 4,   /* it is in task_key */
	FORM_FIRE = 8,  /* it is in task_fire */
	FORM_EXTRA = 16 /* it has a row in extra; the statements know it */
};

/* A payload longer than this is kept apart, so that a change of the task does
 * not write it again. */
#define PAYLOAD_INLINE 1024

#define DB_WORDS 256
#define DB_MASKS 24
#define DB_POOLS 64
#define DB_ENDED 32 /* batches of tasks that end together */
#define DB_BATCH 128

struct db {
	sqlite3 *sql; /* NULL: closed */
	sqlite3_stmt *stmt[SQLS];

	/* UPDATEs of the fields in a mask, made when first met. */
	struct {
		uint32_t fields;
		sqlite3_stmt *stmt;
	} masks[DB_MASKS];

	unsigned next_mask;

	/* Tasks without a row in extra that are done by this transaction:
	 * stored at its end. */
	struct {
		int64_t pool, expires_ms;
		uint32_t count;
		int64_t ids[DB_BATCH];
	} ended[DB_ENDED];

	size_t ended_count;

	/* The tasks a statement has changed, in its order. */
	int64_t seen[DB_BATCH], seen_pool;
	size_t seen_count;

	/* Names of pools by id, as far as they have been met. */
	struct {
		int64_t id;
		char name[WORKER_NAME_MAX + 1];
	} pools[DB_POOLS];

	size_t pools_count;
	unsigned next_pool;
	bool full;              /* synchronous is FULL, else NORMAL */
	int wal_frames;         /* after the last commit */
	bool marked;            /* the last commit, for db_cut: */
	unsigned char head[32]; /* the log's header then */
	int wal_fd;
	int version;          /* changes when somebody else writes */
	ino_t wal_inode;      /* 0: not known */
	char words[DB_WORDS]; /* what is wrong, for people */
};

/*
 * Opens, makes or migrates the file at path (NULL: in memory) for writing. On
 * an error the words say what it is and the connection is closed. *ret_fresh:
 * its tables were made now.
 */
int db_open(struct db *db, const char *path, bool *ret_fresh);
/* For reading only, what db_open has made. */
int db_open_reader(struct db *db, const char *path);
/* tidy: bring the log home into the file; false for one that is broken. */
void db_close(struct db *db, bool tidy);

/* The file at path is not the one that is open (any more). */
bool db_moved(struct db *db, const char *path);

/* The primary code; sets the words. */
int db_failed(struct db *db, int rc);

int db_begin(struct db *db, bool full);
int db_commit(struct db *db, const char *path);
void db_rollback(struct db *db);
/*
 * After a commit that failed: its frames may all be in the log though the flush
 * of the disk failed, and the next one to open the file would take them for
 * committed. They are cut off.
 */
void db_cut(struct db *db);
/* After a commit: 0 if there is room for a few more, else SQLITE_FULL with
 * words. It is made there and then. */
int db_room(struct db *db);
/* Brings home what it can without waiting for readers. */
int db_checkpoint(struct db *db);

/* The statement, reset; NULL with *rc set. */
sqlite3_stmt *db_sql(struct db *db, enum sql which, int *rc);
/* Steps a statement that returns nothing and resets it. */
int db_run(struct db *db, sqlite3_stmt *stmt);
/* The same for one whose only parameter is a task's number. */
int db_run_id(struct db *db, enum sql which, uint64_t id);
/* Resets; the code of what the last step said: 0 for a row and the end. */
int db_end(struct db *db, sqlite3_stmt *stmt, int rc);

static inline bool
db_is_fatal(int rc)
{
	return rc != SQLITE_OK && rc != SQLITE_CONSTRAINT &&
	       rc != SQLITE_TOOBIG && rc != SQLITE_MISMATCH;
}

/* 0 for the name of no pool that is known. make: it is made. */
int db_pool_id(struct db *db, const char *name, bool make, int64_t *ret);
/* The name, or "". */
const char *db_pool_name(struct db *db, int64_t id);

/* ended.c: a task is done that has no row in extra. */
int db_ended(struct db *db, int64_t pool, int64_t id, int64_t expires_ms);
/* Before a commit. */
int db_ended_flush(struct db *db);

int db_schema(sqlite3 *sql, bool *ret_fresh, char *words, size_t size);

#endif
