#include <stdio.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/master/access.h"
#include "supervisord/master/master.h"
#include "supervisord/master/to_broker.h"

static void
put_ms(struct buf *b, const char *key, int64_t ns)
{
	/* Rounded up: what is not 0 stays so. */
	jw_kv_int(b, key, ns <= 0 ? ns : (ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void
put_double(struct buf *b, const char *key, double v)
{
	char text[32];

	snprintf(text, sizeof text, "%.9g", v);
	jw_key(b, key);
	jw_raw(b, text);
}

static const char *
durability_word(enum task_durability d)
{
	switch (d) {
	case TASK_DURABLE_FULL:
		return "full";
	case TASK_DURABLE_PROCESS:
		return "process";
	case TASK_DURABLE_NONE:
		return "none";
	}
	return "full";
}

static const char *
catch_up_word(enum catch_up_mode c)
{
	switch (c) {
	case CATCH_UP_MODE_ONE:
		return "one";
	case CATCH_UP_MODE_NONE:
		return "none";
	case CATCH_UP_MODE_ALL:
		return "all";
	}
	return "one";
}

static const char *
overlap_word(enum overlap_mode o)
{
	switch (o) {
	case OVERLAP_MODE_SKIP:
		return "skip";
	case OVERLAP_MODE_QUEUE:
		return "queue";
	case OVERLAP_MODE_ALLOW:
		return "allow";
	}
	return "skip";
}

static void
put_autoscale(struct buf *b, const struct autoscale *a)
{
	jw_key(b, "autoscale");
	/* By cpu or a command is not the broker's. */
	if (!a->on || !autoscale_by_queue(a)) {
		jw_null(b);
		return;
	}
	jw_object(b);
	jw_kv_int(b, "min", a->min);
	jw_kv_int(b, "max", a->max);
	jw_kv_int(b, "backlog", a->backlog);
	jw_kv_int(b, "min_spare", a->min_spare);
	jw_kv_int(b, "max_spare", a->max_spare);
	put_ms(b, "cooldown_ms", a->cooldown);
	jw_object_end(b);
}

static void
put_pool(struct buf *b, const struct worker *w)
{
	const struct tasks *t = &w->tasks;

	jw_object(b);
	jw_kv_string(b, "name", w->name);
	jw_kv_bool(b, "exec", t->mode == TASK_MODE_EXEC);
	jw_kv_int(b, "threads", w->threads);
	put_ms(b, "timeout_ms", t->timeout);
	put_ms(b, "grace_ms", t->grace);
	put_ms(b, "sibling_grace_ms", t->sibling_grace);
	jw_kv_int(b, "retries", t->retries);
	jw_key(b, "backoff");
	jw_object(b);
	put_ms(b, "initial_ms", t->backoff.initial);
	put_ms(b, "max_ms", t->backoff.max);
	put_double(b, "factor", t->backoff.factor);
	put_double(b, "jitter", t->backoff.jitter);
	jw_object_end(b);
	jw_kv_int(b, "max_queue", (int64_t)t->max_queue);
	put_ms(b, "result_ttl_ms", t->result_ttl);
	put_ms(b, "aging_ms", t->aging);
	jw_kv_int(b, "max_crashes", t->max_crashes);
	jw_kv_string(b, "durability", durability_word(t->durability));
	jw_kv_int(b, "key_concurrency", t->key_concurrency);
	put_double(b, "key_rate", t->key_rate);
	jw_kv_int(b, "recycle_tasks", (int64_t)w->recycle.max_tasks);
	put_double(b, "recycle_jitter", w->recycle.jitter);
	put_autoscale(b, &w->autoscale);
	jw_kv_int(b, "instances", w->processes);
	jw_kv_bool(b, "shared", t->store != NULL);
	jw_object_end(b);
}

static void
put_schedule(struct buf *b, const struct schedule *s)
{
	jw_object(b);
	jw_kv_string(b, "name", s->name);
	jw_kv_string(b, "worker", s->task);
	jw_kv_string(b, "func", s->func);
	jw_kv_string(b, "args", s->args);
	jw_kv_string(b, "cron", s->cron);
	put_ms(b, "every_ms", s->every);
	jw_kv_string(b, "timezone", s->timezone);
	jw_kv_string(b, "catch_up", catch_up_word(s->catch_up));
	jw_kv_string(b, "overlap", overlap_word(s->overlap));
	jw_kv_int(b, "priority", s->priority);
	put_ms(b, "timeout_ms", s->timeout);
	jw_object_end(b);
}

static void
put_files(struct buf *b, const struct settings *s)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof path, "%s/tasks.sock", s->run_dir);
	jw_kv_string(b, "tasks_path", path);
	path[0] = '\0';
	if (s->state_dir != NULL)
		snprintf(path, sizeof path, "%s/tasks.db", s->state_dir);
	jw_kv_string(b, "store_path", path);
}

static void
put_shared(struct buf *b, const struct fleet *fleet)
{
	if (fleet->shared_store == NULL)
		return;
	jw_kv_string(b, "shared_url", fleet->shared_store);
	put_ms(b, "lease_ms", fleet->shared_lease);
}

void
to_broker_write_config(const struct master *m, struct buf *b)
{
	const struct fleet *fleet = m->fleet;
	const struct settings *s = &fleet->settings;

	jw_object(b);
	put_files(b, s);
	put_shared(b, fleet);
	jw_key(b, "log");
	jw_object(b);
	jw_kv_int(b, "level", s->log_level);
	jw_kv_bool(b, "json", s->log_json);
	jw_object_end(b);
	jw_kv_int(b, "socket_mode", (int64_t)s->control_mode);
	jw_kv_int(b, "socket_group",
	    s->control_group == (gid_t)-1 ? -1 : (int64_t)s->control_group);
	access_json(m->access, b);
	jw_key(b, "pools");
	jw_array(b);
	for (size_t i = 0; i < fleet->count; i++) {
		if (fleet->workers[i]->hybrid)
			put_pool(b, fleet->workers[i]);
	}
	jw_array_end(b);
	jw_key(b, "schedules");
	jw_array(b);
	for (size_t i = 0; i < fleet->schedules_count; i++)
		put_schedule(b, fleet->schedules[i]);
	jw_array_end(b);
	jw_object_end(b);
}
