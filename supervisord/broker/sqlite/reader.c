/*
 * The thread that answers what people ask (TASK, LIST) with a connection of its
 * own, so that a long list delays no commit.
 */

#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/sqlite/store_int.h"

struct reader {
	struct store *store;
	struct db db;
	unsigned generation; /* of the file it has open */
};

static int
answer(struct reader *r, struct store_op *op, unsigned generation)
{
	int rc = SQLITE_OK;

	if (r->db.sql != NULL && r->generation != generation)
		db_close(&r->db, false);
	if (r->db.sql == NULL) {
		rc = db_open_reader(&r->db, r->store->path);
		r->generation = generation;
	}
	return rc == SQLITE_OK ? read_answer(&r->db, op) : rc;
}

static void
work(struct reader *r, struct store_op *op, unsigned generation)
{
	int rc = answer(r, op, generation);

	if (rc != SQLITE_OK) {
		op_forget(op, rc == SQLITE_NOMEM ? QERR_NO_MEMORY : QERR_STORE);
		log_warn("the task store can't be read: %s", r->db.words);
		db_close(&r->db, false);
	}
}

void *
store_reader(void *arg)
{
	struct store *s = arg;
	struct reader r = { .store = s, .db.wal_fd = -1 };

	pthread_mutex_lock(&s->lock);
	for (;;) {
		unsigned generation = s->generation;
		struct store_op *op;

		if (list_empty(&s->asking)) {
			if (s->closing)
				break;
			pthread_cond_wait(&s->read_wake, &s->lock);
			continue;
		}
		op = LIST_ENTRY(s->asking.next, struct store_op, link);
		list_remove(&op->link);
		pthread_mutex_unlock(&s->lock);
		work(&r, op, generation);
		pthread_mutex_lock(&s->lock);
		list_append(&s->answered, &op->link);
		pthread_cond_broadcast(&s->told);
		ev_async_send(s->loop, &s->answer);
	}
	pthread_mutex_unlock(&s->lock);
	db_close(&r.db, false);
	return NULL;
}
