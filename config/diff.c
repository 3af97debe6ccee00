#include "config/diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load_int.h"

const char *const change_names[] = {
	[CHANGE_KEPT] = "kept",
	[CHANGE_LIVE] = "changed",
	[CHANGE_RESTART] = "restarted",
	[CHANGE_ADDED] = "added",
	[CHANGE_REMOVED] = "removed",
};

/* "a, b"; what does not fit ends in "..." */
static void
add_name(char *list, size_t size, const char *section, const char *name)
{
	size_t n = strlen(list);
	char item[64];

	snprintf(item, sizeof item, "%s%s%s", n > 0 ? ", " : "", section, name);
	if (n + strlen(item) + sizeof ", ..." <= size)
		memcpy(list + n, item, strlen(item) + 1);
	else if (n < 3 || strcmp(list + n - 3, "...") != 0)
		memcpy(list + n, ", ...", sizeof ", ...");
}

/* Where the bytes go: a change of that can't be made under a process. */
static bool
same_kind(const void *a, const void *b)
{
	const struct output *x = a, *y = b;

	return x->kind == y->kind;
}

bool
diff_same_socket(const struct socket_setting *a, const struct socket_setting *b)
{
	return type_listen.same(a, b) && a->reuse_port == b->reuse_port;
}

/* Between two that have the same names of sockets. */
static bool
same_addresses(
    const struct fleet *old, const struct fleet *new, const struct worker *w)
{
	for (char **name = w->sockets; name != NULL && *name != NULL; name++) {
		const struct socket_setting *a = fleet_socket(old, *name);
		const struct socket_setting *b = fleet_socket(new, *name);

		if (a == NULL || b == NULL || !diff_same_socket(a, b))
			return false;
	}
	return true;
}

/* What a live change may not do: other processes must do the work. */
static bool
needs_restart(const struct setting *row, const struct worker *old,
    const struct worker *new, const void *a, const void *b)
{
	if (row->flags & SETTING_OUTPUT)
		return !same_kind(a, b);
	if (row->flags & SETTING_TASKS)
		return old->hybrid != new->hybrid ||
		       old->tasks.mode != new->tasks.mode;
	return (row->flags & SETTING_RESTART) != 0;
}

static bool
same_setting(const struct setting *row, const struct fleet *fleets[2],
    const struct worker_diff *d)
{
	const void *a = (const char *)d->old + row->offset;
	const void *b = (const char *)d->new + row->offset;

	if (row->type == NULL || row->type->same == NULL ||
	    (row->flags & SETTING_LATER &&
		!(row->flags & (SETTING_RULES | SETTING_RESTART))))
		return true;
	return row->type->same(a, b) &&
	       (row->type != &type_sockets ||
		   same_addresses(fleets[0], fleets[1], d->new));
}

static void
compare(struct worker_diff *d, const struct fleet *fleets[2])
{
	bool restart = false, live = false;

	for (const struct setting *row = schema_worker; row->key != NULL;
	     row++) {
		const void *a = (const char *)d->old + row->offset;
		const void *b = (const char *)d->new + row->offset;

		if (same_setting(row, fleets, d))
			continue;
		add_name(d->settings, sizeof d->settings, "", row->key);
		live = true;
		restart |= needs_restart(row, d->old, d->new, a, b);
		if (row->flags & SETTING_RULES)
			d->rules = true;
		if (row->flags & SETTING_OUTPUT)
			d->output = true;
		if (row->flags & SETTING_PROCESSES)
			d->processes = true;
		if (row->flags & SETTING_TASKS)
			d->tasks = true;
	}
	d->change = restart ? CHANGE_RESTART : live ? CHANGE_LIVE : CHANGE_KEPT;
}

static void
compare_fixed(const struct settings *old, const struct settings *new,
    const char *section, const struct setting *rows, char *list, size_t size)
{
	char inner[32];

	for (const struct setting *row = rows; row->key != NULL; row++) {
		if (row->members != NULL) {
			snprintf(
			    inner, sizeof inner, "%s%s.", section, row->key);
			compare_fixed(
			    old, new, inner, row->members, list, size);
		} else if (row->flags & SETTING_FIXED &&
			   !row->type->same((const char *)old + row->offset,
			       (const char *)new + row->offset)) {
			add_name(list, size, section, row->key);
		}
	}
}

static bool
same_sockets(const struct fleet *old, const struct fleet *new)
{
	if (old->sockets_count != new->sockets_count)
		return false;
	for (size_t i = 0; i < new->sockets_count; i++) {
		const struct socket_setting *b = new->sockets[i];
		const struct socket_setting *a = fleet_socket(old, b->name);

		if (a == NULL || !schema_same(schema_socket, a, b))
			return false;
	}
	return true;
}

static const struct schedule *
find_schedule(const struct fleet *fleet, const char *name)
{
	if (fleet->own != NULL)
		return map_get(&fleet->own->schedules, name, strlen(name));
	for (size_t i = 0; i < fleet->schedules_count; i++) {
		if (strcmp(fleet->schedules[i]->name, name) == 0)
			return fleet->schedules[i];
	}
	return NULL;
}

static bool
same_schedules(const struct fleet *old, const struct fleet *new)
{
	if (old->schedules_count != new->schedules_count)
		return false;
	for (size_t i = 0; i < new->schedules_count; i++) {
		const struct schedule *b = new->schedules[i];
		const struct schedule *a = find_schedule(old, b->name);

		if (a == NULL || !schema_same(schema_schedule, a, b))
			return false;
	}
	return true;
}

int
fleet_diff(
    const struct fleet *old, const struct fleet *new, struct fleet_diff *ret)
{
	const struct fleet *fleets[2] = { old, new };
	struct worker_diff *d;

	memset(ret, 0, sizeof *ret);
	ret->workers = calloc(old->count + new->count + 1, sizeof *d);
	if (ret->workers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < new->count; i++) {
		d = &ret->workers[ret->count++];
		d->new = new->workers[i];
		d->old = fleet_find(old, d->new->name);
		if (d->old == NULL)
			d->change = CHANGE_ADDED;
		else
			compare(d, fleets);
	}
	for (size_t i = 0; i < old->count; i++) {
		if (fleet_find(new, old->workers[i]->name) != NULL)
			continue;
		d = &ret->workers[ret->count++];
		d->old = old->workers[i];
		d->change = CHANGE_REMOVED;
	}
	ret->sockets = !same_sockets(old, new);
	ret->schedules = !same_schedules(old, new);
	compare_fixed(&old->settings, &new->settings, "master.", schema_master,
	    ret->fixed, sizeof ret->fixed);
	compare_fixed(&old->settings, &new->settings, "control.",
	    schema_control, ret->fixed, sizeof ret->fixed);
	return 0;
}

void
fleet_diff_done(struct fleet_diff *diff)
{
	free(diff->workers);
	memset(diff, 0, sizeof *diff);
}
