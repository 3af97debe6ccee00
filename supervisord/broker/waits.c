/* Who waits for the end of a task, by its id: the task need not be in memory.
 */

#include <stdlib.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

struct lookup {
	struct core *core;
	uint64_t id;
};

/* One that ends elsewhere is told by the store that is shared. */
static void
watch(struct core *c, uint64_t id, bool on)
{
	if (id_shared(id) && c->broker->shared != NULL)
		shared_watch(c->broker->shared, id, on);
}

void
waits_progress(struct task *t)
{
	struct idlink *l = idmap_find(&t->pool->broker->core->waits, t->row.id);

	while (l != NULL) {
		struct waiter *w = IDMAP_ENTRY(l, struct waiter, by_id);

		l = idmap_same(l->next, t->row.id);
		if (w->progress != NULL)
			w->progress(w, t);
	}
}

void
waits_end(
    struct core *c, uint64_t id, enum queue_error e, const struct task_row *r)
{
	struct idlink *l;
	struct list told;

	/* Out of the table first: who is told may wait again, or leave. */
	list_init(&told);
	while ((l = idmap_find(&c->waits, id)) != NULL) {
		idmap_remove(&c->waits, l);
		list_append(&told, &IDMAP_ENTRY(l, struct waiter, by_id)->link);
	}
	if (!list_empty(&told))
		watch(c, id, false);
	while (!list_empty(&told)) {
		struct waiter *w = LIST_ENTRY(told.next, struct waiter, link);

		list_remove(&w->link);
		w->ended(w, e, r);
	}
}

/* What the store knows of a task that is not in memory. If it has ended since
 * it was asked, whoever waits has been told by then. */
static void
looked_up(void *arg, enum queue_error e, const struct task_row *row,
    const struct task *live)
{
	struct lookup *w = arg;
	/* A shared store that is away is no end: it is looked up again when it
	 * is back (waits_look_all). */
	bool away =
	    id_shared(w->id) && (e == QERR_STORE || e == QERR_NO_MEMORY);

	(void)live;
	if (!away && (e != QERR_NONE || row->state >= TASK_DONE))
		waits_end(w->core, w->id, e, row);
	free(w);
}

static bool
look_up(struct core *c, uint64_t id)
{
	struct lookup *asked = malloc(sizeof(*asked));

	if (asked == NULL)
		return false;
	*asked = (struct lookup){ c, id };
	core_task(c->broker, id, looked_up, asked);
	return true;
}

void
waits_look(struct core *c, uint64_t id)
{
	if (idmap_find(&c->waits, id) != NULL && !look_up(c, id))
		waits_end(c, id, QERR_NO_MEMORY, NULL);
}

void
waits_look_all(struct core *c)
{
	uint64_t *ids = calloc(c->waits.count + 1, sizeof(*ids));
	struct idlink *l, *tmp;
	size_t n = 0;

	if (ids == NULL) {
		log_error("out of memory: who waits for shared tasks may wait "
			  "in vain");
		return;
	}
	/* By their ids: who is told may go, and take others with it. */
	IDMAP_FOREACH(l, tmp, &c->waits) {
		if (id_shared(l->id))
			ids[n++] = l->id;
	}
	for (size_t i = 0; i < n; i++)
		waits_look(c, ids[i]);
	free(ids);
}

void
core_wait(struct broker *b, uint64_t id, struct waiter *w)
{
	struct core *c = b->core;
	struct task *t = core_find(b, id);

	w->core = c;
	list_init(&w->link);
	if (id == 0) {
		w->ended(w, QERR_NO_TASK, NULL);
		return;
	}
	if (idmap_find(&c->waits, id) == NULL)
		watch(c, id, true);
	idmap_add(&c->waits, &w->by_id, id);
	if (t != NULL && !t->reading && !t->lost) {
		if (t->row.state >= TASK_DONE)
			waits_end(c, id, QERR_NONE, &t->row);
		return;
	}
	if (!look_up(c, id)) {
		core_unwait(w);
		w->ended(w, QERR_NO_MEMORY, NULL);
	}
}

void
core_unwait(struct waiter *w)
{
	uint64_t id = w->by_id.id;

	if (w->core == NULL)
		return;
	idmap_remove(&w->core->waits, &w->by_id);
	list_remove(&w->link);
	if (id_shared(id) && idmap_find(&w->core->waits, id) == NULL)
		watch(w->core, id, false);
}

void
waits_free(struct core *c)
{
	struct idlink *l, *tmp;

	IDMAP_FOREACH(l, tmp, &c->waits)
		idmap_remove(&c->waits, l);
	idmap_done(&c->waits);
}
