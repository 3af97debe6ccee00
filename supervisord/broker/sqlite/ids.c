/*
 * Ids, reserved in blocks ahead of need: what is in seq is on disk before the
 * first id below it is given out, so no kill can make one come twice.
 */

#include <stdatomic.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/sqlite/store_int.h"

uint64_t
ids_take(struct store *s)
{
	uint64_t id = s->next_id;

	while (id < s->reserved) {
		if (atomic_compare_exchange_weak(&s->next_id, &id, id + 1))
			return id;
	}
	return 0;
}

bool
ids_low(struct store *s)
{
	bool low;

	pthread_mutex_lock(&s->lock);
	low = s->ids_wanted || s->reserved - s->next_id < s->block / 2;
	pthread_mutex_unlock(&s->lock);
	return low;
}

/* Blocks grow with the pace: small ones leave small holes after a kill. */
int
ids_reserve(struct store *s, uint64_t *ret_reserved)
{
	uint64_t next, left;
	int rc;
	sqlite3_stmt *stmt = db_sql(&s->db, SQL_SEQ_SET, &rc);

	if (stmt == NULL)
		return rc;
	pthread_mutex_lock(&s->lock);
	next = s->next_id;
	left = s->reserved - s->next_id;
	if (s->ids_wanted || left < s->block / 4)
		s->block = MIN_OF(s->block * 2, (uint64_t)ID_BLOCK_MAX);
	pthread_mutex_unlock(&s->lock);
	*ret_reserved = next + left + s->block;
	sqlite3_bind_int64(stmt, 1, (int64_t)*ret_reserved);
	return db_run(&s->db, stmt);
}

void
ids_done(struct store *s, uint64_t reserved)
{
	pthread_mutex_lock(&s->lock);
	s->reserved = MAX_OF(s->reserved, reserved);
	s->ids_wanted = false;
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
}
