/* Which task goes to which hand. */

#include <string.h>

#include "supervisord/broker/core_int.h"

void
hand_is_alone(struct hand *h, const struct task *t)
{
	if (t->alone)
		h->alone = true;
	if (h->pool != NULL)
		rack_place(h->pool, h);
}

void
hand_take(struct hand *h, struct task *t)
{
	t->hand = h;
	t->place = PLACE_HAND;
	list_append(&h->tasks, &t->link);
	h->held++;
	hand_is_alone(h, t);
}

void
task_leave(struct task *t)
{
	struct hand *h = t->hand;

	list_remove(&t->claim);
	if (h == NULL)
		return;
	list_remove(&t->link);
	h->held--;
	if (t->alone)
		h->alone = false;
	h->answered = t->pool->broker->core->mono;
	t->hand = NULL;
	t->place = PLACE_NOWHERE;
	key_leave(t);
	if (h->pool == NULL)
		return;
	rack_place(h->pool, h);
	pool_touch(h->pool);
}

void
task_place(struct task *t, const struct hand *h)
{
	memcpy(t->row.instance, h->name, sizeof(t->row.instance));
	if (id_shared(t->row.id)) {
		free(t->row.host);
		t->row.host = strdup(t->pool->broker->shared_host);
	}
}

/* false: there is no memory for it now, and the task is queued again. */
static bool
give(struct pool *p, struct hand *h, struct task *t)
{
	struct core *c = p->broker->core;

	key_take(t);
	window_remove(t);
	task_move(t, TASK_RUNNING);
	t->row.attempts++;
	t->row.started_ms = c->wall_ms;
	task_place(t, h);
	t->thread = 0;
	t->begun = t->recalled = t->overrun = t->cancelling = false;
	t->share = WIRE_NO_SHARE;
	t->sent_mono = c->mono;
	t->deadline = 0;
	t->behind = h->held >= h->threads;
	meter_took(
	    &p->meter, METER_WAIT, (c->mono - t->ready_mono) / 1000, c->mono);
	hand_take(h, t);
	if (!t->fleeting || t->behind) {
		if (list_empty(&c->unclaimed))
			core_wake(c, c->mono + CLAIM_AFTER);
		list_append(&c->unclaimed, &t->claim);
	}
	return hands_give(h, t);
}

/* --- tasks that want a process of their own ------------------------------- */

static void
reserve(struct pool *p, struct hand *h)
{
	struct hand *old = p->reserved;

	p->reserved = h;
	if (old != NULL)
		rack_place(p, old);
	if (h != NULL)
		rack_place(p, h);
}

/* One that runs nothing, or NULL: then one is kept from getting more. */
static struct hand *
empty_hand(struct pool *p)
{
	struct hand *h = rack_first(&p->idle);

	if (p->reserved != NULL && p->reserved->held == 0)
		return p->reserved;
	if (h != NULL && h->held == 0)
		return h;
	if (p->reserved != NULL)
		return NULL;
	if (h == NULL)
		h = rack_first(&p->room);
	for (struct list *l = p->full.next; h == NULL && l != &p->full;
	     l = l->next)
		if (!LIST_ENTRY(l, struct hand, pool_link)->alone)
			h = LIST_ENTRY(l, struct hand, pool_link);
	if (h != NULL)
		reserve(p, h);
	return NULL;
}

/* false: as give. */
static bool
serve_loners(struct pool *p)
{
	while (!list_empty(&p->loners)) {
		struct task *t = LIST_ENTRY(p->loners.next, struct task, link);
		struct hand *h;

		h = empty_hand(p);
		if (h == NULL)
			return true;
		if (key_blocked(t))
			continue;
		if (h == p->reserved)
			p->reserved = NULL;
		if (!give(p, h, t))
			return false;
	}
	if (p->reserved != NULL)
		reserve(p, NULL);
	return true;
}

static void
set_apart(struct pool *p, struct task *t)
{
	bool released = t->released;

	t->released = false;
	window_remove(t);
	t->released = released;
	t->place = PLACE_ALONE;
	list_append(&p->loners, &t->link);
	p->loners_count++;
}

/* --- all others ----------------------------------------------------------- */

static struct hand *
choose(struct pool *p)
{
	struct hand *h = rack_first(&p->idle);

	if (h == NULL && p->run_us >= 0 && p->run_us < PREFETCH_US)
		h = rack_first(&p->room);
	return h;
}

void
pool_dispatch(struct pool *p)
{
	struct core *c = p->broker->core;
	struct hand *h;
	struct task *t;

	/* What is claimed may be another's by now, where its store is away, or
	 * this broker stood still. */
	if (p->config.shared &&
	    (!p->broker->shared_well || !shared_leased(p->broker->shared)))
		return;
	if (!pool_open(p) || p->broker->finishing ||
	    c->sick[p->config.shared].kept >= KEPT_MAX)
		return;
	if (!serve_loners(p))
		return;
	while ((t = heap_top(&p->queue)) != NULL && (h = choose(p)) != NULL) {
		/* The store has some whose turn is before (a refill brings
		 * them). */
		if (window_beyond(p, t->row.rank, t->row.id) && !t->fleeting &&
		    !id_shared(t->row.id))
			break;
		if (t->alone) {
			set_apart(p, t);
			if (!serve_loners(p))
				return;
		} else if (!key_blocked(t) && !give(p, h, t)) {
			return;
		}
	}
}

void
dispatch_claims(struct core *c)
{
	while (!list_empty(&c->unclaimed)) {
		struct task *t =
		    LIST_ENTRY(c->unclaimed.next, struct task, claim);

		if (t->sent_mono + CLAIM_AFTER > c->mono) {
			core_wake(c, t->sent_mono + CLAIM_AFTER);
			return;
		}
		list_remove(&t->claim);
		/* Behind a long one it is better off elsewhere. */
		if (t->behind && !t->begun && !t->recalled) {
			t->recalled = true;
			hands_recall(t);
		}
		put_claim(t);
	}
}
