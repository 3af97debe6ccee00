#include "supervisord/master/teams.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/log.h"
#include "supervisord/master/amend.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/jobs.h"
#include "supervisord/master/master.h"
#include "supervisord/master/record.h"
#include "supervisord/master/relief.h"
#include "supervisord/master/streams.h"

static int
by_order(const struct team *a, const struct team *b)
{
	return a->order < b->order ? -1 : a->order > b->order;
}

int
teams_make(struct master *m, const struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++) {
		const struct worker *w = fleet->workers[i];
		struct team *team = crew_team(&m->crew, w->name);

		if (team == NULL)
			team = crew_add_team(&m->crew, w->name, w);
		if (team == NULL)
			return -ENOMEM;
		team->order = i;
	}
	HASH_SORT(m->crew.teams, by_order);
	return 0;
}

void
teams_unmake(struct master *m, const struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++) {
		struct team *team =
		    crew_team(&m->crew, fleet->workers[i]->name);

		if (team != NULL && team->worker == fleet->workers[i])
			crew_remove_team(&m->crew, team);
	}
}

void
teams_release(struct retired *retired)
{
	if (retired == NULL || --retired->refs > 0)
		return;
	fleet_free(retired->fleet);
	free(retired);
}

void
team_instance_gone(struct master *m, struct team *team)
{
	if (!team->doomed || team->members > 0)
		return;
	teams_release(team->retired);
	crew_remove_team(&m->crew, team);
}

/* What a process of a worker nobody remembers is stopped by. */
static const struct worker leftover = {
	.name = (char[]){ "removed" },
	.rules = {
		.restart = RESTART_NEVER,
		.stop = { { SIGTERM, 10 * 1000000000LL }, { SIGKILL, 0 } },
		.stop_count = 2,
		.scope = SCOPE_TREE,
	},
	.out = { .kind = OUTPUT_FILE },
	.err = { .kind = OUTPUT_STDOUT },
	.argv = (char *[]){ (char[]){ "removed" }, NULL },
};

struct team *
team_leftover(struct master *m, const char *name)
{
	char worker[PROTO_NAME];
	struct team *team;

	snprintf(worker, sizeof worker, "%.*s", (int)strcspn(name, ":"), name);
	team = crew_team(&m->crew, worker);
	if (team != NULL)
		return team;
	team = crew_add_team(&m->crew, worker, &leftover);
	if (team == NULL)
		return NULL;
	team->doomed = true;
	team->wanted = 0;
	team->order = (size_t)-1;
	return team;
}

void
team_remember_scale(struct master *m, struct team *team)
{
	char name[PROTO_NAME], key[PROTO_NAME + 8], value[16];
	struct memory_row *row;

	/* In memory, for the next master; in the store, for the next
	 * supervisord should this one be killed. */
	snprintf(name, sizeof name, "=%.*s", PROTO_NAME - 2, team->name);
	row = memory_named(m->memory, name);
	if (row != NULL && team->scaled)
		row->index = team->wanted;
	else if (row != NULL)
		memory_free(m->memory, row);
	else if (team->scaled)
		(void)memory_new(m->memory, name, team->wanted);
	snprintf(key, sizeof key, "scale.%s", team->name);
	snprintf(value, sizeof value, "%u", team->wanted);
	record_fact(m, key, team->scaled ? value : NULL);
}

static bool
add_instance(struct master *m, struct team *team, unsigned index,
    const struct actor *by, struct job *job)
{
	struct instance *it = crew_add(m, team, index, NULL);
	bool up = team->worker->rules.autostart || team->scaled;

	if (it == NULL) {
		log_error("%s:%u: no memory for it, or no room (at most %d "
			  "instances, with those that are leaving)",
		    team->name, index, MEMORY_ROWS);
		amend_later(m);
		return false;
	}
	streams_set(m, it);
	if (up && job != NULL)
		job_add(job, it, GOAL_UP);
	if (up)
		drive_up(m, it, by);
	else
		record_instance(m, it);
	return true;
}

/* It was leaving, and belongs to the fleet again. */
static void
pardon(struct master *m, struct instance *it, const struct actor *by,
    struct job *job)
{
	bool up = it->team->worker->rules.autostart || it->team->scaled;

	it->doomed = false;
	streams_set(m, it);
	if (up && job != NULL)
		job_add(job, it, GOAL_UP);
	if (up)
		drive_up(m, it, by);
	else
		drive_down(m, it, by);
}

void
team_resize(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job)
{
	/* Nobody's word, so that it does not look like a user's start. */
	struct actor autostart = { .uid = -1, .command = by->command };

	team->wanted = count;
	relief_resized(m, team, count);
	for (unsigned i = team->room; i > count; i--) {
		struct instance *it = team->instances[i - 1];

		if (it == NULL || it->doomed || it->row->stand_in)
			continue;
		if (job != NULL)
			job_add(job, it, GOAL_DOWN);
		if (by->uid < 0 && job == NULL && !team->doomed &&
		    team->worker->autoscale.on)
			drive_retire(m, it, by);
		else
			drive_doom(m, it, by);
	}
	for (unsigned i = 0; i < count; i++) {
		struct instance *it =
		    i < team->room ? team->instances[i] : NULL;

		if (it != NULL && it->doomed)
			pardon(m, it, &autostart, job);
		if (it == NULL && !add_instance(m, team, i, &autostart, job))
			return;
	}
}

bool
team_may_scale(const struct master *m, const struct team *team, unsigned count)
{
	return m->crew.count - team->members + count <= FLEET_INSTANCES;
}

void
team_scale(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job)
{
	team->scaled = count != team->worker->processes;
	team->wanted = count;
	team_remember_scale(m, team);
	team_resize(m, team, count, by, job);
}
