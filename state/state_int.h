#ifndef STATE_STATE_INT_H
#define STATE_STATE_INT_H

/* The two threads' common ground. */

#include <pthread.h>

#include "state/keeper.h"
#include "state/saved.h"
#include "state/state.h"

struct state {
	/* Under the lock. It is never held across anything that can wait. */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* for the writer */
	pthread_cond_t done; /* for state_close */
	struct queue queue;
	struct list questions, answers; /* of struct question, both */
	uint64_t sequence;              /* the last number given */
	uint64_t committed;             /* the last that is safe */
	bool kicked;                    /* there is something to commit */
	bool closing, ended, abandoned;
	bool news_committed, news_health;
	bool signalled;     /* fd is readable */
	int64_t busy_since; /* the writer is in a commit or an answer; 0: not */
	int64_t dropped;    /* rows for which there was no room, not yet told */
	struct health health;

	/* The caller's. */
	int fd;
	pthread_t thread;
	size_t most_waiting;
	struct health shown;
	char words[HEALTH_WORDS + 128];
	struct saved saved;
	uint64_t run;
	int master_pid;

	/* The writer's, once it runs. */
	struct keeper keeper;
	struct queue batch;
};

/* The thread. Ends when closing is set, and frees s if nobody waited. */
void *writer_main(void *arg);

/* With the lock held: makes the descriptor readable. */
void state_signal(struct state *s);
void state_free(struct state *s);

#endif
