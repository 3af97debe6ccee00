/*
 * The connections: one for commands, one on which news is heard. They come and
 * go together, and are used when join.c says so. What breaks is made anew after
 * a pause; a command that has no answer for long is a broken connection, too.
 */

#ifdef WITH_HIREDIS

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <hiredis/adapters/libev.h>
#pragma GCC diagnostic pop

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"
#include "supervisord/broker/redis/words.h"

#define SILENCE_NS (5 * NS_PER_SEC)

/* --- breaking ------------------------------------------------------------- */

static void
close_one(redisAsyncContext **where)
{
	redisAsyncContext *ac = *where;

	/* Its callbacks come now, with NULL, and look whether it is ours. */
	*where = NULL;
	if (ac != NULL)
		redisAsyncFree(ac);
}

static void
close_both(struct shared *s)
{
	s->state = LINK_OFF;
	s->loaded = s->sub_up = s->reloading = s->ids_asked = false;
	s->loads = s->beats = 0;
	s->outstanding = 0;
	s->refusal[0] = '\0';
	s->full = false;
	s->beat_at = 0;
	ev_timer_stop(s->own, &s->watch);
	ev_timer_stop(s->own, &s->beat);
	close_one(&s->cmd);
	close_one(&s->sub);
	fit_free(s->fit);
	s->fit = NULL;
}

void
link_retry(struct shared *s, double pause)
{
	ev_timer_stop(s->own, &s->retry);
	ev_timer_set(&s->retry, pause, 0);
	ev_timer_start(s->own, &s->retry);
}

static void
unwell(struct shared *s, const char *why)
{
	char words[WHY_TEXT];

	words_of_redis(why, words, sizeof words);
	shared_health(s, false, words);
}

void
link_failed(struct shared *s, const char *fmt, ...)
{
	char why[WHY_TEXT];
	va_list ap;

	if (s->state == LINK_OFF)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	close_both(s);
	unwell(s, why);
	shared_broken(s);
	if (s->leaving) {
		ev_break(s->own, EVBREAK_ALL);
		return;
	}
	link_retry(s, s->pause_s);
	s->pause_s = MIN_OF(2 * s->pause_s, PAUSE_MOST);
}

static const char *
words_of(const redisAsyncContext *ac)
{
	return ac->err == REDIS_ERR_EOF ? "the connection was closed"
	       : ac->errstr != NULL && ac->errstr[0] != '\0'
		   ? ac->errstr
		   : "the connection broke";
}

static void
on_disconnect(const redisAsyncContext *ac, int status)
{
	struct shared *s = ac->data;

	(void)status;
	if (ac != s->cmd && ac != s->sub)
		return;
	/* hiredis frees it behind this. */
	if (ac == s->cmd)
		s->cmd = NULL;
	else
		s->sub = NULL;
	link_failed(s, "%s", words_of(ac));
}

/* --- sending and hearing -------------------------------------------------- */

struct shared *
link_heard(redisAsyncContext *ac, void *reply)
{
	struct shared *s = ac->data;

	if (reply == NULL || ac != s->cmd)
		return NULL;
	s->heard = clock_mono();
	s->outstanding--;
	if (s->state == LINK_REFUSED && s->outstanding == 0)
		link_retry(s, 0);
	return s;
}

bool
link_send(
    struct shared *s, struct resp *cmd, redisCallbackFn *fn, void *privdata)
{
	bool ok = resp_end(cmd) && s->cmd != NULL &&
		  redisAsyncFormattedCommand(
		      s->cmd, fn, privdata, cmd->text, cmd->size) == REDIS_OK;

	resp_done(cmd);
	if (!ok)
		return false;
	if (s->outstanding++ == 0)
		s->heard = clock_mono();
	return true;
}

void
link_script(struct shared *s, struct resp *cmd, enum script which, uint64_t seq,
    bool again)
{
	char number[SEQ_DIGITS + 8] = "";

	resp_begin(cmd);
	resp_str(cmd, "EVALSHA");
	resp_add(cmd, s->sha[which], 40);
	resp_str(cmd, "0");
	resp_str(cmd, s->channels);
	resp_add(cmd, s->me, HEX_ID);
	if (seq != 0)
		snprintf(number, sizeof number, "%0*" PRIu64, SEQ_DIGITS, seq);
	resp_str(cmd, number);
	resp_str(cmd, again ? "1" : "0");
}

static bool
says(const redisReply *r, const char *word)
{
	return r->str != NULL && strstr(r->str, word) != NULL;
}

/* What it writes nothing with, whoever asks, until somebody has mended it. */
static bool
refuses(const redisReply *r)
{
	static const char *const words[] = { "MISCONF", "READONLY",
		"NOREPLICAS", "MASTERDOWN", "NOAUTH", "NOPERM" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (says(r, words[i]))
			return true;
	return false;
}

/* Nothing more is sent. What was sent before is answered yet, and who hears
 * that nothing was done of it need not wait: then the connection is left. */
static void
refused(struct shared *s, const char *why)
{
	if (s->state != LINK_READY)
		return;
	s->state = LINK_REFUSED;
	snprintf(s->refusal, sizeof s->refusal, "%s", why);
	unwell(s, why);
	if (s->outstanding == 0)
		link_retry(s, 0);
}

bool
link_error(struct shared *s, const redisReply *r)
{
	char words[WHY_TEXT];

	if (says(r, "NOSCRIPT")) {
		/* All that is on the way has this answer; when they are loaded
		 * again, so has all of it come back. */
		if (s->state == LINK_READY && !s->reloading) {
			s->reloading = true;
			join_load(s);
		} else if (s->state != LINK_READY) {
			link_failed(s, "its scripts are flushed");
		}
		return true;
	}
	if (says(r, "OOM ")) {
		/* Until a look finds room in it (join.c). */
		s->full = true;
		if (s->state == LINK_READY)
			shared_health(s, true, FULL_WORDS);
		return false;
	}
	if (says(r, "LOADING") || says(r, "BUSY")) {
		link_failed(s, "%s", r->str);
		return true;
	}
	if (refuses(r)) {
		refused(s, r->str);
		return false;
	}
	words_of_redis(r->str != NULL ? r->str : "?", words, sizeof words);
	log_error("%s: %s", s->where, words);
	return false;
}

/* --- news ----------------------------------------------------------------- */

/* Every message of the other connection. */
static void
on_message(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = ac->data;
	const redisReply *r = reply;
	const char *kind;

	(void)privdata;
	if (reply == NULL || ac != s->sub)
		return;
	if (r->type == REDIS_REPLY_ERROR) {
		link_failed(s, "SUBSCRIBE: %s", r->str);
		return;
	}
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 3 ||
	    r->element[0]->str == NULL || r->element[1]->str == NULL)
		return;
	kind = r->element[0]->str;
	if (strcmp(kind, "message") == 0 && r->element[2]->str != NULL) {
		beat_said(s, r->element[1]->str + strlen(s->channels),
		    r->element[2]->str);
	} else if (strcmp(kind, "subscribe") == 0 && !s->sub_up &&
		   strncmp(r->element[1]->str + strlen(s->channels), "b:", 2) ==
		       0) {
		s->sub_up = true;
		if (s->loaded)
			join_begin(s);
	}
}

static void
on_login(redisAsyncContext *ac, void *reply, void *privdata)
{
	struct shared *s = ac->data;
	const redisReply *r = reply;

	(void)privdata;
	if (reply != NULL && ac == s->sub && r->type == REDIS_REPLY_ERROR)
		link_failed(s, "AUTH: %s", r->str);
}

void
link_subscribe(struct shared *s, const char *worker, bool on)
{
	if (s->sub != NULL && s->state >= LINK_CHECKING)
		redisAsyncCommand(s->sub, on_message, NULL, "%s %sp:%s",
		    on ? "SUBSCRIBE" : "UNSUBSCRIBE", s->channels, worker);
}

static void
subscribe_all(struct shared *s)
{
	const struct redis_url *u = &s->url;
	struct served *w, *next;

	if (u->user[0] != '\0')
		redisAsyncCommand(
		    s->sub, on_login, NULL, "AUTH %s %s", u->user, u->password);
	else if (u->password[0] != '\0')
		redisAsyncCommand(
		    s->sub, on_login, NULL, "AUTH %s", u->password);
	/* The broker's own last: with it, all are there. */
	HASH_ITER(hh, s->served, w, next)
	redisAsyncCommand(s->sub, on_message, NULL, "SUBSCRIBE %sp:%s",
	    s->channels, w->worker);
	redisAsyncCommand(
	    s->sub, on_message, NULL, "SUBSCRIBE %sb:%s", s->channels, s->me);
}

/* --- connecting ----------------------------------------------------------- */

static void
on_connect(const redisAsyncContext *ac, int status)
{
	struct shared *s = ac->data;
	bool cmd = ac == s->cmd;

	if (!cmd && ac != s->sub)
		return;
	if (status != REDIS_OK) {
		/* hiredis frees it behind this. */
		if (cmd)
			s->cmd = NULL;
		else
			s->sub = NULL;
		link_failed(s, "%s", words_of(ac));
		return;
	}
	if (cmd)
		join_check(s);
	else
		subscribe_all(s);
}

static redisAsyncContext *
open_one(struct shared *s)
{
	redisAsyncContext *ac =
	    s->url.path[0] != '\0'
		? redisAsyncConnectUnix(s->url.path)
		: redisAsyncConnect(s->url.host, s->url.port);
	int flags;

	if (ac == NULL) {
		link_failed(s, "out of memory");
		return NULL;
	}
	if (ac->err != 0) {
		char why[160];

		snprintf(why, sizeof why, "%s", words_of(ac));
		redisAsyncFree(ac);
		link_failed(s, "%s", why);
		return NULL;
	}
	flags = fcntl(ac->c.fd, F_GETFD);
	if (flags >= 0)
		fcntl(ac->c.fd, F_SETFD, flags | FD_CLOEXEC);
	ac->data = s;
	if (s->url.path[0] == '\0')
		redisEnableKeepAlive(&ac->c);
	redisLibevAttach(s->own, ac);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	return ac;
}

static void
on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct shared *s = w->data;

	(void)loop;
	(void)revents;
	if (s->state == LINK_REFUSED) {
		link_failed(s, "%s", s->refusal);
		return;
	}
	s->state = LINK_CONNECTING;
	s->heard = clock_mono();
	ev_timer_again(s->own, &s->watch);
	s->sub = open_one(s);
	if (s->sub != NULL)
		s->cmd = open_one(s);
	s->heard = clock_mono();
	/* The failure of the second one has closed the first. */
	if (s->state == LINK_OFF)
		s->cmd = s->sub = NULL;
}

/* Looks whether an answer, or the echo of a beat, is long overdue. */
static void
on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct shared *s = w->data;
	int64_t now = clock_mono();
	bool waits = s->state != LINK_READY || s->outstanding > 0;

	(void)loop;
	(void)revents;
	if (waits && now - s->heard > SILENCE_NS)
		link_failed(s, "no answer within 5 s");
	else if (s->beat_at != 0 && now - s->beat_at > SILENCE_NS)
		link_failed(s, "no news within 5 s");
}

void
link_start(struct shared *s)
{
	ev_init(&s->retry, on_retry);
	s->retry.data = s;
	ev_timer_init(&s->watch, on_watchdog, 1., 1.);
	s->watch.data = s;
	s->pause_s = PAUSE_FIRST;
	link_retry(s, 0);
}

void
link_stop(struct shared *s)
{
	close_both(s);
	ev_timer_stop(s->own, &s->retry);
	ev_async_stop(s->own, &s->wake);
}

#endif
