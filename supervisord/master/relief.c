#include "supervisord/master/relief.h"

#include <stdlib.h>

#include "config/fleet.h"
#include "supervisord/base/log.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/streams.h"

struct relief {
	struct master *m;
	struct team *team;
	struct instance *stand_in; /* or NULL */
	bool alone;                /* there can't be one, this time */
	/* Instances come and go in a turn of their own: who has said that
	 * something changed is about one of them. */
	ev_timer timer;
};

static void look(struct ev_loop *loop, ev_timer *timer, int events);

static struct relief *
relief_of(struct master *m, struct team *team)
{
	struct relief *r = team->relief;

	if (r != NULL || !team->worker->hybrid || team->doomed)
		return r;
	r = team->relief = calloc(1, sizeof *r);
	if (r == NULL)
		return NULL;
	r->m = m;
	r->team = team;
	ev_timer_init(&r->timer, look, 0., 0.);
	r->timer.data = r;
	return r;
}

static void
look_soon(struct relief *r)
{
	if (r == NULL || ev_is_active(&r->timer))
		return;
	ev_timer_set(&r->timer, 0., 0.);
	ev_timer_start(r->m->loop, &r->timer);
}

void
relief_team_gone(struct team *team)
{
	struct relief *r = team->relief;

	if (r == NULL)
		return;
	ev_timer_stop(r->m->loop, &r->timer);
	if (r->stand_in != NULL)
		r->stand_in->row->stand_in = 0;
	free(r);
	team->relief = NULL;
}

/* --- the stand-in --------------------------------------------------------- */

static unsigned
free_index(const struct team *team)
{
	unsigned i = team->wanted;

	while (i < team->room && team->instances[i] != NULL)
		i++;
	return i;
}

static void
bring(struct relief *r)
{
	static const struct actor by = { .uid = -1, .command = "recycle" };
	struct master *m = r->m;
	struct instance *it = NULL;

	if (m->crew.count < FLEET_INSTANCES)
		it = crew_add(m, r->team, free_index(r->team), NULL);
	if (it == NULL) {
		log_warn("%s: no room for an instance that stands in for those "
			 "that are replaced",
		    r->team->name);
		r->alone = true;
		return;
	}
	it->row->stand_in = 1;
	r->stand_in = it;
	streams_set(m, it);
	drive_up(m, it, &by);
	drive_grant_turns(m);
}

void
relief_dismiss(struct master *m, struct team *team)
{
	struct relief *r = team->relief;
	struct instance *it = r != NULL ? r->stand_in : NULL;

	if (it == NULL)
		return;
	r->stand_in = NULL;
	it->row->stand_in = 0;
	drive_retire(m, it, &nobody);
}

/* It can't be started, or somebody has stopped it. */
static bool
is_of_no_use(const struct instance *it)
{
	return life_is_down(&it->row->life) ||
	       it->row->life.state == ST_BACKOFF;
}

static bool
is_needed(const struct team *team)
{
	return team->due > 0 || team->recycling != NULL || team->draining > 0;
}

static void
look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct relief *r = timer->data;
	struct master *m = r->m;
	struct team *team = r->team;

	(void)loop;
	(void)events;
	if (m->phase != PHASE_RUNNING)
		return;
	if (!is_needed(team)) {
		relief_dismiss(m, team);
		relief_team_gone(team);
		return;
	}
	if (r->stand_in != NULL && is_of_no_use(r->stand_in)) {
		relief_dismiss(m, team);
		r->alone = true;
	}
	if (r->stand_in == NULL && !r->alone)
		bring(r);
	recycle_next(m, team);
}

bool
relief_is_there(struct master *m, struct team *team)
{
	struct relief *r = relief_of(m, team);

	if (r == NULL || r->alone)
		return true;
	if (r->stand_in != NULL && r->stand_in->row->life.state == ST_RUNNING)
		return true;
	look_soon(r);
	return false;
}

/* --- what happens to the others ------------------------------------------- */

void
relief_drains(struct master *m, struct instance *it, bool drains)
{
	struct team *team = it->team;

	if (drains == (it->drains_pid != 0) || it->row->stand_in)
		return;
	it->drains_pid = drains ? it->row->pid : 0;
	it->row->drains = drains;
	team->draining += drains ? 1U : -1U;
	look_soon(drains ? relief_of(m, team) : team->relief);
}

void
relief_changed(struct master *m, struct instance *it)
{
	const struct memory_row *row = it->row;

	if (it->drains_pid != 0 &&
	    (life_is_down(&row->life) ||
		(row->life.state == ST_RUNNING && row->pid != it->drains_pid)))
		relief_drains(m, it, false);
	look_soon(it->team->relief);
}

void
relief_gone(struct instance *it)
{
	struct team *team = it->team;

	if (it->drains_pid != 0)
		team->draining--;
	if (team->relief != NULL && team->relief->stand_in == it)
		team->relief->stand_in = NULL;
	look_soon(team->relief);
}

void
relief_resized(struct master *m, struct team *team, unsigned count)
{
	struct relief *r = team->relief;
	struct instance *it = r != NULL ? r->stand_in : NULL;

	if (it == NULL || it->row->index >= count)
		return;
	/* It is one as any other now. */
	r->stand_in = NULL;
	it->row->stand_in = 0;
	if (it->row->life.alive)
		recycle_started(m, it);
	look_soon(r);
}

/* --- after a crash of the master ------------------------------------------ */

bool
relief_adopt(struct master *m, struct team *team, struct instance *it)
{
	struct relief *r = relief_of(m, team);

	/* The broker takes it back if that is not so any more. */
	if (r != NULL && it->row->drains && it->row->life.alive) {
		it->drains_pid = it->row->pid;
		team->draining++;
	} else {
		it->row->drains = 0;
	}
	if (!it->row->stand_in)
		return false;
	if (r == NULL || r->stand_in != NULL || it->row->index < team->wanted) {
		it->row->stand_in = 0;
		return false;
	}
	r->stand_in = it;
	return true;
}

/* The one that finishes its tasks before it is replaced, or NULL. */
static struct instance *
finishing_one(const struct team *team)
{
	for (unsigned i = 0; i < team->room; i++) {
		struct instance *it = team->instances[i];

		if (it != NULL && it->row->life.finishing &&
		    it->row->life.wanted)
			return it;
	}
	return NULL;
}

void
relief_restored(struct master *m, struct team *team)
{
	struct instance *finishing = finishing_one(team);

	(void)m;
	if (finishing != NULL) {
		team->recycling = finishing;
		finishing->note_pid = finishing->row->pid;
	}
	if (team->relief == NULL)
		return;
	for (unsigned i = 0;
	     team->recycling == NULL && i < MIN_OF(team->wanted, team->room);
	     i++) {
		struct instance *it = team->instances[i];

		if (it == NULL || it->doomed || !it->row->life.wanted ||
		    it->row->life.state == ST_RUNNING ||
		    life_is_down(&it->row->life))
			continue;
		/* That one is why there is a stand-in. */
		team->recycling = it;
		break;
	}
	look_soon(team->relief);
}
