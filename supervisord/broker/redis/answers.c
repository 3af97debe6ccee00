/* What came back of an operation, and what it leads to: the task in a `then`,
 * and a group's when its last member has ended. */

#ifdef WITH_HIREDIS

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/follow.h"
#include "supervisord/broker/redis/shared_int.h"

static void
forget_found(struct store_op *op)
{
	if (op->kind != STORE_GROUP) {
		for (size_t i = 0; i < op->count; i++)
			task_row_done(&op->rows[i]);
		free(op->rows);
		op->rows = NULL;
		op->count = 0;
	}
	op->existing = 0;
}

static void
counts(struct store_op *op, const redisReply *r)
{
	if (r == NULL || r->type != REDIS_REPLY_ARRAY ||
	    r->elements != TASK_STATES)
		return;
	for (size_t i = 0; i < TASK_STATES; i++)
		op->counts[i] =
		    (uint64_t)MAX_OF(reply_number(r->element[i]), 0);
	op->counted = true;
}

/* Ids and tasks in turn. */
static bool
take_rows(struct store_op *op, const redisReply *r)
{
	for (size_t i = 0; r != NULL && i + 1 < r->elements; i += 2) {
		struct task_row *row = task_rows_add(&op->rows, &op->count);
		int found =
		    row == NULL
			? -ENOMEM
			: row_decode((uint64_t)reply_number(r->element[i]),
			      r->element[i + 1], row);

		/* -ENOENT: somebody has deleted it. */
		if (found < 0 && row != NULL) {
			task_row_done(row);
			op->count--;
		}
		if (found == -ENOMEM)
			return false;
	}
	return true;
}

static bool
take_one(struct store_op *op, const redisReply *r)
{
	struct task_row *row;

	forget_found(op);
	row = task_rows_add(&op->rows, &op->count);
	return row != NULL && row_decode(op->change.id, r, row) == 0;
}

/* --- followers ------------------------------------------------------------ */

static void
drop_follower(struct store_op *op)
{
	if (op->flight.follow && op->row != NULL) {
		task_row_done(op->row);
		free(op->row);
		op->row = NULL;
	}
	op->flight.follow = false;
}

enum queue_error
op_failed(struct store_op *op, enum queue_error e)
{
	drop_follower(op);
	/* It was done; its group is found again by the next beat. */
	if (op->flight.step >= STEP_GROUP_GET)
		return QERR_NONE;
	forget_found(op);
	return e;
}

/* It is stored; `id` says whether it was new. */
static void
keep_follower(struct store_op *op, const redisReply *id)
{
	struct task_row *place;

	if (op->flight.follow && op->row != NULL &&
	    (uint64_t)reply_number(id) == op->row->id) {
		place = task_rows_add(&op->follow, &op->follow_count);
		if (place != NULL) {
			*place = *op->row;
			*op->row = (struct task_row){ 0 };
		}
	}
	drop_follower(op);
}

enum made {
	MADE,
	MADE_NONE,
	MADE_NO_ID,
	MADE_NO_MEMORY
};

/* Consumes sub, whose arguments are complete. */
static enum made
make_follower(struct shared *s, struct store_op *op, struct submission *sub)
{
	struct task_row *row = calloc(1, sizeof *row);

	if (row != NULL)
		row->id = shared_take_id(s);
	if (row == NULL || row->id == 0) {
		submission_free(sub);
		free(row);
		return row == NULL ? MADE_NO_MEMORY : MADE_NO_ID;
	}
	if (s->options.complete == NULL ||
	    !s->options.complete(sub, row, s->options.arg)) {
		log_warn("task %llu: its `then` can't be submitted: worker "
			 "\"%s\" takes no tasks",
		    (unsigned long long)op->change.id, sub->worker);
		submission_free(sub);
		task_row_done(row);
		free(row);
		return MADE_NONE;
	}
	submission_free(sub);
	op->row = row;
	op->flight.follow = true;
	return MADE;
}

static void
follow_then(struct shared *s, struct store_op *op, const redisReply *then)
{
	struct submission *sub = then != NULL && then->str != NULL
				     ? follow_parse(op->change.id, then->str)
				     : NULL;
	enum made made = MADE_NONE;

	drop_follower(op);
	if (sub != NULL &&
	    !follow_task(sub, op->change.id, op->result, op->result_json)) {
		submission_free(sub);
		made = MADE_NO_MEMORY;
	} else if (sub != NULL) {
		sub->parent = op->change.id;
		made = make_follower(s, op, sub);
	}
	if (made == MADE_NO_MEMORY) {
		shared_answered(s, op, QERR_NO_MEMORY);
	} else if (made == MADE_NO_ID) {
		shared_park(s, op);
	} else {
		op->flight.step = STEP_FOLLOW;
		shared_again(s, op);
	}
}

static void
group_is_over(struct shared *s, struct store_op *op, uint64_t group)
{
	op->flight.group = group;
	op->flight.step = STEP_GROUP_GET;
	shared_again(s, op);
}

static void
put_members(struct follow_group *g, const redisReply *members)
{
	for (size_t i = 0; members != NULL && i < members->elements; i++) {
		const redisReply *m = members->element[i];
		const redisReply *result = reply_at(m, 3);
		int64_t form = reply_number(reply_at(m, 2));

		follow_group_member(g, (uint64_t)reply_number(reply_at(m, 0)),
		    (uint8_t)reply_number(reply_at(m, 1)),
		    result != NULL ? result->str : NULL,
		    result != NULL && result->str != NULL ? result->len : 0,
		    form == 1, form == 2);
	}
}

static void
group_told(struct shared *s, struct store_op *op, const redisReply *r)
{
	const redisReply *then = reply_at(r, 1);
	struct submission *sub = then != NULL && then->str != NULL
				     ? follow_parse(op->change.id, then->str)
				     : NULL;
	const redisReply *members = reply_at(r, 2);
	enum made made = MADE_NONE;
	struct follow_group g;

	drop_follower(op);
	if (sub != NULL) {
		follow_group_begin(&g, sub, op->flight.group,
		    members != NULL ? members->elements : 0);
		put_members(&g, members);
		if (follow_group_end(sub, &g)) {
			made = make_follower(s, op, sub);
		} else {
			submission_free(sub);
			made = MADE_NO_MEMORY;
		}
	}
	if (made == MADE_NO_ID) {
		shared_park(s, op);
	} else if (made == MADE_NO_MEMORY) {
		/* It is found again by the next beat. */
		shared_answered(s, op, QERR_NONE);
	} else {
		op->flight.step = STEP_GROUP_OVER;
		shared_again(s, op);
	}
}

static void
group_step(struct shared *s, struct store_op *op, const redisReply *r)
{
	bool ok = reply_is(reply_at(r, 0), "ok");

	if (ok && op->flight.step == STEP_GROUP_GET) {
		group_told(s, op, r);
		return;
	}
	if (ok)
		keep_follower(op, reply_at(r, 1));
	drop_follower(op);
	shared_answered(s, op, QERR_NONE);
}

/* --- each kind ------------------------------------------------------------ */

static void
submitted(struct shared *s, struct store_op *op, const redisReply *r)
{
	op->existing = (uint64_t)reply_number(reply_at(r, 1));
	if (op->existing == op->row->id)
		op->existing = 0;
	counts(op, reply_at(r, 2));
	shared_answered(s, op, QERR_NONE);
}

static void
finished(struct shared *s, struct store_op *op, const redisReply *r)
{
	uint64_t over = (uint64_t)reply_number(reply_at(r, 2));

	keep_follower(op, reply_at(r, 1));
	if (over != 0)
		group_is_over(s, op, over);
	else
		shared_answered(s, op, QERR_NONE);
}

static void
cancelled(struct shared *s, struct store_op *op, const redisReply *r)
{
	uint64_t over = (uint64_t)reply_number(reply_at(r, 2));
	const redisReply *was = reply_at(r, 3);

	if (!take_one(op, reply_at(r, 1)))
		forget_found(op);
	else if (was != NULL && was->str != NULL)
		op->rows[0].state = (uint8_t)reply_number(was);
	if (over != 0)
		group_is_over(s, op, over);
	else
		shared_answered(s, op, QERR_NONE);
}

static void
row_found(struct shared *s, struct store_op *op, const redisReply *r)
{
	bool ok = take_one(op, reply_at(r, 1));

	if (!ok)
		forget_found(op);
	shared_answered(s, op, ok ? QERR_NONE : QERR_NO_MEMORY);
}

static void
refilled(struct shared *s, struct store_op *op, const redisReply *r)
{
	op->more = reply_number(reply_at(r, 1)) != 0;
	counts(op, reply_at(r, 2));
	if (!take_rows(op, reply_at(r, 3)))
		shared_tell(s, NULL); /* claimed and not told: MINE tells */
	shared_answered(s, op, QERR_NONE);
}

/* Who was asked to cancel some of them while nobody heard: op->ids, ended by a
 * 0. */
static void
take_cancels(struct store_op *op, const redisReply *rows)
{
	size_t n = 0;

	while (op->ids != NULL && op->ids[n] != 0)
		n++;
	for (size_t i = 1; rows != NULL && i < rows->elements; i += 2) {
		const redisReply *row = rows->element[i];
		uint64_t *more;

		for (size_t j = 0; j + 1 < row->elements; j += 2) {
			if (!reply_is(row->element[j], "cx"))
				continue;
			more = realloc(op->ids, (n + 2) * sizeof *more);
			if (more == NULL)
				return;
			more[n++] =
			    (uint64_t)reply_number(rows->element[i - 1]);
			more[n] = 0;
			op->ids = more;
		}
	}
}

static void
mine(struct shared *s, struct store_op *op, const redisReply *r)
{
	const redisReply *rows = reply_at(r, 2);
	bool more = reply_number(reply_at(r, 1)) != 0;

	take_cancels(op, rows);
	if (!take_rows(op, rows)) {
		forget_found(op);
		shared_answered(s, op, QERR_NO_MEMORY);
	} else if (more && rows != NULL && rows->elements >= 2) {
		op->after_id =
		    (uint64_t)reply_number(rows->element[rows->elements - 2]);
		shared_again(s, op);
	} else {
		shared_answered(s, op, QERR_NONE);
	}
}

static void
listed(struct shared *s, struct store_op *op, const redisReply *r)
{
	uint64_t go_on = (uint64_t)reply_number(reply_at(r, 1));

	if (!take_rows(op, reply_at(r, 2))) {
		forget_found(op);
		shared_answered(s, op, QERR_NO_MEMORY);
	} else if (go_on != 0 && op->count < op->limit) {
		op->after_id = go_on;
		op->after_rank = reply_number(reply_at(r, 3));
		shared_again(s, op);
	} else {
		shared_answered(s, op, QERR_NONE);
	}
}

static void
grouped(struct shared *s, struct store_op *op, const redisReply *r)
{
	bool over = op->text != NULL && reply_number(reply_at(r, 1)) == 0;
	const redisReply *found = reply_at(r, 2);

	for (size_t i = 0; i < op->count; i++) {
		const redisReply *id = reply_at(found, 2 * i);
		struct task_row *row = &op->rows[i];

		if (op->text != NULL)
			row->group = op->group;
		if (id == NULL || id->len == 0)
			continue;
		row->id = (uint64_t)reply_number(id);
		row->state = (uint8_t)reply_number(reply_at(found, 2 * i + 1));
	}
	if (over)
		group_is_over(s, op, op->group);
	else
		shared_answered(s, op, QERR_NONE);
}

static void
fired(struct shared *s, struct store_op *op, const redisReply *r)
{
	op->existing = (uint64_t)reply_number(reply_at(r, 1));
	op->ran = (uint32_t)reply_number(reply_at(r, 2));
	if (op->existing == 1)
		op->existing = SHARED_ID_FIRST; /* a run without a task */
	if (op->row != NULL && op->existing == op->row->id)
		op->existing = 0;
	shared_answered(s, op, QERR_NONE);
}

static void
due(struct shared *s, struct store_op *op, const redisReply *r)
{
	op->more = reply_number(reply_at(r, 1)) != 0;
	counts(op, reply_at(r, 2));
	op->next_due_ms = reply_number(reply_at(r, 3));
	shared_answered(s, op, QERR_NONE);
}

static void
stats(struct shared *s, struct store_op *op, const redisReply *r)
{
	counts(op, reply_at(r, 1));
	op->paused = reply_number(reply_at(r, 2)) != 0;
	op->paused_until_ms = reply_number(reply_at(r, 3));
	shared_answered(s, op, QERR_NONE);
}

static void
done(struct shared *s, struct store_op *op, const redisReply *r)
{
	switch (op->kind) {
	case STORE_SUBMIT:
		submitted(s, op, r);
		break;
	case STORE_FINISH:
		finished(s, op, r);
		break;
	case STORE_CANCEL:
		cancelled(s, op, r);
		break;
	case STORE_REVIVE:
	case STORE_TASK:
		row_found(s, op, r);
		break;
	case STORE_REFILL:
		refilled(s, op, r);
		break;
	case STORE_DUE:
		due(s, op, r);
		break;
	case STORE_GROUP:
		grouped(s, op, r);
		break;
	case STORE_FIRE:
		fired(s, op, r);
		break;
	case STORE_LIST:
		listed(s, op, r);
		break;
	case STORE_MINE:
		mine(s, op, r);
		break;
	case STORE_STATS:
		stats(s, op, r);
		break;
	case STORE_UPDATE:
	case STORE_POOL:
	case STORE_EXPIRE:
	case STORE_SCHEDULE:
	case STORE_KINDS:
		shared_answered(s, op, QERR_NONE);
		break;
	}
}

void
op_decode(struct shared *s, struct store_op *op, const redisReply *r)
{
	static const struct {
		const char *code;
		enum queue_error error;
	} errors[] = {
		{ "none", QERR_NO_TASK },
		{ "lost", QERR_LOST },
		{ "state", QERR_STATE },
		{ "full", QERR_FULL },
		{ "told", QERR_NONE },
	};

	const redisReply *code = reply_at(r, 0);

	if (reply_is(code, "nolease"))
		beat_lost(s, reply_at(r, 1));
	else if (reply_is(code, "stale"))
		link_failed(s, "another connection of ours is newer");
	else if (op->flight.step >= STEP_GROUP_GET)
		group_step(s, op, r);
	else if (reply_is(code, "then"))
		follow_then(s, op, reply_at(r, 1));
	else if (reply_is(code, "ok"))
		done(s, op, r);
	else {
		enum queue_error e = QERR_STORE;

		for (size_t i = 0; i < N_ELEMENTS(errors); i++)
			if (reply_is(code, errors[i].code))
				e = errors[i].error;
		drop_follower(op);
		if (op->kind == STORE_SUBMIT)
			counts(op, reply_at(r, 2));
		shared_answered(s, op, e);
	}
}

#endif
