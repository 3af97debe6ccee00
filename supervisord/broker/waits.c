/* Who waits for the end of a task, by its id: the task need not be in memory.
 */

#include <stdlib.h>

#include "supervisord/broker/core_int.h"

static struct wait_head *
find(struct core *c, uint64_t id)
{
	struct wait_head *w;

	HASH_FIND(hh, c->waits, &id, sizeof(id), w);
	return w;
}

struct lookup {
	struct core *core;
	uint64_t id;
};

static void
drop(struct core *c, struct wait_head *w)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links */
	HASH_DEL(c->waits, w);
	free(w);
}

void
waits_progress(struct task *t)
{
	struct core *c = t->pool->broker->core;
	struct wait_head *w = c->waits != NULL ? find(c, t->row.id) : NULL;
	struct list *l, *tmp;

	if (w == NULL)
		return;
	LIST_FOREACH(l, tmp, &w->waiters) {
		struct waiter *waiter = LIST_ENTRY(l, struct waiter, link);

		if (waiter->progress != NULL)
			waiter->progress(waiter, t);
	}
}

void
waits_end(
    struct core *c, uint64_t id, enum queue_error e, const struct task_row *r)
{
	struct wait_head *w = c->waits != NULL ? find(c, id) : NULL;

	if (w == NULL)
		return;
	/* Out of the table first: who is told may wait again, or leave. */
	w->ending = true;
	HASH_DEL(c->waits, w);
	while (!list_empty(&w->waiters)) {
		struct waiter *waiter =
		    LIST_ENTRY(w->waiters.next, struct waiter, link);

		list_remove(&waiter->link);
		waiter->ended(waiter, e, r);
	}
	free(w);
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
	struct wait_head *head = find(c, id);

	struct {
		struct core *core;
		uint64_t id;
	} * asked;

	w->id = id;
	list_init(&w->link);
	if (head == NULL) {
		head = calloc(1, sizeof(*head));
		if (head != NULL) {
			head->id = id;
			head->core = c;
			list_init(&head->waiters);
			HASH_ADD(hh, c->waits, id, sizeof(id), head);
			if (head->hh.tbl == NULL) {
				free(head);
				head = NULL;
			}
		}
	}
	asked = head != NULL ? malloc(sizeof(*asked)) : NULL;
	if (asked == NULL) {
		if (head != NULL && list_empty(&head->waiters))
			drop(c, head);
		w->ended(w, QERR_NO_MEMORY, NULL);
		return;
	}
	list_append(&head->waiters, &w->link);
	asked->core = c;
	asked->id = id;
	core_task(b, id, looked_up, asked);
}

void
core_unwait(struct waiter *w)
{
	struct list *next = w->link.next;
	bool last = list_linked(&w->link) && next == w->link.prev;
	struct wait_head *head;

	list_remove(&w->link);
	if (!last)
		return;
	head = LIST_ENTRY(next, struct wait_head, waiters);
	if (!head->ending)
		drop(head->core, head);
}

void
waits_free(struct core *c)
{
	struct wait_head *w, *next;

	HASH_ITER(hh, c->waits, w, next)
	{
		struct list *l, *tmp;

		LIST_FOREACH(l, tmp, &w->waiters) {
			list_remove(l);
		}
		drop(c, w);
	}
}
