#ifndef SQLITE_FILE_H
#define SQLITE_FILE_H

/*
 * What every SQLite file of ours needs: a mode, a configuration, words for what
 * is wrong, and a way out when it is damaged or was moved away under us.
 * Results are SQLite's primary codes, 0 for done.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Beside SQLite's own codes, what else can be wrong with a file. */
enum {
	FILE_FOREIGN = 1000, /* another program's, or of a newer version */
	FILE_NOT_A_FILE,
	FILE_OWN_CODES /* from here on a store's own */
};

#define FILE_OPEN_FLAGS (SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE)

static inline int
file_primary(int rc)
{
	return rc & 0xff;
}

static inline bool
file_is_damaged(int rc)
{
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
}

/* Words for a primary code that sql (may be NULL) has just returned. */
void file_words(sqlite3 *sql, int rc, char *words, size_t size);

/*
 * The file itself, so that its mode is ours and a failure has a name: the words
 * say it. folders: those above it are made, too. A file that is there is left
 * alone: closing another descriptor of it would drop SQLite's locks.
 */
int file_make(const char *path, bool folders, char *words, size_t size);

/* For a connection that trusts nothing in the file. bytes: the longest text or
 * blob. */
int file_configure(sqlite3 *sql, int bytes, int busy_ms, int cache_kib);

/* Renames the file and its log to PATH.WHAT-DATE, into ret_name. 0 or -errno.
 */
int file_set_aside(
    const char *path, const char *what, char *ret_name, size_t size);

/* The file at path is not the one that is open (any more). *wal: the inode of
 * its log, 0 as long as that is not known. */
bool file_has_moved(sqlite3 *sql, const char *path, ino_t *wal);

/* "PATH-wal"; false: it does not fit. */
bool file_wal_name(const char *path, char *ret, size_t size);

#endif
