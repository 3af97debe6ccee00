#include "supervisord/broker/core_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/defaults.h"

struct core_sizes core_sizes = {
	.window_keep = 10000,
	.window_low = 5000,
	.window_chunk = 5000,
	.due_chunk = 2000,
	.expire_chunk = 1000,
};

void
core_clocks(struct core *c)
{
	if (c->clocks_read)
		return;
	c->clocks_read = true;
	c->mono = clock_mono();
	c->wall_ms = clock_wall_ms();
}

void
core_wake(struct core *c, int64_t mono)
{
	if (c->wake_mono == 0 || mono < c->wake_mono)
		c->wake_mono = mono;
}

void
core_wake_wall(struct core *c, int64_t wall_ms)
{
	if (c->wake_wall == 0 || wall_ms < c->wake_wall)
		c->wake_wall = wall_ms;
}

uint64_t
core_random(struct core *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random * 0x2545f4914f6cdd1dULL;
}

static void
arm(struct core *c)
{
	struct ev_loop *loop = c->broker->loop;

	if (loop == NULL)
		return;
	if (c->wake_mono != c->armed_mono) {
		c->armed_mono = c->wake_mono;
		ev_timer_stop(loop, &c->timer);
		if (c->wake_mono != 0) {
			double in = (double)(c->wake_mono - clock_mono()) /
				    (double)NS_PER_SEC;

			ev_timer_set(&c->timer, in > 0 ? in : 0., 0.);
			ev_timer_start(loop, &c->timer);
		}
	}
	if (c->wake_wall != c->armed_wall) {
		c->armed_wall = c->wake_wall;
		ev_periodic_stop(loop, &c->periodic);
		if (c->wake_wall != 0) {
			ev_periodic_set(&c->periodic,
			    (double)c->wake_wall / 1000. + 0.0005, 0., NULL);
			ev_periodic_start(loop, &c->periodic);
		}
	}
}

void
core_tick(struct broker *b)
{
	struct core *c = b->core;
	struct pool *p, *next;

	c->clocks_read = false;
	core_clocks(c);
	/* Each of these says what it still waits for. */
	c->wake_mono = c->wake_wall = 0;
	c->armed_mono = c->armed_wall = -1;
	put_again(c);
	mine_look(c);
	dispatch_claims(c);
	keys_tick(c);
	due_look(c);
	expiry_look(c);
	HASH_ITER(hh, c->pools, p, next)
	{
		pool_tick(p);
	}
}

static void
timer_cb(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct core *c = w->data;

	(void)loop;
	(void)revents;
	core_tick(c->broker);
}

static void
periodic_cb(struct ev_loop *loop, ev_periodic *w, int revents)
{
	struct core *c = w->data;

	(void)loop;
	(void)revents;
	core_tick(c->broker);
}

/* A pool as the store remembers it. */
static bool
found_pool(struct core *c, const struct store_pool *found)
{
	struct pool *p = pool_get(c, found->worker);

	if (p == NULL)
		return false;
	memcpy(p->counts, found->counts, sizeof(p->counts));
	p->more = found->counts[TASK_QUEUED] > 0;
	p->edge_rank = INT64_MIN;
	p->edge_id = 0;
	p->paused = found->paused;
	p->paused_until_ms = found->paused_until_ms;
	return true;
}

/* A row that was running: it is unsure until core_adopted. */
static bool
found_running(struct core *c, struct task_row *row)
{
	struct pool *p = pool_get(c, row->worker);
	struct task *t = p != NULL ? task_new(p) : NULL;

	if (t == NULL)
		return false;
	t->row = *row;
	*row = (struct task_row){ .id = t->row.id };
	t->alone = row_is_suspect(&t->row);
	t->claimed = t->unsure = true;
	task_add(t);
	return true;
}

int
core_new(struct broker *b, const struct store_found *found)
{
	struct core *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	b->core = c;
	c->broker = b;
	list_init(&c->dirty);
	list_init(&c->unclaimed);
	list_init(&c->kept);
	heap_init(&c->timed, offsetof(struct limit_key, timed));
	heap_init(&c->fleeting, offsetof(struct task, heap));
	c->sick[0].was_well = true;
	core_clocks(c);
	c->random = (uint64_t)c->mono ^ (uint64_t)c->wall_ms << 20 ^ 1;
	ev_init(&c->timer, timer_cb);
	ev_init(&c->periodic, periodic_cb);
	c->timer.data = c->periodic.data = c;
	for (size_t i = 0; i < found->pools_count; i++)
		if (!found_pool(c, &found->pools[i]))
			return -ENOMEM;
	for (size_t i = 0; i < found->running_count; i++)
		if (!found_running(c, &found->running[i]))
			return -ENOMEM;
	due_note(c, found->next_due_ms);
	expiry_note(c, found->next_expiry_ms);
	core_configure(b);
	return 0;
}

void
core_configure(struct broker *b)
{
	struct core *c = b->core;
	struct pool *p, *next;

	core_clocks(c);
	if (!defaults_set(b->pools, b->pools_count))
		log_error("out of memory: tasks that follow others get the "
			  "settings from before");
	for (size_t i = 0; i < b->pools_count; i++) {
		p = pool_get(c, b->pools[i].name);
		if (p == NULL)
			log_error("%s: out of memory: takes no tasks",
			    b->pools[i].name);
		else
			pool_configure(p, &b->pools[i]);
	}
	HASH_ITER(hh, c->pools, p, next)
	{
		if (broker_pool(b, p->config.name) == NULL)
			pool_drop(p);
		pool_tick(p);
		if (pool_idle(p))
			pool_free(p);
	}
}

/* Well again, it need not be waited for. */
static void
wells(struct core *c, bool shared, bool well)
{
	struct sickness *s = &c->sick[shared];

	if (well == s->was_well)
		return;
	s->was_well = well;
	if (well) {
		s->until = 0;
		pools_touch(c);
	}
}

void
core_turn(struct broker *b)
{
	struct core *c = b->core;
	struct list now, *l, *tmp;

	core_clocks(c);
	wells(c, false, b->store_well);
	wells(c, true, b->shared_well);
	put_again(c);
	mine_look(c);
	due_look(c);
	expiry_look(c);
	list_init(&now);
	LIST_FOREACH(l, tmp, &c->dirty) {
		list_remove(l);
		list_append(&now, l);
	}
	LIST_FOREACH(l, tmp, &now) {
		struct pool *p = LIST_ENTRY(l, struct pool, dirty);

		list_remove(l);
		/* A task whose row is not read yet may count for a cap. */
		if (c->adopted && p->adopting == 0)
			pool_dispatch(p);
		window_look(p);
		claims_look(p);
		scale_look(p);
	}
	if (!list_empty(&c->dirty))
		core_wake(c, c->mono);
	arm(c);
	c->clocks_read = false;
}

void
core_free(struct broker *b)
{
	struct core *c = b->core;
	struct idlink *found, *next;
	struct pool *p, *pnext;
	struct list *l, *tmp;

	if (c == NULL)
		return;
	if (b->loop != NULL) {
		ev_timer_stop(b->loop, &c->timer);
		ev_periodic_stop(b->loop, &c->periodic);
	}
	LIST_FOREACH(l, tmp, &c->kept) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		list_remove(l);
		store_op_free(op);
	}
	IDMAP_FOREACH(found, next, &c->tasks) {
		struct task *t = IDMAP_ENTRY(found, struct task, by_id);

		t->pending = 0;
		task_forget(t);
	}
	HASH_ITER(hh, c->pools, p, pnext)
	{
		pool_free(p);
	}
	waits_free(c);
	idmap_done(&c->tasks);
	cancels_free(c);
	mine_free(c);
	heap_done(&c->timed);
	heap_done(&c->fleeting);
	defaults_free();
	free(c);
	b->core = NULL;
}

struct task *
core_find(struct broker *b, uint64_t id)
{
	struct idlink *l = idmap_find(&b->core->tasks, id);

	return l != NULL ? IDMAP_ENTRY(l, struct task, by_id) : NULL;
}
