/* What each thread of an instance does, for people. */
#include "supervisord/base/clock.h"
#include "supervisord/broker/hands_int.h"

static bool
is_stuck(struct hand *h, uint64_t id)
{
	const struct flight *f = hand_flight(h, id);

	return f != NULL &&
	       (f->flags & (FLIGHT_OVERRUN | FLIGHT_CANCELLED)) != 0;
}

static void
from_slots(struct hand *h,
    void (*each)(const struct thread_info *info, void *arg), void *arg)
{
	int64_t now = clock_mono(), since;

	for (uint32_t i = 0; i < h->threads && i < WIRE_THREADS_MAX; i++) {
		/* The worker writes it meanwhile: what was looked at is what
		 * is shown. */
		const struct wire_slot s =
		    *(const volatile struct wire_slot *)&hand_slots(h)[i];
		struct thread_info info = { .thread = (uint16_t)i,
			.busy = s.busy <= 2 ? s.busy : 0,
			.task = s.task,
			.share = s.share <= 1000 ? s.share : WIRE_NO_SHARE,
			.connections = s.connections };

		/* One that has done nothing yet has been idle from the start.
		 */
		since = MAX_OF(s.since, h->started_mono);
		info.for_ns = MAX_OF(now - since, 0);
		if (info.task != 0) {
			info.busy = 1;
			info.stuck = is_stuck(h, info.task);
		} else {
			info.share = WIRE_NO_SHARE;
		}
		each(&info, arg);
	}
}

/* One that is not told which thread has which task: in order. */
static void
from_tasks(struct hand *h,
    void (*each)(const struct thread_info *info, void *arg), void *arg)
{
	int64_t now = clock_mono();
	struct list *l, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(l, tmp, &h->tasks) {
		const struct task *t = LIST_ENTRY(l, struct task, link);
		struct thread_info info = { .thread = (uint16_t)n,
			.busy = 1,
			.task = t->row.id,
			.for_ns = now - t->sent_mono,
			.share = t->share,
			.stuck = is_stuck(h, t->row.id) };

		if (n++ == h->threads)
			return;
		each(&info, arg);
	}
	for (; n < h->threads; n++) {
		struct thread_info info = { .thread = (uint16_t)n,
			.for_ns = now - MAX_OF(h->answered, h->started_mono),
			.share = WIRE_NO_SHARE };

		each(&info, arg);
	}
}

void
hands_threads(struct hand *h,
    void (*each)(const struct thread_info *info, void *arg), void *arg)
{
	size_t slots = h->slots == NULL
			   ? 0
			   : (h->in->slots_size - sizeof *h->slots) /
				 sizeof(struct wire_slot);

	if (slots >= h->threads && hand_has_slots(h))
		from_slots(h, each, arg);
	else
		from_tasks(h, each, arg);
}
