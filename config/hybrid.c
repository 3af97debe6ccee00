/* What makes a worker hybrid, and how its instances come and go: tasks,
 * recycle, autoscale. */

#include <errno.h>
#include <string.h>

#include "config/load_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/redis_url.h"
#include "supervisord/base/units.h"

#define MEMORY_LEAST   (1 << 20)
#define INTERVAL_LEAST (100 * NS_PER_MS)
/* Less than this a broker may need to be started again. */
#define LEASE_LEAST (500 * NS_PER_MS)

#ifdef WITH_HIREDIS
#define WITH_REDIS true
#else
#define WITH_REDIS false
#endif

static const config_setting_t *
slot(const struct slots *slots, const char *key)
{
	return slots->of[schema_index(schema_worker, key)];
}

/* A member of a group that may be absent, or that group itself. */
static const config_setting_t *
member_of(const config_setting_t *group, const char *key)
{
	const config_setting_t *s =
	    group != NULL ? config_setting_get_member(group, key) : NULL;

	return s != NULL ? s : group;
}

static int
read_store(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false);
	struct redis_url url;
	char why[256];

	(void)row;
	*(char **)field = NULL;
	if (text == NULL)
		return -EINVAL;
	if (strcmp(text, "local") == 0)
		return 0;
	if (!redis_url_meant(text))
		return fail(r->l, s,
		    "neither \"local\" nor the URL of a Redis "
		    "(\"redis://HOST/0\", \"unix:///PATH\")");
	if (redis_url_parse(text, &url, why, sizeof why) < 0)
		return fail(r->l, s, "%s", why);
	if (!WITH_REDIS)
		return fail(r->l, s,
		    "this supervisord was built without hiredis: tasks can "
		    "only be kept in the \"local\" store");
	*(char **)field = loading_keep(r->l, text);
	return *(char **)field != NULL ? 0 : -ENOMEM;
}

static int
read_tasks(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return members_read(r, s, row, field);
}

static int
read_recycle(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct recycle *recycle = field;
	int err = members_read(r, s, row, recycle);

	if (err == 0 && recycle->max_memory > 0 &&
	    recycle->max_memory < MEMORY_LEAST)
		return fail(r->l, member_of(s, "max_memory"),
		    "%lld bytes are less than any process has (such as "
		    "\"512M\")",
		    (long long)recycle->max_memory);
	return err;
}

static int
read_interval(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	int err = type_duration.read(r, s, row, field);

	if (err == 0 && *(int64_t *)field < INTERVAL_LEAST)
		return fail(r->l, s, "must be at least 100ms");
	return err;
}

/* The queue, cpu and command each say how many there should be: one of them
 * can be right. */
static int
check_measures(
    struct loading *l, const config_setting_t *s, const struct autoscale *a)
{
	static const char *const queues[] = { "backlog", "min_spare",
		"max_spare" };
	const char *by = a->cpu > 0 ? "cpu" : "command";
	const config_setting_t *m;
	int err = 0;

	if (a->cpu > 0 && a->command != NULL)
		return fail(l, member_of(s, "command"),
		    "can't be set together with cpu");
	if (autoscale_by_queue(a)) {
		m = config_setting_get_member(s, "interval");
		return m == NULL ? 0
				 : fail(l, m, "is for cpu or command alone");
	}
	for (size_t i = 0; i < N_ELEMENTS(queues); i++) {
		m = config_setting_get_member(s, queues[i]);
		if (m != NULL)
			err = fail(l, m, "can't be set together with %s", by);
	}
	return err;
}

static int
read_autoscale(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct autoscale *a = field;
	int err = members_read(r, s, row, a);

	if (err < 0)
		return err;
	if (a->min > a->max)
		return fail(r->l, member_of(s, "min"),
		    "min (%u) is more than max (%u)", a->min, a->max);
	if (a->max_spare > 0 && a->min_spare > a->max_spare)
		return fail(r->l, member_of(s, "min_spare"),
		    "min_spare (%u) is more than max_spare (%u)", a->min_spare,
		    a->max_spare);
	return check_measures(r->l, s, a);
}

/* --- what goes together
 * ------------------------------------------------------- */

static int
check_exec(struct loading *l, const struct slots *own, const struct slots *all,
    struct worker *w)
{
	const config_setting_t *mode = member_of(slot(all, "tasks"), "mode");
	int err = 0;

	if (w->module != NULL)
		err = fail(l,
		    slot(own, "tasks") != NULL ? mode : slot(all, "module"),
		    "tasks.mode \"exec\" runs a command for each task, not a "
		    "module");
	if (w->threads > 1 && slot(own, "threads") != NULL)
		err = fail(l, slot(own, "threads"),
		    "must be 1 with tasks.mode \"exec\", where each task is a "
		    "process: for more at once there is processes");
	w->threads = 1;
	return err;
}

/* What only a hybrid worker can have is passed over if it comes from the
 * defaults, which are for all. */
static int
check_plain(struct loading *l, const struct slots *own, struct worker *w)
{
	const config_setting_t *recycle = slot(own, "recycle");
	const char *needs = "needs a worker with tasks { } or a module";
	bool by_queue = autoscale_by_queue(&w->autoscale);
	int err = 0;

	if (w->recycle.max_tasks > 0 && recycle != NULL)
		err = fail(l, member_of(recycle, "max_tasks"), "%s", needs);
	w->recycle.max_tasks = 0;
	if (by_queue && slot(own, "autoscale") != NULL)
		err = fail(
		    l, slot(own, "autoscale"), "%s, or cpu or command", needs);
	if (by_queue)
		w->autoscale.on = false;
	return err;
}

static int
put_module(struct loading *l, struct worker *w)
{
	w->argv = arena_alloc(&l->own->arena, 2 * sizeof *w->argv);
	if (w->argv == NULL) {
		l->nomem = true;
		return -ENOMEM;
	}
	w->argv[0] = w->module;
	return 0;
}

/* One supervisord has one shared store, and one lease there. */
static int
check_shared(struct loading *l, const struct slots *all, struct worker *w)
{
	const config_setting_t *tasks = slot(all, "tasks");
	struct fleet *fleet = l->fleet;

	if (w->tasks.lease < LEASE_LEAST)
		return fail(l, member_of(tasks, "lease"),
		    "shorter than half a second: a lease has to outlast a "
		    "restart of the broker");
	if (fleet->shared_store != NULL &&
	    strcmp(fleet->shared_store, w->tasks.store) != 0)
		return fail(l, member_of(tasks, "store"),
		    "another Redis than that of the workers before: all "
		    "workers of one supervisord that share their queues do so "
		    "in one");
	if (fleet->shared_store == NULL || w->tasks.lease < fleet->shared_lease)
		fleet->shared_lease = w->tasks.lease;
	fleet->shared_store = w->tasks.store;
	return 0;
}

int
hybrid_check(struct loading *l, const struct slots *own,
    const struct slots *all, struct worker *w)
{
	int err = 0;

	w->autoscale.on = slot(all, "autoscale") != NULL;
	if (w->module != NULL && slot(all, "processes") == NULL)
		w->processes = cores_count(l);
	if (!w->hybrid)
		err = check_plain(l, own, w);
	else if (w->tasks.mode == TASK_MODE_EXEC)
		err = check_exec(l, own, all, w);
	if (w->hybrid && w->tasks.store != NULL && check_shared(l, all, w) < 0)
		err = -EINVAL;
	if (w->module != NULL && put_module(l, w) < 0)
		err = -ENOMEM;
	if (w->autoscale.on)
		w->processes = MAX_OF(
		    w->autoscale.min, MIN_OF(w->autoscale.max, w->processes));
	return err;
}

/* --- the same?
 * ------------------------------------------------------------------ */

static bool
same_tasks(const void *a, const void *b)
{
	const size_t at = offsetof(struct worker, tasks);
	const struct worker *x = (const void *)((const char *)a - at);
	const struct worker *y = (const void *)((const char *)b - at);
	const struct setting *row = schema_find(schema_worker, "tasks");

	return x->hybrid == y->hybrid &&
	       schema_same(row->members, &x->tasks, &y->tasks);
}

static bool
same_recycle(const void *a, const void *b)
{
	return schema_same(
	    schema_find(schema_worker, "recycle")->members, a, b);
}

static bool
same_autoscale(const void *a, const void *b)
{
	const struct autoscale *x = a, *y = b;

	return x->on == y->on &&
	       schema_same(
		   schema_find(schema_worker, "autoscale")->members, a, b);
}

const struct type type_tasks = { "a group { }", read_tasks, same_tasks };
const struct type type_store = { "\"local\", or the URL of a Redis", read_store,
	same_string };
const struct type type_recycle = { "a group { }", read_recycle, same_recycle };
const struct type type_autoscale = { "a group { }", read_autoscale,
	same_autoscale };
const struct type type_interval = {
	"a duration (\"10s\", or a number of seconds)", read_interval,
	same_int64
};
