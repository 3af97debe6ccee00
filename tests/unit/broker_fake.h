#ifndef BROKER_FAKE_H
#define BROKER_FAKE_H

/*
 * Stands in for the queues behind the clients, in the memory of a test: what is
 * submitted is remembered, answered at once or when the test says so, and ends
 * when the test says so.
 */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/broker.h"
#include "supervisord/broker/core.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/schedule.h"

#define FAKE_TASKS 70000

struct fake_submit {
	struct submission *s; /* NULL: taken */
	core_submitted_fn *done;
	void *arg;
};

static struct {
	bool later; /* submits are answered by fake_commit */
	enum queue_error refuse;
	uint64_t last_id;
	struct fake_submit queue[FAKE_TASKS];
	size_t queued;
	struct task_row rows[FAKE_TASKS]; /* by id - 1 */
	struct waiter *waiters[FAKE_TASKS];
	size_t waiting;
	uint64_t cancelled;
	char paused[WORKER_NAME_MAX + 1];
	int64_t paused_until;
	struct store_op *listing;
} fake;

static struct pool_config fake_pools[] = {
	{ .name = "web", .threads = 2 },
	{ .name = "mail", .threads = 1 },
};

const struct pool_config *
broker_pool(const struct broker *b, const char *worker)
{
	(void)b;
	for (size_t i = 0; i < N_ELEMENTS(fake_pools); i++) {
		if (strcmp(fake_pools[i].name, worker) == 0)
			return &fake_pools[i];
	}
	return NULL;
}

void
broker_event(
    struct broker *b, const char *name, const char *kind, const char *fmt, ...)
{
	(void)b;
	(void)name;
	(void)kind;
	(void)fmt;
}

bool
core_complete(struct submission *s, struct task_row *row, void *arg)
{
	(void)arg;
	memcpy(row->worker, s->worker, sizeof row->worker);
	row->func = s->func;
	row->key = s->key;
	row->limit_key = s->limit_key;
	row->then = s->then;
	row->payload = s->payload;
	row->json = s->json;
	row->priority = s->priority;
	row->timeout_ms = s->timeout_ms;
	row->retries = s->retries;
	row->schedule = s->schedule;
	row->fire_ms = s->fire_ms;
	s->func = s->key = s->limit_key = s->then = NULL;
	s->payload = NULL;
	return true;
}

enum queue_error
core_check(struct broker *b, const struct submission *s)
{
	if (fake.refuse != QERR_NONE)
		return fake.refuse;
	return broker_pool(b, s->worker) != NULL ? QERR_NONE : QERR_NO_WORKER;
}

static void
fake_accept(
    struct broker *b, struct submission *s, core_submitted_fn *done, void *arg)
{
	enum queue_error e = core_check(b, s);
	uint64_t id = 0;

	if (e == QERR_NONE && fake.last_id < FAKE_TASKS) {
		id = ++fake.last_id;
		core_complete(s, &fake.rows[id - 1], b);
		fake.rows[id - 1].id = id;
	}
	submission_free(s);
	done(arg, e, id, false);
}

/* Answers what waits to be committed. */
static inline void
fake_commit(struct broker *b)
{
	for (size_t i = 0; i < fake.queued; i++)
		fake_accept(
		    b, fake.queue[i].s, fake.queue[i].done, fake.queue[i].arg);
	fake.queued = 0;
}

void
core_submit(
    struct broker *b, struct submission *s, core_submitted_fn *done, void *arg)
{
	if (!fake.later || fake.queued == FAKE_TASKS)
		fake_accept(b, s, done, arg);
	else
		fake.queue[fake.queued++] =
		    (struct fake_submit){ s, done, arg };
}

static void
fake_member(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	(void)error;
	(void)existed;
	*(uint64_t *)arg = id;
}

void
core_submit_group(struct broker *b, struct submission **s, size_t count,
    char *then, core_group_fn *done, void *arg)
{
	uint64_t *ids = calloc(count, sizeof *ids);

	for (size_t i = 0; i < count; i++)
		fake_accept(b, s[i], fake_member, &ids[i]);
	free(then);
	done(arg, QERR_NONE, 77, ids, count);
	free(ids);
}

static struct task_row *
fake_row(uint64_t id)
{
	return id > 0 && id <= fake.last_id ? &fake.rows[id - 1] : NULL;
}

void
core_cancel(struct broker *b, uint64_t id, core_done_fn *done, void *arg)
{
	(void)b;
	fake.cancelled = id;
	done(arg, fake_row(id) != NULL ? QERR_NONE : QERR_NO_TASK);
}

void
core_requeue(struct broker *b, uint64_t id, core_done_fn *done, void *arg)
{
	(void)b;
	done(arg, fake_row(id) == NULL               ? QERR_NO_TASK
		  : fake_row(id)->state == TASK_DEAD ? QERR_NONE
						     : QERR_STATE);
}

void
core_pause(struct broker *b, const char *worker, bool paused, int64_t until_ms,
    core_done_fn *done, void *arg)
{
	(void)b;
	snprintf(fake.paused, sizeof fake.paused, "%s", paused ? worker : "");
	fake.paused_until = until_ms;
	done(arg, QERR_NONE);
}

void
core_task(struct broker *b, uint64_t id, core_task_fn *done, void *arg)
{
	struct task_row *row = fake_row(id);

	(void)b;
	done(arg, row != NULL ? QERR_NONE : QERR_NO_TASK, row, NULL);
}

void
core_refresh(
    struct broker *b, const char *worker, core_done_fn *done, void *arg)
{
	(void)b;
	(void)worker;
	done(arg, QERR_NONE);
}

const char *
core_refusal(const struct broker *b)
{
	(void)b;
	return "";
}

struct task *
core_find(struct broker *b, uint64_t id)
{
	(void)b;
	(void)id;
	return NULL;
}

void
core_wait(struct broker *b, uint64_t id, struct waiter *w)
{
	struct task_row *row = fake_row(id);

	(void)b;
	w->by_id.id = id;
	if (row == NULL)
		w->ended(w, QERR_NO_TASK, NULL);
	else if (row->state >= TASK_DONE)
		w->ended(w, QERR_NONE, row);
	else if (fake.waiting < FAKE_TASKS)
		fake.waiters[fake.waiting++] = w;
}

void
core_unwait(struct waiter *w)
{
	for (size_t i = 0; i < fake.waiting; i++) {
		if (fake.waiters[i] == w) {
			fake.waiters[i] = fake.waiters[--fake.waiting];
			return;
		}
	}
}

/* The task is done; whoever waits for it is told. */
static inline void
fake_end(uint64_t id, enum task_state state, const char *result, bool json)
{
	struct task_row *row = fake_row(id);

	row->state = (uint8_t)state;
	row->attempts = 1;
	if (state == TASK_DONE)
		row->result = body_new(result, strlen(result));
	else
		row->error = strdup(result);
	row->result_json = json;
	for (size_t i = fake.waiting; i-- > 0;) {
		struct waiter *w = fake.waiters[i];

		if (w->by_id.id != id)
			continue;
		fake.waiters[i] = fake.waiters[--fake.waiting];
		w->ended(w, QERR_NONE, row);
	}
}

static inline void
fake_progress(uint64_t id, uint32_t share, char *text)
{
	struct task t = { .row.id = id, .share = share, .progress = text };

	for (size_t i = 0; i < fake.waiting; i++) {
		if (fake.waiters[i]->by_id.id == id &&
		    fake.waiters[i]->progress != NULL)
			fake.waiters[i]->progress(fake.waiters[i], &t);
	}
}

bool
core_knows(struct broker *b, const char *worker)
{
	return broker_pool(b, worker) != NULL;
}

void
core_stats(struct broker *b, const char *worker,
    void (*each)(const struct pool_stats *stats, void *arg), void *arg)
{
	static const char *const functions[] = { "f", "g", NULL };

	(void)b;
	for (size_t i = 0; i < N_ELEMENTS(fake_pools); i++) {
		struct pool_stats s = { .worker = fake_pools[i].name,
			.functions = i == 0 ? functions : NULL,
			.paused = strcmp(fake.paused, fake_pools[i].name) == 0,
			.paused_until_ms = fake.paused_until,
			.counts = { [TASK_QUEUED] = 2 },
			.wait_p50_us = 1500000 };

		if (worker == NULL || strcmp(worker, s.worker) == 0)
			each(&s, arg);
	}
}

static struct hand fake_hand = { .name = "web:0", .up = true, .threads = 2 };

void
hands_each(struct broker *b, void (*each)(struct hand *h, void *arg), void *arg)
{
	(void)b;
	each(&fake_hand, arg);
}

struct hand *
hands_find(struct broker *b, const char *instance)
{
	(void)b;
	return strcmp(instance, "web:0") == 0 ? &fake_hand : NULL;
}

void
hands_threads(struct hand *h,
    void (*each)(const struct thread_info *info, void *arg), void *arg)
{
	(void)h;
	each(&(struct thread_info){ .thread = 0, .share = WIRE_NO_SHARE }, arg);
	each(&(struct thread_info){ .thread = 1,
		 .busy = 1,
		 .task = 12,
		 .for_ns = 4200000000,
		 .share = 250,
		 .stuck = true },
	    arg);
}

/* STORE_LIST: all rows, newest first; the rest is the schedules' tests'. */
#ifndef FAKE_OWN_STORE
void
core_accept(struct broker *b, struct task_row *row)
{
	(void)b;
	(void)row;
}

uint64_t
store_new_id(struct store *s)
{
	(void)s;
	return 0;
}

uint32_t
store_schedule_id(struct store *s, const char *name, uint64_t *ret_last)
{
	(void)s;
	(void)name;
	*ret_last = 0;
	return 0;
}

void
store_add(struct store *s, struct store_op *op)
{
	(void)s;
	if (op->kind != STORE_LIST)
		abort();
	op->rows = calloc(fake.last_id + 1, sizeof *op->rows);
	for (uint64_t id = fake.last_id; id > 0 && op->count < op->limit;
	     id--) {
		struct task_row *to = &op->rows[op->count];

		if (op->states != 0 &&
		    (op->states & 1U << fake.rows[id - 1].state) == 0)
			continue;
		memcpy(to->worker, fake.rows[id - 1].worker, sizeof to->worker);
		to->id = id;
		to->state = fake.rows[id - 1].state;
		to->func = strdup(fake.rows[id - 1].func);
		op->count++;
	}
	op->done(op);
}
#endif

static inline void
fake_reset(void)
{
	for (uint64_t id = 1; id <= fake.last_id; id++)
		task_row_done(&fake.rows[id - 1]);
	memset(fake.rows, 0, fake.last_id * sizeof fake.rows[0]);
	fake.later = false;
	fake.refuse = QERR_NONE;
	fake.last_id = 0;
	fake.queued = fake.waiting = 0;
	fake.paused[0] = '\0';
}

#endif
