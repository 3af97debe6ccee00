/*
 * The thread that waits for the disk. It takes everything that has gathered,
 * writes it as one transaction, answers questions, and sleeps. It wakes by
 * itself only while the store is broken and there are rows to carry back.
 */

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "state/answer.h"
#include "state/state_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

/* Under a storm of changes, this long from one commit to the next: a commit
 * costs a few pages whether it has one row in it or a hundred. */
#define GATHER_NS (10 * NS_PER_MS)

static void
wait_until(struct state *s, int64_t mono)
{
	struct timespec ts = {
		.tv_sec = mono / NS_PER_SEC,
		.tv_nsec = mono % NS_PER_SEC,
	};

	pthread_cond_timedwait(&s->wake, &s->lock, &ts);
}

static bool
is_urgent(const struct state *s)
{
	return s->closing || !list_empty(&s->questions);
}

/* With the lock. Returns when there is something to do; true: it is time to
 * try the broken store, too. */
static bool
wait_for_work(struct state *s, int64_t last_commit)
{
	while (!is_urgent(s) && !s->kicked) {
		int64_t retry = keeper_retry_at(&s->keeper);

		if (retry < 0)
			pthread_cond_wait(&s->wake, &s->lock);
		else if (clock_mono() >= retry)
			return true;
		else
			wait_until(s, retry);
	}
	while (!is_urgent(s) && clock_mono() < last_commit + GATHER_NS)
		wait_until(s, last_commit + GATHER_NS);
	return false;
}

static void
commit(struct state *s, uint64_t upto)
{
	struct health health;
	bool told;

	keeper_write(&s->keeper, &s->batch);
	told = keeper_health(&s->keeper, &health);
	pthread_mutex_lock(&s->lock);
	s->committed = upto;
	s->news_committed = true;
	s->health = health;
	s->news_health |= told;
	state_signal(s);
	pthread_mutex_unlock(&s->lock);
}

static void
answer(struct state *s, struct list *questions)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, questions) {
		struct question *q = LIST_ENTRY(l, struct question, link);

		list_remove(l);
		q->error = keeper_answer(&s->keeper, q, &q->json);
		pthread_mutex_lock(&s->lock);
		list_append(&s->answers, &q->link);
		state_signal(s);
		pthread_mutex_unlock(&s->lock);
	}
}

static void
tell_health(struct state *s)
{
	struct health health;
	bool told = keeper_health(&s->keeper, &health);

	pthread_mutex_lock(&s->lock);
	s->health = health;
	if (told) {
		s->news_health = true;
		state_signal(s);
	}
	s->busy_since = 0;
	pthread_mutex_unlock(&s->lock);
}

static void
take_questions(struct state *s, struct list *to)
{
	struct list *l, *tmp;

	list_init(to);
	LIST_FOREACH(l, tmp, &s->questions) {
		list_remove(l);
		list_append(to, l);
	}
}

/* One turn, without the lock. */
static void
work(struct state *s, uint64_t upto, struct list *questions, bool retry)
{
	if (retry)
		keeper_retry(&s->keeper);
	if (!queue_empty(&s->batch))
		commit(s, upto);
	queue_free_rows(&s->batch);
	answer(s, questions);
	keeper_tidy(&s->keeper);
	tell_health(s);
}

static void
end(struct state *s)
{
	bool abandoned;

	keeper_close(&s->keeper);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	abandoned = s->abandoned;
	pthread_cond_signal(&s->done);
	pthread_mutex_unlock(&s->lock);
	if (abandoned)
		state_free(s);
}

void *
writer_main(void *arg)
{
	struct state *s = arg;
	int64_t last_commit = 0;
	bool closing = false;

	while (!closing) {
		struct list questions;
		uint64_t upto;
		int64_t dropped;
		bool retry;

		pthread_mutex_lock(&s->lock);
		retry = wait_for_work(s, last_commit);
		queue_move(&s->queue, &s->batch);
		take_questions(s, &questions);
		upto = s->sequence;
		dropped = s->dropped;
		s->dropped = 0;
		closing = s->closing;
		s->kicked = false;
		s->busy_since = clock_mono();
		pthread_mutex_unlock(&s->lock);
		if (dropped > 0)
			keeper_dropped(&s->keeper, dropped);
		if (!queue_empty(&s->batch))
			last_commit = clock_mono();
		work(s, upto, &questions, retry);
	}
	end(s);
	return NULL;
}
