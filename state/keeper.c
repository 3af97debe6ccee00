#include "state/keeper.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/answer.h"
#include "state/saved.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

#define DEFAULT_EVENTS 100000
#define DEFAULT_EXITS  50000
#define DEFAULT_DAYS   30
#define DEFAULT_RETRY  (10 * NS_PER_SEC)
/* The most that is kept in memory instead. */
#define MEMORY_EVENTS 20000
#define MEMORY_EXITS  5000
#define NOTE_FOR_NS   (3600 * NS_PER_SEC)
/* How long a lock on the file is waited for: in the caller's thread, where the
 * fleet waits with it, and in the writer's. */
#define BUSY_AT_OPEN_MS 200
#define BUSY_LATER_MS   2000

static void note(struct keeper *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
note(struct keeper *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->health.note, sizeof k->health.note, fmt, ap);
	va_end(ap);
	k->health.note_until = clock_mono() + NOTE_FOR_NS;
	k->told = true;
}

/* --- opening -------------------------------------------------------------- */

static int
open_once(struct keeper *k, struct saved *saved, struct store **ret)
{
	int rc = store_open(k->path, &k->keep, k->busy_ms, ret, &k->trouble);
	int read = SQLITE_OK;

	if (*ret != NULL && saved != NULL)
		read = saved_read(saved, *ret);
	if (rc == SQLITE_OK && read != SQLITE_OK) {
		rc = read;
		store_trouble(*ret, rc, &k->trouble);
	}
	return rc;
}

/* Carries what a store that is given up still holds into its successor. */
static void
salvage(struct store *from, struct store *to, bool with_history)
{
	int rc = store_begin(to);

	if (rc == SQLITE_OK)
		rc = store_carry(from, to, with_history);
	if (rc == SQLITE_OK)
		rc = store_commit(to);
	if (rc != SQLITE_OK)
		store_rollback(to);
}

/* Consumes old, which may be NULL. */
static int
replace_damaged(struct keeper *k, struct store *old, struct saved *saved,
    struct store **ret)
{
	char aside[PATH_MAX];
	int rc = file_set_aside(k->path, "corrupt", aside, sizeof aside);

	*ret = NULL;
	if (rc < 0) {
		store_close(old, false);
		k->trouble.code = SQLITE_CANTOPEN;
		snprintf(k->trouble.words, sizeof k->trouble.words,
		    "it is damaged and can't be set aside: %s", strerror(-rc));
		return SQLITE_CANTOPEN;
	}
	rc = open_once(k, NULL, ret);
	if (rc == SQLITE_OK && old != NULL)
		salvage(old, *ret, true);
	store_close(old, false);
	note(k,
	    "state.db was damaged: it was set aside as %.300s and begun anew%s",
	    aside, old != NULL ? " with what could be read of it" : "");
	if (rc == SQLITE_OK && saved != NULL) {
		saved_free(saved);
		memset(saved, 0, sizeof *saved);
		rc = saved_read(saved, *ret);
		if (rc != SQLITE_OK)
			store_trouble(*ret, rc, &k->trouble);
	}
	return rc;
}

static int
open_file(struct keeper *k, struct saved *saved, struct store **ret)
{
	int rc = open_once(k, saved, ret);

	if (file_is_damaged(rc))
		rc = replace_damaged(k, *ret, saved, ret);
	return rc;
}

static void
fail(struct keeper *k)
{
	char words[HEALTH_WORDS];

	snprintf(words, sizeof words, "state is kept in memory: %s (%.280s)",
	    k->trouble.words, k->path);
	if (strcmp(words, k->health.broken) != 0) {
		memcpy(k->health.broken, words, sizeof words);
		k->told = true;
	}
	k->retry_at = clock_mono() + k->retry_ns;
	/* Without memory for this either, rows are lost until there is some. */
	if (k->memory == NULL)
		store_open_memory(&k->keep_in_memory, true, &k->memory);
}

static int64_t
or_else(int64_t n, int64_t otherwise)
{
	return n > 0 ? n : otherwise;
}

static int
set_options(struct keeper *k, const struct state_options *o)
{
	memset(k, 0, sizeof *k);
	k->keep.events = or_else(o->keep_events, DEFAULT_EVENTS);
	k->keep.exits = or_else(o->keep_exits, DEFAULT_EXITS);
	k->keep.days = MIN_OF(or_else(o->keep_days, DEFAULT_DAYS), 36500);
	k->keep_in_memory = k->keep;
	k->keep_in_memory.events = MIN_OF(k->keep.events, MEMORY_EVENTS);
	k->keep_in_memory.exits = MIN_OF(k->keep.exits, MEMORY_EXITS);
	k->retry_ns = o->retry_ms > 0 ? o->retry_ms * NS_PER_MS : DEFAULT_RETRY;
	k->busy_ms = BUSY_AT_OPEN_MS;
	if (o->dir != NULL && asprintf(&k->path, "%s/state.db", o->dir) < 0) {
		k->path = NULL;
		return -ENOMEM;
	}
	return 0;
}

int
keeper_open(
    struct keeper *k, const struct state_options *options, struct saved *saved)
{
	int rc = set_options(k, options);

	if (rc < 0)
		return rc;
	if (k->path == NULL)
		return store_open_memory(
			   &k->keep_in_memory, false, &k->memory) == SQLITE_OK
			   ? 0
			   : -ENOMEM;
	rc = open_file(k, saved, &k->file);
	k->busy_ms = BUSY_LATER_MS;
	if (rc != SQLITE_OK)
		fail(k);
	else
		sqlite3_busy_timeout(k->file->db, k->busy_ms);
	return 0;
}

/* --- writing -------------------------------------------------------------- */

static int
write_list(struct store *st, const struct list *head)
{
	int rc = SQLITE_OK;

	for (const struct list *l = head->next; l != head && rc == SQLITE_OK;
	     l = l->next) {
		const struct row *row =
		    (const struct row *)((const char *)l -
					 offsetof(struct row, link));

		rc =
		    store_put(st, (enum row_kind)row->kind, row->v, row->count);
	}
	return rc;
}

static int
write_rows(struct keeper *k, struct store *st, const struct queue *batch)
{
	int rc = store_begin(st);

	if (rc == SQLITE_OK)
		rc = write_list(st, &batch->keyed);
	if (rc == SQLITE_OK)
		rc = write_list(st, &batch->history);
	if (rc == SQLITE_OK)
		rc = store_commit(st);
	if (rc != SQLITE_OK) {
		if (st == k->file)
			store_trouble(st, rc, &k->trouble);
		store_rollback(st);
	}
	return rc;
}

/* The file was deleted or renamed: what is open of it is still readable. */
static int
replace_moved(struct keeper *k)
{
	struct store *new;
	int rc = open_file(k, NULL, &new);

	if (rc != SQLITE_OK) {
		store_close(new, false);
		return rc;
	}
	salvage(k->file, new, new->fresh);
	store_close(k->file, false);
	k->file = new;
	note(k,
	    "state.db was deleted or replaced while in use (%.300s): it was "
	    "written anew",
	    k->path);
	return SQLITE_OK;
}

static int
write_file(struct keeper *k, const struct queue *batch)
{
	int rc = SQLITE_OK;

	if (store_moved(k->file))
		rc = replace_moved(k);
	if (rc == SQLITE_OK)
		rc = write_rows(k, k->file, batch);
	if (file_is_damaged(rc)) {
		rc = replace_damaged(k, k->file, NULL, &k->file);
		if (rc == SQLITE_OK)
			rc = write_rows(k, k->file, batch);
	}
	return rc;
}

static void
count_lost(struct keeper *k, int64_t more)
{
	if (more > 0 && k->health.lost == 0)
		k->told = true;
	k->health.lost += more;
}

static void
write_memory(struct keeper *k, const struct queue *batch)
{
	int64_t pruned;

	if (k->memory == NULL) {
		count_lost(k, 1);
		return;
	}
	pruned = k->memory->pruned;
	if (write_rows(k, k->memory, batch) != SQLITE_OK)
		count_lost(k, 1);
	count_lost(k, k->memory->pruned - pruned);
	k->unsaved = true;
}

void
keeper_write(struct keeper *k, const struct queue *batch)
{
	if (k->trouble.code != 0 && clock_mono() >= k->retry_at)
		keeper_retry(k);
	if (k->path != NULL && k->trouble.code == 0) {
		if (write_file(k, batch) == SQLITE_OK)
			return;
		fail(k);
	}
	write_memory(k, batch);
}

void
keeper_dropped(struct keeper *k, int64_t rows)
{
	if (k->trouble.code != 0)
		count_lost(k, rows);
	else
		note(k,
		    "the disk of state.db was too slow: the oldest %lld events "
		    "and exits that waited for it are lost",
		    (long long)rows);
}

void
keeper_tidy(struct keeper *k)
{
	/* A failure (a full disk) shows in a commit soon enough. */
	if (k->file != NULL && k->trouble.code == 0)
		store_checkpoint(k->file);
}

/* --- recovering ----------------------------------------------------------- */

/* The connection itself is sound, only the moment was bad. */
static bool
can_go_on(struct keeper *k)
{
	return k->file != NULL && !k->file->readable_only &&
	       (k->trouble.code == SQLITE_FULL ||
		   k->trouble.code == SQLITE_BUSY ||
		   k->trouble.code == SQLITE_NOMEM) &&
	       !store_moved(k->file);
}

/* A new connection; the old one goes where it is of no more use. */
static int
reopen(struct keeper *k)
{
	struct store *old = k->file, *new;
	bool moved = old != NULL && store_moved(old);
	int rc = open_file(k, NULL, &new);

	if (rc == SQLITE_OK && moved)
		salvage(old, new, new->fresh);
	if (new == NULL)
		return rc;
	if (rc != SQLITE_OK && moved) {
		/* The old one, though it has no name, holds more. */
		store_close(new, false);
		return rc;
	}
	store_close(old, false);
	k->file = new;
	return rc;
}

static int
carry_over(struct keeper *k)
{
	int rc;

	if (k->memory == NULL)
		return SQLITE_OK;
	rc = store_begin(k->file);
	if (rc == SQLITE_OK)
		rc = store_carry(k->memory, k->file, true);
	if (rc == SQLITE_OK)
		rc = store_commit(k->file);
	if (rc != SQLITE_OK) {
		store_trouble(k->file, rc, &k->trouble);
		store_rollback(k->file);
	}
	return rc;
}

void
keeper_retry(struct keeper *k)
{
	int rc = SQLITE_OK;

	if (!can_go_on(k))
		rc = reopen(k);
	if (rc == SQLITE_OK)
		rc = carry_over(k);
	if (rc != SQLITE_OK) {
		fail(k);
		return;
	}
	store_close(k->memory, false);
	k->memory = NULL;
	k->unsaved = false;
	memset(&k->trouble, 0, sizeof k->trouble);
	k->health.broken[0] = '\0';
	k->told = true;
	if (k->health.lost > 0)
		note(k,
		    "state was kept in memory for a while: the oldest %lld "
		    "events and exits of that time had no room",
		    (long long)k->health.lost);
	k->health.lost = 0;
}

/* Another program's file stays as it is: looked at again only when there is
 * something to write anyway. */
int64_t
keeper_retry_at(const struct keeper *k)
{
	bool is_broken = k->trouble.code != 0;

	if (!is_broken || !k->unsaved || k->trouble.code == FILE_FOREIGN)
		return -1;
	return k->retry_at;
}

void
keeper_close(struct keeper *k)
{
	if (keeper_retry_at(k) >= 0)
		keeper_retry(k);
	store_close(k->memory, false);
	store_close(k->file, k->trouble.code == 0);
	free(k->path);
	memset(k, 0, sizeof *k);
}

/* --- telling -------------------------------------------------------------- */

int
keeper_answer(struct keeper *k, const struct question *q, struct buf *json)
{
	int rc;

	if (k->memory != NULL) {
		rc = question_answer(q, k->memory, k->file, json);
	} else if (k->file != NULL) {
		rc = question_answer(q, k->file, NULL, json);
		if (file_is_damaged(rc)) {
			if (replace_damaged(k, k->file, NULL, &k->file) !=
			    SQLITE_OK)
				fail(k);
			rc = question_answer(q, k->memory, k->file, json);
		}
	} else {
		rc = SQLITE_NOMEM;
	}
	return rc == SQLITE_OK ? 0 : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

bool
keeper_health(struct keeper *k, struct health *ret)
{
	bool told = k->told;

	*ret = k->health;
	k->told = false;
	return told;
}
