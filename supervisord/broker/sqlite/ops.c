/*
 * What each kind of operation does in the open transaction. An operation that
 * can't be done (no such task, a value the tables refuse) has an error of its
 * own; only what is wrong with the file ends the transaction.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/broker/sqlite/store_int.h"

#define LIMIT_MOST 100000

void
op_forget(struct store_op *op, enum queue_error error)
{
	if (op->kind != STORE_GROUP) {
		for (size_t i = 0; i < op->count; i++)
			task_row_done(&op->rows[i]);
		free(op->rows);
		op->rows = NULL;
		op->count = 0;
	}
	for (size_t i = 0; i < op->follow_count; i++)
		task_row_done(&op->follow[i]);
	free(op->follow);
	op->follow = NULL;
	op->follow_count = 0;
	op->more = false;
	for (size_t i = 0; op->ids != NULL && i < op->count; i++)
		op->rows[i].id = op->ids[i];
	op->existing = 0;
	op->error = error;
}

static int
submit(struct store *s, struct store_op *op)
{
	uint8_t state;
	int rc;

	if (op->row == NULL || op->row->id == 0) {
		op->error = QERR_STORE;
		return SQLITE_OK;
	}
	if (!op->full)
		return row_insert(&s->db, op->row, &op->existing, &state);
	rc = row_by_key(&s->db, op->row, &op->existing);
	if (rc == SQLITE_OK && op->existing == 0)
		op->error = QERR_FULL;
	return rc;
}

static int
update(struct store *s, struct store_op *op)
{
	bool found;
	int rc;

	if (op->change.id == 0)
		return SQLITE_OK; /* it only waits for its turn */
	if ((op->change.fields & CHANGE_STATE) == 0 ||
	    op->change.state < TASK_DONE) {
		rc = row_change_plain(&s->db, &op->change, &found);
		if (rc != SQLITE_OK || found)
			return rc;
	}
	rc = row_change(&s->db, &op->change, &found);
	if (rc == SQLITE_OK && !found)
		op->error = QERR_NO_TASK;
	return rc;
}

static int
put_result(struct store *s, const struct store_op *op)
{
	const struct row_result r = { op->change.id, op->result,
		op->result_json };

	return row_put_result(&s->db, &r);
}

/* A task of which a `then` or a group waits, or that has more to say than that
 * it is done. What is done stays so: the first end counts. */
static int
finish(struct store *s, struct store_op *op)
{
	struct task_row row = { 0 };
	bool found;
	int rc = row_get(&s->db, op->change.id, &row, &found);

	if (rc == SQLITE_OK && !found)
		op->error = QERR_NO_TASK;
	if (rc == SQLITE_OK && found && row.state == TASK_DONE)
		found = false;
	if (rc == SQLITE_OK && found)
		rc = row_change(&s->db, &op->change, &found);
	if (rc == SQLITE_OK && found && op->result != NULL)
		rc = put_result(s, op);
	if (rc == SQLITE_OK && found && row.state < TASK_DONE)
		rc = follow_end(s, op, &row);
	task_row_done(&row);
	return rc;
}

/* The common case, in as few steps as can be. false: something hangs on it. */
static bool
finish_plain(struct store *s, struct store_op *op, int *rc)
{
	bool found;

	*rc = row_change_plain(&s->db, &op->change, &found);
	if (*rc == SQLITE_OK && found && op->result != NULL)
		*rc = put_result(s, op);
	return *rc != SQLITE_OK || found;
}

/* The row of change.id, whole, as rows[0]; false: none, or not in one of these
 * states (bits). */
static bool
take_row(struct store *s, struct store_op *op, uint32_t states, int *rc)
{
	struct task_row *row = task_rows_add(&op->rows, &op->count);
	bool found;

	if (row == NULL) {
		*rc = SQLITE_NOMEM;
		return false;
	}
	*rc = row_get(&s->db, op->change.id, row, &found);
	if (*rc == SQLITE_OK && !found) {
		op->count = 0;
		op->error = QERR_NO_TASK;
	} else if (*rc == SQLITE_OK && (states & 1U << row->state) == 0) {
		op->error = QERR_STATE;
	}
	return *rc == SQLITE_OK && op->error == QERR_NONE;
}

static int
cancel(struct store *s, struct store_op *op)
{
	bool found;
	int rc;

	if (!take_row(s, op, 1U << TASK_QUEUED | 1U << TASK_SCHEDULED, &rc))
		return rc;
	op->change.fields |= CHANGE_STATE;
	op->change.state = TASK_CANCELLED;
	op->change.expires_ms =
	    op->change.finished_ms + op->rows[0].result_ttl_ms;
	rc = row_change(&s->db, &op->change, &found);
	return rc != SQLITE_OK ? rc : follow_end(s, op, &op->rows[0]);
}

static int
revive(struct store *s, struct store_op *op)
{
	struct task_change c = op->change;
	struct task_row *row;
	bool found;
	int rc;

	if (!take_row(s, op,
		1U << TASK_FAILED | 1U << TASK_CANCELLED | 1U << TASK_DEAD,
		&rc))
		return rc;
	row = &op->rows[0];
	op->states = row->state;
	row->state = TASK_QUEUED;
	if ((c.fields & CHANGE_RANK) != 0)
		row->rank = c.rank;
	row->failures = (c.fields & CHANGE_FAILURES) != 0 ? c.failures : 0;
	row->crashes = (c.fields & CHANGE_CRASHES) != 0 ? c.crashes : 0;
	row->due_ms = c.due_ms;
	row->started_ms = row->finished_ms = row->expires_ms = 0;
	free(row->error);
	free(row->words);
	row->error = row->words = NULL;
	c = (struct task_change){
		.id = row->id,
		.fields = CHANGE_STATE | CHANGE_RANK | CHANGE_DUE |
			  CHANGE_FAILURES | CHANGE_CRASHES | CHANGE_STARTED |
			  CHANGE_FINISHED | CHANGE_ERROR | CHANGE_WORDS,
		.state = TASK_QUEUED,
		.rank = row->rank,
		.due_ms = row->due_ms,
		.failures = row->failures,
		.crashes = row->crashes,
	};
	rc = row_change(&s->db, &c, &found);
	if (rc == SQLITE_OK)
		rc = db_run_id(&s->db, SQL_RESULT_DROP, row->id);
	if (rc == SQLITE_OK && row->group != 0)
		rc = db_run_id(&s->db, SQL_GROUP_UP, row->group);
	return rc;
}

static int64_t
limit_of(const struct store_op *op)
{
	return op->limit > 0 && op->limit < LIMIT_MOST ? op->limit : LIMIT_MOST;
}

static int
refill(struct store *s, struct store_op *op)
{
	int64_t pool;
	sqlite3_stmt *stmt;
	int rc = db_pool_id(&s->db, op->worker, false, &pool);

	if (rc != SQLITE_OK || pool == 0)
		return rc;
	stmt = db_sql(&s->db, SQL_REFILL, &rc);
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, pool);
	sqlite3_bind_int64(stmt, 2, op->after_rank);
	sqlite3_bind_int64(stmt, 3, (int64_t)op->after_id);
	sqlite3_bind_int64(stmt, 4, limit_of(op));
	rc = rows_read(&s->db, stmt, true, &op->rows, &op->count, &op->more);
	op->more = op->more || (int64_t)op->count == limit_of(op);
	return rc;
}

static int
due_of(struct store *s, struct store_op *op, int64_t pool, int64_t limit)
{
	size_t first = op->count;
	int rc;
	sqlite3_stmt *stmt = db_sql(&s->db, SQL_DUE, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, pool);
	sqlite3_bind_int64(stmt, 2, op->now_ms);
	sqlite3_bind_int64(stmt, 3, limit);
	rc = rows_read(&s->db, stmt, true, &op->rows, &op->count, &op->more);
	for (size_t i = first; i < op->count && rc == SQLITE_OK; i++) {
		op->rows[i].state = TASK_QUEUED;
		rc = db_run_id(&s->db, SQL_DUE_NOW, op->rows[i].id);
	}
	return rc;
}

static int
due(struct store *s, struct store_op *op)
{
	int64_t limit = limit_of(op);
	int rc;
	sqlite3_stmt *pools = db_sql(&s->db, SQL_POOLS, &rc);

	if (pools == NULL)
		return rc;
	while (!op->more && (rc = sqlite3_step(pools)) == SQLITE_ROW) {
		rc = due_of(s, op, sqlite3_column_int64(pools, 0),
		    limit - (int64_t)op->count);
		if (rc != SQLITE_OK) {
			sqlite3_reset(pools);
			return rc;
		}
		op->more = op->more || (int64_t)op->count == limit;
	}
	rc = db_end(&s->db, pools, rc == SQLITE_OK ? SQLITE_DONE : rc);
	if (rc == SQLITE_OK)
		rc = db_soonest(
		    &s->db, TASK_SCHEDULED, TASK_SCHEDULED, &op->next_due_ms);
	return rc;
}

static bool
save_ids(struct store_op *op)
{
	if (op->ids == NULL)
		op->ids = calloc(op->count + 1, sizeof *op->ids);
	for (size_t i = 0; op->ids != NULL && i < op->count; i++)
		op->ids[i] = op->rows[i].id;
	return op->ids != NULL;
}

static int
new_member(struct store *s, uint64_t group, uint64_t id)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(&s->db, SQL_MEMBER_NEW, &rc);

	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)group);
	sqlite3_bind_int64(stmt, 2, (int64_t)id);
	return db_run(&s->db, stmt);
}

/* Who is one is remembered for what is told of them all at the end. */
static int
insert_members(struct store *s, struct store_op *op, int64_t *ret_open)
{
	int rc = SQLITE_OK;

	*ret_open = 0;
	if (!save_ids(op))
		return SQLITE_NOMEM;
	for (size_t i = 0; i < op->count && rc == SQLITE_OK; i++) {
		struct task_row *row = &op->rows[i];
		uint64_t existing;
		uint8_t state;

		row->group = op->text != NULL ? op->group : row->group;
		rc = row_insert(&s->db, row, &existing, &state);
		if (rc == SQLITE_OK && existing != 0) {
			row->id = existing;
			row->state = state;
		} else if (rc == SQLITE_OK && op->text != NULL) {
			rc = new_member(s, op->group, row->id);
			++*ret_open;
		}
	}
	return rc;
}

static int
group(struct store *s, struct store_op *op)
{
	sqlite3_stmt *stmt;
	int64_t open;
	int rc = insert_members(s, op, &open);

	if (rc != SQLITE_OK || op->text == NULL)
		return rc;
	stmt = db_sql(&s->db, SQL_GROUP_NEW, &rc);
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)op->group);
	sqlite3_bind_int64(stmt, 2, open);
	sqlite3_bind_text(stmt, 3, op->text, -1, SQLITE_STATIC);
	rc = db_run(&s->db, stmt);
	if (rc == SQLITE_OK && open == 0)
		rc = follow_group(s, op, op->group);
	return rc;
}

static int
pause_pool(struct store *s, struct store_op *op)
{
	int64_t pool;
	sqlite3_stmt *stmt;
	int rc = db_pool_id(&s->db, op->worker, true, &pool);

	if (rc != SQLITE_OK)
		return rc;
	stmt = db_sql(&s->db, SQL_POOL_PAUSE, &rc);
	if (stmt == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, pool);
	sqlite3_bind_int(stmt, 2, op->paused);
	sqlite3_bind_int64(stmt, 3, op->paused_until_ms);
	return db_run(&s->db, stmt);
}

static int
fire(struct store *s, struct store_op *op)
{
	uint64_t last = 0;
	uint8_t state;
	sqlite3_stmt *stmt;
	int rc = SQLITE_OK;

	if (op->row != NULL && op->row->id == 0) {
		op->error = QERR_STORE;
		return SQLITE_OK;
	}
	if (op->row != NULL) {
		op->row->schedule = op->schedule;
		op->row->fire_ms = op->fire_ms;
		rc = row_insert(&s->db, op->row, &op->existing, &state);
		last = op->existing == 0 ? op->row->id : 0;
	} else {
		last = op->existing; /* its run is in another store */
	}
	if (rc != SQLITE_OK ||
	    (stmt = db_sql(&s->db, SQL_SCHEDULE_MOVE, &rc)) == NULL)
		return rc;
	sqlite3_bind_int64(stmt, 1, op->schedule);
	sqlite3_bind_int64(stmt, 2, op->next_fire_ms);
	sqlite3_bind_int64(stmt, 3, op->now_ms);
	sqlite3_bind_int64(stmt, 4, (int64_t)last);
	return db_run(&s->db, stmt);
}

static int
schedule(struct store *s, struct store_op *op)
{
	for (int round = 0; round < 2; round++) {
		int rc;
		sqlite3_stmt *stmt = db_sql(&s->db,
		    round == 0 ? SQL_SCHEDULE_ID : SQL_SCHEDULE_NEW, &rc);

		if (stmt == NULL)
			return rc;
		sqlite3_bind_text(stmt, 1, op->worker, -1, SQLITE_STATIC);
		rc = sqlite3_step(stmt);
		if (round == 0 && rc == SQLITE_ROW) {
			op->schedule = (uint32_t)sqlite3_column_int64(stmt, 0);
			op->existing = (uint64_t)sqlite3_column_int64(stmt, 1);
		}
		rc = db_end(&s->db, stmt, rc);
		if (rc != SQLITE_OK || op->schedule != 0)
			return rc;
	}
	op->schedule = (uint32_t)sqlite3_last_insert_rowid(s->db.sql);
	return SQLITE_OK;
}

static int
apply(struct store *s, struct store_op *op)
{
	switch (op->kind) {
	case STORE_SUBMIT:
		return submit(s, op);
	case STORE_UPDATE:
		return update(s, op);
	case STORE_FINISH:
		return finish(s, op);
	case STORE_CANCEL:
		return cancel(s, op);
	case STORE_REVIVE:
		return revive(s, op);
	case STORE_REFILL:
		return refill(s, op);
	case STORE_DUE:
		return due(s, op);
	case STORE_GROUP:
		return group(s, op);
	case STORE_POOL:
		return pause_pool(s, op);
	case STORE_FIRE:
		return fire(s, op);
	case STORE_EXPIRE:
		return expire(s, op);
	case STORE_TASK:
	case STORE_LIST:
		return read_answer(&s->db, op);
	case STORE_SCHEDULE:
		return schedule(s, op);
	case STORE_MINE:
	case STORE_STATS:
	case STORE_KINDS:
		break;
	}
	op->error = QERR_BAD_VALUE;
	return SQLITE_OK;
}

/* Several statements: all or none of them. */
static bool
needs_savepoint(enum store_kind kind)
{
	return kind == STORE_GROUP || kind == STORE_FIRE ||
	       kind == STORE_CANCEL || kind == STORE_REVIVE ||
	       kind == STORE_FINISH;
}

static int
plain(struct db *db, enum sql which)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, which, &rc);

	return stmt != NULL ? db_run(db, stmt) : rc;
}

int
op_apply(struct store *s, struct store_op *op)
{
	bool save = needs_savepoint(op->kind);
	int rc = SQLITE_OK, r;

	op->error = QERR_NONE;
	if (op->kind == STORE_FINISH && finish_plain(s, op, &rc))
		return rc;
	if (save)
		rc = plain(&s->db, SQL_SAVE);
	if (rc != SQLITE_OK)
		return rc;
	rc = apply(s, op);
	if (db_is_fatal(rc))
		return rc;
	if (rc != SQLITE_OK) {
		op_forget(
		    op, rc == SQLITE_TOOBIG ? QERR_TOO_LARGE : QERR_BAD_VALUE);
		r = save ? plain(&s->db, SQL_SAVE_BACK) : SQLITE_OK;
		if (r != SQLITE_OK)
			return r;
	}
	return save ? plain(&s->db, SQL_SAVE_END) : SQLITE_OK;
}
