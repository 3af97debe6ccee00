#include "supervisord/master/adopt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/handover.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/takeover.h"
#include "supervisord/master/teams.h"

/* --- what memory remembers ------------------------------------------------ */

/* "=web": a user's number of instances for a worker. */
static void
take_scale(struct memory_row *row, void *arg)
{
	struct master *m = arg;
	struct team *team =
	    row->name[0] == '=' ? crew_team(&m->crew, row->name + 1) : NULL;

	if (team == NULL)
		return;
	team->wanted = row->index;
	team->scaled = true;
}

static void
take_row(struct memory_row *row, void *arg)
{
	struct master *m = arg;
	struct team *team;
	struct instance *it;

	if (row->name[0] == '=')
		return;
	if (crew_find(&m->crew, row->name) != NULL ||
	    (team = team_leftover(m, row->name)) == NULL) {
		memory_free(m->memory, row);
		return;
	}
	it = crew_add(m, team, row->index, row);
	if (it == NULL) {
		log_error("%s: no memory to take it over", row->name);
		return;
	}
	it->doomed = team->doomed || row->index >= team->wanted;
	/* Its place in the guardian's table matters still: for its exit, or for
	 * the end of what it left. */
	if (row->life.alive || row->life.leaving)
		crew_set_slot(&m->crew, it, row->slot, row->gen);
}

/* --- what the guardian says ----------------------------------------------- */

/* The instance of that name, or a doomed one to end a process nobody wants. */
static struct instance *
instance_for(struct master *m, const struct msg_child *child)
{
	struct instance *it = crew_find(&m->crew, child->name);
	const char *colon = strrchr(child->name, ':');
	struct team *team;

	if (it != NULL || colon == NULL)
		return it;
	team = team_leftover(m, child->name);
	if (team == NULL)
		return NULL;
	it = crew_add(m, team, (unsigned)strtoul(colon + 1, NULL, 10), NULL);
	if (it != NULL)
		it->doomed = team->doomed || it->row->index >= team->wanted;
	return it;
}

/* Its launch was asked for by the master before, who has not heard of it. */
static void
hear_of_launch(
    struct master *m, struct instance *it, const struct msg_child *child)
{
	struct msg_launched msg = {
		.cookie = it->id,
		.slot = child->slot,
		.gen = child->gen,
		.pid = child->pid,
		.started_mono = child->started_mono,
		.tag = child->tag,
	};

	drive_launched(m, &msg);
}

/* Memory is gone, but it lives: RUNNING, from its start on. */
static void
find_running(
    struct master *m, struct instance *it, const struct msg_child *child)
{
	struct memory_row *row = it->row;
	int64_t age = clock_mono() - child->started_mono;
	struct life_output out;
	bool was_down = life_is_down(&row->life);

	crew_set_slot(&m->crew, it, child->slot, child->gen);
	row->pid = child->pid;
	row->tag = child->tag;
	row->adopted = (child->flags & CHILD_ADOPTED) != 0;
	row->started_mono = child->started_mono;
	row->started_ms = clock_wall_ms() - age / NS_PER_MS;
	row->start_ticks = procfs_start_ticks(child->pid);
	if (row->life.state == ST_STARTING)
		m->crew.starting--;
	life_adopt(&row->life, instance_rules(it), child->started_mono,
	    clock_mono(), &out);
	/* Counted by carry_out only from here on. */
	drive_carry_out(m, it, &out, &nobody);
	if (was_down)
		m->crew.down--;
}

static void
take_child(struct master *m, const struct msg_child *child)
{
	struct instance *it = instance_for(m, child);
	bool known, newer;

	if (it == NULL) {
		log_error(
		    "%s: process %d can't be told from others: left alone",
		    child->name, child->pid);
		return;
	}
	known = it->row->tag == child->tag && it->row->tag != 0;
	/* Older ones have ended, were dealt with, and are only not committed.
	 */
	newer = child->started_mono > it->row->started_mono;
	if (known) {
		crew_set_slot(&m->crew, it, child->slot, child->gen);
		it->row->pid = child->pid;
	} else if (newer && it->row->life.launching) {
		hear_of_launch(m, it, child);
	} else if (child->state == CHILD_ALIVE) {
		find_running(m, it, child);
	}
	if (child->state == CHILD_EXITED)
		drive_exited(m, child);
}

/* --- the whole ------------------------------------------------------------ */

/* Alive by memory, unknown to the guardian: it has ended, nobody knows how. */
static void
settle_missing(struct master *m, struct instance *it)
{
	struct msg_child gone = {
		.slot = it->row->slot,
		.gen = it->row->gen,
		.pid = it->row->pid,
		.state = CHILD_EXITED,
		.started_mono = it->row->started_mono,
		.ended_mono = clock_mono(),
		.tag = it->row->tag,
	};

	memcpy(gone.name, it->row->name, sizeof gone.name);
	log_warn("%s: process %d has gone unseen", it->row->name, it->row->pid);
	drive_exited(m, &gone);
}

static void
settle_rows(struct master *m, const bool *heard)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i;

	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		uint32_t slot = it->row->slot;

		if (it->row->life.alive && (slot >= CREW_SLOTS || !heard[slot]))
			settle_missing(m, it);
		else
			drive_restore(m, it);
	}
}

/*
 * What the master before has not got committed is in memory, and so is put
 * anew: the next supervisord may have nothing but the store.
 */
static void
put_anew(struct master *m)
{
	struct team *team, *tmp;
	struct instance *it;
	char key[PROTO_NAME + 8];
	unsigned i;

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		snprintf(key, sizeof key, "scale.%s", team->name);
		if (team->scaled || state_saved_fact(m->state, key) != NULL)
			team_remember_scale(m, team);
	}
	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		const struct memory_row *row = it->row;
		const struct state_saved *saved;
		int pid = row->life.alive ? row->pid : 0;

		if (!state_saved_instance(m->state, row->name, &saved) ||
		    saved->wanted_up != row->life.wanted ||
		    saved->wanted_by_user != row->by_user || saved->pid != pid)
			record_instance(m, it);
	}
}

static void
doom_leftovers(struct master *m)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i;

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		/* Pinned: the team may go with its last instance. */
		team->members++;
		for (i = 0; i < team->room; i++) {
			it = team->instances[i];
			if (it != NULL && it->doomed)
				drive_doom(m, it, &nobody);
		}
		team->members--;
		team_instance_gone(m, team);
	}
}

/* What users of the run before wanted, which did not end in order. */
static void
take_saved_scale(struct master *m)
{
	struct team *team, *tmp;
	char key[PROTO_NAME + 8];

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		const char *value;

		snprintf(key, sizeof key, "scale.%s", team->name);
		value = state_saved_fact(m->state, key);
		if (value == NULL)
			continue;
		team->wanted = (unsigned)strtoul(value, NULL, 10);
		team->scaled = true;
		team_remember_scale(m, team);
	}
}

/* true: the instance has its wish from the run before. */
static bool
take_saved_wish(struct master *m, struct instance *it)
{
	const struct state_saved *saved;

	if (!state_saved_instance(m->state, it->row->name, &saved))
		return false;
	it->row->life.restarts = (uint64_t)saved->restarts;
	if (!saved->wanted_by_user)
		return false;
	it->row->by_user = 1;
	if (saved->wanted_up)
		drive_up(m, it, &nobody);
	it->row->by_user = 1;
	record_instance(m, it);
	return true;
}

static void
make_missing(struct master *m, bool use_saved)
{
	struct team *team, *tmp;

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		for (unsigned i = 0; !team->doomed && i < team->wanted; i++) {
			struct instance *it;

			if (i < team->room && team->instances[i] != NULL)
				continue;
			it = crew_add(m, team, i, NULL);
			if (it == NULL) {
				log_error("%s:%u: no room for another instance",
				    team->name, i);
				continue;
			}
			if (use_saved && takeover_try(m, it))
				continue;
			if (use_saved && take_saved_wish(m, it))
				continue;
			if (team->worker->rules.autostart || team->scaled)
				drive_up(m, it, &nobody);
			else
				record_instance(m, it);
		}
	}
}

void
adopt_all(struct master *m, const struct handover *h, bool fresh, bool clean)
{
	bool use_saved = fresh && (!clean || !m->hello.first);
	bool *heard = calloc(CREW_SLOTS, sizeof *heard);

	memory_each(m->memory, take_scale, m);
	memory_each(m->memory, take_row, m);
	if (use_saved)
		take_saved_scale(m);
	for (size_t i = 0; i < h->count; i++) {
		if (heard != NULL && h->children[i].slot < CREW_SLOTS)
			heard[h->children[i].slot] = true;
		take_child(m, &h->children[i]);
	}
	if (heard != NULL && !fresh)
		settle_rows(m, heard);
	free(heard);
	if (!fresh)
		put_anew(m);
	if (use_saved && m->hello.first)
		takeover_begin(m);
	if (m->phase != PHASE_STOPPING)
		make_missing(m, use_saved);
	if (use_saved && m->hello.first)
		takeover_end(m);
	doom_leftovers(m);
	state_forget_saved(m->state);
}

void
adopt_taken_over(
    struct master *m, struct instance *it, const struct msg_launched *msg)
{
	struct msg_child child = {
		.slot = msg->slot,
		.gen = msg->gen,
		.pid = msg->pid,
		.state = CHILD_ALIVE,
		.flags = CHILD_ADOPTED,
		.tag = msg->tag,
	};
	int64_t age;

	it->adopting = false;
	/* Its start is known by the wall clock of the run before only. */
	age = it->row->started_ms != 0 ? clock_wall_ms() - it->row->started_ms
				       : 0;
	child.started_mono = clock_mono() - (age > 0 ? age : 0) * NS_PER_MS;
	memcpy(child.name, it->row->name, sizeof child.name);
	find_running(m, it, &child);
	record_event(m, it->row->name, "adopted",
	    "taken over after a crash of supervisord", &nobody);
	log_info("%s: taken over, pid %d", it->row->name, msg->pid);
}

void
adopt_not_taken_over(struct master *m, struct instance *it)
{
	bool wanted = it->row->life.wanted;

	/* It ended between the look and the grip. */
	it->adopting = false;
	it->row->pid = 0;
	it->row->life.wanted = 0;
	if (wanted)
		drive_up(m, it, &nobody);
	else
		record_instance(m, it);
}
