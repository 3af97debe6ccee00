#include "supervisord/broker/blame.h"

static bool
executing(const struct blame_end *end, const struct blame_task *t)
{
	if (!end->has_slots)
		return t->begun;
	for (size_t i = 0; i < end->slots_count; i++) {
		if (end->slots[i] == t->id)
			return true;
	}
	return false;
}

/* It was killed for an overrun, or for a cancelled one that did not end. */
static enum lost
when_replaced(const struct blame_task *t, bool ran)
{
	if (t->cancelled)
		return LOST_CANCELLED;
	if (t->doomed)
		return LOST_OVERRUN;
	return ran ? LOST_VICTIM : LOST_UNBEGUN;
}

static enum lost
when_stopped(const struct blame_task *t, bool ran)
{
	if (t->cancelled)
		return LOST_CANCELLED;
	return ran ? LOST_STOPPED : LOST_UNBEGUN;
}

static enum lost
when_crashed(const struct blame_task *t, bool ran, size_t suspects)
{
	if (t->cancelled)
		return LOST_CANCELLED;
	if (!ran)
		return LOST_UNBEGUN;
	if (suspects > 1)
		return LOST_SUSPECT;
	/* Asked to end for its limit, it ended its process instead. */
	return t->overrun ? LOST_OVERRUN : LOST_GUILTY;
}

void
blame(const struct blame_end *end, struct blame_task *tasks, size_t count)
{
	size_t suspects = 0;

	for (size_t i = 0; i < count; i++)
		suspects += executing(end, &tasks[i]);
	for (size_t i = 0; i < count; i++) {
		struct blame_task *t = &tasks[i];
		bool ran = executing(end, t);

		if (end->replaced)
			t->lost = when_replaced(t, ran);
		else if (end->stopping)
			t->lost = when_stopped(t, ran);
		else
			t->lost = when_crashed(t, ran, suspects);
	}
}
