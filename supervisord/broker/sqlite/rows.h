#ifndef BROKER_SQLITE_ROWS_H
#define BROKER_SQLITE_ROWS_H

/* Tasks between the tables and memory. Results as in db.h; SQLITE_NOMEM where
 * memory was short. */

#include "supervisord/broker/sqlite/db.h"

/* "" is stored as NULL. */
static inline void
row_bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text != NULL && text[0] != '\0')
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

static inline void
row_bind_body(sqlite3_stmt *stmt, int i, const struct body *b)
{
	if (b != NULL)
		sqlite3_bind_blob64(stmt, i, b->data, b->size, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

/* The row the statement is at. whole: with the payload. */
int row_read(
    struct db *db, sqlite3_stmt *stmt, struct task_row *row, bool whole);
/* Steps through a statement of rows into *rows; resets it. Those of a queue go
 * to memory at about 8 MiB of payload at a time: *ret_more, there may be more
 * behind them. NULL: all are read. */
int rows_read(struct db *db, sqlite3_stmt *stmt, bool whole,
    struct task_row **rows, size_t *count, bool *ret_more);
int row_result(struct db *db, struct task_row *row);

/* The row of a task, or none (*ret_found). */
int row_get(struct db *db, uint64_t id, struct task_row *row, bool *ret_found);

/*
 * Stores a new task. Where its key or its schedule's time is taken, or its id,
 * nothing is stored and *ret_existing is that task's id, *ret_state its state.
 */
int row_insert(struct db *db, const struct task_row *row,
    uint64_t *ret_existing, uint8_t *ret_state);
/* Only looks: the task its key is of, 0: none. */
int row_by_key(
    struct db *db, const struct task_row *row, uint64_t *ret_existing);
/* INSERT_MANY tasks with nothing beside the row (row_is_simple), all or, with
 * an error, none of them. */
#define INSERT_MANY 8
bool row_is_simple(const struct task_row *row);
int row_insert_many(
    struct db *db, const struct task_row *const rows[INSERT_MANY]);
/* The fields of the change; *ret_found: there is such a task. One that is done
 * is changed by another end alone. */
int row_change(struct db *db, const struct task_change *c, bool *ret_found);
/* The common case, in one step: only if the task has not ended, neither has
 * nor gets a row in extra, so that nothing hangs on its end either. */
int row_change_plain(
    struct db *db, const struct task_change *c, bool *ret_found);
/* Whether that it is done is all there is to say of it. */
bool row_is_done_only(const struct task_change *c);
/* As row_change_plain, for so many tasks in a row that are done alike: those
 * for which it did are in db->seen, in order. */
int row_done_many(struct db *db, const struct task_change *c, size_t count);

struct row_result {
	uint64_t id;
	const struct body *data;
	bool json;
};

int row_put_result(struct db *db, const struct row_result *r);
#define RESULTS_MANY 8
int row_put_results(struct db *db, const struct row_result r[RESULTS_MANY]);

/* For people, in a thread of their own or not: TASK, LIST. */
int read_answer(struct db *db, struct store_op *op);

#endif
