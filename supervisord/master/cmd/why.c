/* why: in words, why each target is in its state. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "supervisord/master/answers.h"
#include "supervisord/master/autoscale.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/forward.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/targets.h"

#define WHY_LINES 10

struct one {
	struct why *why;
	uint32_t id; /* the instance's: it may be gone when the lines come */
	char name[PROTO_NAME];
	char *lines;
	char *queue; /* what the broker says of a hybrid one */
};

struct why {
	struct request *r;
	size_t count, left;
	struct one ones[];
};

static const char *
rounded(int64_t ns, char *out, size_t size)
{
	/* Whole seconds from a minute on: nobody reads "3h, 2m, 1.2s". */
	int64_t grain = ns < NS_PER_SEC        ? NS_PER_MS
			: ns < 60 * NS_PER_SEC ? 100 * NS_PER_MS
					       : NS_PER_SEC;
	int64_t ms = ns / grain * grain / NS_PER_MS, s = ms / 1000;

	if (s < 60)
		snprintf(out, size, "%lld.%llds", (long long)s,
		    (long long)(ms % 1000 / 100));
	else if (s < 3600)
		snprintf(out, size, "%lldm %llds", (long long)(s / 60),
		    (long long)(s % 60));
	else
		snprintf(out, size, "%lldh %lldm", (long long)(s / 3600),
		    (long long)(s / 60 % 60));
	if (ms < 1000)
		snprintf(out, size, "%lldms", (long long)ms);
	return out;
}

static void
put_next(struct buf *b, const struct instance *it)
{
	const struct life *life = &it->row->life;
	const struct rules *rules = instance_rules(it);
	int64_t left = life->deadline - clock_mono();
	char text[64];

	if (life->state == ST_BACKOFF) {
		buf_fmt(b, "next try in %s",
		    rounded(MAX_OF(left, 0), text, sizeof text));
		if (rules->start_retries >= 0 && life->failures > 0)
			buf_fmt(b, ", %u of %d tries left",
			    (unsigned)rules->start_retries + 1 - life->failures,
			    rules->start_retries);
		buf_char(b, '\n');
	} else if (life->state == ST_FATAL) {
		buf_fmt(b,
		    "it will not be tried again by itself: mend the cause, then "
		    "supervisorctl start %s\n",
		    it->row->name);
	} else if (life->state == ST_STOPPED && !life->wanted) {
		buf_fmt(b, "it stays down until: supervisorctl start %s\n",
		    it->row->name);
	} else if (life->state == ST_EXITED) {
		buf_fmt(b, "not restarted: restart = \"%s\"\n",
		    rules->restart == RESTART_NEVER ? "never" : "on-failure");
	} else if (life->state == ST_STOPPING && life->deadline != 0) {
		buf_fmt(b, "the next signal goes out in %s\n",
		    rounded(MAX_OF(left, 0), text, sizeof text));
	}
}

static void
put_text(struct buf *b, const struct instance *it, const struct one *one)
{
	const struct memory_row *row = it->row;
	const char *lines = one->lines;
	char reason[EXIT_WORDS + 128], text[64], when[CLOCK_TEXT];

	instance_reason(it, reason, sizeof reason);
	buf_fmt(b, "%s is %s", row->name, life_state_names[row->life.state]);
	if (row->life.alive)
		buf_fmt(b, " (pid %d, up for %s)", row->pid,
		    rounded(
			clock_mono() - row->started_mono, text, sizeof text));
	buf_fmt(b, ": %s\n", reason);
	if (row->exit.at_ms != 0) {
		exit_words(it, &row->exit, reason, sizeof reason);
		buf_fmt(b, "last exit: %s", reason);
		if (row->exit.pid != 0)
			buf_fmt(b, ", pid %d after %s", row->exit.pid,
			    rounded(row->exit.lived_ms * NS_PER_MS, text,
				sizeof text));
		buf_fmt(b, ", at %s\n",
		    clock_format(row->exit.at_ms, when, sizeof when));
	}
	if (row->life.restarts == 1)
		buf_str(b, "restarted once by supervisord\n");
	else if (row->life.restarts > 1)
		buf_fmt(b, "restarted %llu times by supervisord\n",
		    (unsigned long long)row->life.restarts);
	put_next(b, it);
	autoscale_tell(it->team, b);
	if (lines != NULL && lines[0] != '\0')
		buf_fmt(b, "last lines it wrote:\n%s%s", lines,
		    lines[strlen(lines) - 1] == '\n' ? "" : "\n");
	if (one->queue != NULL && one->queue[0] != '\0')
		buf_fmt(b, "%s%s", one->queue,
		    one->queue[strlen(one->queue) - 1] == '\n' ? "" : "\n");
}

static void
put(struct buf *b, const struct instance *it, const struct one *one)
{
	const struct memory_row *row = it->row;
	int64_t now = clock_mono();
	char reason[EXIT_WORDS + 128];
	struct buf text;

	buf_init(&text);
	put_text(&text, it, one);
	jw_object(b);
	jw_kv_string(b, "name", row->name);
	jw_kv_string(b, "state", life_state_names[row->life.state]);
	jw_kv_time(
	    b, "since", clock_wall_ms() - (now - row->life.since) / NS_PER_MS);
	jw_kv_string(b, "text", buf_text(&text));
	jw_kv_string(b, "reason", instance_reason(it, reason, sizeof reason));
	jw_key(b, "last_exit");
	exit_json(b, &row->exit);
	jw_kv_string(b, "last_lines", one->lines);
	if (row->life.state == ST_BACKOFF)
		jw_kv_seconds(
		    b, "next_try_in", MAX_OF(row->life.deadline - now, 0));
	else
		jw_kv_null(b, "next_try_in");
	jw_object_end(b);
	buf_done(&text);
}

static void
answer(struct why *why)
{
	struct request *r = why->r;
	struct buf b;

	buf_init(&b);
	jw_array(&b);
	for (size_t i = 0; i < why->count; i++) {
		const struct one *one = &why->ones[i];
		struct instance *it = crew_by_id(&r->m->crew, one->id);

		if (it != NULL && strcmp(it->row->name, one->name) == 0)
			put(&b, it, one);
		free(one->lines);
		free(one->queue);
	}
	jw_array_end(&b);
	free(why);
	request_reply(r, &b);
}

static void
arrived(void *arg, const char *text, size_t size)
{
	struct one *one = arg;

	one->lines = size > 0 ? strndup(text, size) : NULL;
	if (--one->why->left == 0)
		answer(one->why);
}

static void
queue_arrived(void *arg, const char *text, size_t size)
{
	struct one *one = arg;

	one->queue = size > 0 ? strndup(text, size) : NULL;
	if (--one->why->left == 0)
		answer(one->why);
}

/* Both have a second to answer. */
static void
ask(struct master *m, const struct instance *it, struct one *one)
{
	uint32_t cookie = answers_new_tail(m, arrived, one);

	if (cookie != 0 && !streams_tail(m, it, WHY_LINES, cookie))
		answers_tail_arrived(m, cookie, "", 0);
	if (!it->team->worker->hybrid)
		return;
	one->why->left++;
	cookie = answers_new_tail(m, queue_arrived, one);
	if (cookie != 0 && !forward_why(m, it->row->name, cookie))
		answers_tail_arrived(m, cookie, "", 0);
}

/* --- a worker that is no more --------------------------------------------- */

/* The only target, if it is one. */
static const char *
only_target(const struct request *r)
{
	const json_t *words = json_object_get(r->params, "targets");

	return json_array_size(words) == 1
		   ? json_string_value(json_array_get(words, 0))
		   : NULL;
}

static void
gone_arrived(void *arg, const char *text, size_t size)
{
	static const char *const none[] = { "state", "since", "reason",
		"last_exit", "last_lines", "next_try_in" };
	struct request *r = arg;
	const char *name = only_target(r);
	struct buf b;

	if (size == 0) {
		targets_refuse(r, name);
		return;
	}
	buf_init(&b);
	jw_array(&b);
	jw_object(&b);
	jw_kv_string(&b, "name", name);
	for (size_t i = 0; i < N_ELEMENTS(none); i++)
		jw_kv_null(&b, none[i]);
	jw_key(&b, "text");
	jw_bytes(&b, text, size);
	jw_object_end(&b);
	jw_array_end(&b);
	request_reply(r, &b);
}

/* It has left the config, but the broker may have tasks of it. */
static bool
ask_of_gone(struct request *r)
{
	const char *name = only_target(r);
	uint32_t cookie;

	if (name == NULL || targets_know(r->m, name))
		return false;
	cookie = answers_new_tail(r->m, gone_arrived, r);
	if (cookie != 0 && !forward_why(r->m, name, cookie))
		answers_tail_arrived(r->m, cookie, "", 0);
	return true;
}

static void
run(struct request *r)
{
	struct targets t;
	struct why *why;

	if (ask_of_gone(r) || !targets_of(r, false, &t))
		return;
	why = calloc(1, sizeof *why + t.count * sizeof why->ones[0]);
	if (why == NULL) {
		targets_done(&t);
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	why->r = r;
	why->count = t.count;
	why->left = t.count + 1; /* one for this function itself */
	for (size_t i = 0; i < t.count; i++) {
		struct instance *it = t.list[i];
		struct one *one = &why->ones[i];

		one->why = why;
		one->id = it->id;
		memcpy(one->name, it->row->name, sizeof one->name);
		ask(r->m, it, one);
	}
	targets_done(&t);
	if (--why->left == 0)
		answer(why);
}

const struct command cmd_why = { "why", MAY_LOOK, run };
