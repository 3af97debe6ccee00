#include "supervisord/master/adopt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/master/amend.h"
#include "supervisord/master/autoscale.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/handover.h"
#include "supervisord/master/master.h"
#include "supervisord/master/probe.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/relief.h"
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
	if (!team->doomed && (row->stand_in || row->drains) &&
	    relief_adopt(m, team, it))
		it->doomed = false;
	/* Its rules may be others than those it was stopped by. */
	if (row->life.step >= instance_rules(it)->stop_count)
		row->life.step = (uint8_t)(instance_rules(it)->stop_count - 1);
	/* Its place in the guardian's table matters still: for its exit, or for
	 * the end of what it left. */
	if (row->life.alive || row->life.leaving)
		crew_set_slot(&m->crew, it, row->slot, row->gen);
}

/* --- what the guardian says ----------------------------------------------- */

/* What is known of an instance that memory has nothing of; it lives, so it is
 * wanted unless somebody said otherwise. */
static void
take_saved_row(struct master *m, struct instance *it)
{
	const struct state_saved *saved;
	bool known = state_saved_instance(m->state, it->row->name, &saved);

	it->row->life.wanted = !it->doomed && (!known || saved->wanted_up ||
						  !saved->wanted_by_user);
	if (!known)
		return;
	it->row->by_user = saved->wanted_by_user;
	it->row->life.restarts = (uint64_t)saved->restarts;
}

/* The instance of that name, or a doomed one to end a process nobody wants. */
static struct instance *
instance_for(struct master *m, const char *name, bool *ret_new)
{
	struct instance *it = crew_find(&m->crew, name);
	char worker[PROTO_NAME];
	struct team *team;
	unsigned index;

	*ret_new = false;
	if (it != NULL || !crew_split(name, worker, &index))
		return it;
	team = team_leftover(m, worker);
	it = team != NULL ? crew_add(m, team, index, NULL) : NULL;
	if (it == NULL)
		return NULL;
	*ret_new = true;
	it->doomed = team->doomed || index >= team->wanted;
	take_saved_row(m, it);
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

	memory_begin(m->memory, row);
	crew_set_slot(&m->crew, it, child->slot, child->gen);
	row->pid = child->pid;
	row->tag = child->tag;
	row->hybrid = it->team->worker->hybrid;
	row->adopted = (child->flags & CHILD_ADOPTED) != 0;
	row->started_mono = child->started_mono;
	row->started_ms = clock_wall_ms() - age / NS_PER_MS;
	row->start_ticks = procfs_start_ticks(child->pid);
	drive_found(m, it, child->started_mono);
}

/* The process memory says it has? */
static bool
is_of(const struct msg_child *child, const struct memory_row *row)
{
	if (row->tag != 0 && row->tag == child->tag)
		return true;
	return row->life.alive && row->slot == child->slot &&
	       row->gen == child->gen;
}

static void
take_child(struct master *m, const struct msg_child *child)
{
	bool newer, made;
	struct instance *it;

	if (probe_is_name(child->name)) {
		probe_left_over(m, child);
		return;
	}
	it = instance_for(m, child->name, &made);
	if (it == NULL) {
		log_error(
		    "%s: process %d can't be told from others: left alone",
		    child->name, child->pid);
		return;
	}
	/* Older ones have ended, were dealt with, and are only not committed.
	 */
	newer = child->started_mono > it->row->started_mono;
	if (is_of(child, it->row)) {
		crew_set_slot(&m->crew, it, child->slot, child->gen);
		it->heard = true;
	} else if (newer && it->row->life.launching) {
		it->heard = true;
		hear_of_launch(m, it, child);
	} else if (made || child->state == CHILD_ALIVE) {
		it->heard = true;
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
settle_team(struct master *m, struct team *team)
{
	/* Pinned: it may go with its last instance. */
	team->members++;
	for (unsigned i = 0; i < team->room; i++) {
		struct instance *it = team->instances[i];

		if (it == NULL)
			continue;
		if (it->row->life.alive && !it->heard)
			settle_missing(m, it);
		else
			drive_restore(m, it);
	}
	team->members--;
	team_instance_gone(m, team);
}

static void
settle_rows(struct master *m)
{
	struct team *team, *tmp;

	HASH_ITER(hh, m->crew.teams, team, tmp)
	settle_team(m, team);
}

/* A user's numbers, as they are now. */
static void
put_scales(struct master *m)
{
	struct team *team, *tmp;
	char key[PROTO_NAME + 8];

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		snprintf(key, sizeof key, "scale.%s", team->name);
		if (team->scaled || state_saved_fact(m->state, key) != NULL)
			team_remember_scale(m, team);
	}
}

/* The store knows of it, the config does not (any more). */
static void
forget_unknown(const struct state_saved *saved, void *arg)
{
	struct master *m = arg;

	if (crew_find(&m->crew, saved->name) == NULL)
		record_gone(m, saved->name);
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
	unsigned i;

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
			if (it != NULL && it->doomed &&
			    (team->doomed || !it->row->life.finishing))
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
		team->wanted = (unsigned)MIN_OF(
		    strtoul(value, NULL, 10), (unsigned long)FLEET_INSTANCES);
		team->scaled = true;
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

/* The master before was killed between making it and saying what it is for:
 * nobody has said that it should be down. */
static bool
is_half_made(const struct instance *it)
{
	const struct memory_row *row = it->row;

	return !it->doomed && !row->by_user && !row->life.wanted &&
	       life_is_down(&row->life);
}

static void
make_missing(struct master *m, bool use_saved, bool look)
{
	struct team *team, *tmp;

	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		for (unsigned i = 0; !team->doomed && i < team->wanted; i++) {
			struct instance *it =
			    i < team->room ? team->instances[i] : NULL;

			if (it != NULL && !is_half_made(it))
				continue;
			if (it == NULL)
				it = crew_add(m, team, i, NULL);
			if (it == NULL) {
				log_error("%s:%u: no memory for it, or no room",
				    team->name, i);
				amend_later(m);
				break;
			}
			if (look && takeover_try(m, it))
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
	/* A first master may have had one before it, killed on its way. */
	bool use_saved = m->hello.first ? !clean : fresh;
	/* Where nothing was stored nobody knows how the last run ended. */
	struct team *team, *tmp;
	bool look = m->hello.first && (!clean || record_is_forgetful(m));

	memory_each(m->memory, take_scale, m);
	memory_each(m->memory, take_row, m);
	if (use_saved && fresh)
		take_saved_scale(m);
	for (size_t i = 0; i < h->count; i++)
		take_child(m, &h->children[i]);
	settle_rows(m);
	if (!fresh)
		put_anew(m);
	put_scales(m);
	if (look)
		takeover_begin(m, clean);
	if (m->phase != PHASE_STOPPING)
		make_missing(m, use_saved, look);
	if (look)
		takeover_end(m);
	doom_leftovers(m);
	if (m->phase != PHASE_STOPPING)
		state_each_saved(m->state, forget_unknown, m);
	state_forget_saved(m->state);
	m->broker_unsure = fresh && !m->hello.first;
	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		recycle_settings(m, team);
		relief_restored(m, team);
		autoscale_settings(m, team);
	}
	drive_grant_turns(m);
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
		.started_mono = msg->started_mono,
		.tag = msg->tag,
	};

	memcpy(child.name, it->row->name, sizeof child.name);
	find_running(m, it, &child);
	record_event(m, it->row->name, "adopted",
	    "taken over after a crash of supervisord", &nobody);
	log_info("%s: taken over, pid %d", it->row->name, msg->pid);
}
