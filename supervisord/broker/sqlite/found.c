/* What there is when a store is opened. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/sqlite/store_int.h"

struct finding {
	struct db *db;
	struct store_found *found;
	int64_t *ids; /* of found->pools */
};

/* A list that grows at each power of two. */
static void *
grown(void *list, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0)
		return list;
	return realloc(list, (count == 0 ? 1 : count * 2) * size);
}

static int
add_pool(struct finding *f, sqlite3_stmt *stmt)
{
	struct store_found *found = f->found;
	size_t n = found->pools_count;
	void *pools = grown(found->pools, n, sizeof *found->pools);
	void *ids;
	struct store_pool *p;

	if (pools == NULL)
		return SQLITE_NOMEM;
	found->pools = pools;
	ids = grown(f->ids, n, sizeof *f->ids);
	if (ids == NULL)
		return SQLITE_NOMEM;
	f->ids = ids;
	p = &found->pools[n];
	memset(p, 0, sizeof *p);
	f->ids[n] = sqlite3_column_int64(stmt, 0);
	snprintf(p->worker, sizeof p->worker, "%s",
	    (const char *)sqlite3_column_text(stmt, 1));
	p->paused = sqlite3_column_int(stmt, 2) != 0;
	p->paused_until_ms = sqlite3_column_int64(stmt, 3);
	found->pools_count++;
	return SQLITE_OK;
}

static int
add_schedule(struct finding *f, sqlite3_stmt *stmt)
{
	struct store_found *found = f->found;
	size_t n = found->schedules_count;
	void *list = grown(found->schedules, n, sizeof *found->schedules);
	struct store_schedule *sch;

	if (list == NULL)
		return SQLITE_NOMEM;
	found->schedules = list;
	sch = &found->schedules[n];
	memset(sch, 0, sizeof *sch);
	sch->id = (uint32_t)sqlite3_column_int64(stmt, 0);
	snprintf(sch->name, sizeof sch->name, "%s",
	    (const char *)sqlite3_column_text(stmt, 1));
	sch->anchor_ms = sqlite3_column_int64(stmt, 2);
	sch->next_ms = sqlite3_column_int64(stmt, 3);
	sch->last_task = (uint64_t)sqlite3_column_int64(stmt, 4);
	found->schedules_count++;
	return SQLITE_OK;
}

static void
count(struct finding *f, int64_t pool, unsigned state, uint64_t n)
{
	for (size_t i = 0; f->ids != NULL && i < f->found->pools_count; i++)
		if (f->ids[i] == pool && state < TASK_STATES)
			f->found->pools[i].counts[state] += n;
}

static int
count_all(struct finding *f, sqlite3_stmt *stmt)
{
	count(f, sqlite3_column_int64(stmt, 0),
	    (unsigned)sqlite3_column_int(stmt, 1),
	    (uint64_t)sqlite3_column_int64(stmt, 2));
	return SQLITE_OK;
}

static int
each(struct finding *f, enum sql which,
    int (*fn)(struct finding *f, sqlite3_stmt *stmt))
{
	int rc, r = SQLITE_OK;
	sqlite3_stmt *stmt = db_sql(f->db, which, &rc);

	if (stmt == NULL)
		return rc;
	while (r == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		r = fn(f, stmt);
	if (r != SQLITE_OK) {
		sqlite3_reset(stmt);
		return r;
	}
	return db_end(f->db, stmt, rc);
}

/* The smaller, 0 being none. */
static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static int
soonest_of(struct db *db, int64_t pool, int first, int last, int64_t *soonest)
{
	int rc = SQLITE_OK;
	sqlite3_stmt *stmt = db_sql(db, SQL_SOONEST, &rc);

	for (int state = first; state <= last && rc == SQLITE_OK; state++) {
		sqlite3_bind_int64(stmt, 1, pool);
		sqlite3_bind_int(stmt, 2, state);
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW)
			*soonest =
			    sooner(*soonest, sqlite3_column_int64(stmt, 0));
		rc = db_end(db, stmt, rc);
	}
	return rc;
}

/* Of those noted in batches. */
static int
soonest_batch(struct db *db, int64_t *soonest)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(db, SQL_ENDED_SOONEST, &rc);

	if (stmt == NULL)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*soonest = sooner(*soonest, sqlite3_column_int64(stmt, 0));
	return db_end(db, stmt, rc);
}

int
db_soonest(struct db *db, int first, int last, int64_t *ret)
{
	int rc = SQLITE_OK;
	sqlite3_stmt *pools = db_sql(db, SQL_POOLS, &rc);

	*ret = 0;
	if (pools == NULL)
		return rc;
	while ((rc = sqlite3_step(pools)) == SQLITE_ROW) {
		rc = soonest_of(
		    db, sqlite3_column_int64(pools, 0), first, last, ret);
		if (rc != SQLITE_OK) {
			sqlite3_reset(pools);
			return rc;
		}
	}
	rc = db_end(db, pools, rc);
	if (rc == SQLITE_OK && first <= TASK_DONE && last >= TASK_DONE)
		rc = soonest_batch(db, ret);
	return rc;
}

static int
read_running(struct finding *f)
{
	int rc;
	sqlite3_stmt *stmt = db_sql(f->db, SQL_RUNNING, &rc);

	if (stmt == NULL)
		return rc;
	return rows_read(f->db, stmt, true, &f->found->running,
	    &f->found->running_count, NULL);
}

int
found_read(struct db *db, struct store_found *found)
{
	static const struct {
		enum sql which;
		int (*fn)(struct finding *f, sqlite3_stmt *stmt);
	} steps[] = {
		{ SQL_POOLS, add_pool },
		{ SQL_SCHEDULES, add_schedule },
		{ SQL_COUNTS, count_all },
		{ SQL_ENDED_COUNTS, count_all },
	};
	struct finding f = { .db = db, .found = found };
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof steps / sizeof steps[0] && rc == 0; i++)
		rc = each(&f, steps[i].which, steps[i].fn);
	if (rc == SQLITE_OK)
		rc = db_soonest(
		    db, TASK_SCHEDULED, TASK_SCHEDULED, &found->next_due_ms);
	if (rc == SQLITE_OK)
		rc = db_soonest(
		    db, TASK_DONE, TASK_DEAD, &found->next_expiry_ms);
	if (rc == SQLITE_OK)
		rc = read_running(&f);
	free(f.ids);
	if (rc != SQLITE_OK)
		store_found_done(found);
	return rc;
}
