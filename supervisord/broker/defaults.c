#include "supervisord/broker/defaults.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/broker/core.h"

static struct {
	pthread_mutex_t lock;
	struct pool_config *pools;
	size_t count;
} defaults = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool
defaults_set(const struct pool_config *pools, size_t count)
{
	struct pool_config *copy = NULL, *old;

	if (count > 0) {
		copy = calloc(count, sizeof(*copy));
		if (copy == NULL)
			return false;
		memcpy(copy, pools, count * sizeof(*copy));
	}
	pthread_mutex_lock(&defaults.lock);
	old = defaults.pools;
	defaults.pools = copy;
	defaults.count = count;
	pthread_mutex_unlock(&defaults.lock);
	free(old);
	return true;
}

void
defaults_free(void)
{
	defaults_set(NULL, 0);
}

static void *
moved(void *from)
{
	void **p = from, *value = *p;

	*p = NULL;
	return value;
}

/* A task's own -1 is no limit, as the worker's is. */
static int32_t
retries_of(const struct submission *s, const struct pool_config *config)
{
	if (s->retries == SUBMIT_NO_LIMIT)
		return -1;
	return s->retries >= 0 ? s->retries : config->retries;
}

void
defaults_apply(const struct pool_config *config, struct submission *s,
    int64_t now_ms, struct task_row *row)
{
	int64_t due = s->due_ms != 0 ? s->due_ms : now_ms + s->delay_ms;

	*row = (struct task_row){
		.func = moved(&s->func),
		.key = moved(&s->key),
		.limit_key = moved(&s->limit_key),
		.then = moved(&s->then),
		.payload = moved(&s->payload),
		.json = s->json,
		.state = due > now_ms ? TASK_SCHEDULED : TASK_QUEUED,
		.priority = s->priority,
		.due_ms = due > now_ms ? due : 0,
		.created_ms = now_ms,
		.timeout_ms =
		    s->timeout_ms >= 0 ? s->timeout_ms : config->timeout_ms,
		.result_ttl_ms = s->result_ttl_ms >= 0 ? s->result_ttl_ms
						       : config->result_ttl_ms,
		.retries = retries_of(s, config),
		.parent = s->parent,
		.group = s->group,
		.schedule = s->schedule,
		.fire_ms = s->fire_ms,
		.missed = s->missed,
	};
	row->rank = queue_rank(
	    due > now_ms ? due : now_ms, s->priority, config->aging_ms);
	memcpy(row->worker, config->name, sizeof(row->worker));
}

bool
core_complete(struct submission *s, struct task_row *row, void *arg)
{
	bool found = false;

	(void)arg;
	pthread_mutex_lock(&defaults.lock);
	for (size_t i = 0; i < defaults.count && !found; i++) {
		if (strcmp(defaults.pools[i].name, s->worker) != 0)
			continue;
		uint64_t id = row->id;

		defaults_apply(&defaults.pools[i], s, clock_wall_ms(), row);
		row->id = id;
		found = true;
	}
	pthread_mutex_unlock(&defaults.lock);
	return found;
}
