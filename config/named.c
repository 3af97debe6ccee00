/* Sections whose members have names of the user's own: workers, sockets,
 * schedules; as a group, which the lexer has made a list, or as a list. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/lex.h"
#include "config/load_int.h"

const char *
named_name(const config_setting_t *s)
{
	const config_setting_t *name;

	if (!config_setting_is_group(s))
		return NULL;
	name = config_setting_get_member(s, LEX_NAME);
	if (name == NULL)
		name = config_setting_get_member(s, "name");
	return name != NULL ? config_setting_get_string(name) : NULL;
}

int
named_slots(struct loading *l, const config_setting_t *s,
    const struct setting *rows, struct slots *slots)
{
	int err = slots_fill(l, s, rows, slots);
	const config_setting_t *name = slots->of[schema_index(rows, "name")];

	if (name != NULL && config_setting_get_member(s, LEX_NAME) != NULL)
		err = fail(l, name, "unknown setting");
	return err;
}

static int
check_name(struct loading *l, const config_setting_t *s, const char *name,
    const char *noun)
{
	bool worker = strcmp(noun, "worker") == 0;
	const char *p = name;

	if (worker && strcmp(name, "all") == 0)
		return fail(l, s,
		    "\"all\" can't be a worker's name: as a target it means "
		    "every worker");
	if (strlen(name) > FLEET_NAME_MAX)
		return fail(l, s, "a %s's name can't be longer than %d bytes",
		    noun, FLEET_NAME_MAX);
	if (isalnum((unsigned char)*p) || *p == '_') {
		while (isalnum((unsigned char)*p) ||
		       (*p != '\0' && strchr("_.-", *p) != NULL))
			p++;
		if (*p == '\0')
			return 0;
	}
	return fail(l, s,
	    "\"%s\" can't be a %s: a %s's name is made of letters, "
	    "digits, \"_\", \"-\" and \".\" and starts with neither \"-\" nor "
	    "\".\"",
	    name, worker ? "target" : "name", noun);
}

static int
read_element(
    struct loading *l, const struct named *named, const config_setting_t *s)
{
	const char *name = named_name(s), *source;
	const void *known;
	unsigned line;

	if (!config_setting_is_group(s))
		return fail(l, s, "must be a group { name = \"...\"; ... }");
	if (config_setting_get_member(s, LEX_VALUE) != NULL)
		return fail(l, s, "must be a group { }");
	if (name == NULL)
		return fail(l, s, "needs a name: { name = \"...\"; ... }");
	if (check_name(l, s, name, named->noun) < 0)
		return -EINVAL;
	known = map_get(named->known, name, strlen(name));
	if (known != NULL) {
		source = named->source(known, &line);
		return fail(
		    l, s, "defined twice, first at %s:%u", source, line);
	}
	return named->read(l, s, name, named->context);
}

size_t
named_count(const struct loading *l, const char *section)
{
	size_t n = 0;

	for (struct section *s = l->sections; s != NULL; s = s->next) {
		if (strcmp(s->row->key, section) == 0 &&
		    config_setting_is_list(s->value))
			n += (size_t)config_setting_length(s->value);
	}
	return n;
}

int
named_read(struct loading *l, const struct named *named)
{
	int err = 0;

	for (struct section *s = l->sections; s != NULL; s = s->next) {
		int n;

		if (strcmp(s->row->key, named->section) != 0)
			continue;
		/* The lexer has made a list of the named form. */
		if (!config_setting_is_list(s->value)) {
			err = fail(l, s->value,
			    "must be a group { NAME: { ... }; } or a list "
			    "( { name = ...; } )");
			continue;
		}
		n = config_setting_length(s->value);
		for (unsigned i = 0; i < (unsigned)n && !l->nomem; i++) {
			if (read_element(l, named,
				config_setting_get_elem(s->value, i)) < 0)
				err = -EINVAL;
		}
	}
	return err;
}

/* --- what was meant
 * ----------------------------------------------------------- */

void
nearest_init(struct nearest *n, const char *wanted)
{
	*n = (struct nearest){ .wanted = wanted, .distance = SCHEMA_FAR };
}

void
nearest_try(struct nearest *n, const char *candidate)
{
	unsigned d = schema_distance(n->wanted, candidate);

	if (d < n->distance) {
		n->distance = d;
		n->name = candidate;
	}
}

int
fail_absent(struct loading *l, const config_setting_t *s, const char *noun,
    const struct nearest *n)
{
	if (n->name != NULL)
		return fail(l, s,
		    "there is no %s \"%s\" (did you mean \"%s\"?)", noun,
		    n->wanted, n->name);
	return fail(l, s, "there is no %s \"%s\"", noun, n->wanted);
}
