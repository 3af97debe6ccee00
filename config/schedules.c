/* The section `schedules`. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/load_int.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/cron.h"
#include "supervisord/base/json_check.h"

#define FUNC_MAX  128 /* as the workers' protocol has it */
#define ARGS_MAX  (256 * 1024)
#define EVERY_MIN (10 * NS_PER_MS)

static int
read_func(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false);

	(void)row;
	if (text == NULL)
		return -EINVAL;
	if (*text == '\0')
		return fail(r->l, s, "an empty name");
	if (strlen(text) > FUNC_MAX)
		return fail(r->l, s, "longer than %d bytes", FUNC_MAX);
	*(char **)field = loading_keep(r->l, text);
	return 0;
}

static int
read_json(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false);
	size_t size, at;

	(void)row;
	if (text == NULL)
		return -EINVAL;
	size = strlen(text);
	if (size > ARGS_MAX)
		return fail(r->l, s, "longer than %d bytes", ARGS_MAX);
	if (json_check(text, size, &at) < 0) {
		if (at == size)
			return fail(r->l, s, "not JSON: it ends too soon");
		return fail(r->l, s,
		    "not JSON: wrong at byte %zu, before \"%.20s\"", at + 1,
		    text + at);
	}
	*(char **)field = loading_keep(r->l, text);
	return 0;
}

static int
read_every(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	int64_t *every = field;
	int err = type_duration.read(r, s, row, every);

	if (err == 0 && *every < EVERY_MIN)
		return fail(r->l, s, "must be at least 10ms");
	return err;
}

static int
read_cron(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false);
	struct cron cron;
	char why[160];

	(void)row;
	if (text == NULL)
		return -EINVAL;
	if (cron_parse(text, &cron, why, sizeof why) < 0)
		return fail(r->l, s, "\"%s\" is no time: %s", text, why);
	if (cron_next(&cron, NULL, 0) < 0)
		return fail(r->l, s,
		    "\"%s\" never comes: no year has such a day", text);
	*(char **)field = loading_keep(r->l, text);
	return 0;
}

static int
read_zone(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false), *dir;
	struct buf what;
	int64_t n;
	int err;

	(void)row;
	if (text == NULL)
		return -EINVAL;
	buf_init(&what);
	buf_fmt(&what, "zone:%s", text);
	err = buf_text(&what) != NULL
		  ? source_number(&r->l->source, buf_text(&what), &n)
		  : -ENOMEM;
	buf_done(&what);
	dir = getenv("TZDIR");
	dir = dir != NULL && *dir != '\0' ? dir : "/usr/share/zoneinfo";
	switch (err) {
	case 0:
		*(char **)field = loading_keep(r->l, text);
		return 0;
	case -ENOMEM:
		r->l->nomem = true;
		return err;
	case -EINVAL:
		return fail(r->l, s,
		    "\"%s\" is not a time zone (such as \"Europe/Berlin\")",
		    text);
	case -ENOTSUP:
		return fail(r->l, s,
		    "\"%s\" counts leap seconds, which is not supported", text);
	default:
		return fail(r->l, s,
		    "there is no time zone \"%s\" in %s (such as "
		    "\"Europe/Berlin\")",
		    text, dir);
	}
}

/* --- the section
 * -------------------------------------------------------------- */

static const config_setting_t *
slot(const struct slots *slots, const char *key)
{
	return slots->of[schema_index(schema_schedule, key)];
}

static int
check_worker(struct loading *l, const config_setting_t *s,
    const struct schedule *to, const struct worker **ret)
{
	struct nearest nearest;

	*ret = fleet_find(l->fleet, to->task);
	if (*ret == NULL) {
		nearest_init(&nearest, to->task);
		for (size_t i = 0; i < l->fleet->count; i++)
			nearest_try(&nearest, l->fleet->workers[i]->name);
		return fail_absent(l, s, "worker", &nearest);
	}
	if (!(*ret)->hybrid)
		return fail(l, s,
		    "the worker \"%s\" (%s:%u) takes no tasks: it has neither "
		    "a module nor tasks { }",
		    to->task, (*ret)->source, (*ret)->line);
	return 0;
}

static int
check_times(
    struct loading *l, const config_setting_t *s, const struct slots *own)
{
	const config_setting_t *every = slot(own, "every");
	const config_setting_t *cron = slot(own, "cron");
	int err = 0;

	if (every == NULL && cron == NULL)
		err = fail(l, s, "every or cron is missing");
	if (every != NULL && cron != NULL)
		err = fail(l, cron, "can't be set together with every");
	if (cron == NULL && slot(own, "timezone") != NULL)
		err = fail(l, slot(own, "timezone"),
		    "goes with cron: only the calendar has a time zone");
	return err;
}

static int
check(struct loading *l, const config_setting_t *s, const struct slots *own,
    struct schedule *to)
{
	const struct worker *w = NULL;
	int err = check_times(l, s, own);

	if (slot(own, "task") == NULL)
		err = fail(l, s, "task is missing: the worker that gets it");
	else if (to->task != NULL &&
		 check_worker(l, slot(own, "task"), to, &w) < 0)
		err = -EINVAL;
	if (slot(own, "func") == NULL) {
		if (w != NULL && w->hybrid && w->tasks.mode != TASK_MODE_EXEC)
			err = fail(l, s,
			    "func is missing: the function of the worker");
		to->func = loading_keep(l, "");
	}
	return err;
}

static int
read_element(struct loading *l, const config_setting_t *s, const char *name,
    void *context)
{
	const config_setting_t *presets = context;
	struct schedule *to = arena_alloc(&l->own->arena, sizeof *to);
	struct reader r = { .l = l };
	struct slots own = { 0 };
	int err;

	name = loading_keep(l, name);
	if (to == NULL || name == NULL ||
	    map_put(&l->own->schedules, name, strlen(name), to) < 0) {
		l->nomem = true;
		return -ENOMEM;
	}
	to->name = loading_keep(l, name);
	to->source = part_of(s)->path;
	to->line = s->line;
	to->timeout = -1;
	l->fleet->schedules[l->fleet->schedules_count++] = to;
	err = named_slots(l, s, schema_schedule, &own);
	if (slots_read(&r, &own, presets, schema_schedule, to) < 0)
		err = -EINVAL;
	if (!l->nomem && check(l, s, &own, to) < 0)
		err = -EINVAL;
	return err;
}

static const char *
schedule_source(const void *known, unsigned *ret_line)
{
	const struct schedule *to = known;

	*ret_line = to->line;
	return to->source;
}

int
schedules_read(struct loading *l)
{
	const struct named named = { .section = "schedules",
		.noun = "schedule",
		.known = &l->own->schedules,
		.read = read_element,
		.source = schedule_source,
		.context = config_setting_get_member(
		    config_root_setting(&l->presets->config), "schedule") };

	l->fleet->schedules = arena_alloc(&l->own->arena,
	    (named_count(l, "schedules") + 1) * sizeof(struct schedule *));
	if (l->fleet->schedules == NULL) {
		l->nomem = true;
		return -ENOMEM;
	}
	return named_read(l, &named);
}

const struct type type_func = { "a name", read_func, same_string };
const struct type type_json = { "JSON text", read_json, same_string };
const struct type type_every = { "a duration (\"10s\", or a number of seconds)",
	read_every, same_int64 };
const struct type type_cron = { "a time such as \"0 3 * * *\"", read_cron,
	same_string };
const struct type type_zone = { "a time zone", read_zone, same_string };
