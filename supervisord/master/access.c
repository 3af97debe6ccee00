#include "supervisord/master/access.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"

static size_t
count(char *const *names)
{
	size_t n = 0;

	while (names != NULL && names[n] != NULL)
		n++;
	return n;
}

static bool
look_up(const char *name, bool is_group, unsigned *ret)
{
	char *end;

	if (isdigit((unsigned char)name[0])) {
		*ret = (unsigned)strtoul(name, &end, 10);
		return *end == '\0';
	}
	if (is_group) {
		const struct group *g = getgrnam(name);

		if (g != NULL)
			*ret = g->gr_gid;
		return g != NULL;
	} else {
		const struct passwd *p = getpwnam(name);

		if (p != NULL)
			*ret = p->pw_uid;
		return p != NULL;
	}
}

/* false: out of memory. */
static bool
fill(struct ids *ids, char *const *names, const char *setting)
{
	size_t n = count(names);

	ids->uids = calloc(n + 1, sizeof ids->uids[0]);
	ids->gids = calloc(n + 1, sizeof ids->gids[0]);
	if (ids->uids == NULL || ids->gids == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool is_group = names[i][0] == '@';
		unsigned id;

		if (!look_up(names[i] + is_group, is_group, &id))
			log_warn("control.%s: no such %s: \"%s\"", setting,
			    is_group ? "group" : "user", names[i]);
		else if (is_group)
			ids->gids[ids->gids_count++] = id;
		else
			ids->uids[ids->uids_count++] = id;
	}
	return true;
}

struct access *
access_new(const struct settings *s)
{
	struct access *a = calloc(1, sizeof *a);

	if (a != NULL && fill(&a->admins, s->admins, "admins") &&
	    fill(&a->viewers, s->viewers, "viewers"))
		return a;
	access_free(a);
	return NULL;
}

void
access_free(struct access *a)
{
	if (a != NULL)
		access_done(a);
	free(a);
}

static void
put_list(struct buf *b, const char *key, const unsigned *ids, size_t n)
{
	jw_key(b, key);
	jw_array(b);
	for (size_t i = 0; i < n; i++)
		jw_int(b, ids[i]);
	jw_array_end(b);
}

static void
put_ids(struct buf *b, const char *key, const struct ids *ids)
{
	jw_key(b, key);
	jw_object(b);
	put_list(b, "uids", ids->uids, ids->uids_count);
	put_list(b, "gids", ids->gids, ids->gids_count);
	jw_object_end(b);
}

void
access_json(const struct access *a, struct buf *b)
{
	static const struct access nobody;

	if (a == NULL)
		a = &nobody;
	put_ids(b, "admins", &a->admins);
	put_ids(b, "viewers", &a->viewers);
}
