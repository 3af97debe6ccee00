#ifndef BROKER_SQLITE_STORE_INT_H
#define BROKER_SQLITE_STORE_INT_H

/* The common ground of the loop's thread, the writer and the reader. */

#include <pthread.h>

#include "supervisord/broker/sqlite/rows.h"

#define ID_BLOCK     INT64_C(10000)
#define ID_BLOCK_MAX INT64_C(1000000)

struct store {
	/* Constant. */
	struct ev_loop *loop;
	char *path; /* NULL: in memory */
	struct store_options options;
	bool reads; /* there is a reader */

	/* The loop's. */
	ev_async answer;
	struct list added, asked; /* since the last flush */
	size_t backlog;
	pthread_t writer, reader;

	/* Under the lock, which is never held across anything that can wait. */
	pthread_mutex_t lock;
	pthread_cond_t wake;      /* for the writer */
	pthread_cond_t read_wake; /* for the reader */
	pthread_cond_t told;      /* for the loop, where it has to wait */
	struct list waiting, asking;
	struct list answered;
	bool closing;
	bool well, health_news, stale;
	char words[1024];
	unsigned generation; /* of the open file, for the reader */
	bool ids_wanted;     /* the loop waits for more ids */

	/* Everybody's; the lock only where one waits for the other. */
	_Atomic uint64_t next_id;  /* to be given */
	_Atomic uint64_t reserved; /* ids below it may be given */

	/* The writer's. */
	struct db db;
	bool damaged;     /* to be set aside before it is opened again */
	bool doubted;     /* it failed: it is well when there is room, too */
	int64_t retry_at; /* mono ns; of a broken store */
	int64_t pause_ns;
	int64_t well_since;
	int wal_last;   /* its length when it was last brought home */
	uint64_t block; /* ids reserved at a time */
};

/* writer.c: the thread. */
void *store_writer(void *arg);
/* Opens the file and proves that it can be written; 0 or a code, with words in
 * s->db. found: filled, by the first call; NULL later. */
int writer_open(struct store *s, struct store_found *found);
/* The file at the path is another, or none. */
void writer_moved(struct store *s);
/* With words, to the loop. */
void writer_health(struct store *s, bool well, const char *words);

/* reader.c */
void *store_reader(void *arg);

/* ops.c: an operation in the open transaction. A result that db_is_fatal ends
 * the transaction. */
int op_apply(struct store *s, struct store_op *op);
/* Undoes what op_apply has put into op. */
void op_forget(struct store_op *op, enum queue_error error);

/* many.c: those from `from` on that can be done as one, before the list ends;
 * how many that was, 0 for none. */
size_t ops_many(
    struct store *s, struct list *from, const struct list *batch, int *rc);

/* follow.c: what comes of a task's end. `row`: as it was before, whole. */
int follow_end(
    struct store *s, struct store_op *op, const struct task_row *row);
/* The group's `then`, where none of its members is open any more. */
int follow_group(struct store *s, struct store_op *op, uint64_t group);

/* expire.c */
int expire(struct store *s, struct store_op *op);

/* found.c */
int found_read(struct db *db, struct store_found *found);
/* The next time (due, expiry) of the tasks in these states; 0: none. */
int db_soonest(struct db *db, int first_state, int last_state, int64_t *ret);

/* ids.c */
uint64_t ids_take(struct store *s); /* 0: none left of what is reserved */
bool ids_low(struct store *s);
/* In a transaction; ids_done after its commit. */
int ids_reserve(struct store *s, uint64_t *ret_reserved);
void ids_done(struct store *s, uint64_t reserved);

#endif
