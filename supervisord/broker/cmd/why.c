/* why: in words, what an instance's threads do, or what becomes of a task. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/stores.h"

#define DEAD_SHOWN 3

struct story {
	struct broker *b;
	const char *instance;
	struct buf text;
	unsigned idle, threads;
};

/* A duration as people say it, no finer than it is of interest. */
static const char *
span(int64_t ns, char *out, size_t size)
{
	int64_t grain = ns > 10 * NS_PER_SEC ? NS_PER_SEC : 10 * NS_PER_MS;

	return units_format_duration(ns / grain * grain, out, size);
}

static void
answer(struct call *c, struct buf *text)
{
	struct buf b;

	buf_init(&b);
	jw_object(&b);
	jw_key(&b, "text");
	jw_bytes(&b, text->data, text->size);
	jw_object_end(&b);
	if (text->failed)
		b.failed = true;
	buf_done(text);
	call_reply(c, &b);
}

/* --- an instance ---------------------------------------------------------- */

static void
tell_thread(const struct thread_info *info, void *arg)
{
	struct story *s = arg;
	const struct task *t =
	    info->task != 0 ? core_find(s->b, info->task) : NULL;
	char time[UNITS_TEXT];

	s->threads++;
	if (info->busy == 0 && !info->stuck) {
		s->idle++;
		return;
	}
	span(info->for_ns, time, sizeof time);
	buf_fmt(&s->text, "Thread %u ", info->thread);
	if (info->task == 0)
		buf_fmt(&s->text, "has served a connection for %s", time);
	else
		buf_fmt(&s->text, "has run task %llu (%s) for %s",
		    (unsigned long long)info->task,
		    t != NULL ? t->row.func : "?", time);
	if (info->stuck && t != NULL && t->cancelling)
		buf_str(&s->text, " and is stuck: the task was cancelled and "
				  "does not end");
	else if (info->stuck)
		buf_str(&s->text, " and is stuck: its time limit has passed");
	buf_str(&s->text, ".\n");
}

static void
tell_shared(struct buf *text, const struct broker *b)
{
	buf_fmt(text, "Its queue is shared, in %s", b->shared_name);
	if (b->shared_words[0] == '\0')
		buf_str(text, ".\n");
	else if (b->shared_well)
		buf_fmt(text,
		    ", which takes no new tasks now: %s. What is there is "
		    "run.\n",
		    b->shared_words);
	else
		buf_fmt(text,
		    ", which is not to be used now: %s. No task is "
		    "accepted or begun until it is.\n",
		    b->shared_words);
}

/* Why some wait though threads are idle. */
static void
tell_held_back(struct story *s, const struct pool_stats *stats)
{
	if (stats->parked > 0)
		buf_fmt(&s->text,
		    "%u of them %s for others of the same limit_key "
		    "(key_concurrency, key_rate).\n",
		    stats->parked, stats->parked == 1 ? "waits" : "wait");
	if (stats->alone > 0)
		buf_fmt(&s->text,
		    "%u of them %s to run alone in a process, because one "
		    "crashed under %s.\n",
		    stats->alone, stats->alone == 1 ? "waits" : "wait",
		    stats->alone == 1 ? "it" : "each");
	if (stats->kept_free != NULL &&
	    strcmp(stats->kept_free, s->instance) == 0)
		buf_fmt(&s->text,
		    "%s is given nothing else until it is empty for "
		    "one of these.\n",
		    s->instance);
}

static void
tell_pool(const struct pool_stats *stats, void *arg)
{
	struct story *s = arg;
	unsigned long long queued = stats->counts[TASK_QUEUED];

	/* Those due later may wait for ever, too. */
	if (!stats->configured)
		queued += stats->counts[TASK_SCHEDULED];
	if (stats->paused)
		buf_fmt(&s->text, "The queue of %s is paused%s%s.\n",
		    stats->worker,
		    stats->paused_words[0] != '\0' ? ": " : " by command",
		    stats->paused_words);
	if (queued > 0)
		buf_fmt(&s->text, "%llu task%s wait%s for %s%s.\n", queued,
		    queued == 1 ? "" : "s", queued == 1 ? "s" : "",
		    stats->worker,
		    stats->configured
			? ""
			: ", which is not in the config: until a reload brings "
			  "it back, or until they are cancelled");
	else if (!stats->configured)
		buf_fmt(&s->text, "%s is not in the config.\n", stats->worker);
	tell_held_back(s, stats);
	if (stats->shared)
		tell_shared(&s->text, s->b);
	else if (!s->b->store_well)
		buf_fmt(&s->text,
		    "Tasks are not accepted now, and what ends is kept in "
		    "memory: %s.\n",
		    s->b->store_words);
}

static void
tell_hand(struct story *s, struct hand *h)
{
	if (h == NULL) {
		buf_fmt(
		    &s->text, "%s takes no tasks at present.\n", s->instance);
		return;
	}
	hands_threads(h, tell_thread, s);
	if (s->idle > 0)
		buf_fmt(&s->text, "%u of %u thread%s %s idle.\n", s->idle,
		    s->threads, s->threads == 1 ? "" : "s",
		    s->idle == 1 ? "is" : "are");
	if (h->alone)
		buf_str(&s->text, "Its task runs alone, because a process "
				  "crashed under it: it is given nothing "
				  "beside it.\n");
	if (h->stopping)
		buf_str(&s->text, "It is being stopped: it is given nothing "
				  "more.\n");
	else if (h->closed)
		buf_str(&s->text, "It is draining: it is given nothing "
				  "more.\n");
}

static void
tell_dead(struct buf *text, const struct task_row *row)
{
	char when[CLOCK_TEXT];

	buf_fmt(text, "Task %llu (%s) is dead since %s",
	    (unsigned long long)row->id, row->func != NULL ? row->func : "?",
	    clock_format(row->finished_ms, when, sizeof when));
	if (row->error != NULL && *row->error != '\0')
		buf_fmt(text, ": %s", row->error);
	/* What its process wrote is long, and may have been told above. */
	if (row->words != NULL && *row->words != '\0')
		buf_fmt(text, ", %.*s (more: supervisorctl task %llu)",
		    (int)strcspn(row->words, "\n"), row->words,
		    (unsigned long long)row->id);
	buf_str(text, ".\n");
}

static void
dead_found(struct store_op *op)
{
	struct call *c = op->arg;
	struct story *s = c->own;
	struct buf text = s->text;

	for (size_t i = 0; op->error == QERR_NONE && i < op->count; i++)
		tell_dead(&text, &op->rows[i]);
	store_op_free(op);
	answer(c, &text);
}

static void
why_instance(struct call *c, const char *instance)
{
	const char *colon = strchr(instance, ':');
	size_t n =
	    colon != NULL ? (size_t)(colon - instance) : strlen(instance);
	struct store_op *op = store_op_new(STORE_LIST);
	struct story *s = calloc(1, sizeof *s);
	const struct pool_config *pool;

	c->own = s;
	if (op == NULL || s == NULL) {
		store_op_free(op);
		call_fail(c, QERR_NO_MEMORY, NULL);
		return;
	}
	if (n <= WORKER_NAME_MAX)
		memcpy(op->worker, instance, n);
	if (!core_knows(c->b, op->worker)) {
		store_op_free(op);
		call_fail(c, QERR_NO_WORKER,
		    "%.80s is of no worker that takes tasks", instance);
		return;
	}
	s->b = c->b;
	s->instance = instance;
	buf_init(&s->text);
	if (colon != NULL)
		tell_hand(s, hands_find(c->b, instance));
	core_stats(c->b, op->worker, tell_pool, s);
	pool = broker_pool(c->b, op->worker);
	op->shared = pool != NULL && pool->shared;
	op->states = 1U << TASK_DEAD;
	op->limit = DEAD_SHOWN;
	op->done = dead_found;
	op->arg = c;
	stores_add(c->b, op);
}

/* --- a task --------------------------------------------------------------- */

static void
tell_waiting(struct buf *text, const struct pool_stats *stats)
{
	if (!stats->configured)
		buf_fmt(text,
		    " %s is not in the config: it waits until a reload brings "
		    "it back, or until it is cancelled.",
		    stats->worker);
	else if (stats->paused)
		buf_fmt(text, " The queue of %s is paused%s%s.", stats->worker,
		    stats->paused_words[0] != '\0' ? ": " : " by command",
		    stats->paused_words);
	else if (stats->threads == 0)
		buf_fmt(text, " No instance of %s is up.", stats->worker);
	else if (stats->busy >= stats->threads)
		buf_fmt(text, " All %u thread%s of %s are busy.",
		    stats->threads, stats->threads == 1 ? "" : "s",
		    stats->worker);
}

static void
tell_pool_of_task(const struct pool_stats *stats, void *arg)
{
	tell_waiting(arg, stats);
}

static void
tell_running(
    struct buf *text, const struct task_row *row, const struct task *live)
{
	char time[UNITS_TEXT];

	bool elsewhere = id_shared(row->id) && live == NULL;

	buf_fmt(text, " It runs in %s%s",
	    row->instance[0] != '\0' ? row->instance : "an instance",
	    elsewhere ? " of another supervisord" : "");
	if (elsewhere && row->host != NULL)
		buf_fmt(text, ", %s", row->host);
	if (live != NULL && live->begun)
		buf_fmt(text, ", thread %u", live->thread);
	if (live != NULL && live->sent_mono != 0)
		buf_fmt(text, ", for %s",
		    span(clock_mono() - live->sent_mono, time, sizeof time));
	buf_char(text, '.');
	if (live == NULL)
		return;
	if (live->cancelling)
		buf_str(text, " It was asked to end.");
	else if (live->overrun)
		buf_str(text, " Its time limit has passed: it was asked to "
			      "end.");
}

static void
tell_state(struct buf *text, struct broker *b, const struct task_row *row,
    const struct task *live)
{
	char when[CLOCK_TEXT];

	switch ((enum task_state)row->state) {
	case TASK_QUEUED:
		if (id_shared(row->id) && live == NULL) {
			buf_str(text, " It waits for whoever has a thread "
				      "free first of those who share its "
				      "queue.");
			break;
		}
		core_stats(b, row->worker, tell_pool_of_task, text);
		if (live != NULL && live->place == PLACE_PARKED)
			buf_fmt(text,
			    " Others of its limit_key \"%s\" come "
			    "first.",
			    row->limit_key != NULL ? row->limit_key : "");
		if (live != NULL && live->place == PLACE_ALONE)
			buf_str(text, " A process crashed while it ran: it "
				      "waits to run alone.");
		break;
	case TASK_SCHEDULED:
		buf_fmt(text, " It is due at %s.",
		    clock_format(row->due_ms, when, sizeof when));
		break;
	case TASK_RUNNING:
		tell_running(text, row, live);
		break;
	case TASK_DONE:
	case TASK_FAILED:
	case TASK_CANCELLED:
	case TASK_DEAD:
	case TASK_STATES:
		break;
	}
}

static void
task_found(void *arg, enum queue_error e, const struct task_row *row,
    const struct task *live)
{
	struct call *c = arg;
	struct buf text;

	if (e != QERR_NONE || row == NULL) {
		call_fail(c, e, NULL);
		return;
	}
	buf_init(&text);
	buf_fmt(&text, "Task %llu (%s of %s) is %s.",
	    (unsigned long long)row->id, row->func != NULL ? row->func : "?",
	    row->worker,
	    row->state < TASK_STATES ? task_state_names[row->state] : "?");
	tell_state(&text, c->b, row, live);
	if (row->attempts > 1 || row->failures > 0 || row->crashes > 0)
		buf_fmt(&text,
		    " It was tried %u time%s: %u failed, %u crashed its "
		    "process.",
		    row->attempts, row->attempts == 1 ? "" : "s", row->failures,
		    row->crashes);
	if (row->error != NULL && *row->error != '\0')
		buf_fmt(&text, " %s: %s",
		    row->state == TASK_QUEUED || row->state == TASK_SCHEDULED
			? "The last try"
			: "Its error",
		    row->error);
	buf_char(&text, '\n');
	if (row->words != NULL && *row->words != '\0')
		buf_fmt(&text, "%s\n", row->words);
	answer(c, &text);
}

static void
run(struct call *c)
{
	const char *instance;
	int64_t id;

	if (!call_text(c, "instance", false, &instance) ||
	    !call_int(c, "task", 0, 1, INT64_MAX, &id))
		return;
	if (instance != NULL)
		why_instance(c, instance);
	else if (id != 0)
		core_task(c->b, (uint64_t)id, task_found, c);
	else
		call_fail_params(
		    c, "\"instance\" or \"task\" is missing: why what?");
}

const struct method method_why = { "why", true, run };
