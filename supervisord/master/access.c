#include "supervisord/master/access.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"

struct who {
	bool is_group;
	unsigned id;
};

struct access {
	size_t admins, viewers;
	struct who who[]; /* admins, then viewers */
};

static size_t
count(char *const *names)
{
	size_t n = 0;

	while (names != NULL && names[n] != NULL)
		n++;
	return n;
}

static bool
look_up(const char *name, struct who *ret)
{
	char *end;

	ret->is_group = name[0] == '@';
	if (ret->is_group)
		name++;
	if (isdigit((unsigned char)name[0])) {
		ret->id = (unsigned)strtoul(name, &end, 10);
		return *end == '\0';
	}
	if (ret->is_group) {
		const struct group *g = getgrnam(name);

		if (g != NULL)
			ret->id = g->gr_gid;
		return g != NULL;
	} else {
		const struct passwd *p = getpwnam(name);

		if (p != NULL)
			ret->id = p->pw_uid;
		return p != NULL;
	}
}

static size_t
add(struct who *to, char *const *names, const char *setting)
{
	size_t n = 0;

	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		if (look_up(names[i], &to[n]))
			n++;
		else
			log_warn("control.%s: no such %s: \"%s\"", setting,
			    names[i][0] == '@' ? "group" : "user", names[i]);
	}
	return n;
}

struct access *
access_new(const struct settings *s)
{
	struct access *a =
	    calloc(1, sizeof *a + (count(s->admins) + count(s->viewers)) *
				      sizeof a->who[0]);

	if (a == NULL)
		return NULL;
	a->admins = add(a->who, s->admins, "admins");
	a->viewers = add(a->who + a->admins, s->viewers, "viewers");
	return a;
}

void
access_free(struct access *a)
{
	free(a);
}

static bool
matches(const struct who *w, uid_t uid, const gid_t *gids, size_t n)
{
	if (!w->is_group)
		return w->id == uid;
	for (size_t i = 0; i < n; i++) {
		if (gids[i] == w->id)
			return true;
	}
	return false;
}

void
access_of(const struct access *a, uid_t uid, const gid_t *gids, size_t n,
    bool *ret_look, bool *ret_change)
{
	*ret_change = uid == 0 || uid == geteuid();
	*ret_look = *ret_change;
	for (size_t i = 0; i < a->admins + a->viewers; i++) {
		if (!matches(&a->who[i], uid, gids, n))
			continue;
		*ret_look = true;
		if (i < a->admins)
			*ret_change = true;
	}
}

static void
put_ids(struct buf *b, const char *key, const struct who *who, size_t n,
    bool groups)
{
	jw_key(b, key);
	jw_array(b);
	for (size_t i = 0; i < n; i++) {
		if (who[i].is_group == groups)
			jw_int(b, who[i].id);
	}
	jw_array_end(b);
}

static void
put_who(struct buf *b, const char *key, const struct who *who, size_t n)
{
	jw_key(b, key);
	jw_object(b);
	put_ids(b, "uids", who, n, false);
	put_ids(b, "gids", who, n, true);
	jw_object_end(b);
}

void
access_json(const struct access *a, struct buf *b)
{
	size_t admins = a != NULL ? a->admins : 0;
	size_t viewers = a != NULL ? a->viewers : 0;

	put_who(b, "admins", a != NULL ? a->who : NULL, admins);
	put_who(b, "viewers", a != NULL ? a->who + admins : NULL, viewers);
}
