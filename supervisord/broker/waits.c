/* Who waits for the end of a task, by its id: the task need not be in memory.
 */

#include <stdlib.h>

#include "supervisord/broker/core_int.h"

struct lookup {
	struct core *core;
	uint64_t id;
};

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

	(void)live;
	if (e != QERR_NONE || row->state >= TASK_DONE)
		waits_end(w->core, w->id, e, row);
	free(w);
}

void
core_wait(struct broker *b, uint64_t id, struct waiter *w)
{
	struct core *c = b->core;
	struct task *t = core_find(b, id);
	struct lookup *asked;

	w->core = c;
	list_init(&w->link);
	if (id == 0) {
		w->ended(w, QERR_NO_TASK, NULL);
		return;
	}
	idmap_add(&c->waits, &w->by_id, id);
	if (t != NULL && !t->reading) {
		if (t->row.state >= TASK_DONE)
			waits_end(c, id, QERR_NONE, &t->row);
		return;
	}
	asked = malloc(sizeof(*asked));
	if (asked == NULL) {
		idmap_remove(&c->waits, &w->by_id);
		w->ended(w, QERR_NO_MEMORY, NULL);
		return;
	}
	*asked = (struct lookup){ c, id };
	core_task(b, id, looked_up, asked);
}

void
core_unwait(struct waiter *w)
{
	if (w->core == NULL)
		return;
	idmap_remove(&w->core->waits, &w->by_id);
	list_remove(&w->link);
}

void
waits_free(struct core *c)
{
	struct idlink *l, *tmp;

	IDMAP_FOREACH(l, tmp, &c->waits)
		idmap_remove(&c->waits, l);
	idmap_done(&c->waits);
}
