/*
 * Caps and rates by limit_key. A task whose key is at its limit is parked with
 * the key and blocks nobody else; a key is remembered only while it has tasks,
 * or has used tokens that have not come back.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/core_int.h"

static bool
limited(const struct pool *p)
{
	return p->config.key_concurrency > 0 || p->config.key_rate > 0;
}

static struct limit_key *
key_get(struct pool *p, const char *name)
{
	size_t size = strlen(name) + 1;
	struct limit_key *k;

	HASH_FIND_STR(p->keys, name, k);
	if (k != NULL)
		return k;
	k = calloc(1, sizeof(*k) + size);
	if (k == NULL)
		return NULL;
	memcpy(k->name, name, size);
	k->pool = p;
	k->timed = HEAP_NONE;
	heap_init(&k->parked, offsetof(struct task, heap));
	HASH_ADD_STR(p->keys, name, k);
	if (k->hh.tbl == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

/* Sees to it that keys_tick looks at it when it has a token again. */
static void
key_time(struct limit_key *k)
{
	struct core *c = k->pool->broker->core;
	double rate = k->pool->config.key_rate;
	int64_t next;

	if (k->parked.count == 0 || rate <= 0 ||
	    tokens_any(&k->tokens, rate, c->mono))
		return;
	heap_remove(&c->timed, k);
	next = tokens_next(&k->tokens, rate, c->mono);
	if (heap_push(&c->timed, next, 0, k))
		core_wake(c, next);
}

/* Frees it once nothing needs it. */
static void
key_settle(struct limit_key *k)
{
	struct pool *p = k->pool;
	struct core *c = p->broker->core;

	if (k->running > 0 || k->parked.count > 0 || k->released > 0)
		return;
	if (p->config.key_rate > 0 &&
	    !tokens_full(&k->tokens, p->config.key_rate, c->mono)) {
		/* Full again, it is as one that never was. */
		double rate = p->config.key_rate;
		double missing = (rate > 1 ? rate : 1) - k->tokens.left;
		int64_t at = c->mono +
			     (int64_t)(missing / rate * (double)NS_PER_SEC) + 1;

		if (k->timed != HEAP_NONE)
			return;
		if (heap_push(&c->timed, at, 0, k)) {
			core_wake(c, at);
			return;
		}
	}
	heap_remove(&c->timed, k);
	HASH_DEL(p->keys, k);
	heap_done(&k->parked);
	free(k);
}

static void
park(struct limit_key *k, struct task *t)
{
	heap_push(&k->parked, t->row.rank, t->row.id, t);
	t->place = PLACE_PARKED;
	t->key = k;
	k->pool->parked++;
	k->pool->aside += task_bytes(t);
}

/* It is out of the heap. */
static void
leave_park(struct limit_key *k, struct task *t)
{
	t->place = PLACE_NOWHERE;
	k->pool->parked--;
	k->pool->aside -= task_bytes(t);
}

/* Whether one more may begin. */
static bool
key_open(struct limit_key *k)
{
	const struct pool_config *config = &k->pool->config;

	if (config->key_concurrency > 0 &&
	    k->running >= config->key_concurrency)
		return false;
	return config->key_rate <= 0 || tokens_any(&k->tokens, config->key_rate,
					    k->pool->broker->core->mono);
}

bool
key_blocked(struct task *t)
{
	struct pool *p = t->pool;
	struct limit_key *k;

	if (t->row.limit_key == NULL || !limited(p))
		return false;
	k = t->released ? t->key : key_get(p, t->row.limit_key);
	/* Without memory: better run than wait for ever. */
	if (k == NULL || key_open(k) || !heap_reserve(&k->parked))
		return false;
	if (t->released) {
		t->released = false;
		k->released--;
	}
	window_remove(t);
	park(k, t);
	key_time(k);
	return true;
}

void
key_take(struct task *t)
{
	struct pool *p = t->pool;
	struct limit_key *k = t->key;

	if (t->released) {
		t->released = false;
		k->released--;
	} else if (t->row.limit_key != NULL && limited(p)) {
		k = key_get(p, t->row.limit_key);
	}
	t->key = k;
	if (k == NULL)
		return;
	k->running++;
	if (p->config.key_rate > 0)
		tokens_take(
		    &k->tokens, p->config.key_rate, p->broker->core->mono);
	key_time(k);
}

void
key_unparked(struct task *t)
{
	struct limit_key *k = t->key;

	heap_remove(&k->parked, t);
	leave_park(k, t);
	t->key = NULL;
	key_settle(k);
}

/* Back to the queue go as many as may begin now. They stay the key's, released,
 * until they do: so no others follow them before there is room again. */
static void
unpark(struct limit_key *k)
{
	const struct pool_config *config = &k->pool->config;
	uint32_t many = k->parked.count;

	if (!key_open(k)) {
		key_time(k);
		return;
	}
	if (config->key_concurrency > 0)
		many = MIN_OF(many, config->key_concurrency - k->running);
	if (config->key_rate > 0)
		many = MIN_OF(many, (uint32_t)(k->tokens.left + 0.001));
	while (k->parked.count > 0 && k->released < many) {
		struct task *t = heap_pop(&k->parked);

		leave_park(k, t);
		k->released++;
		t->released = true;
		window_push(t);
	}
}

void
key_leave(struct task *t)
{
	struct limit_key *k = t->key;

	if (k == NULL)
		return;
	t->key = NULL;
	if (t->released)
		k->released--;
	else
		k->running--;
	t->released = false;
	unpark(k);
	key_settle(k);
}

void
keys_tick(struct core *c)
{
	while (c->timed.count > 0) {
		struct limit_key *k = heap_top(&c->timed);

		if (c->timed.at[0].a > c->mono) {
			core_wake(c, c->timed.at[0].a);
			return;
		}
		heap_pop(&c->timed);
		unpark(k);
		key_settle(k);
	}
}

void
keys_release(struct pool *p)
{
	struct limit_key *k, *next;

	HASH_ITER(hh, p->keys, k, next)
	{
		heap_remove(&p->broker->core->timed, k);
		while (k->parked.count > 0) {
			struct task *t = heap_pop(&k->parked);

			leave_park(k, t);
			t->key = NULL;
			window_push(t);
		}
		key_settle(k); /* those that run keep it */
	}
}
