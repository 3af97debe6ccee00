#include "supervisord/master/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/util.h"
#include "supervisord/master/rpc.h"

/* Levenshtein distance of short words, for "did you mean". */
static unsigned
distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned row[PROTO_NAME + 1];

	if (n > PROTO_NAME || strlen(a) > PROTO_NAME)
		return PROTO_NAME;
	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned above = row[j];
			unsigned cost = corner + (a[i - 1] != b[j - 1]);

			cost = MIN_OF(cost, above + 1);
			row[j] = MIN_OF(cost, row[j - 1] + 1);
			corner = above;
		}
	}
	return row[n];
}

void
targets_refuse(struct request *r, const char *word)
{
	char base[PROTO_NAME];
	const char *best = NULL;
	unsigned least = 3;
	struct team *team, *tmp;

	snprintf(base, sizeof base, "%.*s", (int)MIN_OF(strcspn(word, ":"), 70),
	    word);
	team = crew_team(&r->m->crew, base);
	if (team != NULL) {
		request_fail(r, RPC_NO_TARGET,
		    "no such target: \"%.100s\" (%s has %u instances)", word,
		    base, team->wanted);
		return;
	}
	HASH_ITER(hh, r->m->crew.teams, team, tmp)
	{
		unsigned d = distance(base, team->name);

		if (d < least) {
			least = d;
			best = team->name;
		}
	}
	if (best != NULL)
		request_fail(r, RPC_NO_TARGET,
		    "no such target: \"%.100s\" (did you mean \"%s\"?)", word,
		    best);
	else
		request_fail(
		    r, RPC_NO_TARGET, "no such target: \"%.100s\"", word);
}

static void
add(struct targets *t, bool *seen, struct instance *it)
{
	if (!seen[it->id]) {
		seen[it->id] = true;
		t->list[t->count++] = it;
	}
}

static void
add_team(struct targets *t, bool *seen, struct team *team)
{
	for (unsigned i = 0; i < team->room; i++) {
		if (team->instances[i] != NULL)
			add(t, seen, team->instances[i]);
	}
}

/* A worker's name, with or without ":*". */
static struct team *
team_named(struct master *m, const char *word)
{
	char name[PROTO_NAME];
	size_t length = strlen(word);

	if (length > 2 && strcmp(word + length - 2, ":*") == 0)
		length -= 2;
	if (length >= sizeof name)
		return NULL;
	memcpy(name, word, length);
	name[length] = '\0';
	return crew_team(&m->crew, name);
}

bool
targets_know(struct master *m, const char *word)
{
	return strcmp(word, "all") == 0 || team_named(m, word) != NULL ||
	       crew_find(&m->crew, word) != NULL;
}

static bool
add_word(struct request *r, struct targets *t, bool *seen, const char *word)
{
	struct master *m = r->m;
	struct team *team, *tmp;
	struct instance *it;

	if (strcmp(word, "all") == 0) {
		HASH_ITER(hh, m->crew.teams, team, tmp)
		add_team(t, seen, team);
		return true;
	}
	team = team_named(m, word);
	if (team != NULL) {
		add_team(t, seen, team);
		return true;
	}
	it = crew_find(&m->crew, word);
	if (it == NULL) {
		targets_refuse(r, word);
		return false;
	}
	add(t, seen, it);
	return true;
}

bool
targets_of(struct request *r, bool required, struct targets *ret)
{
	json_t *words = json_object_get(r->params, "targets"), *word;
	struct crew *crew = &r->m->crew;
	bool *seen = NULL;
	size_t i;

	memset(ret, 0, sizeof *ret);
	if (words != NULL && !json_is_array(words)) {
		request_fail(
		    r, RPC_PARAMS, "\"targets\" must be an array of names");
		return false;
	}
	if (json_array_size(words) == 0 && required) {
		request_fail(r, RPC_USAGE,
		    "no target: name a worker, an instance or \"all\"");
		return false;
	}
	ret->list = calloc(crew->count + 1, sizeof(struct instance *));
	seen = calloc(crew->ids_used + 1, sizeof *seen);
	if (ret->list == NULL || seen == NULL) {
		request_fail(r, RPC_FAILED, "out of memory");
		goto refused;
	}
	if (json_array_size(words) == 0 && !add_word(r, ret, seen, "all"))
		goto refused;
	json_array_foreach(words, i, word)
	{
		if (!json_is_string(word)) {
			request_fail(r, RPC_PARAMS,
			    "\"targets\" must be an array of names");
			goto refused;
		}
		if (!add_word(r, ret, seen, json_string_value(word)))
			goto refused;
	}
	free(seen);
	return true;
refused:
	free(seen);
	targets_done(ret);
	return false;
}

void
targets_done(struct targets *t)
{
	free(t->list);
	memset(t, 0, sizeof *t);
}
