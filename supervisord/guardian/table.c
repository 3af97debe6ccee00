#include "supervisord/guardian/table.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS                                                                \
	65536U /* pids are mostly consecutive, so the low bits spread          \
		*/

_Alignas(4096) struct slot table_slots[TABLE_SLOTS];

static struct {
	uint32_t used; /* slots before this were in use at least once */
	uint32_t free; /* slot + 1 of the first free one, chained by pid_next */
	uint32_t alive;           /* children with a pid */
	uint32_t by_pid[BUCKETS]; /* slot + 1 */
} table;

void
table_init(void)
{
	/* A huge page would be all used up by its first slot. */
	(void)madvise(table_slots, sizeof table_slots, MADV_NOHUGEPAGE);
}

struct slot *
table_alloc(const char *name)
{
	struct slot *s;
	uint32_t gen, i;

	if (table.free != 0) {
		i = table.free - 1;
		table.free = table_slots[i].pid_next;
	} else if (table.used < TABLE_SLOTS) {
		i = table.used++;
	} else {
		return NULL;
	}
	s = &table_slots[i];
	gen = s->child.gen + 1;
	memset(s, 0, sizeof *s);
	s->child.slot = i;
	s->child.gen = gen != 0 ? gen : 1;
	s->child.state = CHILD_ALIVE;
	s->news_prev = s->news_next = s->tree_next = TABLE_NONE;
	s->hybrid_prev = s->hybrid_next = TABLE_NONE;
	s->pidfd = s->task_fd = s->memory_fd = -1;
	snprintf(s->child.name, sizeof s->child.name, "%s", name);
	return s;
}

void
table_free(struct slot *s)
{
	table_forget_pid(s);
	s->child.state = 0;
	s->pid_next = table.free;
	table.free = s->child.slot + 1;
}

struct slot *
table_get(uint32_t slot, uint32_t gen)
{
	struct slot *s;

	if (slot >= table.used)
		return NULL;
	s = &table_slots[slot];
	return s->child.state != 0 && s->child.gen == gen ? s : NULL;
}

static uint32_t *
bucket(int32_t pid)
{
	return &table.by_pid[(uint32_t)pid % BUCKETS];
}

static bool
indexed(const struct slot *s)
{
	return s->child.state == CHILD_ALIVE && s->child.pid > 0;
}

struct slot *
table_by_pid(int32_t pid)
{
	for (uint32_t i = *bucket(pid); i != 0;
	     i = table_slots[i - 1].pid_next) {
		if (table_slots[i - 1].child.pid == pid)
			return &table_slots[i - 1];
	}
	return NULL;
}

void
table_set_pid(struct slot *s, int32_t pid)
{
	uint32_t *head = bucket(pid);

	s->child.pid = pid;
	s->pid_next = *head;
	*head = s->child.slot + 1;
	table.alive++;
}

/* Call it while the state is still CHILD_ALIVE: only then is it in a chain. */
void
table_forget_pid(struct slot *s)
{
	uint32_t *at;

	if (!indexed(s))
		return;
	at = bucket(s->child.pid);
	while (*at != 0 && *at != s->child.slot + 1)
		at = &table_slots[*at - 1].pid_next;
	if (*at == 0)
		return;
	*at = s->pid_next;
	s->pid_next = 0;
	table.alive--;
}

struct slot *
table_next(uint32_t from)
{
	for (; from < table.used; from++) {
		if (table_slots[from].child.state != 0)
			return &table_slots[from];
	}
	return NULL;
}

uint32_t
table_alive(void)
{
	return table.alive;
}

uint32_t
table_used(void)
{
	return table.used;
}

struct slot *
table_restore(const struct msg_child *row)
{
	struct slot *s;

	if (row->slot >= TABLE_SLOTS)
		return NULL;
	s = &table_slots[row->slot];
	memset(s, 0, sizeof *s);
	s->child = *row;
	s->news_prev = s->news_next = s->tree_next = TABLE_NONE;
	s->hybrid_prev = s->hybrid_next = TABLE_NONE;
	s->pidfd = s->task_fd = s->memory_fd = -1;
	if (row->slot >= table.used)
		table.used = row->slot + 1;
	if (indexed(s))
		table_set_pid(s, row->pid);
	return s;
}

void
table_restored(void)
{
	table.free = 0;
	for (uint32_t i = table.used; i-- > 0;) {
		if (table_slots[i].child.state == 0) {
			table_slots[i].pid_next = table.free;
			table.free = i + 1;
		}
	}
}
