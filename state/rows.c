#include "state/rows.h"

#include <stdlib.h>
#include <string.h>

struct row *
row_new(enum row_kind kind, const struct value *v, size_t count)
{
	size_t bytes = sizeof(struct row) + count * sizeof *v;
	struct row *row;
	char *text;

	for (size_t i = 0; i < count; i++)
		if (v[i].type == VALUE_TEXT)
			bytes += strlen(v[i].as.text) + 1;
	if (bytes > UINT32_MAX)
		return NULL;
	row = malloc(bytes);
	if (row == NULL)
		return NULL;
	memset(row, 0, sizeof *row);
	list_init(&row->link);
	row->bytes = (uint32_t)bytes;
	row->kind = (uint16_t)kind;
	row->count = (uint16_t)count;
	text = (char *)&row->v[count];
	for (size_t i = 0; i < count; i++) {
		row->v[i] = v[i];
		if (v[i].type == VALUE_TEXT) {
			row->v[i].as.text = text;
			text = stpcpy(text, v[i].as.text) + 1;
		}
	}
	return row;
}

void
queue_init(struct queue *q)
{
	memset(q, 0, sizeof *q);
	list_init(&q->keyed);
	list_init(&q->history);
}

bool
queue_empty(const struct queue *q)
{
	return list_empty(&q->keyed) && list_empty(&q->history);
}

/* What one waiting row per key is kept of; 0: not such a row. */
static char
family(const struct row *row)
{
	switch ((enum row_kind)row->kind) {
	case ROW_INSTANCE:
	case ROW_INSTANCE_DROP:
		return 'i';
	case ROW_FACT:
	case ROW_FACT_DROP:
		return 'f';
	case ROW_BEGIN:
	case ROW_END:
	case ROW_EVENT:
	case ROW_EXIT:
	case ROW_LAST_LINES:
	case ROW_KINDS:
		break;
	}
	return 0;
}

/* FNV-1a. */
static struct row **
bucket_of(struct queue *q, char of, const char *key)
{
	uint32_t h = (2166136261U ^ (unsigned char)of) * 16777619U;

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char)*key) * 16777619U;
	return &q->bucket[h % QUEUE_BUCKETS];
}

static void
add_keyed(struct queue *q, struct row *row, char of)
{
	struct row **at = bucket_of(q, of, row->v[0].as.text);
	struct row **first = at;

	for (; *at != NULL; at = &(*at)->next_in_bucket) {
		struct row *old = *at;

		if (family(old) == of &&
		    strcmp(old->v[0].as.text, row->v[0].as.text) == 0) {
			*at = old->next_in_bucket;
			list_remove(&old->link);
			free(old);
			break;
		}
	}
	row->next_in_bucket = *first;
	*first = row;
	list_append(&q->keyed, &row->link);
}

size_t
queue_add(struct queue *q, struct row *row, size_t most)
{
	char of = family(row);
	size_t gone = 0;

	if (of != 0) {
		add_keyed(q, row, of);
		return 0;
	}
	if (row->kind == ROW_BEGIN || row->kind == ROW_END) {
		list_append(&q->keyed, &row->link);
		return 0;
	}
	list_append(&q->history, &row->link);
	q->waiting++;
	q->waiting_bytes += row->bytes;
	while (q->waiting > 1 &&
	       (q->waiting > most || q->waiting_bytes > QUEUE_BYTES)) {
		struct row *old = LIST_ENTRY(q->history.next, struct row, link);

		list_remove(&old->link);
		q->waiting--;
		q->waiting_bytes -= old->bytes;
		free(old);
		gone++;
	}
	return gone;
}

static void
move_list(struct list *from, struct list *to)
{
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

void
queue_move(struct queue *q, struct queue *to)
{
	move_list(&q->keyed, &to->keyed);
	move_list(&q->history, &to->history);
	memset(q->bucket, 0, sizeof q->bucket);
	q->waiting = q->waiting_bytes = 0;
}

static void
free_list(struct list *head)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, head)
		free(LIST_ENTRY(l, struct row, link));
	list_init(head);
}

void
queue_free_rows(struct queue *q)
{
	free_list(&q->keyed);
	free_list(&q->history);
	memset(q->bucket, 0, sizeof q->bucket);
	q->waiting = q->waiting_bytes = 0;
}
