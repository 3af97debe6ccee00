/*
 * The thread that waits for the disk. It takes what has gathered, makes it one
 * transaction, and has what gathers meanwhile for the next one. It wakes by
 * itself only to bring the log home once when all is quiet, and while the store
 * is broken, to try again after pauses that grow.
 */

#include <string.h>
#include <time.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/store_int.h"

/* The most of one transaction, so that an answer does not wait long. */
#define BATCH_OPS   2000
#define BATCH_BYTES ((size_t)4 << 20)
#define PAUSE_MIN   (100 * NS_PER_MS)
#define PAUSE_MAX   (10 * NS_PER_SEC)
#define CALM_NS     (60 * NS_PER_SEC) /* well for so long: pauses begin anew */
#define QUIET_NS    (1 * NS_PER_SEC)
/* 4 MiB: then the log is brought home. Commits wait for that, so a longer log
 * makes for a slower slowest answer: measured, four times this doubles it and
 * gains 2 percent. */
#define LOG_FRAMES 1024

static void
wait_until(struct store *s, int64_t mono)
{
	struct timespec ts = {
		.tv_sec = mono / NS_PER_SEC,
		.tv_nsec = mono % NS_PER_SEC,
	};

	pthread_cond_timedwait(&s->wake, &s->lock, &ts);
}

static bool
has_work(const struct store *s)
{
	return !list_empty(&s->waiting) || s->ids_wanted || s->closing;
}

/* With the lock. */
static void
wait_for_work(struct store *s)
{
	int64_t quiet = clock_mono() + QUIET_NS;

	while (!has_work(s)) {
		int64_t until = s->db.sql == NULL                 ? s->retry_at
				: s->db.wal_frames != s->wal_last ? quiet
								  : 0;

		if (until == 0)
			pthread_cond_wait(&s->wake, &s->lock);
		else if (clock_mono() >= until)
			return;
		else
			wait_until(s, until);
	}
}

static size_t
size_of(const struct store_op *op)
{
	size_t size = 0;

	if (op->row != NULL && op->row->payload != NULL)
		size += op->row->payload->size;
	if (op->result != NULL)
		size += op->result->size;
	return size;
}

/* With the lock: the next transaction's operations. */
static void
take(struct store *s, struct list *batch)
{
	size_t ops = 0, bytes = 0;

	list_init(batch);
	while (!list_empty(&s->waiting) && ops < BATCH_OPS &&
	       bytes < BATCH_BYTES) {
		struct store_op *op =
		    LIST_ENTRY(s->waiting.next, struct store_op, link);

		list_remove(&op->link);
		list_append(batch, &op->link);
		ops++;
		bytes += size_of(op);
	}
}

static void
deliver(struct store *s, struct list *batch)
{
	struct list *l, *tmp;

	pthread_mutex_lock(&s->lock);
	LIST_FOREACH(l, tmp, batch) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		if (op->kind == STORE_SCHEDULE)
			*(bool *)op->arg = true;
		else
			list_append(&s->answered, l);
	}
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->loop, &s->answer);
}

/* --- transactions --------------------------------------------------------- */

static bool
wants_full(const struct list *batch)
{
	for (const struct list *l = batch->next; l != batch; l = l->next) {
		const struct store_op *op =
		    (const struct store_op *)((const char *)l -
					      offsetof(struct store_op, link));

		if (!op->relaxed)
			return true;
	}
	return false;
}

static int
apply_all(struct store *s, struct list *batch)
{
	struct list *l = batch->next;
	int rc = SQLITE_OK;

	while (l != batch && rc == SQLITE_OK) {
		size_t many = ops_many(s, l, batch, &rc);

		if (many == 0)
			rc = op_apply(s, LIST_ENTRY(l, struct store_op, link));
		for (size_t i = 0; i < MAX_OF(many, (size_t)1); i++)
			l = l->next;
	}
	return rc;
}

static int
transact(struct store *s, struct list *batch)
{
	bool ids = ids_low(s);
	uint64_t reserved = 0;
	int rc = db_begin(&s->db, ids || wants_full(batch));

	if (rc == SQLITE_OK && ids)
		rc = ids_reserve(s, &reserved);
	if (rc == SQLITE_OK)
		rc = apply_all(s, batch);
	if (rc == SQLITE_OK)
		rc = db_commit(&s->db, s->path);
	if (rc == SQLITE_OK && ids)
		ids_done(s, reserved);
	return rc;
}

static void
forget_all(struct list *batch, enum queue_error error)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, batch)
		op_forget(LIST_ENTRY(l, struct store_op, link), error);
}

/* Broken: the next try comes after a pause, which grows. */
static void
put_off(struct store *s)
{
	s->retry_at = clock_mono() + s->pause_ns;
	s->pause_ns = MIN_OF(2 * s->pause_ns, PAUSE_MAX);
}

/* The connection is given up: nothing of it may be trusted, a flush that failed
 * least of all. */
static void
give_up(struct store *s, int rc)
{
	int64_t now = clock_mono();

	db_cut(&s->db);
	db_close(&s->db, false);
	s->damaged = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
	s->doubted = true;
	if (now - s->well_since > CALM_NS)
		s->pause_ns = PAUSE_MIN;
	put_off(s);
	if (s->damaged)
		s->retry_at = now;
	writer_health(s, false, s->db.words);
}

static void
commit(struct store *s, struct list *batch)
{
	int rc;

	if (db_moved(&s->db, s->path))
		writer_moved(s);
	if (s->db.sql == NULL) {
		forget_all(batch, QERR_STORE);
		return;
	}
	rc = transact(s, batch);
	if (rc == SQLITE_OK)
		return;
	db_rollback(&s->db);
	forget_all(batch, rc == SQLITE_NOMEM ? QERR_NO_MEMORY : QERR_STORE);
	if (rc != SQLITE_NOMEM)
		give_up(s, rc);
}

/* Brings the log home when it has grown, or when there is time. */
static void
tidy(struct store *s, bool quiet)
{
	int frames = s->db.wal_frames;
	int rc;

	if (s->db.sql == NULL || s->path == NULL)
		return;
	if (frames < s->wal_last)
		s->wal_last = 0; /* it was begun anew */
	if (frames - s->wal_last < (quiet ? 1 : LOG_FRAMES))
		return;
	s->wal_last = frames;
	rc = db_checkpoint(&s->db);
	if (rc != SQLITE_OK && rc != SQLITE_FULL && rc != SQLITE_NOMEM)
		give_up(s, rc);
}

static void
retry(struct store *s)
{
	if (writer_open(s, NULL) != SQLITE_OK)
		put_off(s);
	else
		s->well_since = clock_mono();
}

static void
end(struct store *s)
{
	int rc = SQLITE_OK;
	sqlite3_stmt *stmt;

	/* All ids that were given are known: no hole. */
	if (s->db.sql != NULL && (stmt = db_sql(&s->db, SQL_SEQ_SET, &rc))) {
		sqlite3_bind_int64(stmt, 1, (int64_t)s->next_id);
		db_run(&s->db, stmt);
	}
	db_close(&s->db, true);
}

void *
store_writer(void *arg)
{
	struct store *s = arg;
	bool closing = false;

	s->pause_ns = PAUSE_MIN;
	if (s->db.sql == NULL)
		put_off(s); /* store_start could not open it */
	while (!closing) {
		struct list batch;
		bool quiet, wanted;

		pthread_mutex_lock(&s->lock);
		wait_for_work(s);
		quiet = !has_work(s);
		wanted = s->ids_wanted;
		take(s, &batch);
		closing =
		    s->closing && list_empty(&s->waiting) && list_empty(&batch);
		pthread_mutex_unlock(&s->lock);
		if (s->db.sql == NULL && clock_mono() >= s->retry_at &&
		    !closing)
			retry(s);
		if (!list_empty(&batch) || (wanted && s->db.sql != NULL)) {
			commit(s, &batch);
			deliver(s, &batch);
		}
		tidy(s, quiet);
	}
	end(s);
	return NULL;
}
