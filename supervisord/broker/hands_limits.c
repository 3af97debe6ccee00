/*
 * Time limits. When a task's has passed, its handler is asked to end: the flag
 * in its slot, a CANCEL. When it has not within its grace, its process is
 * killed: at once if that costs no other task, else when the others are through
 * or their grace is over. Cancelling a running task is the same from the second
 * step on. Killing is the master's.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

#define GRACE       (2000 * NS_PER_MS)
#define HANG_UP     (2000 * NS_PER_MS)
#define ASKED_FLAGS (FLIGHT_OVERRUN | FLIGHT_CANCELLED)

static void flight_due(struct limit *l);

/* --- slots ---------------------------------------------------------------- */

static size_t
slots_count(const struct hand *h)
{
	return h->slots == NULL ? 0
				: (h->in->slots_size - sizeof *h->slots) /
				      sizeof(struct wire_slot);
}

bool
hand_has_slots(const struct hand *h)
{
	for (size_t i = 0; i < slots_count(h); i++) {
		if (hand_slots(h)[i].tid != 0)
			return true;
	}
	return false;
}

struct wire_slot *
hand_slot(const struct hand *h, uint64_t id)
{
	for (size_t i = 0; i < slots_count(h); i++) {
		struct wire_slot *s = &hand_slots(h)[i];

		if (__atomic_load_n(&s->task, __ATOMIC_ACQUIRE) == id)
			return s;
	}
	return NULL;
}

static bool
is_executed(const struct hand *h, const struct task *t)
{
	if (hand_has_slots(h))
		return hand_slot(h, t->row.id) != NULL;
	return t->begun || h->prefetch == 0;
}

/* --- a task's deadline ---------------------------------------------------- */

static int64_t
grace_of(const struct hand *h)
{
	const struct pool_config *p = broker_pool(h->broker, h->worker);

	return p != NULL ? p->grace_ms * NS_PER_MS : GRACE;
}

static void
set(struct flight *f, int64_t at)
{
	f->task->deadline = at;
	limit_set(f->hand->broker->limits, &f->limit, at, flight_due);
}

void
hand_flight_begins(struct flight *f)
{
	struct task *t = f->task;

	t->overrun = (f->flags & FLIGHT_OVERRUN) != 0;
	t->cancelling = (f->flags & FLIGHT_CANCELLED) != 0;
	t->deadline = 0;
	if ((f->flags & FLIGHT_DOOMED) != 0)
		f->hand->in->doomed++;
	if ((f->flags & ASKED_FLAGS) != 0)
		set(f, clock_mono() + grace_of(f->hand));
	else if (t->row.timeout_ms > 0)
		set(f, f->sent + t->row.timeout_ms * NS_PER_MS);
}

void
hand_flight_begun(struct flight *f)
{
	f->sent = clock_mono();
	if (f->task->row.timeout_ms > 0 && (f->flags & ASKED_FLAGS) == 0)
		set(f, f->sent + f->task->row.timeout_ms * NS_PER_MS);
}

/* Asks the handler to end, and for the task back if no handler has it yet. */
static void
ask_to_end(struct hand *h, const struct task *t)
{
	struct wire_slot *s = hand_slot(h, t->row.id);

	if (s != NULL)
		__atomic_store_n(&s->cancel, t->row.id, __ATOMIC_RELEASE);
	hand_say(h, WIRE_CANCEL, t->row.id);
	if (s == NULL && h->prefetch > 0)
		hand_say(h, WIRE_RECALL, t->row.id);
}

void
hand_not_asked(const struct flight *f)
{
	const struct hand *h = f->hand;

	if ((f->flags & ASKED_FLAGS) == 0)
		return;
	/* Nobody else writes the word, and nobody executes the task now: the
	 * next attempt has not been sent. */
	for (size_t i = 0; i < slots_count(h); i++) {
		struct wire_slot *s = &hand_slots(h)[i];

		if (__atomic_load_n(&s->cancel, __ATOMIC_RELAXED) == f->id)
			__atomic_store_n(&s->cancel, 0, __ATOMIC_RELEASE);
	}
}

void
hands_cancel(struct task *t)
{
	struct hand *h = t->hand;
	struct flight *f = h != NULL ? hand_flight(h, t->row.id) : NULL;
	bool asked;

	if (f == NULL || (f->flags & FLIGHT_CANCELLED) != 0)
		return;
	asked = (f->flags & FLIGHT_OVERRUN) != 0;
	/* First the flag: a broker after this one takes the asking back. */
	flights_flag(h->broker->flights, f, FLIGHT_CANCELLED);
	ask_to_end(h, t);
	if (!asked)
		set(f, clock_mono() + grace_of(h));
}

/* --- the hard way --------------------------------------------------------- */

static void
kill_hand(struct hand *h)
{
	struct list *l, *tmp;
	const struct flight *f = NULL;

	limit_clear(h->broker->limits, &h->in->limit);
	h->in->replaced = true;
	if (h->in->kept != NULL)
		h->in->kept->killing = 1;
	LIST_FOREACH(l, tmp, &h->tasks) {
		const struct task *t = LIST_ENTRY(l, struct task, link);

		f = hand_flight(h, t->row.id);
		if (f != NULL && (f->flags & FLIGHT_DOOMED) != 0)
			break;
	}
	hand_ask(h, REPLACE_KILL,
	    "task %llu (%s) %s and did not end when asked",
	    f != NULL ? (unsigned long long)f->id : 0ULL,
	    f != NULL && f->task->row.func != NULL ? f->task->row.func : "?",
	    f != NULL && (f->flags & FLIGHT_CANCELLED) != 0
		? "was cancelled"
		: "ran out of time");
}

static void
siblings_due(struct limit *l)
{
	kill_hand(CONTAINER_OF(l, struct conn_in, limit)->hand);
}

/* Those that have not begun are asked back. */
static void
recall_unbegun(struct hand *h)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &h->tasks) {
		const struct task *t = LIST_ENTRY(l, struct task, link);

		if (!is_executed(h, t))
			hand_say(h, WIRE_RECALL, t->row.id);
	}
}

/* When the last of the others will have ended or be out of time; 0: there is
 * none that is executed. */
static int64_t
siblings_end(struct hand *h)
{
	const struct pool_config *p = broker_pool(h->broker, h->worker);
	int64_t most = clock_mono() +
		       (p != NULL ? p->sibling_grace_ms : 30000) * NS_PER_MS;
	int64_t end = 0;
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &h->tasks) {
		const struct task *t = LIST_ENTRY(l, struct task, link);
		const struct flight *f = hand_flight(h, t->row.id);
		int64_t own = t->deadline > 0 ? t->deadline : INT64_MAX;

		if (f == NULL || (f->flags & FLIGHT_DOOMED) != 0)
			continue;
		if (is_executed(h, t))
			end = MAX_OF(end, MIN_OF(own, most));
	}
	return end;
}

/* While it waits for the others it is given nothing: another one is. */
static void
relieve(struct hand *h, bool on)
{
	if (h->in->relieved == on)
		return;
	h->in->relieved = on;
	h->in->relief_said = true;
	hand_ask_relief(h);
}

/* At once, or when the others are through. */
static void
kill_soon(struct hand *h)
{
	int64_t end = h->threads > 1 ? siblings_end(h) : 0;

	if (h->threads > 1)
		recall_unbegun(h);
	if (end == 0) {
		kill_hand(h);
		return;
	}
	relieve(h, true);
	if (!limit_is_set(&h->in->limit))
		limit_set(h->broker->limits, &h->in->limit, end, siblings_due);
}

static void
doom(struct flight *f)
{
	struct hand *h = f->hand;

	flights_flag(h->broker->flights, f, FLIGHT_DOOMED);
	h->in->doomed++;
	hand_update(h);
	kill_soon(h);
}

void
hand_resume_limits(struct hand *h)
{
	struct conn_in *in = h->in;

	if (in->doomed > 0 && !in->replaced)
		kill_soon(h);
	else if (in->adopted)
		hand_ask_relief(h); /* what was said may be out of date */
	hand_look_idle(h);
}

/* Says the slots; without them nobody knows. */
static bool
has_idle_thread(const struct hand *h)
{
	size_t busy = 0, count = slots_count(h);

	for (size_t i = 0; i < count; i++)
		busy += __atomic_load_n(
			    &hand_slots(h)[i].task, __ATOMIC_RELAXED) != 0;
	return hand_has_slots(h) && busy < h->threads;
}

/*
 * Its time is up and it has not begun. Behind others it waits on: if it begins
 * right now, that is when its time is up. But a process with an idle thread
 * that does not take it is stopped or hangs: it is asked back, and when that
 * has no effect either the process is replaced.
 */
static void
still_waits(struct flight *f)
{
	struct hand *h = f->hand;
	const struct task *t = f->task;
	bool asked = (f->flags & ASKED_FLAGS) != 0;
	int64_t now = clock_mono();

	if (!has_idle_thread(h)) {
		if (asked)
			ask_to_end(h, t);
		set(f, now + (asked ? grace_of(h)
				    : t->row.timeout_ms * NS_PER_MS));
	} else if (!f->ignored) {
		f->ignored = true;
		if (asked)
			ask_to_end(h, t);
		else
			hand_say(h, WIRE_RECALL, t->row.id);
		set(f, now + grace_of(h));
	} else {
		h->in->replaced = true;
		if (h->in->kept != NULL)
			h->in->kept->killing = 1;
		hand_ask(h, REPLACE_KILL,
		    "it neither begins task %llu (%s) nor gives it back, "
		    "though a thread of it is idle",
		    (unsigned long long)f->id,
		    t->row.func != NULL ? t->row.func : "?");
	}
}

static void
flight_due(struct limit *l)
{
	struct flight *f = CONTAINER_OF(l, struct flight, limit);
	struct hand *h = f->hand;
	struct task *t = f->task;
	int64_t now = clock_mono(), timeout = t->row.timeout_ms * NS_PER_MS;
	const struct wire_slot *slot = hand_slot(h, t->row.id);
	int64_t since = slot != NULL ? slot->since : f->sent;

	if ((f->flags & FLIGHT_DOOMED) != 0 || h->in->exited)
		return;
	if (!is_executed(h, t)) {
		still_waits(f);
	} else if ((f->flags & ASKED_FLAGS) != 0) {
		doom(f);
	} else if (since <= now && since + timeout > now) {
		set(f, since + timeout);
	} else {
		t->overrun = true;
		flights_flag(h->broker->flights, f, FLIGHT_OVERRUN);
		ask_to_end(h, t);
		set(f, now + grace_of(h));
	}
}

/* --- when a task has ended ------------------------------------------------ */

static void
recycle(struct hand *h)
{
	struct conn_in *in = h->in;

	if (in->recycling || h->closed)
		return;
	in->recycling = true;
	if (in->kept != NULL)
		in->kept->recycling = 1;
	hand_ask_recycle(h);
}

void
hand_look_idle(struct hand *h)
{
	const struct conn_in *in = h->in;
	struct msg_slot slot = { h->slot, h->gen };

	/* Before that is known, after a crash of the broker, it has none. */
	if (!h->broker->running || h->broker->hands->telling)
		return;
	if (in->finishing && !in->exited && h->held == 0 && in->adopting == 0 &&
	    in->forgotten == 0)
		peer_send(
		    &h->broker->master, MSG_HAND_IDLE, &slot, NULL, 0, -1);
}

void
hand_finish(struct hand *h)
{
	recall_unbegun(h);
	hand_look_idle(h);
}

void
hand_flight_ended(struct hand *h)
{
	struct conn_in *in = h->in;

	if (in->exited)
		return;
	if (in->recycle_at != 0 && h->served >= in->recycle_at)
		recycle(h);
	if (in->doomed > 0) {
		if (!in->replaced && siblings_end(h) == 0)
			kill_hand(h);
		return;
	}
	hand_look_idle(h);
	if (!h->closed || in->shut)
		return;
	/* They ended after all, while it waited for the others. */
	limit_clear(h->broker->limits, &in->limit);
	relieve(h, false);
	hand_update(h);
}

void
hand_recycle_draw(struct hand *h)
{
	const struct pool_config *p = broker_pool(h->broker, h->worker);
	double n;

	h->in->recycle_at = 0;
	if (p == NULL || p->recycle_tasks == 0)
		return;
	n = (double)p->recycle_tasks * (1. - p->recycle_jitter * drand48());
	h->in->recycle_at = n < 1. ? 1 : (uint64_t)n;
}

static void
draw(struct hand *h, void *arg)
{
	(void)arg;
	hand_recycle_draw(h);
}

void
hands_configure(struct broker *b)
{
	hands_each(b, draw, NULL);
}

/* --- who has hung up ------------------------------------------------------ */

static void
hang_up_due(struct limit *l)
{
	hand_ask(CONTAINER_OF(l, struct conn_in, limit)->hand, REPLACE_KILL,
	    "it closed its task socket and lives on");
}

void
hand_hung_up(struct hand *h)
{
	struct conn_in *in = h->in;

	in->shut = true;
	hand_poll(h, false);
	limit_clear(h->broker->limits, &in->partial);
	hand_update(h);
	/* Who drains is through, who ends will be seen to; the rest would
	 * never do a task again. */
	if (!in->exited && !in->draining && !h->stopping && in->asked == 0)
		limit_set(h->broker->limits, &in->limit, clock_mono() + HANG_UP,
		    hang_up_due);
}
