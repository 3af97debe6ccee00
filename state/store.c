/*
 * Opening and closing. What a file is gets decided before anything is written
 * to it: another program's database, or one of a newer supervisord, is closed
 * again as it was.
 */

#include "state/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "state/schema.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"

#define OPEN_FLAGS (SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE)

int
store_primary(int rc)
{
	return rc & 0xff;
}

bool
trouble_is_damage(int code)
{
	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static void
say(struct trouble *t, int code, const char *words)
{
	t->code = code;
	snprintf(t->words, sizeof t->words, "%s", words);
}

void
store_trouble(const struct store *st, int code, struct trouble *ret)
{
	int error = st != NULL ? sqlite3_system_errno(st->db) : 0;
	const char *more = st != NULL ? sqlite3_errmsg(st->db) : "";

	switch (code) {
	case SQLITE_FULL:
		say(ret, code, "disk full");
		break;
	case SQLITE_READONLY:
		say(ret, code, "it can't be written (read-only)");
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		say(ret, code, "it is locked by another program");
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		say(ret, code, "it is damaged");
		break;
	case SQLITE_NOMEM:
		say(ret, code, "out of memory");
		break;
	case SQLITE_IOERR: /* SQLite does not keep its errno */
		say(ret, code, "input/output error");
		break;
	case SQLITE_CANTOPEN:
		say(ret, code,
		    error != 0 ? strerror(error) : "it can't be opened");
		break;
	default:
		say(ret, code, more[0] != '\0' ? more : sqlite3_errstr(code));
		break;
	}
}

/* Makes every missing folder above path. 0 or -errno. */
static int
make_folders(const char *path)
{
	char *copy = strdup(path);
	int r = 0;

	if (copy == NULL)
		return -ENOMEM;
	for (char *p = copy + 1; r == 0 && (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(copy, 0750) < 0 && errno != EEXIST &&
		    errno != EROFS && errno != EACCES)
			r = -errno;
		*p = '/';
	}
	free(copy);
	return r;
}

/*
 * The file itself, so that its mode is ours and a failure has a name. An
 * existing file is left alone: closing another descriptor of it would drop
 * SQLite's locks.
 */
static int
make_file(const char *path, struct trouble *t)
{
	struct stat sb;
	int fd, r;

	if (lstat(path, &sb) == 0) {
		if (S_ISREG(sb.st_mode))
			return 0;
		say(t, TROUBLE_FOLDER, "it is not a regular file");
		return -1;
	}
	r = make_folders(path);
	fd = r < 0 ? -1
		   : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	r = r < 0 ? -r : errno;
	say(t,
	    r == ENOSPC  ? SQLITE_FULL
	    : r == EROFS ? SQLITE_READONLY
			 : SQLITE_CANTOPEN,
	    strerror(r));
	return -1;
}

static void
configure(struct store *st, int busy_ms)
{
	static const int off[] = { SQLITE_DBCONFIG_DQS_DML,
		SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_ENABLE_TRIGGER,
		SQLITE_DBCONFIG_TRUSTED_SCHEMA };

	for (size_t i = 0; i < N_ELEMENTS(off); i++)
		sqlite3_db_config(st->db, off[i], 0, NULL);
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_limit(st->db, SQLITE_LIMIT_LENGTH, 1 << 20);
	sqlite3_limit(st->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_busy_timeout(st->db, busy_ms);
	sqlite3_exec(st->db,
	    "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
	    "PRAGMA cache_size = -256; PRAGMA secure_delete = OFF;"
	    "PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0;"
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

	rc = schema_look(st->db, &verdict, &version);
	if (rc != SQLITE_OK)
		goto out;
	switch (verdict) {
	case SCHEMA_NEWER:
		snprintf(words, sizeof words,
		    "state.db was made by a newer supervisord (its schema is "
		    "%d, this one knows %d)",
		    version, SCHEMA_VERSION);
		say(t, TROUBLE_FOREIGN, words);
		return TROUBLE_FOREIGN;
	case SCHEMA_FOREIGN:
		say(t, TROUBLE_FOREIGN,
		    "state.db is the database of another program");
		return TROUBLE_FOREIGN;
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
		rc = schema_migrate(st->db, version);
out:
	rc = store_primary(rc);
	if (rc != SQLITE_OK)
		store_trouble(st, rc, t);
	return rc;
}

static int
open_db(struct store *st, const char *name, int flags, int busy_ms,
    struct trouble *t)
{
	int rc = sqlite3_open_v2(name, &st->db, flags | OPEN_FLAGS, NULL);

	if (st->db == NULL) {
		say(t, SQLITE_NOMEM, "out of memory");
		return SQLITE_NOMEM;
	}
	if (rc != SQLITE_OK) {
		rc = store_primary(rc);
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
	if (make_file(path, t) < 0)
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

int
store_set_aside(const char *path, char *ret_name, size_t size)
{
	char from[PATH_MAX], to[PATH_MAX], stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	n = snprintf(ret_name, size, "%s.corrupt-%s", path, stamp);
	for (int i = 2; access(ret_name, F_OK) == 0 && i < 100; i++)
		n = snprintf(
		    ret_name, size, "%s.corrupt-%s-%d", path, stamp, i);
	if (n < 0 || (size_t)n >= size || (size_t)n + 5 > sizeof to)
		return -ENAMETOOLONG;
	if (rename(path, ret_name) < 0)
		return -errno;
	/* Its log belongs to it; the index beside it is made anew by any reader
	 * and would mislead one of the next store. */
	snprintf(from, sizeof from, "%.*s-wal", PATH_MAX - 5, path);
	snprintf(to, sizeof to, "%.*s-wal", PATH_MAX - 5, ret_name);
	if (rename(from, to) < 0 && errno != ENOENT)
		unlink(from);
	snprintf(from, sizeof from, "%.*s-shm", PATH_MAX - 5, path);
	unlink(from);
	return 0;
}

bool
store_moved(struct store *st)
{
	char wal[PATH_MAX];
	struct stat sb;
	int moved = 0;

	if (st->path == NULL)
		return false;
	if (sqlite3_file_control(
		st->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	    moved)
		return true;
	/* Rows written to a log that has lost its name are lost rows. */
	if (snprintf(wal, sizeof wal, "%s-wal", st->path) >= (int)sizeof wal)
		return false;
	if (stat(wal, &sb) < 0)
		return st->wal_inode != 0 && errno == ENOENT;
	if (st->wal_inode == 0)
		st->wal_inode = sb.st_ino;
	return st->wal_inode != sb.st_ino;
}
