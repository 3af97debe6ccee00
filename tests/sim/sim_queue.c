/*
 * Long random lives of a task queue on made-up clocks, over a store that writes
 * and tells in two steps, loses its disk now and then, and survives the broker,
 * which is killed at any moment. After every step:
 *
 *   no task runs once its end is committed, or twice at a time;
 *   none runs before one of smaller rank that nothing keeps back;
 *   caps, pauses and a wish to be alone are respected;
 *
 * and after a calm every task that was acknowledged has ended.
 *
 *     sim_queue [SEED [LIVES]]
 */

#include <time.h>

#include "tests/unit/core_rig.h"

#define STEPS     1500
#define TASKS_MAX 4096
#define HANDS     4
#define CAP       2

struct world {
	struct rig *rig;
	uint64_t random;
	unsigned seed, step;
	const char *last;
	uint64_t newest;
	bool acked[TASKS_MAX];
	bool ended[TASKS_MAX];   /* by the store's word */
	uint8_t runs[TASKS_MAX]; /* at this moment */
	bool calm, dead[HANDS];
};

static struct world w;

static uint32_t
dice(uint32_t sides)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return (uint32_t)(w.random >> 32) % sides;
}

static void
broken(const char *what, uint64_t id)
{
	printf("not ok: seed %u, step %u, after %s: task %llu: %s\n", w.seed,
	    w.step, w.last, (unsigned long long)id, what);
	exit(1);
}

#define HOLDS(id, what)                                                        \
	do {                                                                   \
		if (!(what))                                                   \
			broken(#what, id);                                     \
	} while (0)

/* What is written, as it is written. */
static void
on_write(struct store *s, const struct store_op *op)
{
	uint64_t id = op->change.id;
	struct task_row *row = rig_row(s, id);

	if (op->kind == STORE_FINISH) {
		HOLDS(id, row != NULL && row->state < TASK_DONE);
		w.ended[id] = true;
	} else if (op->kind == STORE_UPDATE && id != 0) {
		HOLDS(id, row != NULL && row->state < TASK_DONE);
		HOLDS(id, op->change.state < TASK_DONE);
	} else if (op->kind == STORE_CANCEL && row != NULL &&
		   row->state < TASK_RUNNING) {
		w.ended[id] = true;
	} else if (op->kind == STORE_REVIVE && row != NULL &&
		   row->state >= TASK_FAILED) {
		w.ended[id] = false;
	}
}

/* A queued task that is not in memory, and should have been given before. */
static void
check_order(const struct task *t)
{
	struct store *s = &w.rig->store;

	if (!list_empty(&s->applied))
		return; /* not all that is written has been told */
	for (uint64_t id = 1; id < s->room; id++) {
		struct task_row *row = rig_row(s, id);
		struct cancelling *k;

		HASH_FIND(hh, w.rig->b.core->cancels, &id, sizeof(id), k);
		if (k != NULL || row == NULL || row->state != TASK_QUEUED ||
		    strcmp(row->worker, t->row.worker) != 0 ||
		    core_find(&w.rig->b, id) != NULL)
			continue;
		HOLDS(id, row->rank > t->row.rank ||
			      (row->rank == t->row.rank && id > t->row.id));
	}
}

static void
on_given(struct hand *h, struct task *t)
{
	struct store *s = &w.rig->store;
	uint64_t id = t->row.id;
	const struct heap *q = &t->pool->queue;
	unsigned same = 0;
	struct list *l, *tmp;

	HOLDS(id, rig_row(s, id) != NULL || t->fleeting);
	HOLDS(id, !w.ended[id]);
	HOLDS(id, w.runs[id] == 0);
	w.runs[id]++;
	HOLDS(id, !h->closed);
	HOLDS(id, h->held <= h->threads + h->prefetch);
	HOLDS(id, !h->alone || h->held == 1);
	HOLDS(id, !t->alone || h->held == 1);
	HOLDS(id, !t->pool->paused);
	HOLDS(id, t->alone || q->count == 0 || t->released ||
		      q->at[0].a >= t->row.rank);
	for (unsigned i = 0; i < HANDS && t->row.limit_key != NULL; i++)
		LIST_FOREACH(l, tmp, &w.rig->hands[i].tasks) {
			struct task *o = LIST_ENTRY(l, struct task, link);

			same += o->pool == t->pool && o->row.limit_key != NULL;
		}
	HOLDS(id, same <= CAP);
	if (!t->alone && !t->fleeting && t->row.limit_key == NULL)
		check_order(t);
}

static void
on_submitted(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	(void)arg;
	(void)existed;
	if (error == QERR_NONE)
		w.acked[id] = true;
}

static void
on_done(void *arg, enum queue_error error)
{
	(void)arg;
	(void)error;
}

/* --- what people do ------------------------------------------------------- */

static void
submits(void)
{
	struct submission *s = submission_new();

	if (w.rig->store.next_id > TASKS_MAX - 64) {
		submission_free(s);
		return;
	}
	snprintf(s->worker, sizeof(s->worker), dice(3) ? "w" : "v");
	s->func = strdup("f");
	s->priority = (uint8_t)dice(PRIORITIES);
	s->retries = (int)dice(3);
	if (dice(5) == 0)
		s->delay_ms = dice(60000);
	if (dice(5) == 0)
		s->limit_key = strdup("k");
	if (dice(20) == 0)
		s->then = strdup("next");
	if (dice(5) == 0)
		s->result_ttl_ms = dice(5000) + 1;
	core_submit(&w.rig->b, s, on_submitted, NULL);
}

static void
meddles(void)
{
	uint64_t id = 1 + dice((uint32_t)w.rig->store.next_id);
	const char *worker = dice(2) ? "w" : "v";

	switch (dice(4)) {
	case 0:
		w.last = "cancel";
		core_cancel(&w.rig->b, id, on_done, NULL);
		return;
	case 1:
		w.last = "requeue";
		core_requeue(&w.rig->b, id, on_done, NULL);
		return;
	case 2:
		w.last = "pause";
		core_pause(&w.rig->b, worker, true,
		    dice(2) ? 0 : rig_wall + dice(20000), on_done, NULL);
		return;
	default:
		w.last = "resume";
		core_pause(&w.rig->b, worker, false, 0, on_done, NULL);
		return;
	}
}

/* --- what processes do ---------------------------------------------------- */

static struct task *
some_task(struct hand *h)
{
	uint32_t skip = h->held > 0 ? dice(h->held) : 0;
	struct list *l = h->tasks.next;

	if (h->held == 0)
		return NULL;
	while (skip-- > 0)
		l = l->next;
	return LIST_ENTRY(l, struct task, link);
}

static void
answers(struct hand *h)
{
	struct task *t = some_task(h);
	struct body *body;

	if (t == NULL || t->reading)
		return;
	w.runs[t->row.id]--;
	switch (w.calm ? 0 : dice(10)) {
	case 0:
		core_failed(&w.rig->b, t, "no", dice(2));
		return;
	case 1:
		core_returned(&w.rig->b, t);
		return;
	case 2:
		w.runs[t->row.id]++;
		core_progress(&w.rig->b, t, dice(1000), "on its way");
		return;
	default:
		body = body_new("1", 1);
		core_done(&w.rig->b, t, body, true);
		body_release(body);
	}
}

static void
rises(unsigned i)
{
	static const char *const workers[HANDS] = { "w", "w", "w", "v" };
	struct hand *h = rig_hand(w.rig, i, workers[i], i == 3 ? 1 : 1 + i);

	h->prefetch = i;
	w.dead[i] = false;
}

/* A process ends, with the blame as hands would find it. */
static void
falls(unsigned i)
{
	struct hand *h = &w.rig->hands[i];
	bool stopped = dice(2);
	uint32_t suspects = h->held;

	for (struct list *l = h->tasks.next; l != &h->tasks; l = l->next)
		if (LIST_ENTRY(l, struct task, link)->reading)
			return;
	h->closed = true;
	while (h->held > 0) {
		struct task *t = some_task(h);
		enum lost why = stopped        ? LOST_STOPPED
				: suspects > 1 ? LOST_SUSPECT
					       : LOST_GUILTY;

		if (dice(5) == 0)
			why = dice(2) ? LOST_UNBEGUN : LOST_VICTIM;
		if (dice(10) == 0)
			why = LOST_OVERRUN;
		w.runs[t->row.id]--;
		core_lost(&w.rig->b, t, why, "killed");
	}
	core_hand_down(&w.rig->b, h);
	w.dead[i] = true;
}

static void
process_moves(void)
{
	unsigned i = dice(HANDS);
	struct hand *h = &w.rig->hands[i];

	w.last = "a process";
	if (w.dead[i])
		rises(i);
	else if (!w.calm && dice(30) == 0)
		falls(i);
	else if (!w.calm && dice(30) == 0)
		core_hand_closed(&w.rig->b, h, !h->closed);
	else
		answers(h);
}

/* --- what becomes of the broker ------------------------------------------- */

/* Who has what outlives it, as it does in the flights. */
static void
broker_dies(void)
{
	static struct {
		uint64_t id;
		uint32_t attempt;
	} flights[HANDS][64];

	uint32_t counts[HANDS];
	struct rig *r = w.rig;

	w.last = "kill -9 of the broker";
	for (unsigned i = 0; i < HANDS; i++) {
		struct list *l, *tmp;

		counts[i] = 0;
		LIST_FOREACH(l, tmp, &r->hands[i].tasks) {
			const struct task *t = LIST_ENTRY(l, struct task, link);

			flights[i][counts[i]].id = t->row.id;
			flights[i][counts[i]++].attempt = t->row.attempts;
		}
	}
	rig_kill(r);
	for (unsigned i = 0; i < HANDS; i++) {
		if (!w.dead[i])
			rises(i);
		for (uint32_t j = 0; j < counts[i]; j++)
			core_adopt(&r->b, &r->hands[i], flights[i][j].id,
			    flights[i][j].attempt);
	}
	core_adopted(&r->b);
}

static void
time_passes(void)
{
	int64_t ms = dice(4) ? dice(30) : dice(5000);

	w.last = "time";
	rig_mono += ms * NS_PER_MS;
	rig_wall += ms;
	if (!w.calm && dice(50) == 0)
		rig_wall += (int64_t)dice(200000) - 100000;
	core_tick(&w.rig->b);
}

static void
store_moves(void)
{
	struct store *s = &w.rig->store;

	w.last = "the store";
	if (!w.calm && dice(60) == 0)
		s->broken = true;
	else if (s->broken && (w.calm || dice(10) == 0))
		s->broken = false;
	if (!list_empty(&s->applied))
		rig_tell(s);
	else
		rig_write(s);
}

static void
turn(void)
{
	w.last = "a turn";
	core_turn(&w.rig->b);
}

/* --- what must hold ------------------------------------------------------- */

static void
check(void)
{
	for (unsigned i = 0; i < HANDS; i++) {
		struct hand *h = &w.rig->hands[i];
		uint32_t n = 0;

		for (struct list *l = h->tasks.next; l != &h->tasks;
		     l = l->next)
			n++;
		HOLDS(0, n == h->held);
	}
	HOLDS(0, w.rig->b.core->tasks.count < 4 * core_sizes.window_keep);
}

/* With nothing on the way, what is counted is what there is. */
static void
counts_fit(const char *worker)
{
	struct pool *p = pool_find(w.rig->b.core, worker);
	uint64_t counts[TASK_STATES] = { 0 };

	for (uint64_t id = 1; id < w.rig->store.room; id++) {
		struct task_row *row = rig_row(&w.rig->store, id);
		struct task *t = core_find(&w.rig->b, id);

		if (row != NULL && strcmp(row->worker, worker) == 0)
			counts[t != NULL ? t->row.state : row->state]++;
	}
	for (size_t i = 0; i < TASK_STATES; i++)
		if (counts[i] != p->counts[i]) {
			printf("%s: %s: %llu in the store, %llu counted\n",
			    worker, task_state_names[i],
			    (unsigned long long)counts[i],
			    (unsigned long long)p->counts[i]);
			broken("counts fit", 0);
		}
	HOLDS(0, p->submitting == 0);
}

static void
settles(void)
{
	struct rig *r = w.rig;

	for (int i = 0; i < 20 && !r->store.broken; i++) {
		turn();
		rig_commit(r);
	}
	if (r->store.broken || !list_empty(&r->b.core->kept) ||
	    !list_empty(&r->store.added))
		return;
	counts_fit("w");
	counts_fit("v");
}

static void
comes_to_rest(void)
{
	struct rig *r = w.rig;

	w.calm = true;
	core_pause(&r->b, "w", false, 0, on_done, NULL);
	core_pause(&r->b, "v", false, 0, on_done, NULL);
	r->store.broken = false;
	for (unsigned i = 0; i < HANDS; i++)
		if (!w.dead[i])
			core_hand_closed(&r->b, &r->hands[i], false);
	for (unsigned i = 0; i < 40000; i++) {
		turn();
		store_moves();
		process_moves();
		time_passes();
		if (i % 100 == 99 && r->b.core->tasks.count == 0 &&
		    r->b.core->next_due_ms == 0 &&
		    list_empty(&r->store.added) &&
		    list_empty(&r->store.applied))
			break;
	}
	w.last = "a long calm";
	for (uint64_t id = 1; id < r->store.next_id; id++)
		HOLDS(id, !w.acked[id] || w.ended[id]);
	for (uint64_t id = 1; id < r->store.room; id++)
		HOLDS(id, rig_row(&r->store, id) == NULL || w.ended[id]);
	counts_fit("w");
	counts_fit("v");
	HOLDS(0, pool_find(r->b.core, "w")->parked == 0);
	HOLDS(0, pool_find(r->b.core, "w")->keys == NULL);
	w.calm = false;
}

static void
live(unsigned seed)
{
	memset(&w, 0, sizeof(w));
	w.seed = seed;
	w.random = 0x9e3779b97f4a7c15ULL * (seed + 1);
	w.rig = rig_new(2);
	rig_given = on_given;
	w.rig->store.watch = on_write;
	w.rig->pools[0].key_concurrency = CAP;
	w.rig->pools[1].key_concurrency = CAP;
	w.rig->pools[1].aging_ms = 0;
	rig_boot(w.rig);
	core_adopted(&w.rig->b);
	for (unsigned i = 0; i < HANDS; i++)
		rises(i);
	for (w.step = 0; w.step < STEPS; w.step++) {
		uint32_t what = dice(1000);

		if (what < 250)
			submits();
		else if (what < 440)
			turn();
		else if (what < 450)
			settles();
		else if (what < 650)
			store_moves();
		else if (what < 900)
			process_moves();
		else if (what < 970)
			time_passes();
		else if (what < 992)
			meddles();
		else if (what < 998)
			broker_dies();
		else if (what < 999)
			comes_to_rest();
		else
			settles();
		check();
	}
	comes_to_rest();
	rig_free(w.rig);
}

int
main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10)
				 : (unsigned)time(NULL);
	unsigned lives = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 60;

	printf("seed %u, %u lives of %d steps\n", seed, lives, STEPS);
	fflush(stdout);
	core_sizes = (struct core_sizes){ .window_keep = 40,
		.window_low = 10,
		.window_chunk = 15,
		.due_chunk = 4,
		.expire_chunk = 3 };
	for (unsigned i = 0; i < lives; i++)
		live(seed + i);
	printf("ok\n");
	return 0;
}
