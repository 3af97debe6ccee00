#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/client/sv_int.h"

int
sv_set_error(
    struct sv_client *c, int error, const char *name, const char *words)
{
	c->error = (struct sv_error){ .code = 0 };
	snprintf(c->error.name, sizeof c->error.name, "%s", name);
	snprintf(c->error.words, sizeof c->error.words, "%s", words);
	return error;
}

/* --- tables --------------------------------------------------------------- */

static struct sv_request **
link_of(struct sv_request *r, bool by_id)
{
	return by_id ? &r->by_id : &r->by_tag;
}

static size_t
place(const struct sv_table *t, uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ULL >> 20) & (t->size - 1);
}

static int
grow(struct sv_table *t, bool by_id)
{
	struct sv_table new = { NULL, t->size > 0 ? t->size * 2 : 64,
		t->count };

	new.chains = calloc(new.size, sizeof new.chains[0]);
	if (new.chains == NULL)
		return t->size > 0 ? 0 : -ENOMEM;
	for (size_t i = 0; i < t->size; i++) {
		struct sv_request *r = t->chains[i], *next;

		for (; r != NULL; r = next) {
			struct sv_request **chain =
			    &new.chains[place(&new, by_id ? r->id : r->tag)];

			next = *link_of(r, by_id);
			*link_of(r, by_id) = *chain;
			*chain = r;
		}
	}
	free(t->chains);
	*t = new;
	return 0;
}

static int
table_add(struct sv_table *t, struct sv_request *r, bool by_id)
{
	struct sv_request **chain;

	if (t->count >= t->size && grow(t, by_id) < 0)
		return -ENOMEM;
	chain = &t->chains[place(t, by_id ? r->id : r->tag)];
	*link_of(r, by_id) = *chain;
	*chain = r;
	t->count++;
	return 0;
}

static struct sv_request *
table_find(const struct sv_table *t, uint64_t key, bool by_id)
{
	struct sv_request *r = t->size > 0 ? t->chains[place(t, key)] : NULL;

	while (r != NULL && (by_id ? r->id : r->tag) != key)
		r = *link_of(r, by_id);
	return r;
}

static void
table_remove(struct sv_table *t, struct sv_request *r, bool by_id)
{
	struct sv_request **at = &t->chains[place(t, by_id ? r->id : r->tag)];

	while (*at != r)
		at = link_of(*at, by_id);
	*at = *link_of(r, by_id);
	t->count--;
}

/* --- life ----------------------------------------------------------------- */

struct sv_request *
sv_request_new(struct sv_client *c, enum sv_kind kind, uint64_t tag)
{
	struct sv_request *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->kind = kind;
	r->tag = tag;
	if (table_add(&c->tags, r, false) < 0) {
		free(r);
		return NULL;
	}
	r->prev = c->all.prev;
	r->next = &c->all;
	r->prev->next = r;
	c->all.prev = r;
	c->pending++;
	return r;
}

void
sv_request_free(struct sv_client *c, struct sv_request *r)
{
	table_remove(&c->tags, r, false);
	if (r->by_id_too)
		table_remove(&c->ids, r, true);
	r->prev->next = r->next;
	r->next->prev = r->prev;
	if (!r->left)
		c->pending--;
	free(r->frame);
	sv_buf_done(&r->answer);
	free(r);
}

int
sv_request_await(struct sv_client *c, struct sv_request *r, uint64_t id)
{
	r->id = id;
	if (table_add(&c->ids, r, true) < 0)
		return -ENOMEM;
	r->by_id_too = true;
	return 0;
}

void
sv_request_leave(struct sv_client *c, struct sv_request *r)
{
	if (!r->by_id_too || !r->sent || c->fd < 0) {
		sv_request_free(c, r);
		return;
	}
	r->left = true;
	r->ended = NULL;
	c->pending--;
}

struct sv_request *
sv_request_take_up(struct sv_client *c, uint64_t id)
{
	struct sv_request *r = table_find(&c->ids, id, true);

	if (r == NULL || !r->left)
		return NULL;
	r->left = false;
	c->pending++;
	return r;
}

/* On another connection nothing comes by itself. */
static void
forget_left(struct sv_client *c)
{
	struct sv_request *r = c->all.next, *next;

	for (; r != &c->all; r = next) {
		next = r->next;
		if (r->left)
			sv_request_free(c, r);
	}
}

static void
fail(struct sv_client *c, struct sv_request *r, int error,
    const struct sv_error *why)
{
	struct sv_request last = *r;
	bool answered = r->id != 0 || r->kind != SV_SUBMIT;

	last.answer = (struct sv_buf){ 0 };
	sv_request_free(c, r);
	c->called++;
	if (last.kind == SV_CALL)
		last.answered(last.arg, error, why, NULL, 0);
	else if (!answered && last.accepted != NULL)
		last.accepted(last.arg, error, why, 0);
	else if (answered && last.ended != NULL)
		last.ended(last.arg, error, why, NULL);
	else
		c->called--;
}

void
sv_requests_fail(struct sv_client *c, int error, const char *words)
{
	forget_left(c);
	c->inside = true;
	/* What a callback starts anew is not this one's. */
	for (size_t n = c->pending; n > 0 && c->all.next != &c->all; n--) {
		sv_set_error(c, error, "connection", words);
		fail(c, c->all.next, error, &c->error);
	}
	c->inside = false;
}

void
sv_requests_lost(struct sv_client *c)
{
	struct sv_request *r, *next;
	size_t n = c->pending;

	forget_left(c);
	r = c->all.next;
	c->inside = true;
	for (; n > 0 && r != &c->all; r = next, n--) {
		bool again = r->kind == SV_AWAIT || r->keyed || !r->sent ||
			     (r->kind == SV_SUBMIT && r->id != 0);

		next = r->next;
		r->begun = false;
		r->answer.size = 0;
		if (again)
			continue;
		sv_set_error(c, -ECONNRESET, "connection",
		    "the connection to supervisord was lost before it had "
		    "answered: the request may have been done or not");
		fail(c, r, -ECONNRESET, &c->error);
	}
	c->inside = false;
}

void
sv_requests_done(struct sv_client *c)
{
	while (c->all.next != &c->all)
		sv_request_free(c, c->all.next);
	free(c->tags.chains);
	free(c->ids.chains);
}

/* --- out ------------------------------------------------------------------ */

static char *
make_frames(enum wire_type type, uint8_t flags, uint64_t tag, const char *body,
    size_t size, char *to)
{
	size_t at = 0;

	do {
		size_t n = size - at < WIRE_BODY ? size - at : WIRE_BODY;
		struct wire_head head = { (uint32_t)n, (uint8_t)type, flags, 0,
			tag };

		if (at > 0)
			head.flags |= WIRE_LATER;
		if (at + n < size)
			head.flags |= WIRE_MORE;
		wire_put_head(to, &head);
		if (n > 0)
			memcpy(to + WIRE_HEAD, body + at, n);
		to += WIRE_HEAD + n;
		at += n;
	} while (at < size);
	return to;
}

static size_t
framed_size(size_t size)
{
	size_t frames = size > 0 ? (size + WIRE_BODY - 1) / WIRE_BODY : 1;

	return size + frames * WIRE_HEAD;
}

static int
put_out(struct sv_client *c, const char *frame, size_t size)
{
	char *to = sv_buf_room(&c->out, size);

	if (to == NULL)
		return -ENOMEM;
	memcpy(to, frame, size);
	c->out.size += size;
	return 0;
}

int
sv_request_send(struct sv_client *c, struct sv_request *r, enum wire_type type,
    uint8_t flags, const char *body, size_t size)
{
	size_t whole = framed_size(size);
	char *to;

	if (r->keyed || c->fd < 0) {
		r->frame = malloc(whole);
		if (r->frame == NULL)
			return -ENOMEM;
		r->frame_size = whole;
		make_frames(type, flags, r->tag, body, size, r->frame);
	}
	if (c->fd < 0)
		return 0;
	to = sv_buf_room(&c->out, whole);
	if (to == NULL)
		return -ENOMEM;
	make_frames(type, flags, r->tag, body, size, to);
	c->out.size += whole;
	r->sent = true;
	return 0;
}

static int
send_await(struct sv_client *c, struct sv_request *r)
{
	uint64_t id = htole64(r->id);
	char frame[WIRE_HEAD + sizeof id];

	make_frames(WIRE_AWAIT, 0, r->tag, (const char *)&id, sizeof id, frame);
	return put_out(c, frame, sizeof frame);
}

void
sv_requests_resend(struct sv_client *c)
{
	for (struct sv_request *r = c->all.next; r != &c->all; r = r->next) {
		int e;

		if (r->id != 0)
			e = send_await(c, r);
		else
			e = put_out(c, r->frame, r->frame_size);
		r->sent = true;
		/* Tried again, with more memory, on the next connection. */
		if (e < 0)
			c->broken = true;
	}
}

/* --- in ------------------------------------------------------------------- */

static void
take_accepted(struct sv_client *c, uint64_t id, const char *body)
{
	struct sv_request *r;
	uint64_t tag;

	memcpy(&tag, body, sizeof tag);
	r = table_find(&c->tags, le64toh(tag), false);
	if (r == NULL || r->kind != SV_SUBMIT || r->id != 0)
		return;
	if (r->accepted != NULL) {
		c->called++;
		r->accepted(r->arg, 0, NULL, id);
	}
	free(r->frame);
	r->frame = NULL;
	if (r->ended == NULL)
		sv_request_free(c, r);
	else if (sv_request_await(c, r, id) < 0)
		c->broken = true;
}

static void
take_refused(struct sv_client *c, uint64_t tag, const char *body, size_t size)
{
	struct sv_request *r = table_find(&c->tags, tag, false);
	size_t name = 4;
	uint32_t code;

	if (size < sizeof code)
		return;
	memcpy(&code, body, sizeof code);
	while (name < size && body[name] != ':')
		name++;
	c->error = (struct sv_error){ .code = (int)le32toh(code) };
	snprintf(c->error.name, sizeof c->error.name, "%.*s", (int)(name - 4),
	    body + 4);
	if (name + 2 <= size)
		snprintf(c->error.words, sizeof c->error.words, "%.*s",
		    (int)(size - name - 2), body + name + 2);
	if (r != NULL)
		fail(c, r, -EREMOTEIO, &c->error);
	else if (tag == 0) /* what was sent makes no sense to it */
		c->broken = true;
}

/* The pieces up to this one. false: more are to come, or it is to be passed
 * over. */
static bool
gather(struct sv_client *c, struct sv_request *r, const struct wire_head *head,
    const char *body)
{
	char *to;

	if (!(head->flags & WIRE_LATER)) {
		r->answer.size = 0;
		r->begun = true;
	}
	if (!r->begun)
		return false;
	to = sv_buf_room(&r->answer, head->size + 1);
	if (to == NULL) {
		c->broken = true;
		return false;
	}
	memcpy(to, body, head->size);
	to[head->size] = '\0';
	r->answer.size += head->size;
	return !(head->flags & WIRE_MORE);
}

static void
end(struct sv_client *c, struct sv_request *r, bool json)
{
	struct sv_result result = { .id = r->id, .json = json };
	struct wire_result head;
	sv_ended_fn *ended = r->ended;
	void *arg = r->arg;

	if (r->answer.size < sizeof head) {
		c->broken = true;
		return;
	}
	memcpy(&head, r->answer.data, sizeof head);
	result.state = (enum sv_state)head.state;
	result.attempts = le32toh(head.attempts);
	result.size = r->answer.size - sizeof head;
	result.data = r->answer.data;
	memmove(result.data, result.data + sizeof head, result.size + 1);
	r->answer = (struct sv_buf){ 0 };
	sv_request_free(c, r);
	if (ended != NULL) {
		c->called++;
		ended(arg, 0, NULL, &result);
	}
	sv_result_done(&result);
}

/* All who wait for this task hear it, by whichever of their requests. */
static void
take_result(struct sv_client *c, const struct wire_head *head, const char *body)
{
	struct sv_request *r = table_find(&c->ids, head->id, true);

	while (r != NULL && gather(c, r, head, body)) {
		end(c, r, (head->flags & WIRE_JSON) != 0);
		r = head->flags & WIRE_LATER
			? NULL
			: table_find(&c->ids, head->id, true);
	}
}

/* {"jsonrpc":"2.0","id":N,"result":...}: what is inside. */
static void
take_answer(struct sv_client *c, const struct wire_head *head, const char *body)
{
	static const char before[] = "\"result\":";
	struct sv_request *r = table_find(&c->tags, head->id, false);
	sv_answer_fn *answered;
	struct sv_buf text;
	const char *at;
	void *arg;

	if (r == NULL || r->kind != SV_CALL || !gather(c, r, head, body))
		return;
	at = strstr(r->answer.data, before);
	if (at == NULL || at > r->answer.data + 64)
		return; /* a notification */
	at += sizeof before - 1;
	text = r->answer;
	answered = r->answered;
	arg = r->arg;
	r->answer = (struct sv_buf){ 0 };
	sv_request_free(c, r);
	c->called++;
	answered(arg, 0, NULL, at, text.size - (size_t)(at - text.data) - 1);
	sv_buf_done(&text);
}

void
sv_request_frame(
    struct sv_client *c, const struct wire_head *head, const char *body)
{
	c->inside = true;
	switch (head->type) {
	case WIRE_ACCEPTED:
		if (head->size >= 8)
			take_accepted(c, head->id, body);
		break;
	case WIRE_REFUSED:
		take_refused(c, head->id, body, head->size);
		break;
	case WIRE_RESULT:
		take_result(c, head, body);
		break;
	case WIRE_ANSWER:
		take_answer(c, head, body);
		break;
	default: /* HELLO, and what a later version may say */
		break;
	}
	c->inside = false;
}
