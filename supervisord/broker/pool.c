/* A worker's queue as a whole: its settings, its pauses, its beginning and end.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

struct pool *
pool_find(struct core *c, const char *worker)
{
	struct pool *p;

	if (c->recent != NULL && strcmp(c->recent->config.name, worker) == 0)
		return c->recent;
	HASH_FIND_STR(c->pools, worker, p);
	c->recent = p;
	return p;
}

struct pool *
pool_get(struct core *c, const char *worker)
{
	struct pool *p = pool_find(c, worker);
	size_t n = strlen(worker);

	if (p != NULL)
		return p;
	p = n <= WORKER_NAME_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (p == NULL)
		return NULL;
	memcpy(p->config.name, worker, n + 1);
	p->broker = c->broker;
	list_init(&p->dirty);
	list_init(&p->loners);
	list_init(&p->full);
	list_init(&p->closed);
	rack_init(&p->idle);
	rack_init(&p->room);
	heap_init(&p->queue, offsetof(struct task, heap));
	p->edge_rank = INT64_MAX;
	p->edge_id = UINT64_MAX;
	p->run_us = -1;
	meter_init(&p->meter, c->mono);
	HASH_ADD_STR(c->pools, config.name, p);
	if (p->hh.tbl == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

void
pool_configure(struct pool *p, const struct pool_config *config)
{
	bool caps = p->config.key_concurrency != config->key_concurrency ||
		    p->config.key_rate != config->key_rate;

	if (!p->configured || p->config.instances != config->instances)
		p->wanted = config->instances;
	p->config = *config;
	p->configured = true;
	if (caps)
		keys_release(p);
	pool_touch(p);
}

void
pool_drop(struct pool *p)
{
	p->configured = false;
	p->scale_at = 0;
}

bool
pool_idle(const struct pool *p)
{
	for (size_t i = 0; i < TASK_STATES; i++)
		if (p->counts[i] != 0)
			return false;
	return !p->configured && p->hands == 0 && p->submitting == 0 &&
	       !p->refilling && !p->paused && !p->served && p->claims == 0 &&
	       !p->claiming && !p->due_asked && !p->stats_asked;
}

static void
let_go(struct hand *h, void *arg)
{
	(void)arg;
	list_remove(&h->pool_link);
	h->pool = NULL;
}

static void
functions_free(struct pool *p)
{
	for (size_t i = 0; p->functions != NULL && p->functions[i] != NULL; i++)
		free(p->functions[i]);
	free(p->functions);
	free(p->functions_json);
	p->functions = NULL;
	p->functions_json = NULL;
}

void
pool_free(struct pool *p)
{
	struct core *c = p->broker->core;
	struct limit_key *k, *next;

	rack_each(p, let_go, NULL);
	HASH_ITER(hh, p->keys, k, next)
	{
		heap_remove(&c->timed, k);
		/* NOLINTNEXTLINE(clang-analyzer-*): uthash's links */
		HASH_DEL(p->keys, k);
		heap_done(&k->parked);
		free(k);
	}
	functions_free(p);
	heap_done(&p->queue);
	list_remove(&p->dirty);
	c->recent = NULL;
	HASH_DEL(c->pools, p);
	free(p);
}

void
pool_touch(struct pool *p)
{
	if (!list_linked(&p->dirty))
		list_append(&p->broker->core->dirty, &p->dirty);
}

void
pools_touch(struct core *c)
{
	struct pool *p, *next;

	HASH_ITER(hh, c->pools, p, next)
	{
		pool_touch(p);
	}
}

bool
pool_open(const struct pool *p)
{
	return p->configured && !p->paused && p->storm_until == 0;
}

/* Pauses that end by time. */
static void
pauses(struct pool *p)
{
	struct core *c = p->broker->core;

	if (p->storm_until != 0 && p->storm_until <= c->mono) {
		p->storm_until = 0;
		p->paused_words[0] = '\0';
		if (!p->paused)
			broker_event(p->broker, p->config.name, "queue",
			    "hands out tasks again after a rest");
		pool_touch(p);
	} else if (p->storm_until != 0) {
		core_wake(c, p->storm_until);
	}
	if (!p->paused || p->paused_until_ms == 0)
		return;
	if (p->paused_until_ms <= c->wall_ms && p->config.shared)
		core_shared_paused(p->broker, p->config.name, false, 0);
	else if (p->paused_until_ms <= c->wall_ms)
		core_pause(p->broker, p->config.name, false, 0, NULL, NULL);
	else
		core_wake_wall(c, p->paused_until_ms);
}

void
pool_tick(struct pool *p)
{
	pauses(p);
	if (p->configured)
		scale_tick(p);
	window_look(p);
	claims_tick(p);
}

/* What an instance can do, it can be asked for: the newest one's word counts.
 */
static void
learn_functions(struct pool *p, const struct hand *h)
{
	size_t n = 0;

	functions_free(p);
	if (h->functions == NULL)
		return;
	while (h->functions[n] != NULL)
		n++;
	p->functions = calloc(n + 1, sizeof(*p->functions));
	p->functions_json = calloc(n + 1, sizeof(*p->functions_json));
	for (size_t i = 0; i < n; i++) {
		if (p->functions == NULL || p->functions_json == NULL)
			break;
		p->functions[i] = strdup(h->functions[i]);
		if (p->functions[i] == NULL)
			break;
		p->functions_json[i] = h->functions_json[i];
	}
	/* Not knowing them all, none may be refused. */
	if (p->functions == NULL || p->functions_json == NULL ||
	    (n > 0 && p->functions[n - 1] == NULL)) {
		log_warn(
		    "%s: no memory for its functions' names", p->config.name);
		functions_free(p);
	}
}

void
core_hand_up(struct broker *b, struct hand *h)
{
	struct pool *p;

	core_clocks(b->core);
	/* Its worker's settings may yet be on their way. */
	p = pool_get(b->core, h->worker);
	h->pool = p;
	list_init(&h->pool_link);
	if (p == NULL)
		return;
	p->hands++;
	learn_functions(p, h);
	rack_place(p, h);
	pool_touch(p);
}

void
core_hand_closed(struct broker *b, struct hand *h, bool closed)
{
	(void)b;
	h->closed = closed;
	if (h->pool == NULL)
		return;
	if (closed && h->pool->reserved == h)
		h->pool->reserved = NULL;
	rack_place(h->pool, h);
	pool_touch(h->pool);
}

void
core_hand_down(struct broker *b, struct hand *h)
{
	struct list *l, *tmp;
	struct pool *p = h->pool;

	LIST_FOREACH(l, tmp, &h->tasks) {
		core_lost(
		    b, LIST_ENTRY(l, struct task, link), LOST_STOPPED, NULL);
	}
	if (p == NULL)
		return;
	if (p->reserved == h)
		p->reserved = NULL;
	list_remove(&h->pool_link);
	h->pool = NULL;
	p->hands--;
	pool_touch(p);
}
