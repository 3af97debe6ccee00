#include "supervisord/broker/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/schedule_int.h"
#include "supervisord/broker/stores.h"

/* --- the config ----------------------------------------------------------- */

/* What it is planned by, to see whether that has changed. NULL: no memory. */
static char *
when_of(const struct schedule_config *c, bool shared)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "%" PRId64 " %s %s%s", c->every_ms,
	    c->cron != NULL ? c->cron : "-",
	    c->timezone != NULL ? c->timezone : "UTC", shared ? " shared" : "");
	return buf_take(&b);
}

static uint32_t
most_of(const struct schedule_config *c)
{
	return c->catch_up_max > 0 && c->catch_up_max < PLAN_CATCH_UP
		   ? c->catch_up_max
		   : PLAN_CATCH_UP;
}

static void
read_rule(struct schedule *s, const struct schedule_config *c)
{
	char why[160];
	int r;

	s->broken = false;
	zone_free(s->zone);
	s->zone = NULL;
	s->rule = (struct plan_rule){ .every_ms = c->every_ms,
		.aligned = s->shared,
		.cron = &s->cron,
		.catch_up = c->catch_up,
		.overlap = c->overlap,
		.most = most_of(c) };
	if (c->cron == NULL) {
		s->broken = c->every_ms <= 0;
		return;
	}
	if (cron_parse(c->cron, &s->cron, why, sizeof why) < 0) {
		log_error(
		    "schedule %s: cron \"%s\": %s", s->name, c->cron, why);
		s->broken = true;
	}
	r = c->timezone != NULL ? zone_load(c->timezone, &s->zone) : 0;
	if (r < 0) {
		log_error("schedule %s: timezone \"%s\": %s", s->name,
		    c->timezone, strerror(-r));
		s->broken = true;
	}
	s->rule.zone = s->zone;
}

static char *
copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* false: no memory, all is as before. */
static bool
take_settings(struct schedule *s, const struct schedule_config *c)
{
	const struct pool_config *pool = broker_pool(s->b, c->worker);
	bool shared = pool != NULL && pool->shared;
	char *func = copy(c->func != NULL ? c->func : ""),
	     *args = copy(c->args), *when = when_of(c, shared);

	if (func == NULL || when == NULL || (c->args != NULL && args == NULL)) {
		free(func);
		free(args);
		free(when);
		return false;
	}
	free(s->func);
	free(s->args);
	s->func = func;
	s->args = args;
	memcpy(s->worker, c->worker, sizeof s->worker);
	s->shared = shared;
	s->priority = c->priority;
	s->timeout_ms = c->timeout_ms;
	if (s->when == NULL || strcmp(s->when, when) != 0) {
		read_rule(s, c);
		s->changed = s->when != NULL;
	} else {
		s->rule.catch_up = c->catch_up;
		s->rule.overlap = c->overlap;
		s->rule.most = most_of(c);
	}
	free(s->when);
	s->when = when;
	return true;
}

static const struct store_schedule *
found_of(const struct schedules *all, const char *name)
{
	for (size_t i = 0; i < all->found_count; i++) {
		if (strcmp(all->found[i].name, name) == 0)
			return &all->found[i];
	}
	return NULL;
}

static struct schedule *
find(const struct schedules *all, const char *name)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->all) {
		struct schedule *s = LIST_ENTRY(l, struct schedule, link);

		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static struct schedule *
schedule_new(struct schedules *all, const struct schedule_config *c)
{
	const struct store_schedule *found = found_of(all, c->name);
	struct schedule *s = calloc(1, sizeof *s);

	if (s != NULL)
		s->b = all->b;
	if (s == NULL || !take_settings(s, c)) {
		free(s);
		return NULL;
	}
	memcpy(s->name, c->name, sizeof s->name);
	list_init(&s->waiter.link);
	list_init(&s->link);
	list_append(&all->all, &s->link);
	ev_init(&s->timer, schedule_timer);
	if (found != NULL) {
		s->id = found->id;
		s->plan.anchor_ms = found->anchor_ms;
		s->plan.next_ms = found->next_ms;
		s->last_task = found->last_task;
		s->plan.caught_ms = clock_wall_ms();
	}
	s->changed = s->broken || !plan_holds(&s->rule, &s->plan);
	return s;
}

/* Nothing of it is missed while it is not in the config. */
static void
forget(struct broker *b, uint32_t id)
{
	struct store_op *op = id != 0 ? store_op_new(STORE_FIRE) : NULL;

	if (op == NULL)
		return;
	op->schedule = id;
	stores_add(b, op);
}

static const struct schedule_config *
config_of(const struct broker *b, const char *name)
{
	for (size_t i = 0; i < b->schedules_count; i++) {
		if (strcmp(b->schedules_config[i].name, name) == 0)
			return &b->schedules_config[i];
	}
	return NULL;
}

static void
drop_missing(struct schedules *all)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &all->all) {
		struct schedule *s = LIST_ENTRY(l, struct schedule, link);

		if (config_of(all->b, s->name) != NULL)
			continue;
		forget(all->b, s->id);
		schedule_drop(s);
	}
	for (size_t i = 0; i < all->found_count; i++) {
		if (config_of(all->b, all->found[i].name) == NULL &&
		    all->found[i].next_ms != 0)
			forget(all->b, all->found[i].id);
	}
}

void
schedules_configure(struct broker *b)
{
	struct schedules *all = b->schedules;

	if (all == NULL)
		return;
	drop_missing(all);
	for (size_t i = 0; i < b->schedules_count; i++) {
		const struct schedule_config *c = &b->schedules_config[i];
		struct schedule *s = find(all, c->name);

		if (s == NULL)
			s = schedule_new(all, c);
		else if (!take_settings(s, c))
			s = NULL;
		if (s == NULL)
			log_error("schedule %s: out of memory", c->name);
		else if (s->pending == 0 && !s->broken)
			schedule_begin(s);
	}
	free(all->found);
	all->found = NULL;
	all->found_count = 0;
}

int
schedules_new(struct broker *b, const struct store_found *found)
{
	struct schedules *all = calloc(1, sizeof *all);
	size_t n = found->schedules_count;

	if (all == NULL)
		return -ENOMEM;
	if (n > 0) {
		all->found = calloc(n, sizeof all->found[0]);
		if (all->found == NULL) {
			free(all);
			return -ENOMEM;
		}
		memcpy(all->found, found->schedules, n * sizeof all->found[0]);
		all->found_count = n;
	}
	all->b = b;
	list_init(&all->all);
	all->wall_ms = clock_wall_ms();
	all->mono_ms = clock_mono() / NS_PER_MS;
	b->schedules = all;
	return 0;
}

void
schedules_free(struct broker *b)
{
	struct schedules *all = b->schedules;
	struct list *l, *tmp;

	if (all == NULL)
		return;
	LIST_FOREACH(l, tmp, &all->all)
		schedule_drop(LIST_ENTRY(l, struct schedule, link));
	free(all->found);
	free(all);
	b->schedules = NULL;
}

/* --- for clients ---------------------------------------------------------- */

uint32_t
schedule_mark(const struct schedule *s)
{
	uint32_t mark = 2166136261U; /* FNV-1a */

	if (!s->shared)
		return s->id;
	for (const char *p = s->name; *p != '\0'; p++)
		mark = (mark ^ (uint8_t)*p) * 16777619U;
	return mark != 0 ? mark : 1;
}

const char *
schedules_name(const struct broker *b, const struct task_row *row)
{
	struct list *l, *tmp;

	if (b->schedules == NULL)
		return NULL;
	LIST_FOREACH(l, tmp, &b->schedules->all) {
		const struct schedule *s = LIST_ENTRY(l, struct schedule, link);

		if (s->shared == id_shared(row->id) &&
		    schedule_mark(s) == row->schedule)
			return s->name;
	}
	return NULL;
}

void
schedules_put(const struct broker *b, struct buf *out)
{
	struct list *l, *tmp;

	jw_array(out);
	if (b->schedules != NULL)
		LIST_FOREACH(l, tmp, &b->schedules->all) {
			const struct schedule *s =
			    LIST_ENTRY(l, struct schedule, link);

			jw_object(out);
			jw_kv_string(out, "name", s->name);
			jw_kv_string(out, "worker", s->worker);
			jw_kv_string(out, "func", s->func);
			if (s->plan.next_ms > 0 && !s->broken)
				jw_kv_time(out, "next", s->plan.next_ms);
			else
				jw_kv_null(out, "next");
			if (s->last_task != 0)
				jw_kv_int(
				    out, "last_task", (int64_t)s->last_task);
			else
				jw_kv_null(out, "last_task");
			jw_object_end(out);
		}
	jw_array_end(out);
}
