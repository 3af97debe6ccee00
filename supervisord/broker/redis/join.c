/*
 * Between being connected and being used: is this Redis fit for tasks (fit.c)?
 * Then the scripts are loaded and the lease begins (join.lua). And what is
 * asked for beside the operations: ids ahead of need, and the ends of tasks.
 */

#ifdef WITH_HIREDIS

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"

#define ID_BLOCK 2000
#define ID_MOST  1000000

/* --- ids ------------------------------------------------------------------ */

static void
on_ids(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;
	uint64_t first;

	(void)privdata;
	if (s == NULL)
		return;
	s->ids_asked = false;
	if (r->type == REDIS_REPLY_ERROR) {
		link_error(s, r);
		shared_pump(s);
		return;
	}
	first = (uint64_t)reply_number(reply_at(r, 1)) + SHARED_ID_FIRST;
	pthread_mutex_lock(&s->lock);
	if (s->next_id >= s->reserved) {
		s->next_id = first;
		s->reserved = first + s->block;
	} else if (s->reserved == first) {
		s->reserved = first + s->block;
	} else if (s->reserved - s->next_id < s->block) {
		/* A gap between the blocks: the larger one is kept. */
		s->next_id = first;
		s->reserved = first + s->block;
	}
	s->ids_floor = MAX_OF(s->ids_floor, s->reserved);
	s->ids_wanted = s->ids_late = false;
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	shared_unpark(s);
	shared_pump(s);
}

void
link_ids(struct shared *s)
{
	uint64_t left, seen;
	struct resp cmd;
	bool wanted;

	if (s->ids_asked || !s->loaded || s->reloading ||
	    s->state == LINK_REFUSED)
		return;
	pthread_mutex_lock(&s->lock);
	left = s->reserved - s->next_id;
	wanted = s->ids_wanted;
	pthread_mutex_unlock(&s->lock);
	if (!wanted && left >= s->block / 2 && left > 0)
		return;
	/* Blocks grow with the pace. */
	if (s->block == 0)
		s->block = ID_BLOCK;
	else if (left < s->block / 4)
		s->block = MIN_OF(4 * s->block, (uint64_t)ID_MOST);
	seen =
	    s->ids_floor > SHARED_ID_FIRST ? s->ids_floor - SHARED_ID_FIRST : 0;
	link_script(s, &cmd, SCRIPT_IDS, 0, false);
	resp_uint(&cmd, s->block);
	resp_uint(&cmd, seen);
	s->ids_asked = link_send(s, &cmd, on_ids, NULL);
}

/* --- watching ------------------------------------------------------------- */

static void
on_watch(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply, *over;

	(void)privdata;
	if (s == NULL)
		return;
	if (r->type == REDIS_REPLY_ERROR) {
		/* Not known any more: all are looked at again. */
		if (link_error(s, r) && s->state == LINK_READY)
			link_failed(s, "its scripts are flushed");
		s->watch_again = true;
		return;
	}
	over = reply_at(r, 1);
	for (size_t i = 0; over != NULL && i < over->elements; i++) {
		uint64_t id = (uint64_t)reply_number(over->element[i]);
		struct watched *w = NULL;
		struct store_op *note;

		HASH_FIND(hh, s->watched, &id, sizeof id, w);
		if (w == NULL)
			continue;
		note = shared_note(NOTE_ENDED);
		if (note != NULL)
			note->change.id = id;
		shared_tell(s, note);
	}
}

void
link_watch(struct shared *s, const uint64_t *ids, size_t count)
{
	struct resp cmd;

	if (count == 0)
		return;
	link_script(s, &cmd, SCRIPT_WATCH, 0, false);
	for (size_t i = 0; i < count; i++)
		resp_uint(&cmd, ids[i]);
	if (!link_send(s, &cmd, on_watch, NULL))
		s->watch_again = true;
}

void
link_watch_all(struct shared *s)
{
	struct watched *w, *next;
	uint64_t ids[500];
	size_t n = 0;

	s->watch_again = false;
	HASH_ITER(hh, s->watched, w, next)
	{
		ids[n++] = w->id;
		if (n == N_ELEMENTS(ids) || next == NULL) {
			link_watch(s, ids, n);
			n = 0;
		}
	}
}

/* --- joining -------------------------------------------------------------- */

/* In a text of numbers, of SEQ_DIGITS each and in order. */
static bool
among(const char *done, size_t size, uint64_t seq)
{
	size_t low = 0, high = size / SEQ_DIGITS;
	char text[SEQ_DIGITS + 8];

	snprintf(text, sizeof text, "%0*" PRIu64, SEQ_DIGITS, seq);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(done + mid * SEQ_DIGITS, text, SEQ_DIGITS);

		if (order == 0)
			return true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* Which of what was sent was carried out, and only the answer got lost. */
static void
resend(struct shared *s, const char *done, size_t size)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->flying) {
		struct store_op *op = LIST_ENTRY(l, struct store_op, link);

		op->flight.again =
		    op->flight.seq != 0 && among(done, size, op->flight.seq);
		if (!op->flight.again)
			op->flight.seq = 0;
	}
}

static void
ready(struct shared *s)
{
	s->state = LINK_READY;
	s->pause_s = PAUSE_FIRST;
	shared_health(s, true, "");
	shared_tell_simple(s, NOTE_JOINED);
	link_watch_all(s);
	beat_now(s);
	shared_pump(s);
}

static void
on_joined(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply, *done;

	(void)privdata;
	if (s == NULL)
		return;
	if (r->type == REDIS_REPLY_ERROR) {
		link_failed(s, "%s", r->str != NULL ? r->str : "?");
		return;
	}
	done = reply_at(r, 1);
	if (done != NULL && done->str != NULL)
		resend(s, done->str, done->len);
	s->seq = (uint64_t)reply_number(reply_at(r, 2));
	beat_renewed(s);
	/* Whatever was reserved before, a Redis that was put back to an earlier
	 * state may give to others. */
	pthread_mutex_lock(&s->lock);
	s->next_id = s->reserved = 0;
	s->ids_wanted = true;
	s->ids_late = false;
	pthread_mutex_unlock(&s->lock);
	s->block = 0;
	s->ids_asked = false;
	link_ids(s);
	ready(s);
}

void
join_begin(struct shared *s)
{
	struct resp cmd;

	link_script(s, &cmd, SCRIPT_JOIN, 0, false);
	resp_str(&cmd, s->name);
	resp_int(&cmd, s->options.lease_ms);
	s->beat_sent = clock_boot();
	if (!link_send(s, &cmd, on_joined, NULL))
		link_failed(s, "out of memory");
}

static void
on_loaded(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;
	char *sha = privdata;

	if (s == NULL)
		return;
	if (r->type == REDIS_REPLY_ERROR || r->str == NULL || r->len != 40) {
		link_failed(
		    s, "%s", r->str != NULL ? r->str : "it takes no scripts");
		return;
	}
	memcpy(sha, r->str, 41);
	if (--s->loads > 0)
		return;
	if (s->reloading) {
		s->reloading = false;
		link_ids(s);
		shared_pump(s);
		return;
	}
	s->loaded = true;
	if (s->sub_up)
		join_begin(s);
}

void
join_load(struct shared *s)
{
	for (enum script i = 0; i < SCRIPTS; i++) {
		struct resp cmd;
		struct buf text;
		bool ok = script_text(i, &text);

		resp_begin(&cmd);
		resp_str(&cmd, "SCRIPT");
		resp_str(&cmd, "LOAD");
		if (ok)
			resp_add(&cmd, buf_text(&text), text.size);
		buf_done(&text);
		s->loads++;
		if (!ok || !link_send(s, &cmd, on_loaded, s->sha[i])) {
			link_failed(s, "out of memory");
			return;
		}
	}
}

/* --- checking ------------------------------------------------------------- */

static void
verdict(struct shared *s)
{
	char why[WHY_TEXT];
	enum fit_for f = fit_verdict(s->fit, why, sizeof why);

	s->full = s->full && !fit_has_room(s->fit);
	if (s->state == LINK_READY && f == FIT_FOR_TASKS) {
		shared_health(s, true, s->full ? FULL_WORDS : "");
	} else if (s->state == LINK_READY && f == FIT_UNSAFE) {
		/* It was made so while tasks were running. */
		shared_health(s, true, why);
	} else if (f == FIT_FOR_TASKS) {
		join_load(s);
	} else {
		link_failed(s, "%s", why);
		/* Somebody may mend it. */
		link_retry(s, PAUSE_MOST);
	}
}

static void
on_info(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;

	(void)privdata;
	if (s == NULL)
		return;
	if (r->type == REDIS_REPLY_ERROR) {
		link_failed(s, "INFO: %s", r->str);
		return;
	}
	fit_info(s->fit, r);
	if (s->options.durability != DURABLE_FULL)
		verdict(s);
}

static void
on_fsync(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);

	(void)privdata;
	if (s == NULL)
		return;
	fit_fsync(s->fit, reply);
	verdict(s);
}

static void
on_plain(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = link_heard(ac, reply);
	const redisReply *r = reply;

	if (s != NULL && r->type == REDIS_REPLY_ERROR)
		link_failed(s, "%s: %s", (const char *)privdata, r->str);
}

static bool
words_send(struct shared *s, redisCallbackFn *fn, const char *what,
    const char *second, const char *third)
{
	static char names[][8] = { "AUTH", "SELECT", "INFO", "CONFIG" };
	struct resp cmd;
	char *name = names[0];

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		if (strcmp(names[i], what) == 0)
			name = names[i];
	resp_begin(&cmd);
	resp_str(&cmd, what);
	if (second != NULL)
		resp_str(&cmd, second);
	if (third != NULL)
		resp_str(&cmd, third);
	return link_send(s, &cmd, fn, name);
}

static bool
login(struct shared *s)
{
	const struct redis_url *u = &s->url;

	if (u->password[0] == '\0')
		return true;
	return u->user[0] != '\0'
		   ? words_send(s, on_plain, "AUTH", u->user, u->password)
		   : words_send(s, on_plain, "AUTH", u->password, NULL);
}

/* Its answers lead to the verdict. */
static bool
look(struct shared *s)
{
	return words_send(s, on_info, "INFO", NULL, NULL) &&
	       (s->options.durability != DURABLE_FULL ||
		   words_send(s, on_fsync, "CONFIG", "GET", "appendfsync"));
}

void
join_look_again(struct shared *s)
{
	if (s->state == LINK_READY && !look(s))
		link_failed(s, "out of memory");
}

void
join_check(struct shared *s)
{
	char db[16];

	s->state = LINK_CHECKING;
	s->fit = fit_new(s->options.durability);
	snprintf(db, sizeof db, "%d", s->url.db);
	if (s->fit == NULL || !login(s) ||
	    (s->url.db != 0 && !words_send(s, on_plain, "SELECT", db, NULL)) ||
	    !look(s))
		link_failed(s, "out of memory");
}

#endif
