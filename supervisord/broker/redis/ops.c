/* Operations as scripts and their arguments: what each takes, its file says. */

#ifdef WITH_HIREDIS

#include <stdio.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"

#define ROWS_MOST  1000
#define ROWS_BYTES (8 << 20)
#define LIST_LOOK  5000 /* tasks looked at in one go */
#define FIRES_KEPT 1000
/* More of them do not fit into what a task is told anyway. */
#define RESULTS_BYTES (8 << 20)

static void
script(
    struct shared *s, struct store_op *op, struct resp *cmd, enum script which)
{
	link_script(s, cmd, which, op->flight.seq, op->flight.again);
}

static void
put_state(struct resp *cmd, const struct task_change *c)
{
	if ((c->fields & CHANGE_STATE) != 0)
		resp_uint(cmd, c->state);
	else
		resp_str(cmd, "");
}

static void
put_rank(struct resp *cmd, const struct task_change *c)
{
	if ((c->fields & CHANGE_RANK) != 0)
		resp_int(cmd, c->rank);
	else
		resp_str(cmd, "");
}

static void
update(struct shared *s, struct store_op *op, struct resp *cmd)
{
	const struct task_change *c = &op->change;
	bool state = (c->fields & CHANGE_STATE) != 0;
	bool back = state && (c->state == TASK_SCHEDULED ||
				 (c->state == TASK_QUEUED && op->release));

	script(s, op, cmd, back ? SCRIPT_YIELD : SCRIPT_UPDATE);
	resp_uint(cmd, c->id);
	put_state(cmd, c);
	resp_str(cmd, op->release ? "1" : "0");
	put_rank(cmd, c);
	resp_int(cmd, c->due_ms);
	row_change_encode(s, cmd, c, NULL, false);
}

static void
put_follower(struct resp *cmd, const struct store_op *op)
{
	if (op->flight.follow) {
		resp_str(cmd, "1");
		row_encode(cmd, op->row, NULL, false, 0);
	} else {
		resp_str(cmd, op->flight.step == STEP_FIRST ? "0" : "2");
	}
}

/* How long the result is kept, by the clock of Redis. */
static int64_t
ttl_of(const struct task_change *c)
{
	int64_t ttl = c->expires_ms - c->finished_ms;

	if ((c->fields & CHANGE_FINISHED) == 0 || c->expires_ms == 0)
		return 0;
	return MAX_OF(ttl, 1);
}

static void
finish(struct shared *s, struct store_op *op, struct resp *cmd)
{
	const struct task_change *c = &op->change;

	script(s, op, cmd, op->flight.follow ? SCRIPT_FOLLOW : SCRIPT_FINISH);
	resp_uint(cmd, c->id);
	resp_uint(cmd, c->state);
	resp_int(cmd, ttl_of(c));
	row_change_encode(s, cmd, c, op->result, op->result_json);
	put_follower(cmd, op);
}

static void
group(struct shared *s, struct store_op *op, struct resp *cmd)
{
	bool one = op->text != NULL;

	script(s, op, cmd, SCRIPT_GROUP);
	if (one)
		resp_uint(cmd, op->group);
	else
		resp_str(cmd, "");
	resp_str(cmd, op->text);
	resp_uint(cmd, op->limits_count);
	for (size_t i = 0; i < op->limits_count; i++) {
		resp_str(cmd, op->limits[i].worker);
		resp_uint(cmd, op->limits[i].most);
	}
	resp_uint(cmd, op->count);
	for (size_t i = 0; i < op->count; i++)
		row_encode(cmd, &op->rows[i], NULL, one, op->group);
}

static void
fire(struct shared *s, struct store_op *op, struct resp *cmd)
{
	script(s, op, cmd, SCRIPT_FIRE);
	resp_str(cmd, op->text);
	resp_int(cmd, op->fire_ms);
	resp_int(cmd, FIRES_KEPT);
	resp_int(cmd, op->since_ms);
	resp_str(cmd, op->row != NULL ? "1" : "0");
	if (op->row != NULL) {
		op->row->fire_ms = op->fire_ms;
		row_encode(cmd, op->row, op->text, false, 0);
	}
}

static void
list(struct shared *s, struct store_op *op, struct resp *cmd)
{
	uint32_t all = (1U << TASK_STATES) - 1;
	uint32_t states = op->states & all;
	char text[TASK_STATES + 1];
	size_t n = 0;

	for (int i = 0; i < TASK_STATES; i++)
		if ((states & 1U << i) != 0 && states != all)
			text[n++] = (char)('0' + i);
	text[n] = '\0';
	script(s, op, cmd, SCRIPT_LIST);
	resp_str(cmd, op->worker);
	resp_str(cmd, text);
	if (op->after_id != 0)
		resp_uint(cmd, op->after_id);
	else
		resp_str(cmd, "");
	resp_uint(cmd, op->limit - op->count);
	resp_uint(cmd, LIST_LOOK);
	if (op->after_rank != 0)
		resp_int(cmd, op->after_rank);
	else
		resp_str(cmd, "");
}

static void
group_steps(struct shared *s, struct store_op *op, struct resp *cmd)
{
	bool get = op->flight.step == STEP_GROUP_GET;

	script(s, op, cmd, get ? SCRIPT_GROUP_GET : SCRIPT_GROUP_OVER);
	resp_uint(cmd, op->flight.group);
	if (get) {
		resp_int(cmd, RESULTS_BYTES);
		return;
	}
	resp_str(cmd, op->flight.follow ? "1" : "0");
	if (op->flight.follow)
		row_encode(cmd, op->row, NULL, false, 0);
}

/* Of its keys. */
static void
limits(const struct store_op *op, struct resp *cmd)
{
	char rate[32];

	snprintf(rate, sizeof rate, "%.17g", op->key_rate);
	resp_uint(cmd, op->key_concurrency);
	resp_str(cmd, rate);
}

static void
claims(struct shared *s, struct store_op *op, struct resp *cmd)
{
	bool mine = op->kind == STORE_MINE;

	script(s, op, cmd, mine ? SCRIPT_MINE : SCRIPT_REFILL);
	if (!mine)
		resp_str(cmd, op->worker);
	else if (op->after_id != 0)
		resp_uint(cmd, op->after_id);
	else
		resp_str(cmd, "");
	resp_uint(
	    cmd, mine ? ROWS_MOST : MIN_OF(MAX_OF(op->limit, 1U), ROWS_MOST));
	resp_int(cmd, ROWS_BYTES);
	if (!mine)
		limits(op, cmd);
}

static void
revive(struct shared *s, struct store_op *op, struct resp *cmd)
{
	const struct task_change *c = &op->change;

	script(s, op, cmd, SCRIPT_REVIVE);
	resp_uint(cmd, c->id);
	put_rank(cmd, c);
	resp_uint(cmd, (c->fields & CHANGE_FAILURES) != 0 ? c->failures : 0);
	resp_uint(cmd, (c->fields & CHANGE_CRASHES) != 0 ? c->crashes : 0);
}

/* Of a whole worker. */
static void
pool(struct shared *s, struct store_op *op, struct resp *cmd, enum script which)
{
	script(s, op, cmd, which);
	resp_str(cmd, op->worker);
	if (which == SCRIPT_DUE) {
		resp_uint(cmd, op->limit > 0 && op->limit < ROWS_MOST
				   ? op->limit
				   : ROWS_MOST);
		limits(op, cmd);
	} else if (which == SCRIPT_POOL) {
		resp_str(cmd, op->paused ? "1" : "0");
		resp_int(cmd, op->paused_until_ms);
	}
}

/* Of one task. */
static void
one(struct shared *s, struct store_op *op, struct resp *cmd)
{
	bool cancel = op->kind == STORE_CANCEL;

	script(s, op, cmd, cancel ? SCRIPT_CANCEL : SCRIPT_TASK);
	resp_uint(cmd, op->change.id);
	if (cancel)
		row_change_encode(s, cmd, &op->change, NULL, false);
}

static void
submit(struct shared *s, struct store_op *op, struct resp *cmd)
{
	script(s, op, cmd, SCRIPT_SUBMIT);
	resp_uint(cmd, op->limit);
	row_encode(cmd, op->row, NULL, false, 0);
}

static void
first_step(struct shared *s, struct store_op *op, struct resp *cmd)
{
	switch (op->kind) {
	case STORE_SUBMIT:
		submit(s, op, cmd);
		break;
	case STORE_UPDATE:
		update(s, op, cmd);
		break;
	case STORE_FINISH:
		finish(s, op, cmd);
		break;
	case STORE_GROUP:
		group(s, op, cmd);
		break;
	case STORE_FIRE:
		fire(s, op, cmd);
		break;
	case STORE_LIST:
		list(s, op, cmd);
		break;
	case STORE_REFILL:
	case STORE_MINE:
		claims(s, op, cmd);
		break;
	case STORE_CANCEL:
	case STORE_TASK:
		one(s, op, cmd);
		break;
	case STORE_REVIVE:
		revive(s, op, cmd);
		break;
	case STORE_DUE:
		pool(s, op, cmd, SCRIPT_DUE);
		break;
	case STORE_POOL:
		pool(s, op, cmd, SCRIPT_POOL);
		break;
	case STORE_STATS:
	case STORE_EXPIRE:
	case STORE_SCHEDULE:
	case STORE_KINDS:
		pool(s, op, cmd, SCRIPT_STATS);
		break;
	}
}

bool
op_encode(struct shared *s, struct store_op *op, struct resp *cmd)
{
	if (op->flight.step >= STEP_GROUP_GET)
		group_steps(s, op, cmd);
	else
		first_step(s, op, cmd);
	return !cmd->b.failed;
}

#endif
