#include "state/answer.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "state/store.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"

#define DEFAULT_LIMIT 1000
#define MOST_ROWS     100000

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int
question_new(const struct state_question *q, struct question **ret)
{
	size_t count = 0, bytes = 0;
	struct question *copy;
	char *text;

	*ret = NULL;
	if (strcmp(q->what, "events") != 0 && strcmp(q->what, "history") != 0)
		return -EINVAL;
	for (; q->names != NULL && q->names[count] != NULL; count++)
		bytes += strlen(q->names[count]) + 1;
	copy = calloc(1, sizeof *copy + (count + 1) * sizeof(char *) + bytes);
	if (copy == NULL)
		return -ENOMEM;
	list_init(&copy->link);
	buf_init(&copy->json);
	copy->token = q->token;
	copy->history = q->what[0] == 'h';
	copy->since_ms = q->since_ms;
	copy->limit =
	    q->limit > 0 ? MIN_OF(q->limit, MOST_ROWS) : DEFAULT_LIMIT;
	if (q->names != NULL) {
		copy->names = (char **)(void *)(copy + 1);
		copy->name_count = count;
		text = (char *)(copy->names + count + 1);
		for (size_t i = 0; i < count; i++) {
			copy->names[i] = text;
			text = stpcpy(text, q->names[i]) + 1;
		}
		qsort(copy->names, count, sizeof *copy->names, by_text);
	}
	*ret = copy;
	return 0;
}

void
question_free(struct question *q)
{
	buf_done(&q->json);
	free(q);
}

/* Rows as they are found, newest first; each on a line of its own. */
struct found {
	struct buf lines;
	size_t *at;
	size_t count, room;
};

static const char *
text_of(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

static void
int_or_null(struct buf *b, const char *key, sqlite3_stmt *stmt, int column)
{
	if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
		jw_kv_null(b, key);
	else
		jw_kv_int(b, key, sqlite3_column_int64(stmt, column));
}

static void
time_or_null(struct buf *b, const char *key, sqlite3_stmt *stmt, int column)
{
	int64_t ms = sqlite3_column_int64(stmt, column);

	if (ms == 0)
		jw_kv_null(b, key);
	else
		jw_kv_time(b, key, ms);
}

static void
seconds(struct buf *b, const char *key, sqlite3_stmt *stmt, int column,
    int64_t unit_ns)
{
	int64_t n = sqlite3_column_int64(stmt, column);

	jw_kv_seconds(b, key,
	    n > INT64_MAX / unit_ns || n < INT64_MIN / unit_ns ? 0
							       : n * unit_ns);
}

#define EVENT_COLUMNS                                                          \
	"SELECT name, seq, at_ms, kind, from_state, to_state, reason,"         \
	" actor_uid, actor_pid, actor_command FROM events "

static void
event_json(struct buf *b, sqlite3_stmt *row)
{
	jw_object(b);
	jw_kv_int(b, "seq", sqlite3_column_int64(row, 1));
	time_or_null(b, "at", row, 2);
	jw_kv_string(b, "name", text_of(row, 0));
	jw_kv_string(b, "kind", text_of(row, 3));
	jw_kv_string(b, "from", text_of(row, 4));
	jw_kv_string(b, "to", text_of(row, 5));
	jw_kv_string(b, "reason", text_of(row, 6));
	jw_key(b, "actor");
	if (sqlite3_column_type(row, 7) == SQLITE_NULL) {
		jw_null(b);
	} else {
		jw_object(b);
		jw_kv_int(b, "uid", sqlite3_column_int64(row, 7));
		int_or_null(b, "pid", row, 8);
		jw_kv_string(b, "command", text_of(row, 9));
		jw_object_end(b);
	}
	jw_object_end(b);
}

#define EXIT_COLUMNS                                                           \
	"SELECT name, pid, started_ms, ended_ms, duration_ms, code, signal,"   \
	" core, cause, user_us, system_us, maxrss_kb, last_lines FROM exits "

static void
exit_json(struct buf *b, sqlite3_stmt *row)
{
	char signal[UNITS_TEXT];

	jw_object(b);
	jw_kv_string(b, "name", text_of(row, 0));
	jw_kv_int(b, "pid", sqlite3_column_int64(row, 1));
	time_or_null(b, "started_at", row, 2);
	time_or_null(b, "ended_at", row, 3);
	seconds(b, "duration", row, 4, NS_PER_MS);
	jw_key(b, "exit");
	jw_object(b);
	int_or_null(b, "code", row, 5);
	jw_key(b, "signal");
	if (sqlite3_column_type(row, 6) == SQLITE_NULL)
		jw_null(b);
	else
		jw_string(b, units_signal_name(sqlite3_column_int(row, 6),
				 signal, sizeof signal));
	jw_kv_bool(b, "core", sqlite3_column_int(row, 7) != 0);
	jw_object_end(b);
	jw_kv_string(b, "cause", text_of(row, 8));
	seconds(b, "user", row, 9, 1000);
	seconds(b, "system", row, 10, 1000);
	jw_kv_int(b, "maxrss_kb", sqlite3_column_int64(row, 11));
	jw_kv_string(b, "last_lines", text_of(row, 12));
	jw_object_end(b);
}

static bool
is_asked_for(const struct question *q, const char *name)
{
	char worker[256], *of = worker;
	size_t n;

	if (q->names == NULL)
		return true;
	if (name == NULL)
		return false;
	if (bsearch(&name, q->names, q->name_count, sizeof *q->names,
		by_text) != NULL)
		return true;
	/* An instance that is no more is of its worker yet. */
	n = strcspn(name, ":");
	if (name[n] == '\0' || n >= sizeof worker)
		return false;
	memcpy(worker, name, n);
	worker[n] = '\0';
	return bsearch(&of, q->names, q->name_count, sizeof *q->names,
		   by_text) != NULL;
}

static int
add_row(const struct question *q, sqlite3_stmt *row, struct found *f)
{
	if (f->count == f->room) {
		size_t room = f->room > 0 ? f->room * 2 : 64;
		size_t *at = realloc(f->at, room * sizeof *at);

		if (at == NULL)
			return SQLITE_NOMEM;
		f->at = at;
		f->room = room;
	}
	buf_char(&f->lines, '\n');
	f->at[f->count++] = f->lines.size;
	if (q->history)
		exit_json(&f->lines, row);
	else
		event_json(&f->lines, row);
	return f->lines.failed ? SQLITE_NOMEM : SQLITE_OK;
}

static const char *
select_for(const struct question *q)
{
	/* One instance's exits are found by the index, others by looking at
	 * all rows from the newest on. */
	if (q->history && q->name_count == 1 &&
	    strchr(q->names[0], ':') != NULL)
		return EXIT_COLUMNS "WHERE name = ?2 AND ended_ms >= ?1"
				    " ORDER BY id DESC";
	if (q->history)
		return EXIT_COLUMNS "WHERE ended_ms >= ?1 ORDER BY id DESC";
	return EVENT_COLUMNS "WHERE at_ms >= ?1 ORDER BY id DESC";
}

static int
find(const struct question *q, struct store *st, struct found *f)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	rc = sqlite3_prepare_v2(st->db, select_for(q), -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return file_primary(rc);
	sqlite3_bind_int64(stmt, 1, q->since_ms > 0 ? q->since_ms : INT64_MIN);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		sqlite3_bind_text(stmt, 2, q->names[0], -1, SQLITE_STATIC);
	rc = SQLITE_OK;
	while (rc == SQLITE_OK && f->count < (size_t)q->limit) {
		int step = sqlite3_step(stmt);

		if (step != SQLITE_ROW) {
			rc = step == SQLITE_DONE ? SQLITE_OK
						 : file_primary(step);
			break;
		}
		if (is_asked_for(q, text_of(stmt, 0)))
			rc = add_row(q, stmt, f);
	}
	sqlite3_finalize(stmt);
	return rc;
}

int
question_answer(const struct question *q, struct store *newer,
    struct store *older, struct buf *json)
{
	struct found f = { 0 };
	size_t end;
	int rc = SQLITE_OK;

	buf_init(&f.lines);
	if (newer != NULL)
		rc = find(q, newer, &f);
	if (rc == SQLITE_OK && older != NULL)
		find(q, older, &f);
	buf_clear(json);
	jw_array(json);
	end = f.lines.size;
	for (size_t i = f.count; i-- > 0 && rc == SQLITE_OK;) {
		if (end != f.lines.size)
			buf_char(json, ',');
		buf_add(json, f.lines.data + f.at[i], end - f.at[i]);
		end = f.at[i] - 1;
	}
	jw_array_end(json);
	if (rc == SQLITE_OK && (json->failed || f.lines.failed))
		rc = SQLITE_NOMEM;
	buf_done(&f.lines);
	free(f.at);
	return rc;
}
