/* What a worker has said, in either framing, and what it means. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json_check.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

#define ERROR_TEXT    (16U << 10)
#define PROGRESS_TEXT 1024U

struct flight *
hand_flight(struct hand *h, uint64_t id)
{
	struct flight *f = flights_find(h->broker->flights, id);

	return f != NULL && f->hand == h && f->task != NULL ? f : NULL;
}

struct task *
hand_over(struct flight *f)
{
	struct hand *h = f->hand;
	struct task *t = f->task;

	limit_clear(h->broker->limits, &f->limit);
	hand_not_asked(f);
	if ((f->flags & FLIGHT_DOOMED) != 0 && h->in->doomed > 0)
		h->in->doomed--;
	if (f->series != NULL)
		buf_done(f->series);
	f->task = NULL;
	f->ended = true;
	f->fleeting = t->fleeting;
	list_append(&h->broker->hands->ended, &f->link);
	return t;
}

/* It answers for a task it does not have; which is no fault where the broker
 * before this one had it, and it is no task any more. */
static void
not_its(struct hand *h, const struct said *s)
{
	struct flight *f = flights_find(h->broker->flights, s->id);

	if (f == NULL || f->hand != h || !f->forgotten)
		hand_broke(h, "an answer for task %llu, which it does not have",
		    (unsigned long long)s->id);
	else if (!s->more)
		hand_forget(f);
}

/* --- an answer, maybe in pieces ------------------------------------------- */

static bool
keep_piece(struct flight *f, const struct said *s)
{
	if (f->series == NULL) {
		f->series = calloc(1, sizeof *f->series);
		if (f->series == NULL)
			return false;
	}
	if (f->series->size + s->size > WIRE_RESULT_MAX)
		f->too_large = true;
	if (!f->too_large)
		buf_add(f->series, s->data, s->size);
	return !f->series->failed;
}

/* Its pieces so far and this one into *ret, if it is the last. */
static bool
whole(struct hand *h, struct flight *f, const struct said *s, struct said *ret)
{
	*ret = *s;
	if (!s->later) {
		f->too_large = s->size > WIRE_RESULT_MAX;
		f->in_series = false;
		if (f->series != NULL)
			buf_done(f->series);
		if (!s->more)
			return true;
		f->in_series = true;
	} else if (!f->in_series) {
		/* Its beginning went to a broker that was killed: it comes
		 * again, or SYNC tells that the task is not held. */
		if (h->in->sync == 0)
			hand_broke(h, "a piece of an answer without its start");
		return false;
	}
	if (!keep_piece(f, s)) {
		hand_broke(h, "no memory for an answer of %zu bytes",
		    f->series != NULL ? f->series->size : 0);
		return false;
	}
	if (s->more)
		return false;
	ret->own = *f->series;
	buf_init(f->series);
	ret->data = ret->own.data;
	ret->size = ret->own.size;
	return true;
}

static void
flatten(char *p, size_t left)
{
	for (char *end = p + left;
	     (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		*p = ' ';
}

static void
done(struct broker *b, struct task *t, const struct said *s, bool checked)
{
	bool json = s->json && s->size > 0;
	struct body *result = NULL;

	if (json && !checked && json_check(s->data, s->size, NULL) < 0) {
		core_failed(b, t, "its result is not valid JSON", true);
		return;
	}
	if (s->size > 0 || !s->json) {
		result = body_new(s->size > 0 ? s->data : "", s->size);
		if (result == NULL) {
			core_failed(b, t, "no memory for its result", false);
			return;
		}
	}
	/* So that it fits a line of JSON as it is. */
	if (json)
		flatten(result->data, result->size);
	core_done(b, t, result, json || s->json);
	body_release(result);
}

static void
failed(struct broker *b, struct task *t, const struct said *s)
{
	size_t size = MIN_OF(s->size, (size_t)ERROR_TEXT);
	char *why = strndup(s->size > 0 ? s->data : "", size);

	core_failed(b, t,
	    why != NULL && why[0] != '\0' ? why : "its handler failed",
	    s->for_good);
	free(why);
}

static void
answered(struct hand *h, const struct said *s)
{
	struct flight *f = hand_flight(h, s->id);
	struct broker *b = h->broker;
	struct said all;
	struct task *t;
	bool too_large;

	if (f == NULL) {
		not_its(h, s);
		return;
	}
	if (!whole(h, f, s, &all))
		return;
	too_large = f->too_large;
	t = hand_over(f);
	h->served++;
	if (h->in->kept != NULL)
		h->in->kept->served = h->served;
	if (too_large)
		core_failed(b, t, "its result is larger than 16 MiB", true);
	else if (s->type == WIRE_FAILED)
		failed(b, t, &all);
	else
		done(b, t, &all, h->in->lines);
	/* Of a line it is the caller's. */
	if (all.own.data != s->own.data)
		buf_done(&all.own);
	hand_flight_ended(h);
}

/* --- the rest ------------------------------------------------------------- */

static void
returned(struct hand *h, const struct said *s)
{
	struct flight *f = hand_flight(h, s->id);

	if (f == NULL) {
		not_its(h, s);
		return;
	}
	core_returned(h->broker, hand_over(f));
	hand_flight_ended(h);
}

/* Of a task that has ended meanwhile it is of no interest. */
static void
progress(struct hand *h, const struct said *s)
{
	struct flight *f = hand_flight(h, s->id);
	char text[PROGRESS_TEXT + 1];
	size_t size = MIN_OF(s->size, (size_t)PROGRESS_TEXT);

	if (f == NULL)
		return;
	memcpy(text, size > 0 ? s->data : "", size);
	text[size] = '\0';
	core_progress(h->broker, f->task,
	    s->share <= 1000 ? s->share : WIRE_NO_SHARE, text);
}

bool
said_held(const struct said *s, uint64_t id)
{
	for (size_t i = 0; i + sizeof id <= s->size; i += sizeof id) {
		uint64_t one;

		memcpy(&one, s->data + i, sizeof one);
		if (le64toh(one) == id)
			return true;
	}
	return false;
}

/* What the broker before this one had sent is either held or was never read. */
static void
synced(struct hand *h, const struct said *s)
{
	struct list *l, *tmp;

	if (h->in->sync == 0 || s->id != h->in->sync)
		return;
	h->in->sync = 0;
	LIST_FOREACH(l, tmp, &h->tasks) {
		struct task *t = LIST_ENTRY(l, struct task, link);
		struct flight *f = hand_flight(h, t->row.id);

		if (!t->unsure || f == NULL)
			continue;
		t->unsure = false;
		if (!said_held(s, t->row.id))
			core_lost(h->broker, hand_over(f), LOST_STOPPED, NULL);
	}
	hand_forget_unheld(h, s);
	hand_flight_ended(h);
}

static void
draining(struct hand *h)
{
	h->in->draining = true;
	if (h->in->kept != NULL)
		h->in->kept->draining = 1;
	hand_update(h);
}

static void
begun(struct hand *h, const struct said *s)
{
	struct flight *f = hand_flight(h, s->id);

	if (f == NULL || s->thread >= h->threads)
		return;
	if (!f->task->begun)
		hand_flight_begun(f);
	core_begun(h->broker, f->task, s->thread);
}

void
hand_said(struct hand *h, const struct said *s)
{
	if (!h->up && s->type != WIRE_HELLO) {
		hand_broke(h, "it did not begin with HELLO");
		return;
	}
	/* No default: a new type is missed by nobody. */
	switch (s->type) {
	case WIRE_HELLO:
		/* The broker before this one may have understood it and been
		 * killed before it took it out of the socket. */
		if (h->up && !h->in->adopted)
			hand_broke(h, "a second HELLO");
		else if (!h->up)
			(void)hand_hello(h, s->data, s->size);
		return;
	case WIRE_SYNC:
		synced(h, s);
		return;
	case WIRE_DONE:
	case WIRE_FAILED:
		answered(h, s);
		return;
	case WIRE_PROGRESS:
		progress(h, s);
		return;
	case WIRE_RETURNED:
		returned(h, s);
		return;
	case WIRE_START:
		begun(h, s);
		return;
	case WIRE_DRAINING:
		draining(h);
		return;
	case WIRE_TASK:
	case WIRE_CANCEL:
	case WIRE_RECALL:
	case WIRE_DRAIN:
	case WIRE_SUBMIT:
	case WIRE_CALL:
	case WIRE_AWAIT:
	case WIRE_ACCEPTED:
	case WIRE_REFUSED:
	case WIRE_ANSWER:
	case WIRE_RESULT:
		break;
	}
	hand_broke(h, "a message of type %d", (int)s->type);
}
