/*
 * What comes of a task's end: the task in its `then`, and the group's, when
 * its last member has ended. They are stored in the transaction that stores the
 * end, so that no kill comes between.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/follow.h"
#include "supervisord/broker/sqlite/store_int.h"

/* Consumes sub. */
static int
store_follower(struct store *s, struct store_op *op, struct submission *sub)
{
	struct task_row row = { 0 }, *place;
	uint64_t existing = 0;
	uint8_t state;
	int rc = SQLITE_OK;

	row.id = ids_take(s);
	if (row.id == 0) {
		/* The transaction is tried again when there are more. */
		submission_free(sub);
		return SQLITE_NOMEM;
	}
	if (s->options.complete == NULL ||
	    !s->options.complete(sub, &row, s->options.arg)) {
		log_warn("task %llu: its `then` can't be submitted: worker "
			 "\"%s\" takes no tasks",
		    (unsigned long long)op->change.id, sub->worker);
		submission_free(sub);
		task_row_done(&row);
		return SQLITE_OK;
	}
	submission_free(sub);
	rc = row_insert(&s->db, &row, &existing, &state);
	place = rc == SQLITE_OK && existing == 0
		    ? task_rows_add(&op->follow, &op->follow_count)
		    : NULL;
	if (place != NULL)
		*place = row;
	else
		task_row_done(&row);
	return rc == SQLITE_OK && existing == 0 && place == NULL ? SQLITE_NOMEM
								 : rc;
}

static int
follow_then(struct store *s, struct store_op *op, const struct task_row *row)
{
	struct submission *sub = follow_parse(op->change.id, row->then);

	if (sub == NULL)
		return SQLITE_OK;
	if (!follow_task(sub, row->id, op->result, op->result_json)) {
		submission_free(sub);
		return SQLITE_NOMEM;
	}
	sub->parent = row->id;
	return store_follower(s, op, sub);
}

/* --- groups --------------------------------------------------------------- */

static int
group_size(struct db *db, uint64_t group, size_t *ret)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_GROUP_SIZE, &rc);

	*ret = 0;
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)group);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = (size_t)sqlite3_column_int64(stmt, 0);
	return db_end(db, stmt, rc);
}

/* A member with its result. */
static int
put_member(struct db *db, uint64_t id, uint8_t state, struct follow_group *g)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_RESULT_GET, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		follow_group_member(g, id, state, sqlite3_column_blob(stmt, 1),
		    (size_t)sqlite3_column_bytes(stmt, 1),
		    sqlite3_column_int(stmt, 0) != 0, false);
	return db_end(db, stmt, rc);
}

/* Results may be 16 MiB each, of thousands of members: those that do not fit
 * are not read. */
static int
group_results(struct db *db, uint64_t group, struct follow_group *g)
{
	int rc, r = SQLITE_OK;
	sqlite3_stmt *stmt = db_sql(db, SQL_GROUP_RESULTS, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)group);
	while (r == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
		uint8_t state = (uint8_t)sqlite3_column_int(stmt, 1);
		bool json = sqlite3_column_int(stmt, 2) != 0;
		bool none = sqlite3_column_type(stmt, 3) == SQLITE_NULL;
		size_t size = (size_t)sqlite3_column_int64(stmt, 3);

		if (none || !follow_group_fits(g, size, json))
			follow_group_member(g, id, state, NULL, 0, json, !none);
		else
			r = put_member(db, id, state, g);
	}
	rc = db_end(db, stmt, rc);
	return r != SQLITE_OK ? r : rc;
}

static int
with_id(struct db *db, enum sql which, uint64_t id, int64_t second)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	if (second != 0)
		sqlite3_bind_int64(stmt, 2, second);
	return db_run(db, stmt);
}

static int
group_get(struct db *db, uint64_t group, int64_t *ret_open, char **ret_then)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_GROUP_GET, &rc);
	const void *text = NULL;

	*ret_open = -1;
	*ret_then = NULL;
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)group);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*ret_open = sqlite3_column_int64(stmt, 0);
		text = sqlite3_column_text(stmt, 1);
		*ret_then = text != NULL ? strdup(text) : NULL;
	}
	rc = db_end(db, stmt, rc);
	return text != NULL && *ret_then == NULL ? SQLITE_NOMEM : rc;
}

static int
tell_group(struct db *db, uint64_t group, struct submission *sub)
{
	struct follow_group g;
	size_t members;
	int rc = group_size(db, group, &members);

	if (rc != SQLITE_OK)
		return rc;
	follow_group_begin(&g, sub, group, members);
	rc = group_results(db, group, &g);
	if (!follow_group_end(sub, &g) && rc == SQLITE_OK)
		rc = SQLITE_NOMEM;
	return rc;
}

static int
group_over(
    struct store *s, struct store_op *op, uint64_t group, const char *then)
{
	struct submission *sub =
	    then != NULL ? follow_parse(op->change.id, then) : NULL;
	int rc = SQLITE_OK;

	if (sub != NULL) {
		rc = tell_group(&s->db, group, sub);
		if (rc == SQLITE_OK)
			rc = store_follower(s, op, sub);
		else
			submission_free(sub);
	}
	/* From now on the members may go when their time has come. */
	if (rc == SQLITE_OK)
		rc = with_id(&s->db, SQL_GROUP_EXPIRE, group, clock_wall_ms());
	if (rc == SQLITE_OK)
		rc = with_id(&s->db, SQL_MEMBERS_DROP, group, 0);
	return rc == SQLITE_OK ? with_id(&s->db, SQL_GROUP_DROP, group, 0) : rc;
}

int
follow_group(struct store *s, struct store_op *op, uint64_t group)
{
	int64_t open;
	char *then;
	int rc = group_get(&s->db, group, &open, &then);

	if (rc == SQLITE_OK && open == 0)
		rc = group_over(s, op, group, then);
	free(then);
	return rc;
}

static int
member_ended(struct store *s, struct store_op *op, const struct task_row *row)
{
	int rc = with_id(&s->db, SQL_GROUP_DOWN, row->group, 0);

	/* A group that is over, or that waits for nothing. */
	if (rc != SQLITE_OK || sqlite3_changes(s->db.sql) == 0)
		return rc;
	rc = with_id(&s->db, SQL_GROUP_KEEP, row->id, 0);
	return rc == SQLITE_OK ? follow_group(s, op, row->group) : rc;
}

int
follow_end(struct store *s, struct store_op *op, const struct task_row *row)
{
	int rc = SQLITE_OK;

	if (row->then != NULL && op->change.state == TASK_DONE)
		rc = follow_then(s, op, row);
	if (rc == SQLITE_OK && row->group != 0)
		rc = member_ended(s, op, row);
	return rc;
}
