/*
 * Opening and closing. What a file is gets decided before anything is written
 * to it: another program's database, or one of a newer supervisord, is closed
 * again as it was.
 */

#include "state/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state/schema.h"
#include "supervisord/base/buf.h"

static void
say(struct trouble *t, int code, const char *words)
{
	t->code = code;
	snprintf(t->words, sizeof t->words, "%s", words);
}

void
store_trouble(const struct store *st, int code, struct trouble *ret)
{
	ret->code = code;
	file_words(
	    st != NULL ? st->db : NULL, code, ret->words, sizeof ret->words);
}

static void
configure(struct store *st, int busy_ms)
{
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	file_configure(st->db, 1 << 20, busy_ms, 256);
	sqlite3_exec(st->db,
	    "PRAGMA journal_size_limit = 4194304; PRAGMA synchronous = NORMAL",
	    NULL, NULL, NULL);
}

static int
note_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *st = arg;

	(void)db;
	(void)name;
	st->wal_pages = pages;
	return SQLITE_OK;
}

/* Whose is it, can it be written; then makes or migrates it. */
static int
examine(struct store *st, struct trouble *t)
{
	enum schema_verdict verdict;
	char words[TROUBLE_WORDS];
	int version, rc;

	rc = schema_look(st->db, &state_schema, &verdict, &version);
	if (rc != SQLITE_OK)
		goto out;
	switch (verdict) {
	case SCHEMA_NEWER:
		snprintf(words, sizeof words,
		    "state.db was made by a newer supervisord (its schema is "
		    "%d, this one knows %d)",
		    version, SCHEMA_VERSION);
		say(t, FILE_FOREIGN, words);
		return FILE_FOREIGN;
	case SCHEMA_FOREIGN:
		say(t, FILE_FOREIGN,
		    "state.db is the database of another program");
		return FILE_FOREIGN;
	case SCHEMA_OURS:
	case SCHEMA_EMPTY:
		break;
	}
	st->readable_only = sqlite3_db_readonly(st->db, "main") == 1;
	if (st->readable_only && verdict == SCHEMA_OURS &&
	    version == SCHEMA_VERSION) {
		store_trouble(st, SQLITE_READONLY, t);
		return SQLITE_READONLY;
	}
	st->fresh = verdict == SCHEMA_EMPTY;
	rc =
	    sqlite3_exec(st->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = schema_migrate(st->db, &state_schema, version);
out:
	rc = file_primary(rc);
	if (rc != SQLITE_OK)
		store_trouble(st, rc, t);
	return rc;
}

static int
open_db(struct store *st, const char *name, int flags, int busy_ms,
    struct trouble *t)
{
	int rc = sqlite3_open_v2(name, &st->db, flags | FILE_OPEN_FLAGS, NULL);

	if (st->db == NULL) {
		say(t, SQLITE_NOMEM, "out of memory");
		return SQLITE_NOMEM;
	}
	if (rc != SQLITE_OK) {
		rc = file_primary(rc);
		store_trouble(st, rc, t);
		return rc;
	}
	configure(st, busy_ms);
	return examine(st, t);
}

/* "file:PATH?immutable=1": how a file on a read-only disk, without its -shm,
 * can still be read. */
static char *
immutable_name(const char *path)
{
	struct buf b;

	buf_init(&b);
	buf_str(&b, "file:");
	for (; *path != '\0'; path++) {
		if (strchr("%?#", *path) != NULL)
			buf_fmt(&b, "%%%02x", (unsigned char)*path);
		else
			buf_char(&b, *path);
	}
	buf_str(&b, "?immutable=1");
	return buf_take(&b);
}

static bool
reopen_immutable(struct store *st)
{
	char *name = immutable_name(st->path);
	struct trouble unused = { 0 };

	sqlite3_close(st->db);
	st->db = NULL;
	if (name == NULL)
		return false;
	open_db(st, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0, &unused);
	free(name);
	return st->db != NULL && st->readable_only &&
	       unused.code == SQLITE_READONLY;
}

static struct store *
store_new(const char *path, const struct keep *keep)
{
	struct store *st = calloc(1, sizeof *st);

	if (st == NULL)
		return NULL;
	st->keep = *keep;
	if (path != NULL && (st->path = strdup(path)) == NULL) {
		free(st);
		return NULL;
	}
	return st;
}

int
store_open(const char *path, const struct keep *keep, int busy_ms,
    struct store **ret, struct trouble *t)
{
	struct store *st;
	int rc;

	*ret = NULL;
	memset(t, 0, sizeof *t);
	t->code = file_make(path, true, t->words, sizeof t->words);
	if (t->code != SQLITE_OK)
		return t->code;
	st = store_new(path, keep);
	if (st == NULL) {
		say(t, SQLITE_NOMEM, "out of memory");
		return SQLITE_NOMEM;
	}
	rc = open_db(st, path, SQLITE_OPEN_READWRITE, busy_ms, t);
	if (rc == SQLITE_OK) {
		sqlite3_db_config(
		    st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
		sqlite3_wal_hook(st->db, note_wal, st);
	} else if (!st->readable_only &&
		   (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY) &&
		   reopen_immutable(st)) {
		/* SQLite names the first file it could not make. */
		if (access(path, W_OK) < 0) {
			rc = SQLITE_READONLY;
			store_trouble(st, rc, t);
		}
	} else if (!st->readable_only) {
		store_close(st, false);
		st = NULL;
	}
	*ret = st;
	return rc;
}

int
store_open_memory(const struct keep *keep, bool stands_in, struct store **ret)
{
	struct store *st = store_new(NULL, keep);
	struct trouble unused = { 0 };
	int rc;

	*ret = NULL;
	if (st == NULL)
		return SQLITE_NOMEM;
	st->stands_in = stands_in;
	rc = open_db(st, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY,
	    0, &unused);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(st->db, schema_memory, NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		store_close(st, false);
		return rc;
	}
	*ret = st;
	return SQLITE_OK;
}

void
store_close(struct store *st, bool with_checkpoint)
{
	if (st == NULL)
		return;
	for (size_t i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(st->stmt[i]);
	if (!with_checkpoint && st->db != NULL)
		sqlite3_db_config(
		    st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(st->db);
	free(st->path);
	free(st);
}

bool
store_moved(struct store *st)
{
	return st->path != NULL &&
	       file_has_moved(st->db, st->path, &st->wal_inode);
}
