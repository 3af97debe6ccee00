#include "supervisord/master/drive.h"

#include <errno.h>
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
#include "supervisord/master/shutdown.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/teams.h"

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
	};

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

void
drive_carry_out(struct master *m, struct instance *it,
    const struct life_output *out, const struct actor *by)
{
	const struct rules *rules = instance_rules(it);
	char reason[EXIT_WORDS + 128];

	/* First what the kernel is to do, then what people are to read. */
	if (out->actions & LIFE_LAUNCH)
		send_launch(m, it);
	if (out->actions & LIFE_SIGNAL)
		drive_signal(m, it, out->signo, rules->scope == SCOPE_GROUP);
	if (out->actions & LIFE_TREE)
		send_tree(m, it, out->tree_signo, true);
	if (out->actions & LIFE_TIMER)
		set_timer(m, it);
	for (unsigned i = 0; i < out->count; i++) {
		it->row->why = (uint8_t)out->changes[i].event;
		account(m, it, &out->changes[i]);
	}
	if (out->count == 0)
		return;
	for (unsigned i = 0; i < out->count; i++) {
		change_reason(it, &out->changes[i], i + 1 == out->count, reason,
		    sizeof reason);
		record_change(m, it, &out->changes[i], reason, by);
	}
	record_instance(m, it);
}

static void
step(struct master *m, struct instance *it, struct life_input *in,
    const struct actor *by)
{
	struct life_output out;
	bool was_down = life_is_down(&it->row->life);

	in->now = clock_mono();
	in->turn = has_turn(m);
	in->dice = drand48();
	in->no_tree = m->hello.no_tree;
	life_step(&it->row->life, instance_rules(it), in, &out);
	drive_carry_out(m, it, &out, by);
	/* What a crashed one left behind goes after its replacement was asked
	 * for: looking for it costs more. */
	if (out.actions & LIFE_TREE_KILL)
		send_tree(m, it, SIGKILL, false);
	if (life_is_down(&it->row->life) != was_down)
		m->crew.down += was_down ? -1U : 1U;
}

/* Those that wait for their turn, as far as the cap lets them. */
static void
grant_turns(struct master *m)
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

static void
feed(struct master *m, struct instance *it, struct life_input *in,
    const struct actor *by)
{
	step(m, it, in, by);
	jobs_changed(m, it);
	grant_turns(m);
	if (!life_is_down(&it->row->life))
		return;
	shutdown_one_is_down(m, it);
	if (it->doomed) {
		struct team *team = it->team;

		jobs_gone(it);
		streams_drop(m, it);
		record_gone(m, it->row->name);
		crew_remove(m, it);
		team_instance_gone(m, team);
	}
}

void
drive_up(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_WANT_UP };

	it->row->by_user = by->uid >= 0;
	feed(m, it, &in, by);
	record_instance(m, it);
}

void
drive_down(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_WANT_DOWN };

	/* A shutdown's word is nobody's wish: the next start forgets it. */
	if (m->phase != PHASE_STOPPING)
		it->row->by_user = by->uid >= 0;
	record_instance(m, it);
	feed(m, it, &in, by);
}

void
drive_bounce(struct master *m, struct instance *it, const struct actor *by)
{
	struct life_input in = { .kind = IN_BOUNCE };

	if (by->uid >= 0)
		it->row->by_user = 1;
	feed(m, it, &in, by);
}

void
drive_launched(struct master *m, const struct msg_launched *msg)
{
	struct instance *it = crew_by_id(&m->crew, msg->cookie);
	struct life_input in = { .kind = IN_SPAWNED };
	struct memory_row *row;

	if (it != NULL && it->adopting) {
		adopt_taken_over(m, it, msg);
		return;
	}
	if (it == NULL || !it->row->life.launching) {
		/* Nobody's any more; its end will be acknowledged. */
		struct msg_kill kill = { msg->slot, msg->gen, SIGKILL, 0 };

		log_error(
		    "process %d was launched for nobody: ended", msg->pid);
		peer_send(&m->guardian, MSG_KILL, &kill, NULL, 0, -1);
		return;
	}
	row = it->row;
	crew_set_slot(&m->crew, it, msg->slot, msg->gen);
	row->pid = msg->pid;
	row->tag = msg->tag;
	row->adopted = 0;
	row->started_mono = msg->started_mono;
	row->started_ms = clock_wall_ms();
	row->start_ticks = procfs_start_ticks(msg->pid);
	feed(m, it, &in, &nobody);
	if (row->name[0] != '\0' && row->life.state == ST_STARTING)
		record_instance(m, it);
}

void
drive_not_launched(struct master *m, const struct msg_failed *msg)
{
	struct instance *it = crew_by_id(&m->crew, msg->cookie);
	struct life_input in = { .kind = IN_NOT_SPAWNED };

	if (it != NULL && it->adopting) {
		adopt_not_taken_over(m, it);
		return;
	}
	if (it == NULL || !it->row->life.launching)
		return;
	memset(&it->row->exit, 0, sizeof it->row->exit);
	it->row->exit.at_ms = clock_wall_ms();
	it->row->exit.code = -1;
	it->row->exit.stage = msg->stage;
	it->row->exit.error = msg->error;
	feed(m, it, &in, &nobody);
}

void
drive_restore(struct master *m, struct instance *it)
{
	struct memory_row *row = it->row;
	int64_t deadline = row->life.deadline;

	if (row->life.state == ST_WAITING)
		list_append(&m->crew.queue, &it->queue);
	if (row->life.launching)
		send_launch(m, it);
	if (row->life.leaving)
		send_tree(m, it, instance_rules(it)->stop[row->life.step].signo,
		    true);
	if (deadline != 0)
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
		record_exit(m, it, msg, &e);
		return;
	}
	it->row->exit = e;
	it->row->pid = 0;
	in.success = is_success(instance_rules(it), &e);
	in.no_exec = e.stage != 0;
	/* The instance may be freed by this; its name is in the message. */
	if (!it->doomed) {
		feed(m, it, &in, &nobody);
		record_exit(m, it, msg, &e);
		streams_tail_of_exit(m, it, &e);
	} else {
		record_exit(m, it, msg, &e);
		feed(m, it, &in, &nobody);
	}
}

void
drive_empty(struct master *m, uint32_t slot, uint32_t gen)
{
	struct instance *it = crew_by_slot(&m->crew, slot, gen);
	struct life_input in = { .kind = IN_EMPTY };

	if (it != NULL)
		feed(m, it, &in, &nobody);
}

void
drive_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct instance *it = CONTAINER_OF(timer, struct instance, timer);
	struct life_input in = { .kind = IN_TIMER };

	(void)loop;
	(void)events;
	feed(timer->data, it, &in, &nobody);
}

void
drive_rules_changed(struct master *m, struct instance *it)
{
	struct life_output out;

	life_rules_changed(
	    &it->row->life, instance_rules(it), clock_mono(), &out);
	drive_carry_out(m, it, &out, &nobody);
}

void
drive_doom(struct master *m, struct instance *it, const struct actor *by)
{
	it->doomed = true;
	drive_down(m, it, by);
}
