/* What `queue` shows of each pool. */

#include <stdio.h>
#include <string.h>

#include "supervisord/broker/core_int.h"

static void
count_hand(struct hand *h, void *arg)
{
	struct pool_stats *s = arg;

	s->instances++;
	s->threads += h->threads;
	s->busy += MIN_OF(h->held, h->threads);
}

/* Of those in memory; the oldest is near the top, where the heap has the
 * smallest ranks. */
static int64_t
oldest(const struct pool *p, int64_t now_ms)
{
	const struct task *t = heap_top(&p->queue);
	int64_t ready;

	if (t == NULL && !list_empty(&p->loners))
		t = LIST_ENTRY(p->loners.next, struct task, link);
	if (t == NULL)
		return 0;
	ready = MAX_OF(t->row.created_ms, t->row.due_ms);
	return MAX_OF(now_ms - ready, 0);
}

static void
fill(struct pool *p, struct pool_stats *s)
{
	struct core *c = p->broker->core;
	struct meter *m = &p->meter;

	*s = (struct pool_stats){
		.worker = p->config.name,
		.configured = p->configured,
		.paused = p->paused || p->storm_until != 0,
		.paused_until_ms = p->paused_until_ms,
		.submitted = p->submitted,
		.completed = p->completed,
		.failed = p->failed,
		.crashed = p->crashed,
		.in_per_s = meter_in_rate(m, c->mono),
		.out_per_s = meter_out_rate(m, c->mono),
		.wait_p50_us = meter_quantile(m, METER_WAIT, 0.5, c->mono),
		.wait_p99_us = meter_quantile(m, METER_WAIT, 0.99, c->mono),
		.run_p50_us = meter_quantile(m, METER_RUN, 0.5, c->mono),
		.run_p99_us = meter_quantile(m, METER_RUN, 0.99, c->mono),
		.oldest_ms = oldest(p, c->wall_ms),
		.parked = p->parked,
		.alone = p->loners_count,
		.kept_free = p->reserved != NULL ? p->reserved->name : NULL,
		.functions = (const char *const *)p->functions,
	};
	for (size_t i = 0; i < TASK_STATES; i++)
		s->counts[i] = p->counts[i] + p->told[i];
	s->shared = p->config.shared;
	if (p->claims > 0)
		s->here = p->queue.count + p->parked + p->loners_count;
	if (!p->paused && p->storm_until != 0)
		s->paused_until_ms =
		    c->wall_ms + (p->storm_until - c->mono) / NS_PER_MS;
	snprintf(
	    s->paused_words, sizeof(s->paused_words), "%s", p->paused_words);
	rack_each(p, count_hand, s);
}

bool
core_knows(struct broker *b, const char *worker)
{
	const struct pool *p = pool_find(b->core, worker);

	return p != NULL && !pool_idle(p);
}

void
core_stats(struct broker *b, const char *worker,
    void (*each)(const struct pool_stats *stats, void *arg), void *arg)
{
	struct pool_stats stats;
	struct pool *p, *next;

	core_clocks(b->core);
	HASH_ITER(hh, b->core->pools, p, next)
	{
		if (worker != NULL ? strcmp(worker, p->config.name) != 0
				   : pool_idle(p))
			continue;
		fill(p, &stats);
		each(&stats, arg);
	}
}
