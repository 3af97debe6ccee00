/*
 * The thread: takes operations, has at most so much of them on the way, and
 * tells their answers in the order they were added. Nothing waits for the
 * answer of what is before it: all that gathers in a turn of the loop is in one
 * write, and one write of the Redis to its log.
 */

#ifdef WITH_HIREDIS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"

/* The most on the way. */
#define FLIGHT_OPS   4096
#define FLIGHT_BYTES ((size_t)16 << 20)

/* --- to the loop ---------------------------------------------------------- */

static void
deliver(struct shared *s, struct store_op *op)
{
	pthread_mutex_lock(&s->lock);
	list_append(&s->answered, &op->link);
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->loop, &s->answer);
}

struct store_op *
shared_note(enum note note)
{
	struct store_op *op = calloc(1, sizeof *op);

	if (op == NULL)
		return NULL;
	op->kind = STORE_KINDS;
	op->states = note;
	list_init(&op->link);
	return op;
}

/* store_op_new and _free are the loop's: they keep what was given back. */
static void
note_free(struct store_op *op)
{
	if (op->row != NULL) {
		task_row_done(op->row);
		free(op->row);
	}
	for (size_t i = 0; i < op->follow_count; i++)
		task_row_done(&op->follow[i]);
	free(op->follow);
	free(op->text);
	free(op);
}

void
shared_tell(struct shared *s, struct store_op *note)
{
	if (note != NULL) {
		deliver(s, note);
		return;
	}
	log_error("the shared store: out of memory");
	pthread_mutex_lock(&s->lock);
	s->dropped = true;
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->loop, &s->answer);
}

void
shared_tell_simple(struct shared *s, enum note note)
{
	shared_tell(s, shared_note(note));
}

void
shared_health(struct shared *s, bool well, const char *words)
{
	struct store_op *note;

	pthread_mutex_lock(&s->lock);
	s->well = well;
	s->refuses = well && words[0] != '\0';
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	if (s->told_health && s->told_well == well &&
	    strcmp(s->told_words, words) == 0)
		return;
	note = shared_note(NOTE_HEALTH);
	if (note != NULL) {
		note->paused = well;
		note->text = strdup(words);
		s->told_health = true;
		s->told_well = well;
		snprintf(s->told_words, sizeof s->told_words, "%s", words);
	}
	shared_tell(s, note);
}

uint64_t
shared_take_id(struct shared *s)
{
	uint64_t id = 0;

	pthread_mutex_lock(&s->lock);
	if (s->next_id < s->reserved)
		id = s->next_id++;
	pthread_mutex_unlock(&s->lock);
	return id;
}

/* --- operations ----------------------------------------------------------- */

static bool
is_read(const struct store_op *op)
{
	return op->kind == STORE_TASK || op->kind == STORE_LIST ||
	       op->kind == STORE_STATS;
}

/* It waits for its turn and for nothing else. */
static bool
is_barrier(const struct store_op *op)
{
	return op->kind == STORE_UPDATE && op->change.id == 0 &&
	       op->flight.step == STEP_FIRST;
}

static void
land(struct shared *s, struct store_op *op)
{
	uint64_t *ids = NULL;

	list_remove(&op->link);
	s->in_flight--;
	if (op->kind == STORE_KINDS) {
		note_free(op); /* the thread's own */
		return;
	}
	if (op->kind == STORE_MINE) {
		ids = op->ids;
		op->ids = NULL;
	}
	deliver(s, op);
	/* MINE: those of them that somebody asked to cancel meanwhile. */
	for (size_t i = 0; ids != NULL && ids[i] != 0; i++) {
		struct store_op *note = shared_note(NOTE_CANCEL);

		if (note != NULL)
			note->change.id = ids[i];
		shared_tell(s, note);
	}
	free(ids);
}

static void
land_all(struct shared *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->flying) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->flight.stage != STAGE_ANSWERED)
			break;
		land(s, op);
	}
}

/* REFILLs of a worker that are on the way: `ready` is told behind them. */
static void
count_refill(struct shared *s, const struct store_op *op, int by)
{
	struct served *w = NULL;

	if (op->kind != STORE_REFILL)
		return;
	HASH_FIND_STR(s->served, op->worker, w);
	if (w == NULL || (by < 0 && w->refills == 0))
		return;
	w->refills += (unsigned)by;
}

static void
ready_again(struct shared *s, const char *worker)
{
	struct served *w = NULL;
	struct store_op *note;

	HASH_FIND_STR(s->served, worker, w);
	if (w == NULL || w->refills > 0 || !w->ready_again)
		return;
	w->ready_again = false;
	note = shared_note(NOTE_READY);
	if (note != NULL)
		snprintf(note->worker, sizeof note->worker, "%s", worker);
	shared_tell(s, note);
}

/* It stays where it is until it is its turn to land. */
static void
settle(struct shared *s, struct store_op *op, enum queue_error e)
{
	count_refill(s, op, -1);
	op->error = e;
	if (op->flight.stage == STAGE_NEW)
		s->unsent--;
	op->flight.stage = STAGE_ANSWERED;
	s->bytes -= op->flight.bytes;
	op->flight.bytes = 0;
}

void
shared_answered(struct shared *s, struct store_op *op, enum queue_error e)
{
	bool refill = op->kind == STORE_REFILL;
	char worker[sizeof op->worker];

	memcpy(worker, op->worker, sizeof worker);
	settle(s, op, e);
	if (is_read(op))
		land(s, op);
	else
		land_all(s);
	if (refill)
		ready_again(s, worker);
}

static void
on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	struct store_op *op = privdata;
	redisReply *r = reply;

	if (s == NULL)
		return;
	if (r->type != REDIS_REPLY_ERROR) {
		op_decode(s, op, r);
	} else {
		/* It was not carried out. Said before link_error: when that
		 * gives the connection up, the operation may be the loop's. */
		op->flight.seq = 0;
		op->flight.again = false;
		if (!link_error(s, r))
			shared_answered(s, op, op_failed(op, QERR_STORE));
		else if (s->state == LINK_READY)
			shared_again(s, op);
	}
	shared_pump(s);
}

static void
send_one(struct shared *s, struct store_op *op)
{
	struct resp cmd;

	if (is_barrier(op)) {
		settle(s, op, QERR_NONE);
		return;
	}
	if (!op->flight.again)
		op->flight.seq = ++s->seq;
	if (!op_encode(s, op, &cmd)) {
		resp_done(&cmd);
		settle(s, op, op_failed(op, QERR_NO_MEMORY));
		return;
	}
	s->unsent--;
	op->flight.stage = STAGE_SENT;
	op->flight.bytes = (uint32_t)MIN_OF(cmd.b.size, (size_t)UINT32_MAX);
	s->bytes += op->flight.bytes;
	if (!link_send(s, &cmd, on_reply, op)) {
		op->flight.seq = 0;
		settle(s, op, op_failed(op, QERR_NO_MEMORY));
	}
}

static void
pump(struct shared *s, struct list *list)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, list) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (s->unsent == 0 || s->bytes >= FLIGHT_BYTES ||
		    s->outstanding >= FLIGHT_OPS || s->state != LINK_READY)
			break;
		if (op->flight.stage == STAGE_NEW)
			send_one(s, op);
		if (is_read(op) && op->flight.stage == STAGE_ANSWERED)
			land(s, op);
	}
}

void
shared_pump(struct shared *s)
{
	if (s->state != LINK_READY || s->reloading || s->unsent == 0)
		return;
	pump(s, &s->reads);
	pump(s, &s->flying);
	land_all(s);
}

void
shared_again(struct shared *s, struct store_op *op)
{
	s->bytes -= op->flight.bytes;
	op->flight.bytes = 0;
	op->flight.seq = 0;
	op->flight.again = false;
	op->flight.stage = STAGE_NEW;
	s->unsent++;
}

void
shared_park(struct shared *s, struct store_op *op)
{
	op->flight.stage = STAGE_PARKED;
	pthread_mutex_lock(&s->lock);
	s->ids_wanted = true;
	pthread_mutex_unlock(&s->lock);
	link_ids(s);
}

void
shared_unpark(struct shared *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->flying) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->flight.stage == STAGE_PARKED)
			shared_again(s, op);
	}
}

static void
take_off(struct shared *s, struct store_op *op)
{
	op->flight.stage = STAGE_NEW;
	s->unsent++;
	s->in_flight++;
	list_append(is_read(op) ? &s->reads : &s->flying, &op->link);
	count_refill(s, op, 1);
}

void
shared_post(struct shared *s, struct store_op *op)
{
	take_off(s, op);
	shared_pump(s);
}

/* --- when the connection breaks ------------------------------------------- */

void
shared_broken(struct shared *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->reads)
		shared_answered(
		    s, LIST_ENTRY(l, struct store_op, link), QERR_STORE);
	LIST_FOREACH(l, tmp, &s->flying) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->flight.stage != STAGE_ANSWERED &&
		    op->kind == STORE_REFILL) {
			/* What it claimed, MINE will find. */
			if (op->flight.stage == STAGE_NEW)
				s->unsent--;
			count_refill(s, op, -1);
			op->flight.stage = STAGE_ANSWERED;
			op->error = QERR_STORE;
		} else if (op->flight.stage == STAGE_SENT ||
			   op->flight.stage == STAGE_PARKED) {
			op->flight.stage = STAGE_NEW;
			s->unsent++;
		}
		op->flight.bytes = 0;
	}
	s->bytes = 0;
	land_all(s);
}

/* Nothing more can be done for what is on the way. */
static void
give_up(struct shared *s)
{
	struct list *l, *tmp;

	if (list_empty(&s->flying) && list_empty(&s->reads))
		return;
	link_failed(s, "it is given up: supervisord ends");
	LIST_FOREACH(l, tmp, &s->flying) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		if (op->flight.stage == STAGE_NEW)
			s->unsent--;
		op->flight.stage = STAGE_ANSWERED;
		op->error = op_failed(op, QERR_STORE);
	}
	land_all(s);
}

/* --- from the loop -------------------------------------------------------- */

static void
serve(struct shared *s, struct store_op *op)
{
	struct served *w = NULL;

	HASH_FIND_STR(s->served, op->worker, w);
	if (op->paused && w == NULL) {
		w = calloc(1, sizeof *w);
		if (w == NULL) {
			log_error("%s: out of memory: its shared queue is not "
				  "served",
			    op->worker);
		} else {
			memcpy(w->worker, op->worker, sizeof w->worker);
			HASH_ADD_STR(s->served, worker, w);
			link_subscribe(s, w->worker, true);
			beat_now(s);
		}
	} else if (!op->paused && w != NULL) {
		HASH_DEL(s->served, w);
		link_subscribe(s, w->worker, false);
		free(w);
	}
	note_free(op);
}

static void
watch(struct shared *s, struct store_op *op)
{
	struct watched *w = NULL;
	uint64_t id = op->change.id;

	HASH_FIND(hh, s->watched, &id, sizeof id, w);
	if (op->paused) {
		if (w == NULL && (w = calloc(1, sizeof *w)) != NULL) {
			w->id = id;
			HASH_ADD(hh, s->watched, id, sizeof w->id, w);
		}
		if (s->state == LINK_READY)
			link_watch(s, &id, 1);
	} else if (w != NULL) {
		HASH_DEL(s->watched, w);
		free(w);
	}
	note_free(op);
}

/* What can't be carried out whatever the store says. */
static enum queue_error
flaw(const struct store_op *op)
{
	bool needs_row = op->kind == STORE_SUBMIT;
	bool runs = op->kind == STORE_FIRE && op->row != NULL;

	if (op->kind == STORE_EXPIRE || op->kind == STORE_SCHEDULE ||
	    (op->kind == STORE_FIRE && op->text == NULL))
		return QERR_BAD_VALUE;
	if ((needs_row && op->row == NULL) ||
	    ((needs_row || runs) && op->row->id == 0))
		return QERR_STORE;
	return QERR_NONE;
}

static void
take(struct shared *s, struct store_op *op)
{
	if (op->kind == STORE_KINDS && op->states == NOTE_WORKER) {
		serve(s, op);
	} else if (op->kind == STORE_KINDS) {
		/* In its turn among the operations: a TASK behind it looks
		 * after it. */
		shared_pump(s);
		watch(s, op);
	} else if (s->state != LINK_READY || flaw(op) != QERR_NONE) {
		op->error = flaw(op) != QERR_NONE ? flaw(op) : QERR_STORE;
		deliver(s, op);
	} else {
		take_off(s, op);
	}
}

static void
on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
	struct shared *s = w->data;
	struct list taken, *l, *tmp;
	bool closing, abandon, leave;

	(void)loop;
	(void)revents;
	list_init(&taken);
	pthread_mutex_lock(&s->lock);
	if (!list_empty(&s->waiting)) {
		taken = s->waiting;
		taken.next->prev = taken.prev->next = &taken;
		list_init(&s->waiting);
	}
	closing = s->closing;
	leave = s->leave;
	abandon = s->give_up;
	pthread_mutex_unlock(&s->lock);
	LIST_FOREACH(l, tmp, &taken) {
		list_remove(l);
		take(s, LIST_ENTRY(l, struct store_op, link));
	}
	shared_pump(s);
	link_ids(s);
	if (abandon)
		give_up(s);
	if (closing && !s->leaving) {
		s->leaving = true;
		if (leave && s->state == LINK_READY)
			beat_leave(s);
		else
			ev_break(s->own, EVBREAK_ALL);
	}
}

void *
shared_thread(void *arg)
{
	struct shared *s = arg;
	struct served *w, *next;
	struct watched *x, *after;

	ev_run(s->own, 0);
	link_stop(s);
	/* The tables first: then nothing in them points to what is freed. */
	w = s->served;
	HASH_CLEAR(hh, s->served);
	for (; w != NULL; w = next) {
		next = w->hh.next;
		free(w);
	}
	x = s->watched;
	HASH_CLEAR(hh, s->watched);
	for (; x != NULL; x = after) {
		after = x->hh.next;
		free(x);
	}
	return NULL;
}

/* Before the thread: the watchers that wake it. */
void
shared_wake_init(struct shared *s)
{
	ev_async_init(&s->wake, on_wake);
	s->wake.data = s;
	ev_async_start(s->own, &s->wake);
}

#endif
