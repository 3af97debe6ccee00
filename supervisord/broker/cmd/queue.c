/* queue: what each worker's queue holds, and how fast it goes. */

#include <stdio.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/broker/cmd/cmd.h"

struct list_of_queues {
	const struct broker *b;
	struct buf out;
	bool old; /* shared ones could not be asked for their counts */
};

static void
put_real(struct buf *b, const char *key, double v)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", v);
	jw_key(b, key);
	jw_raw(b, text);
}

static void
put_us(struct buf *b, const char *key, int64_t us)
{
	char text[32];

	snprintf(text, sizeof text, "%lld.%06lld", (long long)(us / 1000000),
	    (long long)(us % 1000000));
	jw_key(b, key);
	jw_raw(b, us >= 0 ? text : "null");
}

static void
put_pause(struct buf *b, const struct pool_stats *s)
{
	char until[CLOCK_TEXT], words[224];

	jw_kv_bool(b, "paused", s->paused);
	if (!s->paused) {
		jw_kv_null(b, "paused_why");
		return;
	}
	snprintf(words, sizeof words, "%s%s%s",
	    s->paused_words[0] != '\0' ? s->paused_words : "by command",
	    s->paused_until_ms != 0 ? ", until " : "",
	    s->paused_until_ms != 0
		? clock_format(s->paused_until_ms, until, sizeof until)
		: "");
	jw_kv_string(b, "paused_why", words);
}

static void
put_functions(struct buf *b, const char *const *functions)
{
	jw_key(b, "functions");
	if (functions == NULL) {
		jw_null(b);
		return;
	}
	jw_array(b);
	for (; *functions != NULL; functions++)
		jw_string(b, *functions);
	jw_array_end(b);
}

static void
put_rates(struct buf *b, const struct pool_stats *s)
{
	jw_kv_int(b, "submitted", (int64_t)s->submitted);
	jw_kv_int(b, "completed", (int64_t)s->completed);
	put_real(b, "in_per_second", s->in_per_s);
	put_real(b, "out_per_second", s->out_per_s);
	put_us(b, "wait_p50", s->wait_p50_us);
	put_us(b, "wait_p99", s->wait_p99_us);
	put_us(b, "run_p50", s->run_p50_us);
	put_us(b, "run_p99", s->run_p99_us);
	jw_kv_seconds(b, "oldest", s->oldest_ms * NS_PER_MS);
}

/* Where its tasks are, and how that is. */
static void
put_store(struct buf *b, const struct broker *broker,
    const struct pool_stats *s, bool old)
{
	bool well =
	    s->shared ? broker->shared_words[0] == '\0' : broker->store_well;

	jw_kv_string(b, "store",
	    well        ? "ok"
	    : s->shared ? broker->shared_words
			: broker->store_words);
	if (!s->shared) {
		jw_kv_null(b, "shared");
		return;
	}
	jw_kv_string(b, "shared", broker->shared_name);
	jw_kv_int(b, "claimed", s->here);
	jw_kv_bool(b, "outdated", old);
}

static void
put_one(const struct pool_stats *s, void *arg)
{
	struct list_of_queues *l = arg;
	struct buf *b = &l->out;

	jw_object(b);
	jw_kv_string(b, "worker", s->worker);
	jw_kv_bool(b, "configured", s->configured);
	for (int i = 0; i < TASK_STATES; i++)
		jw_kv_int(b, task_state_names[i], (int64_t)s->counts[i]);
	put_pause(b, s);
	jw_kv_int(b, "instances", s->instances);
	jw_kv_int(b, "threads", s->threads);
	jw_kv_int(b, "busy", s->busy);
	put_rates(b, s);
	put_functions(b, s->functions);
	put_store(b, l->b, s, l->old);
	jw_object_end(b);
}

/* Counts of a shared queue that could not be asked for now are those that were
 * told last. */
static void
counted(void *arg, enum queue_error e)
{
	struct call *c = arg;
	struct list_of_queues l = { .b = c->b };
	const char *worker =
	    json_string_value(json_object_get(c->params, "worker"));

	l.old = e != QERR_NONE || !c->b->shared_well;
	buf_init(&l.out);
	jw_array(&l.out);
	core_stats(c->b, worker, put_one, &l);
	jw_array_end(&l.out);
	call_reply(c, &l.out);
}

static void
run(struct call *c)
{
	const char *worker;

	if (call_worker(c, false, &worker))
		core_refresh(c->b, worker, counted, c);
}

const struct method method_queue = { "queue", true, run };
