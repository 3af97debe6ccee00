#include "supervisord/master/memory.h"

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/kept.h"

#define MEMORY_MAGIC   0x53564d4dU
#define MEMORY_VERSION 4U

struct shared {
	uint32_t magic;
	uint32_t version;
	uint32_t row_size;
	uint32_t used; /* no row at or behind this one has ever been used */
	uint32_t stopping;
	int32_t exit_status;
	uint32_t next_event;
	uint32_t undo_row; /* 1 + the row that `undo` is of; 0: none */
	uint32_t next_exit;
	uint32_t pad;
	uint64_t more[3];
	struct memory_row undo;
	struct memory_event events[MEMORY_EVENTS];
	struct memory_exit exits[MEMORY_EXITS];
	struct memory_row rows[MEMORY_ROWS];
};

struct memory {
	struct shared *shared;
	uint32_t *free; /* a stack of freed rows below `used` */
	uint32_t free_count, free_room;
};

static bool
usable(const void *p)
{
	const struct shared *s = p;

	return s->magic == MEMORY_MAGIC && s->version == MEMORY_VERSION &&
	       s->row_size == sizeof(struct memory_row) &&
	       s->used <= MEMORY_ROWS;
}

/* The master before was killed in the middle of a step: it has not been. */
static void
undo(struct shared *s)
{
	if (s->undo_row > 0 && s->undo_row <= MEMORY_ROWS)
		s->rows[s->undo_row - 1] = s->undo;
	s->undo_row = 0;
}

static void
push_free(struct memory *m, uint32_t i)
{
	if (m->free_count == m->free_room) {
		uint32_t room = m->free_room > 0 ? m->free_room * 2 : 64;
		uint32_t *grown = realloc(m->free, room * sizeof *grown);

		if (grown == NULL)
			return; /* the row is lost until the next master */
		m->free = grown;
		m->free_room = room;
	}
	m->free[m->free_count++] = i;
}

struct memory *
memory_open(int fd, int *ret_fd, bool *ret_fresh)
{
	struct memory *m = calloc(1, sizeof *m);

	if (m == NULL)
		return NULL;
	m->shared =
	    kept_open("supervisord-memory", sizeof *m->shared, fd, usable,
		"what users asked for will not survive a crash of the master",
		ret_fd, ret_fresh);
	if (m->shared == NULL) {
		free(m);
		return NULL;
	}
	if (*ret_fresh) {
		m->shared->version = MEMORY_VERSION;
		m->shared->row_size = sizeof(struct memory_row);
		kept_in_order();
		m->shared->magic = MEMORY_MAGIC;
	}
	undo(m->shared);
	for (uint32_t i = m->shared->used; i > 0; i--) {
		if (m->shared->rows[i - 1].name[0] == '\0')
			push_free(m, i - 1);
	}
	return m;
}

struct memory_event *
memory_next_event(struct memory *m)
{
	struct memory_event *e;

	e = &m->shared->events[m->shared->next_event % MEMORY_EVENTS];
	m->shared->next_event++;
	e->sequence = 0;
	return e;
}

struct memory_exit *
memory_next_exit(struct memory *m)
{
	struct memory_exit *e;

	e = &m->shared->exits[m->shared->next_exit % MEMORY_EXITS];
	m->shared->next_exit++;
	e->key = 0;
	return e;
}

size_t
memory_exits(const struct memory *m, struct memory_exit *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < MEMORY_EXITS; i++) {
		uint32_t at = (m->shared->next_exit + i) % MEMORY_EXITS;

		if (m->shared->exits[at].key != 0)
			out[n++] = m->shared->exits[at];
	}
	return n;
}

static int
by_sequence(const void *a, const void *b)
{
	const struct memory_event *x = a, *y = b;

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

size_t
memory_take_events(struct memory *m, uint64_t after, struct memory_event *out)
{
	size_t n = 0;

	for (size_t i = 0; i < MEMORY_EVENTS; i++) {
		struct memory_event *e = &m->shared->events[i];

		if (e->sequence > after)
			out[n++] = *e;
		if (e->sequence != 0)
			e->sequence = 0;
	}
	qsort(out, n, sizeof *out, by_sequence);
	return n;
}

void
memory_set_stopping(struct memory *m, int status)
{
	m->shared->exit_status = status;
	m->shared->stopping = 1;
}

bool
memory_is_stopping(const struct memory *m, int *ret_status)
{
	*ret_status = m->shared->exit_status;
	return m->shared->stopping != 0;
}

struct memory_row *
memory_new(struct memory *m, const char *name, uint32_t index)
{
	struct memory_row *row;

	if (m->free_count > 0)
		row = &m->shared->rows[m->free[--m->free_count]];
	else if (m->shared->used < MEMORY_ROWS)
		row = &m->shared->rows[m->shared->used++];
	else
		return NULL;
	memset(row, 0, sizeof *row);
	row->index = index;
	/* The name last: it is what makes the row used. */
	kept_in_order();
	memcpy(row->name, name, strnlen(name, sizeof row->name - 1));
	return row;
}

void
memory_free(struct memory *m, struct memory_row *row)
{
	row->name[0] = '\0';
	push_free(m, (uint32_t)(row - m->shared->rows));
}

void
memory_each(struct memory *m, void (*each)(struct memory_row *row, void *arg),
    void *arg)
{
	for (uint32_t i = 0; i < m->shared->used; i++) {
		if (m->shared->rows[i].name[0] != '\0')
			each(&m->shared->rows[i], arg);
	}
}

struct memory_row *
memory_named(struct memory *m, const char *name)
{
	for (uint32_t i = 0; i < m->shared->used; i++) {
		if (strcmp(m->shared->rows[i].name, name) == 0)
			return &m->shared->rows[i];
	}
	return NULL;
}

void
memory_begin(struct memory *m, const struct memory_row *row)
{
	uint32_t i = (uint32_t)(row - m->shared->rows) + 1;

	if (m->shared->undo_row == i)
		return;
	m->shared->undo_row = 0;
	kept_in_order();
	m->shared->undo = *row;
	kept_in_order();
	m->shared->undo_row = i;
	kept_in_order();
}

void
memory_commit(struct memory *m)
{
	kept_in_order();
	m->shared->undo_row = 0;
	kept_in_order();
}
