/*
 * The lease's beat, and what is seen to with it: tasks of brokers whose lease
 * has run out, groups they left behind, results whose time has come, when the
 * next task is due. And the news that comes between two beats.
 */

#ifdef WITH_HIREDIS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"

#define REAP_CHUNK   200
#define EXPIRE_CHUNK 500
/* However long the lease is. */
#define BEAT_MOST_MS 5000

/* --- news ----------------------------------------------------------------- */

static void
tell_of(struct shared *s, enum note kind, const char *worker, int64_t n)
{
	struct store_op *note = shared_note(kind);

	if (note != NULL) {
		snprintf(note->worker, sizeof note->worker, "%s", worker);
		note->next_due_ms = n;
	}
	shared_tell(s, note);
}

static void
tell_ready(struct shared *s, struct served *w)
{
	/* A REFILL on the way may have looked before: told behind it. */
	if (w->refills > 0)
		w->ready_again = true;
	else
		tell_of(s, NOTE_READY, w->worker, 0);
}

static void
tell_paused(struct shared *s, struct served *w, bool paused, int64_t until_ms)
{
	struct store_op *note;

	if (w->known && w->paused == paused && w->until_ms == until_ms)
		return;
	w->known = true;
	w->paused = paused;
	w->until_ms = until_ms;
	note = shared_note(NOTE_PAUSED);
	if (note != NULL) {
		memcpy(note->worker, w->worker, sizeof note->worker);
		note->paused = paused;
		note->paused_until_ms = until_ms;
	}
	shared_tell(s, note);
}

static void
tell_id(struct shared *s, enum note kind, uint64_t id)
{
	struct store_op *note = shared_note(kind);

	if (note != NULL)
		note->change.id = id;
	shared_tell(s, note);
}

/* What stands behind the word, or NULL: it is another word. */
static const char *
behind(const char *text, const char *word)
{
	size_t n = strlen(word);

	return strncmp(text, word, n) == 0 && text[n] == ' ' ? text + n + 1
							     : NULL;
}

static void
said_to_me(struct shared *s, const char *text)
{
	const char *rest;
	struct watched *w = NULL;
	uint64_t id;

	if (strcmp(text, "beat") == 0) {
		s->beat_at = 0;
	} else if ((rest = behind(text, "cancel")) != NULL) {
		tell_id(s, NOTE_CANCEL, strtoull(rest, NULL, 10));
	} else if ((rest = behind(text, "ended")) != NULL) {
		id = strtoull(rest, NULL, 10);
		HASH_FIND(hh, s->watched, &id, sizeof id, w);
		if (w != NULL)
			tell_id(s, NOTE_ENDED, id);
	}
}

void
beat_said(struct shared *s, const char *channel, const char *text)
{
	struct served *w = NULL;
	const char *rest;
	char *end;
	bool paused;

	if (strncmp(channel, "b:", 2) == 0) {
		said_to_me(s, text);
		return;
	}
	if (strncmp(channel, "p:", 2) == 0)
		HASH_FIND_STR(s->served, channel + 2, w);
	if (w == NULL)
		return;
	if (strcmp(text, "ready") == 0) {
		tell_ready(s, w);
	} else if ((rest = behind(text, "due")) != NULL) {
		tell_of(s, NOTE_DUE, w->worker, strtoll(rest, NULL, 10));
	} else if ((rest = behind(text, "paused")) != NULL) {
		paused = strtol(rest, &end, 10) != 0;
		tell_paused(s, w, paused, strtoll(end, NULL, 10));
	}
}

/* --- what is to be seen to ------------------------------------------------ */

static void reap(struct shared *s, const char *who);

static void
on_reaped(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;
	char *who = privdata;
	int64_t count;

	if (s != NULL && r->type == REDIS_REPLY_ERROR) {
		link_error(s, r);
	} else if (s != NULL) {
		count = reply_number(reply_at(r, 1));
		if (count > 0)
			log_warn("%s: %lld tasks of a supervisord that is away "
				 "are queued again",
			    s->where, (long long)count);
		if (reply_number(reply_at(r, 2)) != 0)
			reap(s, who);
	}
	free(who);
}

static void
reap(struct shared *s, const char *who)
{
	char *copy = strdup(who);
	struct resp cmd;

	if (copy == NULL)
		return;
	link_script(s, &cmd, SCRIPT_REAP, 0, false);
	resp_str(&cmd, who);
	resp_int(&cmd, s->options.lease_ms);
	resp_int(&cmd, REAP_CHUNK);
	if (!link_send(s, &cmd, on_reaped, copy))
		free(copy);
}

static void expire(struct shared *s);

static void
on_expired(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;

	(void)privdata;
	if (s == NULL)
		return;
	if (r->type == REDIS_REPLY_ERROR)
		link_error(s, r);
	else if (reply_number(reply_at(r, 1)) == EXPIRE_CHUNK)
		expire(s);
}

static void
expire(struct shared *s)
{
	struct resp cmd;

	link_script(s, &cmd, SCRIPT_EXPIRE, 0, false);
	resp_int(&cmd, EXPIRE_CHUNK);
	link_send(s, &cmd, on_expired, NULL);
}

/* A group that is over and whose broker died before it had seen to it. */
static void
see_to_group(struct shared *s, uint64_t group)
{
	struct store_op *op = shared_note(NOTE_GROUP);

	if (op == NULL)
		return;
	op->flight.group = group;
	op->flight.step = STEP_GROUP_GET;
	shared_post(s, op);
}

static void
hear_pools(struct shared *s, const redisReply *pools)
{
	for (size_t i = 0; pools != NULL && i + 4 < pools->elements; i += 5) {
		redisReply **e = pools->element + i;
		struct served *w = NULL;

		if (e[0]->str != NULL)
			HASH_FIND_STR(s->served, e[0]->str, w);
		if (w == NULL)
			continue;
		tell_paused(s, w, reply_number(e[3]) != 0, reply_number(e[4]));
		tell_of(s, NOTE_DUE, w->worker, reply_number(e[1]));
		if (reply_number(e[2]) != 0)
			tell_ready(s, w);
	}
}

void
beat_lost(struct shared *s, const redisReply *known)
{
	link_failed(s, "%s",
	    reply_number(known) != 0
		? "the lease had run out, others have the tasks"
		: "its data is gone (FLUSHALL, or an older state was put "
		  "back): what was in it is lost");
}

static void
on_beat(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply, *over, *groups;

	(void)privdata;
	if (s == NULL)
		return;
	s->beats--;
	if (r->type == REDIS_REPLY_ERROR) {
		link_error(s, r);
		shared_pump(s);
		return;
	}
	if (reply_is(reply_at(r, 0), "lost")) {
		beat_lost(s, reply_at(r, 1));
		return;
	}
	beat_renewed(s);
	if (s->watch_again)
		link_watch_all(s);
	hear_pools(s, reply_at(r, 4));
	over = reply_at(r, 1);
	for (size_t i = 0; over != NULL && i < over->elements; i++)
		if (over->element[i]->str != NULL)
			reap(s, over->element[i]->str);
	groups = reply_at(r, 2);
	for (size_t i = 0; groups != NULL && i < groups->elements; i++)
		see_to_group(s, (uint64_t)reply_number(groups->element[i]));
	if (reply_number(reply_at(r, 3)) != 0)
		expire(s);
}

static void
on_beat_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct shared *s = w->data;

	(void)loop;
	(void)revents;
	beat_now(s);
	join_look_again(s);
}

void
beat_renewed(struct shared *s)
{
	__atomic_store_n(&s->lease_until,
	    s->beat_sent + s->options.lease_ms * NS_PER_MS, __ATOMIC_RELAXED);
}

void
beat_now(struct shared *s)
{
	double every = (double)MIN_OF(s->options.lease_ms / 3, BEAT_MOST_MS);
	struct served *w, *next;
	struct resp cmd;

	if (s->state != LINK_READY || s->reloading)
		return;
	link_script(s, &cmd, SCRIPT_BEAT, 0, false);
	resp_int(&cmd, s->options.lease_ms);
	HASH_ITER(hh, s->served, w, next)
	resp_str(&cmd, w->worker);
	/* Of several on the way the first counts: by it the lease ends first.
	 */
	if (s->beats == 0)
		s->beat_sent = clock_boot();
	if (link_send(s, &cmd, on_beat, NULL)) {
		s->beats++;
		if (s->beat_at == 0)
			s->beat_at = clock_mono();
	}
	if (!ev_is_active(&s->beat)) {
		ev_timer_init(
		    &s->beat, on_beat_timer, 0, MAX_OF(every, 10.) / 1000.);
		s->beat.data = s;
	}
	ev_timer_again(s->own, &s->beat);
}

/* --- leaving -------------------------------------------------------------- */

static void
on_left(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;

	(void)privdata;
	if (s == NULL)
		return;
	if (r->type != REDIS_REPLY_ERROR && reply_number(reply_at(r, 1)) != 0)
		beat_leave(s);
	else
		ev_break(s->own, EVBREAK_ALL);
}

void
beat_leave(struct shared *s)
{
	struct resp cmd;

	link_script(s, &cmd, SCRIPT_LEAVE, 0, false);
	resp_int(&cmd, REAP_CHUNK);
	if (!link_send(s, &cmd, on_left, NULL))
		ev_break(s->own, EVBREAK_ALL);
}

#endif
