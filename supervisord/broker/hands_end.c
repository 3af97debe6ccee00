/*
 * The end of an instance. What it wrote is read first; then what it still held
 * goes back, each task with what the slots say of it (blame.h). The guardian is
 * told that its socket is done with when the store has all of that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/broker/blame.h"
#include "supervisord/broker/hands_int.h"
#include "supervisord/broker/link.h"
#include "supervisord/broker/stores.h"

#define MASTER_TIME (5 * NS_PER_SEC)
#define STORE_RETRY (500 * NS_PER_MS)
#define DEATHS_TIME (60 * NS_PER_SEC)
#define WORDS_SIZE  8192

/* --- words ---------------------------------------------------------------- */

static void
free_death(struct death *d)
{
	list_remove(&d->link);
	free(d);
}

void
hands_forget_deaths(struct hands *all)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->deaths)
		free_death(LIST_ENTRY(l, struct death, link));
}

static void
forget_old(struct hands *all)
{
	int64_t old = clock_mono() - DEATHS_TIME;
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->deaths) {
		struct death *d = LIST_ENTRY(l, struct death, link);

		if (d->at > old)
			return;
		free_death(d);
	}
}

static void
note_death(struct hand *h, const struct blame_task *tasks, size_t count)
{
	struct hands *all = h->broker->hands;
	struct death *d;

	forget_old(all);
	if (h->in->words != NULL)
		return; /* they have it */
	d = calloc(1, sizeof *d + count * sizeof d->ids[0]);
	if (d == NULL)
		return;
	d->slot = h->slot;
	d->gen = h->gen;
	d->at = clock_mono();
	for (size_t i = 0; i < count; i++) {
		if (tasks[i].lost != LOST_UNBEGUN &&
		    tasks[i].lost != LOST_STOPPED)
			d->ids[d->count++] = tasks[i].id;
	}
	list_append(&all->deaths, &d->link);
}

/* The task's words are the core's while it is in memory, and the store's. */
static void
put_words(struct broker *b, uint64_t id, const char *words)
{
	struct store_op *op = store_op_new(STORE_UPDATE);
	struct task *t = core_find(b, id);

	if (op != NULL) {
		op->change.id = id;
		op->change.fields = CHANGE_WORDS;
		op->change.words = strdup(words);
		op->relaxed = true;
		op->shared = id_shared(id);
		stores_add(b, op);
	}
	/* One that has none by now has been done since. */
	if (t != NULL && t->row.words != NULL) {
		char *copy = strdup(words);

		if (copy == NULL)
			return;
		free(t->row.words);
		t->row.words = copy;
	}
}

void
hands_words(struct broker *b, uint32_t slot, uint32_t gen, const char *words)
{
	struct hand *h = hand_of(b, slot, gen);
	struct list *l, *tmp;

	if (h != NULL && !h->in->judged) {
		free(h->in->words);
		h->in->words = strdup(words);
		if (limit_is_set(&h->in->judgment))
			hand_exited(h);
		return;
	}
	LIST_FOREACH(l, tmp, &b->hands->deaths) {
		struct death *d = LIST_ENTRY(l, struct death, link);

		if (d->slot != slot || d->gen != gen)
			continue;
		for (size_t i = 0; i < d->count; i++)
			put_words(b, d->ids[i], words);
		free_death(d);
	}
}

static void
compose(const struct hand *h, char *out, size_t size)
{
	const struct msg_child *m = &h->in->exit;
	const char *why = h->in->broken || h->in->replaced ? h->in->why : "";
	const char *colon = why[0] != '\0' ? ": " : "";
	char name[UNITS_TEXT];

	if (h->in->words != NULL)
		snprintf(out, size, "%s%s%s", why, colon, h->in->words);
	else if (m->code == CLD_EXITED)
		snprintf(out, size, "%s%sexited %d", why, colon, m->status);
	else if (m->code == CLD_KILLED || m->code == CLD_DUMPED)
		snprintf(out, size, "%s%skilled by %s%s", why, colon,
		    units_signal_name(m->status, name, sizeof name),
		    m->code == CLD_DUMPED ? " (core dumped)" : "");
	else
		snprintf(out, size, "%s%sits process ended", why, colon);
}

/* --- the verdict ---------------------------------------------------------- */

static size_t
ask_slots(const struct hand *h, uint64_t out[WIRE_THREADS_MAX])
{
	size_t n = h->slots == NULL ? 0
				    : (h->in->slots_size - sizeof *h->slots) /
					  sizeof(struct wire_slot);

	for (size_t i = 0; i < n; i++)
		out[i] = hand_slots(h)[i].task;
	return n;
}

static size_t
list_tasks(struct hand *h, struct blame_task *out, size_t room)
{
	struct list *l, *tmp;
	size_t n = 0;

	LIST_FOREACH(l, tmp, &h->tasks) {
		const struct task *t = LIST_ENTRY(l, struct task, link);
		const struct flight *f = hand_flight(h, t->row.id);
		uint32_t flags = f != NULL ? f->flags : 0;

		if (n == room)
			break;
		out[n++] = (struct blame_task){ .id = t->row.id,
			.begun = t->begun || h->prefetch == 0,
			.overrun = t->overrun,
			.cancelled = (flags & FLIGHT_CANCELLED) != 0,
			.doomed = (flags & FLIGHT_DOOMED) != 0 };
	}
	return n;
}

static void
give_back(struct hand *h, const struct blame_task *tasks, size_t count)
{
	char words[WORDS_SIZE];

	compose(h, words, sizeof words);
	for (size_t i = 0; i < count; i++) {
		struct flight *f = hand_flight(h, tasks[i].id);
		bool plain = tasks[i].lost == LOST_UNBEGUN ||
			     tasks[i].lost == LOST_STOPPED;

		if (f != NULL)
			core_lost(h->broker, hand_over(f), tasks[i].lost,
			    plain ? NULL : words);
	}
}

static void
judge(struct hand *h)
{
	uint64_t slots[WIRE_THREADS_MAX];
	struct blame_end end = { .stopping = h->stopping,
		.replaced = h->in->replaced,
		.has_slots = hand_has_slots(h),
		.slots = slots,
		.slots_count = ask_slots(h, slots) };
	struct blame_task *tasks = calloc(h->held + 1, sizeof *tasks);
	size_t count;

	if (tasks != NULL) {
		count = list_tasks(h, tasks, h->held);
		blame(&end, tasks, count);
		give_back(h, tasks, count);
		note_death(h, tasks, count);
		free(tasks);
	} else {
		log_error(
		    "%s: no memory to find out who was to blame", h->name);
	}
	hand_forget_unheld(h, NULL);
	h->in->judged = true;
	/* What it still has goes back without blame. */
	if (h->up)
		core_hand_down(h->broker, h);
	h->closed = true;
	hand_settled(h);
}

/* Somebody's wish to stop it comes by the master, which may be on its way. */
static bool
waits_for_master(struct hand *h)
{
	struct broker *b = h->broker;

	return h->held > 0 && !h->stopping && !h->in->replaced &&
	       h->in->words == NULL && b->master.fd < 0 && !b->finishing;
}

static void
judgment_due(struct limit *l)
{
	judge(CONTAINER_OF(l, struct conn_in, judgment)->hand);
}

void
hand_exited(struct hand *h)
{
	struct limits *limits = h->broker->limits;

	if (h->in->judged || h->in->adopting > 0)
		return;
	limit_clear(limits, &h->in->judgment);
	limit_clear(limits, &h->in->limit);
	limit_clear(limits, &h->in->partial);
	hand_update(h);
	hand_read_all(h);
	hand_poll(h, false);
	h->in->shut = true;
	if (waits_for_master(h) &&
	    limit_set(limits, &h->in->judgment, clock_mono() + MASTER_TIME,
		judgment_due))
		return;
	judge(h);
}

void
hand_wait_for_words(struct hand *h, int64_t ns)
{
	limit_set(h->broker->limits, &h->in->judgment, clock_mono() + ns,
	    judgment_due);
}

void
hands_exit(struct broker *b, const struct msg_child *m)
{
	struct msg_slot slot = { m->slot, m->gen };
	struct hand *h;

	/* STOPPING was said before, but on another channel. */
	link_read_master(b);
	h = hand_of(b, m->slot, m->gen);
	if (h == NULL) {
		peer_send(&b->guardian, MSG_CHANNEL_DONE, &slot, NULL, 0, -1);
		return;
	}
	if (h->in->exited)
		return;
	h->in->exited = true;
	h->in->exit = *m;
	if (b->running && !b->hands->telling)
		hand_exited(h);
}

/* --- settled -------------------------------------------------------------- */

void
hand_settled(struct hand *h)
{
	struct broker *b = h->broker;
	struct msg_slot slot = { h->slot, h->gen };

	if (!h->in->judged || h->in->flights > 0)
		return;
	if (h->in->kept != NULL)
		flights_hand_clear(b->flights, h->in->kept);
	peer_send(&b->guardian, MSG_CHANNEL_DONE, &slot, NULL, 0, -1);
	hand_free(h);
}

static void
move_all(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *l = from->next;

		list_remove(l);
		list_append(to, l);
	}
}

static void
retry_due(struct limit *l)
{
	struct hands *all = CONTAINER_OF(l, struct hands, retry);

	move_all(&all->retried, &all->ended);
}

/* Flights that ended in one turn, behind what the core has put for them. */
struct batch {
	struct hands *hands;
	struct list flights;
};

static void
clear_flight(struct flight *f)
{
	struct hand *h = f->hand;

	list_remove(&f->link);
	flights_clear(h->broker->flights, f);
	h->in->flights--;
	hand_settled(h);
}

static void
clear_batch(struct batch *batch)
{
	while (!list_empty(&batch->flights))
		clear_flight(
		    LIST_ENTRY(batch->flights.next, struct flight, link));
}

static void
settled(struct store_op *op)
{
	struct batch *batch = op->arg;
	struct hands *all = batch->hands;

	if (op->error == QERR_NONE) {
		clear_batch(batch);
	} else {
		move_all(&batch->flights, &all->retried);
		if (!limit_is_set(&all->retry) &&
		    !limit_set(all->broker->limits, &all->retry,
			clock_mono() + STORE_RETRY, retry_due))
			move_all(&all->retried, &all->ended); /* next turn */
	}
	free(batch);
	store_op_free(op);
}

static void
clear_fleeting(struct hands *all)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->ended) {
		struct flight *f = LIST_ENTRY(l, struct flight, link);

		if (f->fleeting)
			clear_flight(f);
	}
}

/* Their ends are in one store. What can't be put stays: the next turn tries
 * again. */
static void
settle(struct hands *all, struct list *flights, bool shared)
{
	struct store_op *op;
	struct batch *batch;

	if (list_empty(flights))
		return;
	op = store_op_new(STORE_UPDATE);
	batch = calloc(1, sizeof *batch);
	if (op == NULL || batch == NULL) {
		store_op_free(op);
		free(batch);
		return;
	}
	batch->hands = all;
	list_init(&batch->flights);
	move_all(flights, &batch->flights);
	op->relaxed = true;
	op->shared = shared;
	op->arg = batch;
	op->done = settled;
	stores_add(all->broker, op);
}

void
hands_settle(struct hands *all)
{
	struct list shared, *l, *tmp;

	clear_fleeting(all);
	if (list_empty(&all->ended))
		return;
	list_init(&shared);
	if (all->broker->shared != NULL) {
		LIST_FOREACH(l, tmp, &all->ended) {
			if (!id_shared(LIST_ENTRY(l, struct flight, link)->id))
				continue;
			list_remove(l);
			list_append(&shared, l);
		}
	}
	settle(all, &all->ended, false);
	settle(all, &shared, true);
	move_all(&shared, &all->ended);
}
