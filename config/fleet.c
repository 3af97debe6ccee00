#include "config/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load_int.h"

const struct worker *
fleet_find(const struct fleet *fleet, const char *name)
{
	if (fleet->own != NULL)
		return map_get(&fleet->own->workers, name, strlen(name));
	for (size_t i = 0; i < fleet->count; i++) {
		if (strcmp(fleet->workers[i]->name, name) == 0)
			return fleet->workers[i];
	}
	return NULL;
}

const struct socket_setting *
fleet_socket(const struct fleet *fleet, const char *name)
{
	if (fleet->own != NULL)
		return map_get(&fleet->own->sockets, name, strlen(name));
	for (size_t i = 0; i < fleet->sockets_count; i++) {
		if (strcmp(fleet->sockets[i]->name, name) == 0)
			return fleet->sockets[i];
	}
	return NULL;
}

int
fleet_fill(const char *template, unsigned index, char *out, size_t size)
{
	char number[16];
	size_t n = (size_t)snprintf(number, sizeof number, "%u", index);
	size_t used = 0;

	for (; *template != '\0'; template ++) {
		bool hole = *template == FLEET_HOLE;
		size_t more = hole ? n : 1;

		if (used + more >= size)
			return -ENAMETOOLONG;
		memcpy(out + used, hole ? number : template, more);
		used += more;
	}
	if (used >= size)
		return -ENAMETOOLONG;
	out[used] = '\0';
	return 0;
}

void
fleet_free(struct fleet *fleet)
{
	struct fleet_own *own = fleet != NULL ? fleet->own : NULL;

	if (own == NULL)
		return;
	map_done(&own->workers);
	map_done(&own->sockets);
	map_done(&own->schedules);
	arena_done(&own->arena);
	free(own);
}

bool
autoscale_by_queue(const struct autoscale *a)
{
	return a->cpu == 0 && a->command == NULL;
}
