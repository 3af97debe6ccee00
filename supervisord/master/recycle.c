#include "supervisord/master/recycle.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/relief.h"

#define LOOK_SECONDS 5.

/* A process that never lives for start_seconds is killed and started again at
 * once so many times in a row; then it has failed to start. */
#define QUICK_KILLS 3

static void
forget_due(struct instance *it)
{
	if (it->due == NULL)
		return;
	free(it->due);
	it->due = NULL;
	it->team->due--;
}

static void
note(struct master *m, struct instance *it, const char *kind, const char *why)
{
	free(it->note);
	it->note = strdup(why);
	it->note_pid = it->row->pid;
	record_event(m, it->row->name, kind, why, &nobody);
	log_info(
	    "%s: pid %d is replaced: %s", it->row->name, it->row->pid, why);
}

static void
replace(struct master *m, struct instance *it, const char *kind,
    const char *why, bool kill)
{
	const struct life *life = &it->row->life;
	const struct rules *rules = instance_rules(it);

	note(m, it, kind, why);
	if (life->state == ST_STOPPING) {
		/* It is being ended anyhow; what it waits for has no sense. */
		if (kill)
			drive_kill(m, it);
		return;
	}
	if (kill && life->state == ST_STARTING &&
	    ++it->quick_kills > QUICK_KILLS) {
		drive_signal(m, it, SIGKILL, rules->scope == SCOPE_GROUP);
		return;
	}
	if (life->state == ST_RUNNING)
		it->quick_kills = 0;
	if (kill)
		drive_replace(m, it, true);
	else
		drive_finish(m, it);
}

void
recycle_replace(
    struct master *m, struct instance *it, const char *why, bool kill)
{
	if (it->row->life.alive)
		replace(m, it, "replace", why, kill);
}

void
recycle_late(struct instance *it)
{
	char text[UNITS_TEXT], why[128];

	units_format_duration(
	    instance_rules(it)->start_timeout, text, sizeof text);
	snprintf(why, sizeof why,
	    "in %s it has not said what it can do (start_timeout)", text);
	free(it->note);
	it->note = strdup(why);
	it->note_pid = it->row->pid;
}

void
recycle_broken(struct master *m, struct instance *it, const char *why)
{
	if (!it->row->life.alive)
		return;
	note(m, it, "replace", why);
	if (it->row->life.state == ST_STOPPING)
		drive_kill(m, it);
	else
		drive_signal(
		    m, it, SIGKILL, instance_rules(it)->scope == SCOPE_GROUP);
}

/* --- one of a worker at a time -------------------------------------------- */

void
recycle_next(struct master *m, struct team *team)
{
	for (unsigned i = 0; team->recycling == NULL && i < team->room; i++) {
		struct instance *it = team->instances[i];
		char *why;

		if (it == NULL || it->due == NULL || it->doomed ||
		    it->row->life.state != ST_RUNNING)
			continue;
		if (!relief_is_there(m, team))
			return;
		why = it->due;
		it->due = NULL;
		team->due--;
		team->recycling = it;
		replace(m, it, "recycle", why, false);
		free(why);
	}
}

void
recycle_changed(struct master *m, struct instance *it)
{
	struct team *team = it->team;
	const struct memory_row *row = it->row;

	if (team->recycling == it &&
	    (life_is_down(&row->life) ||
		(row->life.state == ST_RUNNING && it->note_pid != row->pid)))
		team->recycling = NULL;
	if (team->recycling == NULL && team->due > 0)
		recycle_next(m, team);
	relief_changed(m, it);
}

void
recycle_gone(struct master *m, struct instance *it)
{
	ev_timer_stop(m->loop, &it->age);
	forget_due(it);
	free(it->note);
	it->note = NULL;
	if (it->team->recycling == it)
		it->team->recycling = NULL;
}

void
recycle_due(struct master *m, struct instance *it, const char *why)
{
	if (it->due != NULL || it->note_pid == it->row->pid ||
	    it->row->stand_in)
		return;
	it->due = strdup(why);
	if (it->due == NULL)
		return;
	it->team->due++;
	recycle_next(m, it->team);
}

/* --- age ------------------------------------------------------------------ */

/* Not all at the same moment: between 1 - jitter and 1 times the limit. */
static int64_t
drawn(const struct recycle *r, int64_t limit)
{
	return (int64_t)((double)limit * (1. - r->jitter * drand48()));
}

static void
too_old(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct instance *it = CONTAINER_OF(timer, struct instance, age);
	int64_t age = clock_mono() - it->row->started_mono;
	char text[UNITS_TEXT], why[128];

	(void)loop;
	(void)events;
	units_format_duration(age / NS_PER_SEC * NS_PER_SEC, text, sizeof text);
	snprintf(
	    why, sizeof why, "recycled: up for %s (recycle.max_age)", text);
	recycle_due(timer->data, it, why);
}

void
recycle_started(struct master *m, struct instance *it)
{
	const struct recycle *r = &it->team->worker->recycle;
	int64_t left;

	ev_timer_stop(m->loop, &it->age);
	forget_due(it);
	it->memory_limit = drawn(r, r->max_memory);
	if (r->max_age == 0)
		return;
	left = it->row->started_mono + drawn(r, r->max_age) - clock_mono();
	ev_now_update(m->loop);
	ev_timer_init(&it->age, too_old,
	    left > 0 ? (double)left / (double)NS_PER_SEC : 0., 0.);
	it->age.data = m;
	ev_timer_start(m->loop, &it->age);
}

void
recycle_ended(struct master *m, struct instance *it)
{
	ev_timer_stop(m->loop, &it->age);
	forget_due(it);
}

/* --- memory --------------------------------------------------------------- */

static void
look_at(struct master *m, struct instance *it)
{
	int64_t size;
	char why[128];

	if (!it->row->life.alive || it->row->life.state != ST_RUNNING ||
	    it->due != NULL)
		return;
	size = procfs_resident(it->row->pid);
	if (size <= it->memory_limit)
		return;
	snprintf(why, sizeof why,
	    "recycled: %lld MiB of memory (recycle.max_memory)",
	    (long long)(size >> 20));
	recycle_due(m, it, why);
}

static void
look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct master *m = timer->data;
	struct team *team, *tmp;
	struct instance *it;
	bool any = false;
	unsigned i;

	(void)events;
	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		if (team->doomed || team->worker->recycle.max_memory == 0)
			continue;
		any = true;
		for (i = 0; i < team->room; i++) {
			it = team->instances[i];
			if (it != NULL)
				look_at(m, it);
		}
	}
	if (!any)
		ev_timer_stop(loop, timer);
}

void
recycle_settings(struct master *m, struct team *team)
{
	for (unsigned i = 0; i < team->room; i++) {
		struct instance *it = team->instances[i];

		if (it != NULL && it->row->life.alive)
			recycle_started(m, it);
	}
	if (team->worker->recycle.max_memory == 0 ||
	    ev_is_active(&m->memory_timer))
		return;
	ev_timer_init(&m->memory_timer, look, LOOK_SECONDS, LOOK_SECONDS);
	m->memory_timer.data = m;
	ev_timer_start(m->loop, &m->memory_timer);
}
