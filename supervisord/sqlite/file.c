#include "supervisord/sqlite/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/util.h"

/* On a disk that is read-only SQLite fails at the log beside the file, which it
 * can't make, and says then that there is no such file. */
static const char *
open_words(sqlite3 *sql, int error)
{
	const char *path = sqlite3_db_filename(sql, "main");

	if (error == ENOENT && path != NULL && access(path, W_OK) < 0)
		error = errno;
	return strerror(error);
}

void
file_words(sqlite3 *sql, int rc, char *words, size_t size)
{
	int error = sql != NULL ? sqlite3_system_errno(sql) : 0;
	const char *text;

	switch (rc) {
	case SQLITE_FULL:
		text = "disk full";
		break;
	case SQLITE_READONLY:
		text = "it can't be written (read-only)";
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		text = "it is locked by another program";
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		text = "it is damaged";
		break;
	case SQLITE_NOMEM:
		text = "out of memory";
		break;
	case SQLITE_IOERR: /* SQLite does not always keep its errno */
		text = error == ENOSPC || error == EFBIG ? strerror(error)
							 : "input/output error";
		break;
	case SQLITE_CANTOPEN:
		text =
		    error != 0 ? open_words(sql, error) : "it can't be opened";
		break;
	default:
		text = sql != NULL ? sqlite3_errmsg(sql) : sqlite3_errstr(rc);
		break;
	}
	snprintf(words, size, "%s", text);
}

/* --- making --------------------------------------------------------------- */

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

int
file_make(const char *path, bool folders, char *words, size_t size)
{
	struct stat sb;
	int fd, r = 0;

	if (lstat(path, &sb) == 0) {
		if (S_ISREG(sb.st_mode))
			return SQLITE_OK;
		snprintf(words, size, "it is not a regular file");
		return FILE_NOT_A_FILE;
	}
	if (folders)
		r = make_folders(path);
	fd = r < 0 ? -1
		   : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd >= 0) {
		close(fd);
		return SQLITE_OK;
	}
	r = r < 0 ? -r : errno;
	snprintf(words, size, "%s", strerror(r));
	return r == ENOSPC  ? SQLITE_FULL
	       : r == EROFS ? SQLITE_READONLY
			    : SQLITE_CANTOPEN;
}

int
file_configure(sqlite3 *sql, int bytes, int busy_ms, int cache_kib)
{
	static const int off[] = { SQLITE_DBCONFIG_DQS_DML,
		SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_ENABLE_TRIGGER,
		SQLITE_DBCONFIG_TRUSTED_SCHEMA };
	char text[256];

	for (size_t i = 0; i < N_ELEMENTS(off); i++)
		sqlite3_db_config(sql, off[i], 0, NULL);
	sqlite3_db_config(sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_limit(sql, SQLITE_LIMIT_LENGTH, bytes);
	sqlite3_limit(sql, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_busy_timeout(sql, busy_ms);
	snprintf(text, sizeof text,
	    "PRAGMA page_size = 4096; PRAGMA cell_size_check = ON;"
	    "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF;"
	    "PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0;"
	    "PRAGMA cache_size = -%d",
	    cache_kib);
	return sqlite3_exec(sql, text, NULL, NULL, NULL);
}

/* --- a file that is damaged, or has gone ---------------------------------- */

bool
file_wal_name(const char *path, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s-wal", path);

	return n > 0 && (size_t)n < size;
}

/* A name that nobody has; false: it does not fit. */
static bool
aside_name(const char *path, const char *what, char *ret, size_t size)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	n = snprintf(ret, size, "%s.%s-%s", path, what, stamp);
	for (int i = 2; access(ret, F_OK) == 0 && i < 100; i++)
		n = snprintf(ret, size, "%s.%s-%s-%d", path, what, stamp, i);
	return n > 0 && (size_t)n < size;
}

int
file_set_aside(const char *path, const char *what, char *ret_name, size_t size)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (!aside_name(path, what, ret_name, size) ||
	    !file_wal_name(ret_name, to, sizeof to) ||
	    !file_wal_name(path, from, sizeof from))
		return -ENAMETOOLONG;
	if (rename(path, ret_name) < 0)
		return -errno;
	/* Its log belongs to it; the index beside it is made anew by any reader
	 * and would mislead one of the next file. */
	if (rename(from, to) < 0 && errno != ENOENT)
		unlink(from);
	memcpy(from + strlen(path), "-shm", 5);
	unlink(from);
	return 0;
}

bool
file_has_moved(sqlite3 *sql, const char *path, ino_t *wal)
{
	char name[PATH_MAX];
	struct stat sb;
	int moved = 0;

	if (sqlite3_file_control(sql, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
		SQLITE_OK &&
	    moved)
		return true;
	/* Rows written to a log that has lost its name are lost rows. */
	if (!file_wal_name(path, name, sizeof name))
		return false;
	if (stat(name, &sb) < 0)
		return *wal != 0 && errno == ENOENT;
	if (*wal == 0)
		*wal = sb.st_ino;
	return *wal != sb.st_ino;
}
