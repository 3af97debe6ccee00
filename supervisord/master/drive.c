#include "supervisord/master/drive.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/master/adopt.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/jobs.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/shutdown.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/takeover.h"
#include "supervisord/master/teams.h"
#include "supervisord/master/to_broker.h"

const struct actor nobody = { .uid = -1, .pid = 0, .command = NULL };

static enum launch_output
launch_output(const struct output *o)
{
	switch (o->kind) {
	case OUTPUT_FILE:
	case OUTPUT_SYSLOG:
		return LAUNCH_OUT_PIPE;
	case OUTPUT_INHERIT:
		return LAUNCH_OUT_INHERIT;
	case OUTPUT_STDOUT:
		return LAUNCH_OUT_STDOUT;
	case OUTPUT_NULL:
		break;
	}
	return LAUNCH_OUT_NULL;
}

static void
send_launch(struct master *m, struct instance *it)
{
	const struct worker *w = it->team->worker;
	struct msg_launch msg = {
		.cookie = it->id,
		.book = m->book,
		.spec = it->team->spec,
		.index = it->row->index,
		.out = (uint16_t)launch_output(&w->out),
		.err = (uint16_t)launch_output(&w->err),
		.threads = w->hybrid ? w->threads : 0,
	};

	it->row->hybrid = w->hybrid;
	memcpy(msg.name, it->row->name, sizeof msg.name);
	peer_send(&m->guardian, MSG_LAUNCH, &msg, NULL, 0, -1);
}

static void
send_tree(struct master *m, const struct instance *it, int signo, bool tell)
{
	struct msg_tree msg = { it->row->slot, it->row->gen, signo, tell };

	peer_send(&m->guardian, MSG_TREE, &msg, NULL, 0, -1);
}

bool
drive_signal(struct master *m, struct instance *it, int signo, bool group)
{
	struct msg_kill msg = { it->row->slot, it->row->gen, signo,
		group ? KILL_GROUP : KILL_PROCESS };

	if (!it->row->life.alive)
		return false;
	peer_send(&m->guardian, MSG_KILL, &msg, NULL, 0, -1);
	return true;
}

static void
set_timer(struct master *m, struct instance *it)
{
	int64_t deadline = it->row->life.deadline;
	int64_t left = deadline - clock_mono();

	ev_timer_stop(m->loop, &it->timer);
	if (deadline == 0)
		return;
	/* A little late rather than a little early: policy looks at the clock
	 * again, and would only have to be asked twice. */
	ev_now_update(m->loop);
	ev_timer_set(&it->timer,
	    left > 0 ? (double)left / (double)NS_PER_SEC + 0.0001 : 0., 0.);
	ev_timer_start(m->loop, &it->timer);
}

/* Keeps the counts and the queue in step with a change of state. */
static void
account(struct master *m, struct instance *it, const struct life_change *c)
{
	if (c->from == ST_STARTING)
		m->crew.starting--;
	if (c->to == ST_STARTING)
		m->crew.starting++;
	if (c->to == ST_WAITING)
		list_append(&m->crew.queue, &it->queue);
	else
		list_remove(&it->queue);
}

/* Whether a start need not wait; a start that made no progress has no turn. */
static bool
has_turn(const struct master *m)
{
	unsigned cap = m->fleet->settings.max_starting;

	return m->phase != PHASE_STOPPING &&
	       (cap == 0 || m->crew.starting < cap);
}

/* Tells the guardian first, then people. */
static void
carry_out(struct master *m, struct instance *it, const struct life_output *out,
    const struct actor *by)
{
	const struct rules *rules = instance_rules(it);
	char reason[EXIT_WORDS + 128];

	if (out->actions & LIFE_LAUNCH)
		send_launch(m, it);
	if (out->actions & LIFE_SIGNAL) {
		to_broker_stopping(m, it);
		drive_signal(m, it, out->signo, rules->scope == SCOPE_GROUP);
	}
	if (out->actions & LIFE_FINISH)
		to_broker_finishing(m, it);
	if (out->actions & LIFE_TREE)
		send_tree(m, it, out->tree_signo, true);
	/* What a crashed one left behind goes after its replacement was asked
	 * for: looking for it costs more. */
	if (out->actions & LIFE_TREE_KILL)
		send_tree(m, it, SIGKILL, false);
	if (m->guardian.outbox.size == 0)
		it->row->unheard = 0;
	if (out->actions & LIFE_TIMER)
		set_timer(m, it);
	for (unsigned i = 0; i < out->count; i++)
		account(m, it, &out->changes[i]);
	for (unsigned i = 0; i < out->count; i++) {
		change_reason(it, &out->changes[i], i + 1 == out->count, reason,
		    sizeof reason);
		record_change(m, it, &out->changes[i], reason, by);
	}
	if (out->count > 0)
		record_instance(m, it);
}

/* The row is as it shall be: what follows from it is done. */
static void
commit(struct master *m, struct instance *it, const struct life_output *out,
    bool was_down, const struct actor *by)
{
	struct memory_row *row = it->row;

	if (out->count > 0)
		row->why = (uint8_t)out->changes[out->count - 1].event;
	row->unheard = out->actions & (LIFE_SIGNAL | LIFE_TREE_KILL);
	memory_commit(m->memory);
	it->moved = true;
	if (life_is_down(&row->life) != was_down)
		m->crew.down += was_down ? -1U : 1U;
	carry_out(m, it, out, by);
}

static void
step(struct master *m, struct instance *it, struct life_input *in,
    const struct actor *by)
{
	bool was_down = life_is_down(&it->row->life);
	struct life_output out;

	in->now = clock_mono();
	in->turn = has_turn(m);
	in->dice = drand48();
	in->no_tree = m->hello.no_tree;
	memory_begin(m->memory, it->row);
	life_step(&it->row->life, instance_rules(it), in, &out);
	commit(m, it, &out, was_down, by);
}

void
drive_grant_turns(struct master *m)
{
	while (!list_empty(&m->crew.queue) && has_turn(m)) {
		struct instance *it =
		    LIST_ENTRY(m->crew.queue.next, struct instance, queue);
		struct life_input in = { .kind = IN_TURN };

		list_remove(&it->queue);
		step(m, it, &in, &nobody);
		jobs_changed(m, it);
	}
}

/* What a change may mean for others; a doomed one that is down is freed. */
static void
changed(struct master *m, struct instance *it)
{
	struct team *team = it->team;

	jobs_changed(m, it);
	drive_grant_turns(m);
	if (!life_is_down(&it->row->life) || !it->doomed) {
		if (life_is_down(&it->row->life))
			shutdown_one_is_down(m, it);
		recycle_changed(m, it);
		return;
	}
	jobs_gone(it);
	streams_drop(m, it);
	record_gone(m, it->row->name);
	crew_remove(m, it);
	team_instance_gone(m, team);
	shutdown_look(m);
}

static void
feed(struct master *m, struct instance *it, struct life_input *in,
    const struct actor *by)
{
	step(m, it, in, by);
	changed(m, it);
}

void
drive_up(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_WANT_UP };

	/* It goes, though not at once: there are as many without it. */
	if (it->doomed && it->row->life.finishing)
		return;
	memory_begin(m->memory, it->row);
	it->row->by_user = by->uid >= 0;
	feed(m, it, &in, by);
	record_instance(m, it);
}

void
drive_down(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_WANT_DOWN };
	bool leaving = it->doomed;

	memory_begin(m->memory, it->row);
	/* A shutdown's word is nobody's wish: the next start forgets it. */
	if (m->phase != PHASE_STOPPING)
		it->row->by_user = by->uid >= 0;
	feed(m, it, &in, by);
	if (!leaving)
		record_instance(m, it);
}

void
drive_bounce(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_BOUNCE };

	memory_begin(m->memory, it->row);
	if (by->uid >= 0)
		it->row->by_user = 1;
	feed(m, it, &in, by);
	record_instance(m, it);
}

void
drive_replace(struct master *m, struct instance *it, bool hard)
{
	struct life_input in = { .kind = IN_BOUNCE, .hard = hard };

	memory_begin(m->memory, it->row);
	it->hard = hard;
	feed(m, it, &in, &nobody);
	record_instance(m, it);
}

void
drive_finish(struct master *m, struct instance *it)
{
	struct life_input in = { .kind = IN_FINISH };

	if (it->row->hybrid) {
		feed(m, it, &in, &nobody);
		record_instance(m, it);
	} else {
		drive_replace(m, it, false);
	}
}

void
drive_launched(struct master *m, const struct msg_launched *msg)
{
	struct instance *it = crew_by_id(&m->crew, msg->cookie);
	struct life_input in = { .kind = IN_SPAWNED };
	struct memory_row *row;

	if (it == NULL || !it->row->life.launching) {
		/* Nobody's any more; its end will be acknowledged. */
		struct msg_kill kill = { msg->slot, msg->gen, SIGKILL, 0 };

		log_error(
		    "process %d was launched for nobody: ended", msg->pid);
		peer_send(&m->guardian, MSG_KILL, &kill, NULL, 0, -1);
		return;
	}
	row = it->row;
	if (row->adopting) {
		adopt_taken_over(m, it, msg);
		return;
	}
	memory_begin(m->memory, row);
	crew_set_slot(&m->crew, it, msg->slot, msg->gen);
	row->pid = msg->pid;
	row->tag = msg->tag;
	row->adopted = 0;
	row->started_mono = msg->started_mono;
	row->started_ms = clock_wall_ms();
	row->start_ticks = procfs_start_ticks(msg->pid);
	it->hard = false;
	recycle_started(m, it);
	to_broker_launched(m, it);
	feed(m, it, &in, &nobody);
	record_instance(m, it);
}

void
drive_not_launched(struct master *m, const struct msg_failed *msg)
{
	struct instance *it = crew_by_id(&m->crew, msg->cookie);
	struct life_input in = { .kind = IN_NOT_SPAWNED };

	if (it == NULL || !it->row->life.launching)
		return;
	if (it->row->adopting) {
		drive_not_found(m, it);
		return;
	}
	memory_begin(m->memory, it->row);
	memset(&it->row->exit, 0, sizeof it->row->exit);
	it->row->exit.at_ms = clock_wall_ms();
	it->row->exit.code = -1;
	it->row->exit.stage = msg->stage;
	it->row->exit.error = msg->error;
	feed(m, it, &in, &nobody);
}

/* What it was last asked for, as far as nobody may have heard of it. */
static void
ask_again(struct master *m, struct instance *it)
{
	const struct rules *rules = instance_rules(it);
	struct life *life = &it->row->life;
	int signo = rules->stop[life->step].signo;

	if (it->row->adopting)
		takeover_ask(m, it);
	else if (life->launching)
		send_launch(m, it);
	if (it->row->unheard & LIFE_TREE_KILL)
		send_tree(m, it, SIGKILL, false);
	if ((it->row->unheard & LIFE_SIGNAL) && life->state == ST_STOPPING)
		drive_signal(m, it, signo, rules->scope == SCOPE_GROUP);
	if (life->leaving)
		send_tree(m, it, life->deadline != 0 ? signo : SIGKILL, true);
}

void
drive_restore(struct master *m, struct instance *it)
{
	struct life_input not_spawned = { .kind = IN_NOT_SPAWNED };
	struct life *life = &it->row->life;

	if (!it->moved && life->state == ST_STOPPING && life->launching &&
	    !it->row->adopting) {
		feed(m, it, &not_spawned, &nobody);
		return;
	}
	if (life->state == ST_WAITING && !list_linked(&it->queue))
		list_append(&m->crew.queue, &it->queue);
	/* What this master's own steps have asked for is under way. */
	if (!it->moved)
		ask_again(m, it);
	if (life->deadline != 0 && !ev_is_active(&it->timer))
		set_timer(m, it);
}

static bool
is_success(const struct rules *rules, const struct exit_info *e)
{
	if (e->stage != 0 || e->signo != 0 || e->unknown)
		return false;
	for (unsigned i = 0; i < rules->exit_codes_count; i++) {
		if (rules->exit_codes[i] == e->code)
			return true;
	}
	return false;
}

void
drive_exited(struct master *m, const struct msg_child *msg)
{
	struct instance *it = crew_by_slot(&m->crew, msg->slot, msg->gen);
	struct life_input in = { .kind = IN_EXIT };
	struct exit_info e;

	exit_from_child(msg, &e);
	if (it == NULL || !it->row->life.alive) {
		/* Of an earlier process: told again, or nobody's. */
		record_exit(m, crew_find(&m->crew, msg->name), msg, &e);
		to_broker_exited_before(m, msg, &e);
		return;
	}
	memory_begin(m->memory, it->row);
	it->row->exit = e;
	it->row->pid = 0;
	in.success = is_success(instance_rules(it), &e);
	in.no_exec = e.stage != 0;
	recycle_ended(m, it);
	/* The instance may be freed by this; its name is in the message. */
	if (!it->doomed) {
		feed(m, it, &in, &nobody);
		record_exit(m, it, msg, &e);
		to_broker_exited(m, it, &e, streams_tail_of_exit(m, it, &e));
	} else {
		record_exit(m, it, msg, &e);
		to_broker_exited(m, it, &e, false);
		feed(m, it, &in, &nobody);
	}
	to_broker_look(m);
}

/*
 * The guardian frees a slot whose descendants are gone, and may have given it
 * to another before the master (a new one, above all) hears of that.
 */
static struct instance *
find_leaving(struct master *m, uint32_t slot, uint32_t gen)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i;

	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		if (it->row->life.leaving && it->row->slot == slot &&
		    it->row->gen == gen)
			return it;
	}
	return NULL;
}

void
drive_empty(struct master *m, uint32_t slot, uint32_t gen)
{
	struct instance *it = crew_by_slot(&m->crew, slot, gen);
	struct life_input in = { .kind = IN_EMPTY };

	if (it == NULL)
		it = find_leaving(m, slot, gen);
	if (it != NULL)
		feed(m, it, &in, &nobody);
}

void
drive_ready(struct master *m, uint32_t slot, uint32_t gen)
{
	struct instance *it = crew_by_slot(&m->crew, slot, gen);
	struct life_input in = { .kind = IN_READY };

	if (it != NULL)
		feed(m, it, &in, &nobody);
}

void
drive_heard(struct master *m, struct instance *it)
{
	struct life_input in = { .kind = IN_HEARD };

	if (it->row->life.state == ST_STARTING)
		feed(m, it, &in, &nobody);
}

void
drive_finished(struct master *m, uint32_t slot, uint32_t gen)
{
	struct instance *it = crew_by_slot(&m->crew, slot, gen);
	struct life_input in = { .kind = IN_FINISHED };

	if (it != NULL && it->row->life.finishing)
		feed(m, it, &in, &nobody);
}

void
drive_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct instance *it = CONTAINER_OF(timer, struct instance, timer);
	struct life_input in = { .kind = IN_TIMER };
	struct master *m = timer->data;

	(void)loop;
	(void)events;
	/* Policy takes no notice of a timer that is early. */
	if (clock_mono() < it->row->life.deadline) {
		set_timer(m, it);
		return;
	}
	in.deaf = !to_broker_is_there(m);
	if (it->row->life.state == ST_STARTING && !in.deaf &&
	    instance_rules(it)->announces)
		recycle_late(it);
	feed(m, it, &in, &nobody);
}

void
drive_rules_changed(struct master *m, struct instance *it)
{
	bool was_down = life_is_down(&it->row->life);
	struct life_output out;

	memory_begin(m->memory, it->row);
	life_rules_changed(
	    &it->row->life, instance_rules(it), clock_mono(), &out);
	commit(m, it, &out, was_down, &nobody);
}

void
drive_adopting(struct master *m, struct instance *it)
{
	bool was_down = life_is_down(&it->row->life);
	bool wanted = it->row->life.wanted;
	struct life_input in = {
		.kind = IN_WANT_UP, .now = clock_mono(), .turn = true
	};
	struct life_output out;

	life_step(&it->row->life, instance_rules(it), &in, &out);
	it->row->life.wanted = wanted;
	it->row->adopting = 1;
	out.actions &= ~(unsigned)LIFE_LAUNCH;
	commit(m, it, &out, was_down, &nobody);
}

void
drive_found(struct master *m, struct instance *it, int64_t started_mono)
{
	bool was_down = life_is_down(&it->row->life);
	struct life_output out;

	it->row->adopting = 0;
	life_adopt(&it->row->life, instance_rules(it), started_mono,
	    clock_mono(), &out);
	commit(m, it, &out, was_down, &nobody);
	changed(m, it);
}

/* It ended between the look and the grip. */
void
drive_not_found(struct master *m, struct instance *it)
{
	struct life_input in = { .kind = IN_NOT_SPAWNED };

	it->row->adopting = 0;
	it->row->pid = 0;
	if (it->row->life.state == ST_STARTING && it->row->life.wanted)
		send_launch(m, it);
	else
		feed(m, it, &in, &nobody);
}

void
drive_kill(struct master *m, struct instance *it)
{
	struct life *life = &it->row->life;
	struct msg_tree tree = { it->row->slot, it->row->gen, SIGKILL,
		life->leaving };

	/* The last rung, for whatever is still to be signalled. */
	if (life->state == ST_STOPPING) {
		memory_begin(m->memory, it->row);
		life->step = (uint8_t)(instance_rules(it)->stop_count - 1);
		life->deadline = 0;
		memory_commit(m->memory);
		set_timer(m, it);
	}
	drive_signal(m, it, SIGKILL, false);
	if (instance_rules(it)->scope == SCOPE_TREE)
		peer_send(&m->guardian, MSG_TREE, &tree, NULL, 0, -1);
}

void
drive_doom(struct master *m, struct instance *it, const struct actor *by)
{
	it->doomed = true;
	drive_down(m, it, by);
}

void
drive_retire(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_FINISH, .leave = true };

	it->doomed = true;
	if (it->row->hybrid)
		feed(m, it, &in, by);
	else
		drive_down(m, it, by);
}
