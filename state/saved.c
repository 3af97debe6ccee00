#include "state/saved.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "state/store.h"
#include "supervisord/base/util.h"

/* Texts stand behind each other in blocks, large enough for malloc to give
 * them back to the system, and go all at once. */
#define BLOCK_BYTES (256 << 10)

struct saved_block {
	struct saved_block *next;
	size_t used, room;
	char data[];
};

static char *
keep_text(struct saved *saved, sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);
	size_t size;
	struct saved_block *b = saved->texts;
	char *copy;

	if (text == NULL)
		return NULL;
	/* A damaged file may have a NUL in a text: it ends there. */
	size = strlen((const char *)text) + 1;
	if (b == NULL || b->room - b->used < size) {
		size_t room = MAX_OF(size, (size_t)BLOCK_BYTES);

		b = malloc(sizeof *b + room);
		if (b == NULL)
			return NULL;
		b->next = saved->texts;
		b->used = 0;
		b->room = room;
		saved->texts = b;
	}
	copy = b->data + b->used;
	memcpy(copy, text, size);
	b->used += size;
	return copy;
}

/* A new last element of a growing array, zeroed; NULL: no memory. */
static void *
grow(void **array, size_t *count, size_t *room, size_t size)
{
	char *at;

	if (*count == *room) {
		size_t more = *room > 0 ? *room * 2 : 64;
		void *p = realloc(*array, more * size);

		if (p == NULL)
			return NULL;
		*array = p;
		*room = more;
	}
	at = (char *)*array + *count * size;
	memset(at, 0, size);
	(*count)++;
	return at;
}

static int
take_instance(struct saved *saved, sqlite3_stmt *stmt)
{
	void *array = saved->instances;
	struct state_saved *row = grow(
	    &array, &saved->instance_count, &saved->instance_room, sizeof *row);

	saved->instances = array;
	if (row == NULL)
		return SQLITE_NOMEM;
	row->name = keep_text(saved, stmt, 0);
	if (row->name == NULL) {
		saved->instance_count--;
		return SQLITE_OK;
	}
	row->worker = keep_text(saved, stmt, 1);
	row->index = sqlite3_column_int(stmt, 2);
	row->wanted_up = sqlite3_column_int(stmt, 3) != 0;
	row->wanted_by_user = sqlite3_column_int(stmt, 4) != 0;
	row->state = keep_text(saved, stmt, 5);
	row->pid = sqlite3_column_int(stmt, 6);
	row->start_ticks = (uint64_t)sqlite3_column_int64(stmt, 7);
	row->boot_id = keep_text(saved, stmt, 8);
	row->started_ms = sqlite3_column_int64(stmt, 9);
	row->restarts = sqlite3_column_int64(stmt, 10);
	row->reason = keep_text(saved, stmt, 11);
	return SQLITE_OK;
}

static int
take_fact(struct saved *saved, sqlite3_stmt *stmt)
{
	void *array = saved->facts;
	struct saved_fact *row =
	    grow(&array, &saved->fact_count, &saved->fact_room, sizeof *row);

	saved->facts = array;
	if (row == NULL)
		return SQLITE_NOMEM;
	row->key = keep_text(saved, stmt, 0);
	row->value = keep_text(saved, stmt, 1);
	if (row->key == NULL || row->value == NULL)
		saved->fact_count--;
	return SQLITE_OK;
}

/* Newest first: the last run, and where it differs the one before. */
static int
take_incarnation(struct saved *saved, sqlite3_stmt *stmt)
{
	struct saved_run one = {
		.known = true,
		.run = (uint64_t)sqlite3_column_int64(stmt, 1),
		.in_order = sqlite3_column_int(stmt, 2) == 1,
	};

	if (!saved->last.known) {
		saved->last = one;
		saved->last_incarnation =
		    (uint64_t)MAX_OF(sqlite3_column_int64(stmt, 0), 0);
	} else if (!saved->before.known && one.run != saved->last.run) {
		saved->before = one;
	}
	return SQLITE_OK;
}

static int
take_event(struct saved *saved, sqlite3_stmt *stmt)
{
	saved->last_event = (uint64_t)MAX_OF(sqlite3_column_int64(stmt, 0), 0);
	return SQLITE_OK;
}

static int
each(struct saved *saved, struct store *st, const char *sql,
    int (*take)(struct saved *saved, sqlite3_stmt *stmt))
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(st->db, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return file_primary(rc);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		rc = take(saved, stmt);
		if (rc != SQLITE_OK)
			break;
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : file_primary(rc);
}

static int
by_name(const void *a, const void *b)
{
	const struct state_saved *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int
by_key(const void *a, const void *b)
{
	const struct saved_fact *x = a, *y = b;

	return strcmp(x->key, y->key);
}

int
saved_read(struct saved *saved, struct store *st)
{
	int rc, first;

	first = each(saved, st,
	    "SELECT name, worker, idx, wanted_up, wanted_by_user, state, pid,"
	    " start_ticks, boot_id, started_ms, restarts, reason FROM instances",
	    take_instance);
	rc = each(saved, st, "SELECT key, value FROM facts", take_fact);
	first = first != SQLITE_OK ? first : rc;
	rc = each(saved, st,
	    "SELECT id, run, in_order FROM incarnations ORDER BY id DESC",
	    take_incarnation);
	first = first != SQLITE_OK ? first : rc;
	rc = each(saved, st, "SELECT seq FROM events ORDER BY id DESC LIMIT 1",
	    take_event);
	first = first != SQLITE_OK ? first : rc;
	/* In the order of the index already, but a damaged file may lie. */
	if (saved->instance_count > 0)
		qsort(saved->instances, saved->instance_count,
		    sizeof *saved->instances, by_name);
	if (saved->fact_count > 0)
		qsort(saved->facts, saved->fact_count, sizeof *saved->facts,
		    by_key);
	return first;
}

void
saved_free(struct saved *saved)
{
	struct saved_block *b, *next;

	for (b = saved->texts; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(saved->instances);
	free(saved->facts);
	saved->texts = NULL;
	saved->instances = NULL;
	saved->facts = NULL;
	saved->instance_count = saved->instance_room = 0;
	saved->fact_count = saved->fact_room = 0;
}

const struct state_saved *
saved_instance(const struct saved *saved, const char *name)
{
	size_t low = 0, high = saved->instance_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, saved->instances[mid].name);

		if (order == 0)
			return &saved->instances[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const char *
saved_fact(const struct saved *saved, const char *key)
{
	size_t low = 0, high = saved->fact_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(key, saved->facts[mid].key);

		if (order == 0)
			return saved->facts[mid].value;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}
