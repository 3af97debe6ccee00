#ifndef BASE_LIST_H
#define BASE_LIST_H

/*
 * A doubly linked ring with a head of the same type, embedded in its elements.
 * An element that is in no list points to itself, so list_remove may be called
 * on it twice and list_linked tells.
 */

#include <stdbool.h>

#include "supervisord/base/util.h"

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool
list_linked(const struct list *l)
{
	return l->next != l;
}

static inline void
list_insert_before(struct list *at, struct list *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

static inline void
list_append(struct list *head, struct list *l)
{
	list_insert_before(head, l);
}

static inline void
list_remove(struct list *l)
{
	/* The analyzer can't follow that what is freed left its ring before. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): see above */
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

#define LIST_ENTRY(l, type, member) CONTAINER_OF(l, type, member)

/* The element in hand may be removed or freed; no other may. */
#define LIST_FOREACH(l, tmp, head)                                             \
	for ((l) = (head)->next, (tmp) = (l)->next; (l) != (head);             \
	     (l) = (tmp), (tmp) = (l)->next)

#endif
