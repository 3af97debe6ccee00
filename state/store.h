#ifndef STATE_STORE_H
#define STATE_STORE_H

/*
 * One database: state.db, or its stand-in in memory with the same tables.
 * Opening, writing rows, carrying rows over; results are SQLite's primary
 * codes, 0 for done. A store belongs to one thread at a time.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "state/rows.h"
#include "supervisord/sqlite/file.h"

#define TROUBLE_WORDS 192

struct trouble {
	int code; /* SQLite's, or one of sqlite/file.h; 0: none */
	char words[TROUBLE_WORDS]; /* "disk full" */
};

struct keep {
	int64_t events, exits, days;
};

enum {
	STMT_BEGIN = ROW_KINDS,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_LATER,
	STMT_PRUNE_EVENTS,
	STMT_PRUNE_EXITS,
	STMT_PRUNE_LATER,
	STMT_PRUNE_INCARNATIONS,
	STMT_OLD_EVENTS,
	STMT_OLD_EXITS,
	STMT_COUNT
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *stmt[STMT_COUNT]; /* made when first used */
	char *path;                     /* NULL: in memory */
	struct keep keep;
	bool fresh; /* its tables were made by this open */
	bool readable_only;
	bool stands_in; /* in memory, for a file that is to have it all later */
	int64_t next_age; /* clock_mono: when rows are next looked at for age */
	int wal_pages;
	int64_t refused; /* rows that no table would take */
	int64_t
	    pruned; /* in memory only: rows that had to go for want of room */
	ino_t wal_inode; /* 0: not known */
};

/*
 * Opens, makes or migrates path, its folder too. On an error *trouble says so;
 * *ret may still be a store that can be read only (read-only disk), else NULL.
 */
int store_open(const char *path, const struct keep *keep, int busy_ms,
    struct store **ret, struct trouble *trouble);
int store_open_memory(
    const struct keep *keep, bool stands_in, struct store **ret);
/* with_checkpoint: tidy up behind the last user; false for a broken file. */
void store_close(struct store *st, bool with_checkpoint);

/* Words for a code that `st` (may be NULL) has just returned. */
void store_trouble(const struct store *st, int code, struct trouble *ret);

/* The file at its path is no longer the one that is open. */
bool store_moved(struct store *st);

int store_begin(struct store *st);
/* A row the tables refuse is counted, and is no error. */
int store_put(
    struct store *st, enum row_kind kind, const struct value *v, size_t count);
/* Prunes and commits. After an error, here or above: store_rollback. */
int store_commit(struct store *st);
void store_rollback(struct store *st);
/* Writes the log back into the file when it has grown enough. */
int store_checkpoint(struct store *st);

/*
 * Carries rows over, in the transaction that is open in `to`: everything, or
 * only what is not history. What can't be read is left behind; the result is
 * that of writing.
 */
int store_carry(struct store *from, struct store *to, bool with_history);

#endif
