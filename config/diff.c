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

static void
compare(struct worker_diff *d)
{
	bool restart = false, live = false;

	for (const struct setting *row = schema_worker; row->key != NULL;
	     row++) {
		const void *a = (const char *)d->old + row->offset;
		const void *b = (const char *)d->new + row->offset;

		if (row->type == NULL || row->type->same == NULL ||
		    (row->flags & SETTING_LATER &&
			!(row->flags & (SETTING_RULES | SETTING_RESTART))) ||
		    row->type->same(a, b))
			continue;
		add_name(d->settings, sizeof d->settings, "", row->key);
		live = true;
		if (row->flags & SETTING_RESTART ||
		    (row->flags & SETTING_OUTPUT && !same_kind(a, b)))
			restart = true;
		if (row->flags & SETTING_RULES)
			d->rules = true;
		if (row->flags & SETTING_OUTPUT)
			d->output = true;
		if (row->flags & SETTING_PROCESSES)
			d->processes = true;
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

int
fleet_diff(
    const struct fleet *old, const struct fleet *new, struct fleet_diff *ret)
{
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
			compare(d);
	}
	for (size_t i = 0; i < old->count; i++) {
		if (fleet_find(new, old->workers[i]->name) != NULL)
			continue;
		d = &ret->workers[ret->count++];
		d->old = old->workers[i];
		d->change = CHANGE_REMOVED;
	}
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
