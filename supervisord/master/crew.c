#include "supervisord/master/crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/master/autoscale.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/relief.h"

bool
crew_init(struct crew *crew)
{
	memset(crew, 0, sizeof *crew);
	list_init(&crew->queue);
	crew->slots = calloc(CREW_SLOTS, sizeof(struct instance *));
	return crew->slots != NULL;
}

struct team *
crew_team(const struct crew *crew, const char *name)
{
	struct team *team;

	HASH_FIND_STR(crew->teams, name, team);
	return team;
}

struct team *
crew_add_team(struct crew *crew, const char *name, const struct worker *worker)
{
	struct team *team = calloc(1, sizeof *team);

	if (team == NULL)
		return NULL;
	snprintf(team->name, sizeof team->name, "%s", name);
	team->worker = worker;
	team->wanted = worker->processes;
	HASH_ADD_STR(crew->teams, name, team);
	if (team->hh.tbl == NULL) {
		free(team);
		return NULL;
	}
	return team;
}

void
crew_remove_team(struct crew *crew, struct team *team)
{
	HASH_DEL(crew->teams, team);
	autoscale_gone(team);
	relief_team_gone(team);
	free(team->scale_why);
	free(team->instances);
	free(team);
}

bool
crew_split(const char *name, char worker[PROTO_NAME], unsigned *ret_index)
{
	const char *colon = strrchr(name, ':');
	size_t digits;

	if (colon == NULL || colon == name ||
	    (size_t)(colon - name) > WORKER_NAME_MAX)
		return false;
	digits = strspn(colon + 1, "0123456789");
	if (digits == 0 || digits > 8 || colon[1 + digits] != '\0' ||
	    (colon[1] == '0' && digits > 1))
		return false;
	memcpy(worker, name, (size_t)(colon - name));
	worker[colon - name] = '\0';
	*ret_index = (unsigned)strtoul(colon + 1, NULL, 10);
	return true;
}

struct instance *
crew_find(const struct crew *crew, const char *name)
{
	char worker[PROTO_NAME];
	struct team *team;
	unsigned index;

	if (!crew_split(name, worker, &index))
		return NULL;
	team = crew_team(crew, worker);
	return team != NULL && index < team->room ? team->instances[index]
						  : NULL;
}

static bool
make_room(struct team *team, unsigned index)
{
	unsigned room = team->room > 0 ? team->room : 1;
	struct instance **grown;

	while (room <= index)
		room *= 2;
	if (room == team->room)
		return true;
	grown = realloc(team->instances, room * sizeof(struct instance *));
	if (grown == NULL)
		return false;
	memset(grown + team->room, 0,
	    (room - team->room) * sizeof(struct instance *));
	team->instances = grown;
	team->room = room;
	return true;
}

static bool
new_id(struct crew *crew, uint32_t *ret)
{
	if (crew->free_ids_count > 0) {
		*ret = crew->free_ids[--crew->free_ids_count];
		return true;
	}
	if (crew->ids_used == crew->ids_room) {
		uint32_t room = crew->ids_room > 0 ? crew->ids_room * 2 : 64;
		struct instance **ids =
		    realloc(crew->ids, room * sizeof(struct instance *));
		uint32_t *unused;

		if (ids == NULL)
			return false;
		crew->ids = ids;
		/* As large as the ids, so that giving one back can't fail. */
		unused = realloc(crew->free_ids, room * sizeof *unused);
		if (unused == NULL)
			return false;
		crew->free_ids = unused;
		crew->ids_room = room;
	}
	*ret = crew->ids_used++;
	return true;
}

struct instance *
crew_add(
    struct master *m, struct team *team, unsigned index, struct memory_row *row)
{
	char name[PROTO_NAME];
	struct instance *it = calloc(1, sizeof *it);

	/* An index may come from outside: from the guardian's child table. */
	if (it == NULL || index >= MEMORY_ROWS ||
	    (index < team->room && team->instances[index] != NULL) ||
	    !make_room(team, index) || !new_id(&m->crew, &it->id))
		goto failed;
	snprintf(
	    name, sizeof name, "%.*s:%u", WORKER_NAME_MAX, team->name, index);
	if (row == NULL) {
		row = memory_new(m->memory, name, index);
		if (row == NULL) {
			m->crew.free_ids[m->crew.free_ids_count++] = it->id;
			goto failed;
		}
		life_init(&row->life, clock_mono());
	}
	it->row = row;
	it->team = team;
	list_init(&it->queue);
	list_init(&it->waiters);
	ev_init(&it->timer, drive_timer);
	ev_init(&it->age, drive_timer);
	it->timer.data = m;
	team->instances[index] = it;
	m->crew.ids[it->id] = it;
	team->members++;
	m->crew.count++;
	if (life_is_down(&row->life))
		m->crew.down++;
	if (row->life.state == ST_STARTING)
		m->crew.starting++;
	return it;
failed:
	free(it);
	return NULL;
}

void
crew_remove(struct master *m, struct instance *it)
{
	struct crew *crew = &m->crew;

	ev_timer_stop(m->loop, &it->timer);
	recycle_gone(m, it);
	relief_gone(it);
	list_remove(&it->queue);
	it->team->instances[it->row->index] = NULL;
	it->team->members--;
	crew->ids[it->id] = NULL;
	crew->free_ids[crew->free_ids_count++] = it->id;
	if (it->row->slot < CREW_SLOTS && crew->slots[it->row->slot] == it)
		crew->slots[it->row->slot] = NULL;
	crew->count--;
	if (life_is_down(&it->row->life))
		crew->down--;
	memory_free(m->memory, it->row);
	free(it);
}

struct instance *
crew_by_id(const struct crew *crew, uint32_t id)
{
	return id < crew->ids_used ? crew->ids[id] : NULL;
}

struct instance *
crew_by_slot(const struct crew *crew, uint32_t slot, uint32_t gen)
{
	struct instance *it = slot < CREW_SLOTS ? crew->slots[slot] : NULL;

	return it != NULL && it->row->slot == slot && it->row->gen == gen
		   ? it
		   : NULL;
}

void
crew_set_slot(
    struct crew *crew, struct instance *it, uint32_t slot, uint32_t gen)
{
	if (it->row->slot < CREW_SLOTS && crew->slots[it->row->slot] == it)
		crew->slots[it->row->slot] = NULL;
	it->row->slot = slot;
	it->row->gen = gen;
	if (slot < CREW_SLOTS)
		crew->slots[slot] = it;
}

const struct rules *
instance_rules(const struct instance *it)
{
	return &it->team->worker->rules;
}
