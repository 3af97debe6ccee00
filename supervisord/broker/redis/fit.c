/*
 * Is this Redis fit to keep tasks? A cache is not: it forgets what it has no
 * room for, and what was not written when it stopped.
 */

#ifdef WITH_HIREDIS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/broker/redis/shared_int.h"

struct fit {
	enum durability durability;
	bool master, cluster, loading, aof, aof_broken, evicts, room;
	int version; /* the first number */
	char version_text[32], policy[32];
	char fsync[16]; /* "": it may not be asked for */
};

struct fit *
fit_new(enum durability durability)
{
	struct fit *f = calloc(1, sizeof *f);

	if (f != NULL)
		f->durability = durability;
	return f;
}

void
fit_free(struct fit *f)
{
	free(f);
}

/* The value of a line "name:value". */
static void
field(const char *text, const char *name, char *ret, size_t size)
{
	size_t n = strlen(name);
	const char *p = text;

	ret[0] = '\0';
	while (p != NULL && *p != '\0') {
		if (strncmp(p, name, n) == 0 && p[n] == ':') {
			size_t end = strcspn(p + n + 1, "\r\n");

			snprintf(ret, size, "%.*s", (int)end, p + n + 1);
			return;
		}
		p = strchr(p, '\n');
		if (p != NULL)
			p++;
	}
}

static bool
is(const char *text, const char *name, const char *value)
{
	char got[64];

	field(text, name, got, sizeof got);
	return strcmp(got, value) == 0;
}

static unsigned long long
number(const char *text, const char *name)
{
	char got[32];

	field(text, name, got, sizeof got);
	return strtoull(got, NULL, 10);
}

void
fit_info(struct fit *f, const redisReply *r)
{
	const char *text = r->str != NULL ? r->str : "";
	unsigned long long most = number(text, "maxmemory");

	field(text, "redis_version", f->version_text, sizeof f->version_text);
	f->version = atoi(f->version_text);
	f->master = is(text, "role", "master");
	f->cluster = is(text, "redis_mode", "cluster");
	f->loading = is(text, "loading", "1");
	f->aof = is(text, "aof_enabled", "1");
	f->aof_broken = is(text, "aof_last_write_status", "err");
	field(text, "maxmemory_policy", f->policy, sizeof f->policy);
	f->evicts = most > 0 && strcmp(f->policy, "noeviction") != 0;
	/* Not for the next few alone. */
	f->room = most == 0 || number(text, "used_memory") < most - most / 20;
}

void
fit_fsync(struct fit *f, const redisReply *r)
{
	f->fsync[0] = '\0';
	if (r->type == REDIS_REPLY_ARRAY && r->elements >= 2 &&
	    r->element[1]->str != NULL)
		snprintf(f->fsync, sizeof f->fsync, "%s", r->element[1]->str);
}

static bool
is_usable(const struct fit *f, char *words, size_t size)
{
	if (f->loading)
		snprintf(words, size, "it is loading its data");
	else if (f->version < 5)
		snprintf(words, size, "it is Redis %s: 5.0 or newer is needed",
		    f->version_text);
	else if (f->cluster)
		snprintf(words, size,
		    "it is a cluster: a Redis of its own is needed");
	else if (!f->master)
		snprintf(words, size,
		    "it is a replica: the URL has to be the primary's");
	else
		return true;
	return false;
}

static bool
is_safe(const struct fit *f, char *words, size_t size)
{
	if (f->evicts)
		snprintf(words, size,
		    "unsafe: it drops tasks when its memory is full "
		    "(maxmemory-policy %s); CONFIG SET maxmemory-policy "
		    "noeviction, and the same in redis.conf",
		    f->policy);
	else if (f->durability == DURABLE_NONE)
		return true;
	else if (!f->aof)
		snprintf(words, size,
		    "unsafe: it forgets tasks when it stops (appendonly no); "
		    "CONFIG SET appendonly yes%s, and the same in redis.conf, "
		    "or tasks.durability = \"none\"",
		    f->durability == DURABLE_FULL
			? ", CONFIG SET appendfsync always"
			: "");
	else if (f->aof_broken)
		snprintf(words, size,
		    "it can't write its append-only file: is its disk full?");
	else if (f->durability == DURABLE_FULL && f->fsync[0] == '\0')
		snprintf(words, size,
		    "it may not be asked whether it is safe: allow the user "
		    "the command (ACL SETUSER NAME +config|get), or "
		    "tasks.durability = \"process\"");
	else if (f->durability == DURABLE_FULL &&
		 strcmp(f->fsync, "always") != 0)
		snprintf(words, size,
		    "unsafe: a power cut undoes what it acknowledged "
		    "(appendfsync %s); CONFIG SET appendfsync always, and the "
		    "same in redis.conf, or tasks.durability = \"process\"",
		    f->fsync);
	else
		return true;
	return false;
}

bool
fit_has_room(const struct fit *f)
{
	return f->room;
}

enum fit_for
fit_verdict(const struct fit *f, char *words, size_t size)
{
	words[0] = '\0';
	if (!is_usable(f, words, size))
		return FIT_FOR_NOTHING;
	return is_safe(f, words, size) ? FIT_FOR_TASKS : FIT_UNSAFE;
}

#endif
