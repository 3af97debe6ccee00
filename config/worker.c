/* The sections `defaults` and `workers` into the fleet. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/lex.h"
#include "config/load.h"
#include "config/load_int.h"

/* What the reading of all workers goes by. */
struct gathering {
	struct loading *l;
	struct slots defaults;
	const config_setting_t *presets;
	size_t room;      /* for workers */
	size_t instances; /* so far */
	struct map files; /* of output, to the first stream writing there */
};

struct stream {
	const struct worker *worker;
	const struct output *output;
	const char *key; /* "stdout" */
};

const char *
worker_name(const config_setting_t *s)
{
	const config_setting_t *name;

	if (!config_setting_is_group(s))
		return NULL;
	name = config_setting_get_member(s, LEX_NAME);
	if (name == NULL)
		name = config_setting_get_member(s, "name");
	return name != NULL ? config_setting_get_string(name) : NULL;
}

static const config_setting_t *
slot(const struct slots *slots, const char *key)
{
	return slots->of[schema_index(schema_worker, key)];
}

static int
check_ladder(struct loading *l, const struct slots *slots)
{
	const config_setting_t *stop = slot(slots, "stop");

	if (stop != NULL && slot(slots, "stop_signal") != NULL)
		return fail(l, stop, "can't be set together with stop_signal");
	if (stop != NULL && slot(slots, "stop_timeout") != NULL)
		return fail(l, stop, "can't be set together with stop_timeout");
	return 0;
}

/* A worker's own settings over the defaults. Either way of saying how to stop
 * replaces the other; the environment is merged elsewhere. */
static void
put_over_defaults(
    const struct gathering *g, const struct slots *own, struct slots *ret)
{
	bool ladder = slot(own, "stop") != NULL;
	bool simple = slot(own, "stop_signal") != NULL ||
		      slot(own, "stop_timeout") != NULL;

	for (size_t i = 0; i < SETTINGS_MAX; i++)
		ret->of[i] =
		    own->of[i] != NULL ? own->of[i] : g->defaults.of[i];
	if (ladder) {
		ret->of[schema_index(schema_worker, "stop_signal")] = NULL;
		ret->of[schema_index(schema_worker, "stop_timeout")] = NULL;
	}
	if (simple)
		ret->of[schema_index(schema_worker, "stop")] = NULL;
}

static int
read_worker(struct gathering *g, const struct slots *own, const char *name,
    struct worker *w)
{
	struct reader r = { .l = g->l, .worker = name };
	struct slots all;
	int err;

	put_over_defaults(g, own, &all);
	w->umask = FLEET_NO_UMASK;
	err = slots_read(&r, &all, g->presets, schema_worker, w);
	if (g->l->load->pid1 && slot(&all, "stdout") == NULL)
		w->out.kind = OUTPUT_INHERIT;
	if (stop_read(&r, &all, &w->rules) < 0)
		err = -EINVAL;
	if (environment_read(&r, own, &g->defaults, w) < 0)
		err = -EINVAL;
	return err;
}

/* --- defaults
 * ----------------------------------------------------------------- */

/* They are also read for a worker that is none, for the sake of errors that
 * should be told though there is no worker, or though each overrides them. */
static int
read_defaults(struct gathering *g)
{
	struct loading *l = g->l;
	const struct slots none = { 0 };
	struct worker nobody = { 0 };
	int err = 0;

	for (struct section *s = l->sections; s != NULL; s = s->next) {
		if (strcmp(s->row->key, "defaults") != 0)
			continue;
		if (!config_setting_is_group(s->value))
			err = fail(l, s->value, "must be a group { }");
		else if (slots_fill(l, s->value, schema_worker, &g->defaults) <
			 0)
			err = -EINVAL;
	}
	if (slot(&g->defaults, "name") != NULL)
		err = fail(l, slot(&g->defaults, "name"), "unknown setting");
	if (check_ladder(l, &g->defaults) < 0)
		err = -EINVAL;
	if (read_worker(g, &none, "worker", &nobody) < 0)
		err = -EINVAL;
	return err;
}

/* --- workers
 * ------------------------------------------------------------------- */

static int
check_name(struct loading *l, const config_setting_t *s, const char *name)
{
	const char *p = name;

	if (strcmp(name, "all") == 0)
		return fail(l, s,
		    "\"all\" can't be a worker's name: as a target it means "
		    "every worker");
	if (strlen(name) > FLEET_NAME_MAX)
		return fail(l, s,
		    "a worker's name can't be longer than %d bytes",
		    FLEET_NAME_MAX);
	if (isalnum((unsigned char)*p) || *p == '_') {
		while (isalnum((unsigned char)*p) ||
		       (*p != '\0' && strchr("_.-", *p) != NULL))
			p++;
		if (*p == '\0')
			return 0;
	}
	return fail(l, s,
	    "\"%s\" can't be a target: a worker's name is made of letters, "
	    "digits, \"_\", \"-\" and \".\" and starts with neither \"-\" nor "
	    "\".\"",
	    name);
}

/* The files of all streams: one file has one way to be rotated. */
static int
check_file(struct gathering *g, const struct worker *w,
    const struct output *out, const char *key)
{
	struct loading *l = g->l;
	const struct output *o;
	struct stream *first;

	if (out->kind != OUTPUT_FILE || out->file == NULL)
		return 0;
	first = map_get(&g->files, out->file, strlen(out->file));
	if (first == NULL) {
		first = loading_scratch(l, sizeof *first);
		if (first == NULL)
			return -ENOMEM;
		*first = (struct stream){ w, out, key };
		if (map_put(&g->files, out->file, strlen(out->file), first) < 0)
			l->nomem = true;
		return 0;
	}
	o = first->output;
	if (o->max_size == out->max_size && o->keep == out->keep &&
	    o->compress == out->compress && o->timestamps == out->timestamps)
		return 0;
	report_add(&l->report, w->source, w->line,
	    "workers.%s.%s: writes to the same file as workers.%s.%s (%s:%u), "
	    "but with another max_size, keep, compress or timestamps",
	    w->name, key, first->worker->name, first->key,
	    first->worker->source, first->worker->line);
	return -EINVAL;
}

static int
check_worker(struct gathering *g, const struct worker *w)
{
	int err = check_file(g, w, &w->out, "stdout");

	if (check_file(g, w, &w->err, "stderr") < 0)
		err = -EINVAL;
	if (g->instances <= FLEET_INSTANCES &&
	    g->instances + w->processes > FLEET_INSTANCES) {
		report_add(&g->l->report, w->source, w->line,
		    "workers.%s.processes: all workers together have more than "
		    "%d instances from here on",
		    w->name, FLEET_INSTANCES);
		err = -EINVAL;
	}
	g->instances += w->processes;
	return err;
}

/* Takes the worker into the fleet under its name. NULL: reported, or nomem. */
static struct worker *
add_worker(struct gathering *g, const config_setting_t *s, const char *name)
{
	struct loading *l = g->l;
	struct worker *w = map_get(&l->own->workers, name, strlen(name));

	if (w != NULL) {
		fail(l, s, "defined twice, first at %s:%u", w->source, w->line);
		return NULL;
	}
	w = arena_alloc(&l->own->arena, sizeof *w);
	name = loading_keep(l, name);
	if (w == NULL || name == NULL ||
	    map_put(&l->own->workers, name, strlen(name), w) < 0) {
		l->nomem = true;
		return NULL;
	}
	w->name = loading_keep(l, name);
	w->source = part_of(s)->path;
	w->line = s->line;
	l->fleet->workers[l->fleet->count++] = w;
	return w;
}

static int
read_element(struct gathering *g, const config_setting_t *s)
{
	struct loading *l = g->l;
	const char *name = worker_name(s);
	struct slots own = { 0 };
	const config_setting_t *named;
	struct worker *w;
	int err;

	if (!config_setting_is_group(s))
		return fail(l, s, "must be a group { name = \"...\"; ... }");
	if (config_setting_get_member(s, LEX_VALUE) != NULL)
		return fail(l, s, "must be a group { }");
	if (name == NULL)
		return fail(l, s, "needs a name: { name = \"...\"; ... }");
	if (check_name(l, s, name) < 0)
		return -EINVAL;
	w = add_worker(g, s, name);
	if (w == NULL)
		return -EINVAL;
	err = slots_fill(l, s, schema_worker, &own);
	named = slot(&own, "name");
	if (named != NULL && config_setting_get_member(s, LEX_NAME) != NULL)
		err = fail(l, named, "unknown setting");
	if (check_ladder(l, &own) < 0)
		err = -EINVAL;
	if (read_worker(g, &own, w->name, w) < 0)
		err = -EINVAL;
	if (slot(&own, "command") == NULL &&
	    slot(&g->defaults, "command") == NULL &&
	    config_setting_get_member(s, "module") == NULL)
		err = fail(l, s, "command is missing");
	if (err == 0)
		err = check_worker(g, w);
	return err;
}

static int
read_section(struct gathering *g, const config_setting_t *s)
{
	int n = config_setting_length(s), err = 0;

	for (unsigned i = 0; i < (unsigned)n && !g->l->nomem; i++) {
		if (read_element(g, config_setting_get_elem(s, i)) < 0)
			err = -EINVAL;
	}
	return err;
}

static bool
is_workers(const struct section *s)
{
	return strcmp(s->row->key, "workers") == 0;
}

int
workers_read(struct loading *l)
{
	struct gathering g = { .l = l };
	struct section *s;
	int err;

	g.presets = config_setting_get_member(
	    config_root_setting(&l->presets->config), "worker");
	for (s = l->sections; s != NULL; s = s->next) {
		if (is_workers(s) && config_setting_is_list(s->value))
			g.room += (size_t)config_setting_length(s->value);
	}
	l->fleet->workers =
	    arena_alloc(&l->own->arena, (g.room + 1) * sizeof(struct worker *));
	if (l->fleet->workers == NULL) {
		l->nomem = true;
		return -ENOMEM;
	}
	err = read_defaults(&g);
	for (s = l->sections; s != NULL; s = s->next) {
		if (!is_workers(s))
			continue;
		/* The lexer has made a list of the named form. */
		if (!config_setting_is_list(s->value))
			err = fail(l, s->value,
			    "must be a group { NAME: { ... }; } or a list "
			    "( { name = ...; } )");
		else if (read_section(&g, s->value) < 0)
			err = -EINVAL;
	}
	map_done(&g.files);
	return err;
}
