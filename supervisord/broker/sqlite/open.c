/*
 * The writer's file: opening it, and what becomes of one that is damaged, of
 * another program, or was deleted while it was in use.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/store_int.h"

void
writer_health(struct store *s, bool well, const char *words)
{
	char text[sizeof s->words];
	bool news;

	if (well)
		snprintf(text, sizeof text, "%s", words);
	else
		snprintf(text, sizeof text, "the task store is broken: %s (%s)",
		    words, s->path != NULL ? s->path : "in memory");
	pthread_mutex_lock(&s->lock);
	news = s->well != well || strcmp(s->words, text) != 0;
	s->health_news |= news;
	s->well = well;
	memcpy(s->words, text, sizeof text);
	if (well)
		s->generation++;
	/* Who waits for an id learns that there is none. */
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	if (news)
		ev_async_send(s->loop, &s->answer);
}

static int
read_seq(struct db *db, uint64_t *ret)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_SEQ, &rc);

	if (stmt == NULL)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	else if (rc == SQLITE_DONE)
		rc = SQLITE_CORRUPT;
	return db_end(db, stmt, rc);
}

/* Reserves ids, which proves that the file can be written. */
static int
begin_ids(struct store *s, bool lost)
{
	uint64_t next = 1, reserved;
	int rc = read_seq(&s->db, &next);

	/* How far its forerunner was is not known: no clock counts as slowly as
	 * a store would have to give ids to get there. */
	if (lost || s->path == NULL)
		next = MAX_OF(next, (uint64_t)clock_wall_ms());
	pthread_mutex_lock(&s->lock);
	if (s->next_id == 0 || next > s->reserved)
		s->next_id = MAX_OF(s->next_id, next);
	s->reserved = s->next_id;
	pthread_mutex_unlock(&s->lock);
	if (rc == SQLITE_OK)
		rc = db_begin(&s->db, true);
	if (rc == SQLITE_OK)
		rc = ids_reserve(s, &reserved);
	if (rc == SQLITE_OK)
		rc = db_commit(&s->db, s->path);
	if (rc == SQLITE_OK)
		ids_done(s, reserved);
	else
		db_rollback(&s->db);
	return rc;
}

static int
open_once(struct store *s, struct store_found *found, bool lost)
{
	bool fresh = false;
	int rc = db_open(&s->db, s->path, &fresh);

	s->wal_last = 0;
	if (rc == SQLITE_OK && found != NULL)
		rc = found_read(&s->db, found);
	if (rc == SQLITE_OK)
		rc = begin_ids(s, lost);
	/* The little that begin_ids writes fits into what is there. */
	if (rc == SQLITE_OK && s->doubted)
		rc = db_room(&s->db);
	if (rc != SQLITE_OK)
		db_close(&s->db, false);
	s->doubted = rc != SQLITE_OK;
	return rc;
}

static int
begin_anew(struct store *s, struct store_found *found, char *note, size_t size)
{
	char why[DB_WORDS], aside[PATH_MAX];
	int r;

	memcpy(why, s->db.words, sizeof why);
	r = file_set_aside(s->path, "broken", aside, sizeof aside);
	if (r < 0 && r != -ENOENT) {
		snprintf(s->db.words, sizeof s->db.words,
		    "%.150s, and can't be set aside: %s", why, strerror(-r));
		return SQLITE_CANTOPEN;
	}
	snprintf(note, size,
	    "the task store was set aside as %.400s and begun anew: %.250s",
	    aside, why);
	log_error("%s", note);
	pthread_mutex_lock(&s->lock);
	s->stale = found == NULL;
	pthread_mutex_unlock(&s->lock);
	s->damaged = false;
	return open_once(s, found, true);
}

int
writer_open(struct store *s, struct store_found *found)
{
	char note[sizeof s->words] = "";
	int rc;

	rc = s->damaged ? SQLITE_CORRUPT : open_once(s, found, false);
	if (s->path != NULL && (file_is_damaged(rc) || rc == FILE_FOREIGN))
		rc = begin_anew(s, found, note, sizeof note);
	if (rc == SQLITE_OK)
		writer_health(s, true, note);
	else
		writer_health(s, false, s->db.words);
	if (found != NULL && rc == SQLITE_OK && note[0] == '\0')
		s->health_news = false;
	return rc;
}

/* --- a file that has gone ------------------------------------------------- */

static void
forget_log(struct store *s)
{
	char name[PATH_MAX];
	struct stat sb;

	/* A log of the old file would be played into the new one. */
	if (snprintf(name, sizeof name, "%s-wal", s->path) < (int)sizeof name &&
	    stat(name, &sb) == 0 && sb.st_ino == s->db.wal_inode)
		unlink(name);
	if (snprintf(name, sizeof name, "%s-shm", s->path) < (int)sizeof name)
		unlink(name);
}

static bool
flush_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* What is open can still be read: it is written under its name again. */
static bool
write_anew(struct store *s)
{
	char name[PATH_MAX];
	sqlite3_stmt *stmt = NULL;
	bool ok;

	if (snprintf(name, sizeof name, "%s.new", s->path) >= (int)sizeof name)
		return false;
	unlink(name);
	/* VACUUM attaches what it writes. */
	sqlite3_limit(s->db.sql, SQLITE_LIMIT_ATTACHED, 1);
	ok = sqlite3_prepare_v2(s->db.sql, "VACUUM INTO ?1", -1, &stmt, NULL) ==
		 SQLITE_OK &&
	     sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC) == SQLITE_OK &&
	     sqlite3_step(stmt) == SQLITE_DONE;
	sqlite3_finalize(stmt);
	ok = ok && chmod(name, 0640) == 0 && flush_file(name);
	if (ok) {
		forget_log(s);
		ok = link(name, s->path) == 0;
	}
	unlink(name);
	return ok;
}

void
writer_moved(struct store *s)
{
	bool gone = access(s->path, F_OK) < 0 && errno == ENOENT;
	bool saved = gone && write_anew(s);
	int rc;

	if (!saved)
		forget_log(s);
	db_close(&s->db, false);
	log_warn("the task store was %s while in use (%s)%s",
	    gone ? "deleted" : "replaced", s->path,
	    saved ? ": it was written anew" : "");
	if (!saved) {
		pthread_mutex_lock(&s->lock);
		s->stale = true;
		pthread_mutex_unlock(&s->lock);
	}
	rc = writer_open(s, NULL);
	if (rc != SQLITE_OK)
		s->retry_at = clock_mono();
	else if (!saved)
		writer_health(s, true,
		    "the task store was deleted or replaced while in use");
}
