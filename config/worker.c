/* The sections `defaults` and `workers` into the fleet. */

#include <errno.h>
#include <string.h>

#include "config/load.h"
#include "config/load_int.h"

/* What the reading of all workers goes by. */
struct gathering {
	struct loading *l;
	struct slots defaults;
	const config_setting_t *presets;
	size_t instances; /* so far */
	struct map files; /* of output, to the first stream writing there */
};

struct stream {
	const struct worker *worker;
	const struct output *output;
	const char *key; /* "stdout" */
};

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

/* What excludes each other in one place; across two the worker's counts. */
static int
check_together(struct loading *l, const struct slots *slots)
{
	const config_setting_t *module = slot(slots, "module");
	int err = check_ladder(l, slots);

	if (module != NULL && slot(slots, "command") != NULL)
		err = fail(l, module,
		    "can't be set together with command: a module is run by "
		    "supervisord's own program");
	return err;
}

/* A worker's own settings over the defaults. Either way of saying how to stop,
 * or what to run, replaces the other; the environment is merged elsewhere. */
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
	if (slot(own, "module") != NULL)
		ret->of[schema_index(schema_worker, "command")] = NULL;
	else if (slot(own, "command") != NULL)
		ret->of[schema_index(schema_worker, "module")] = NULL;
}

static int
read_worker(struct gathering *g, const struct slots *own,
    const struct slots *all, const char *name, struct worker *w)
{
	struct reader r = { .l = g->l, .worker = name };
	int err;

	w->umask = FLEET_NO_UMASK;
	err = slots_read(&r, all, g->presets, schema_worker, w);
	if (g->l->load->pid1 && slot(all, "stdout") == NULL)
		w->out.kind = OUTPUT_INHERIT;
	if (stop_read(&r, all, &w->rules) < 0)
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
	if (check_together(l, &g->defaults) < 0)
		err = -EINVAL;
	if (read_worker(g, &none, &g->defaults, "worker", &nobody) < 0)
		err = -EINVAL;
	return err;
}

/* --- workers
 * ------------------------------------------------------------------- */

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
	unsigned most = w->autoscale.on ? w->autoscale.max : w->processes;
	int err = check_file(g, w, &w->out, "stdout");

	if (check_file(g, w, &w->err, "stderr") < 0)
		err = -EINVAL;
	if (g->instances <= FLEET_INSTANCES &&
	    g->instances + most > FLEET_INSTANCES) {
		report_add(&g->l->report, w->source, w->line,
		    "workers.%s.processes: all workers together have more than "
		    "%d instances from here on",
		    w->name, FLEET_INSTANCES);
		err = -EINVAL;
	}
	g->instances += most;
	return err;
}

/* Takes a worker into the fleet under its name. */
static struct worker *
add_worker(struct loading *l, const config_setting_t *s, const char *name)
{
	struct worker *w = arena_alloc(&l->own->arena, sizeof *w);

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

static const char *
worker_source(const void *known, unsigned *ret_line)
{
	const struct worker *w = known;

	*ret_line = w->line;
	return w->source;
}

static int
read_element(struct loading *l, const config_setting_t *s, const char *name,
    void *context)
{
	struct gathering *g = context;
	struct slots own = { 0 }, all;
	struct worker *w = add_worker(l, s, name);
	int err;

	if (w == NULL)
		return -ENOMEM;
	err = named_slots(l, s, schema_worker, &own);
	if (check_together(l, &own) < 0)
		err = -EINVAL;
	put_over_defaults(g, &own, &all);
	/* Known of one with errors, too: schedules ask for it. */
	w->hybrid = slot(&all, "module") != NULL || slot(&all, "tasks") != NULL;
	if (read_worker(g, &own, &all, w->name, w) < 0)
		err = -EINVAL;
	if (slot(&all, "command") == NULL && slot(&all, "module") == NULL)
		err = fail(l, s, "command or module is missing");
	if (!l->nomem && hybrid_check(l, &own, &all, w) < 0)
		err = -EINVAL;
	w->rules.announces = w->hybrid;
	if (err == 0)
		err = check_worker(g, w);
	return err;
}

int
workers_read(struct loading *l)
{
	struct gathering g = { .l = l };
	const struct named named = { .section = "workers",
		.noun = "worker",
		.known = &l->own->workers,
		.read = read_element,
		.source = worker_source,
		.context = &g };
	int err;

	g.presets = config_setting_get_member(
	    config_root_setting(&l->presets->config), "worker");
	l->fleet->workers = arena_alloc(&l->own->arena,
	    (named_count(l, "workers") + 1) * sizeof(struct worker *));
	if (l->fleet->workers == NULL) {
		l->nomem = true;
		return -ENOMEM;
	}
	err = read_defaults(&g);
	if (named_read(l, &named) < 0)
		err = -EINVAL;
	map_done(&g.files);
	return err;
}
