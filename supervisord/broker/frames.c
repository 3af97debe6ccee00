/* Frames of clients (proto/wire.h): many in one recv, taken where they lie. */

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/base/slab.h"
#include "supervisord/broker/clients_int.h"
#include "supervisord/broker/submission.h"

#define SERIES_MAX 16 /* bodies in pieces at the same time */
/* Of all pieces of a request. */
#define BODY_MAX (WIRE_PAYLOAD_MAX + WIRE_BODY)

/* A body of which pieces are still to come. */
struct series {
	struct list link;
	uint8_t type, flags;
	uint64_t id;
	struct buf body;
};

/* A submit that is not answered yet, or whose end is waited for. */
struct pending {
	struct list link;
	struct client *c; /* NULL: gone */
	uint64_t tag;
	bool wait;
	struct waiter waiter;
};

/* --- out ------------------------------------------------------------------ */

static void
put_frame(struct client *c, const struct wire_head *head, const void *part,
    size_t part_size, const void *body, size_t size)
{
	char *to;

	if (!buf_reserve(&c->conn.out, WIRE_HEAD + part_size + size))
		return;
	to = c->conn.out.data + c->conn.out.size;
	wire_put_head(to, head);
	if (part_size > 0)
		memcpy(to + WIRE_HEAD, part, part_size);
	if (size > 0)
		memcpy(to + WIRE_HEAD + part_size, body, size);
	c->conn.out.size += WIRE_HEAD + part_size + size;
}

void
frames_put(struct client *c, enum wire_type type, uint8_t flags, uint64_t id,
    const void *part, size_t part_size, const void *body, size_t size)
{
	const char *rest = body != NULL ? body : "";
	bool more;

	if (c->conn.broken)
		return;
	do {
		size_t n =
		    size < WIRE_BODY - part_size ? size : WIRE_BODY - part_size;
		struct wire_head head = { (uint32_t)(part_size + n),
			(uint8_t)type, flags, 0, id };

		more = n < size;
		if (more)
			head.flags |= WIRE_MORE;
		put_frame(c, &head, part, part_size, rest, n);
		flags |= WIRE_LATER;
		part_size = 0;
		rest += n;
		size -= n;
	} while (more);
	conn_touch(&c->conn);
}

void
frames_refuse(
    struct client *c, uint64_t tag, enum queue_error e, const char *words)
{
	int32_t code = (int32_t)htole32((uint32_t)queue_error_code(e));
	char text[512];

	snprintf(text, sizeof text, "%s: %s", queue_error_name(e),
	    words != NULL ? words : queue_error_words(e));
	frames_put(
	    c, WIRE_REFUSED, 0, tag, &code, sizeof code, text, strlen(text));
}

/* What it sends makes no sense: the rest won't either. */
static void
protocol_error(struct client *c, const char *words)
{
	log_info("clients: pid %d breaks the protocol: %s",
	    (int)c->conn.who.pid, words);
	frames_refuse(c, 0, QERR_BAD_VALUE, words);
	conn_finish(&c->conn);
}

/* --- submits and waits ---------------------------------------------------- */

static struct slab pendings = SLAB(struct pending, 4096);

static struct pending *
pending_new(struct client *c, uint64_t tag)
{
	struct pending *p = slab_take(&pendings);

	if (p == NULL)
		return NULL;
	p->c = c;
	p->tag = tag;
	list_append(&c->pending, &p->link);
	conn_began(&c->conn);
	return p;
}

static void
pending_free(struct pending *p)
{
	if (p->c != NULL)
		conn_answered(&p->c->conn);
	list_remove(&p->link);
	slab_give(&pendings, p);
}

static void
waited(struct waiter *w, enum queue_error error, const struct task_row *row)
{
	struct pending *p = w->arg;
	struct wire_result head = { 0 };
	const char *text = NULL;
	size_t size = 0;
	uint8_t flags = 0;

	if (p->c != NULL && row == NULL) {
		frames_refuse(p->c, p->tag, error, NULL);
	} else if (p->c != NULL) {
		head.state = row->state;
		head.attempts = htole32(row->attempts);
		if (row->state != TASK_DONE) {
			text = row->error;
			size = text != NULL ? strlen(text) : 0;
		} else if (row->result != NULL) {
			text = row->result->data;
			size = row->result->size;
			flags = row->result_json ? WIRE_JSON : 0;
		}
		frames_put(p->c, WIRE_RESULT, flags, row->id, &head,
		    sizeof head, text, size);
	}
	pending_free(p);
}

static void
start_waiting(struct pending *p, uint64_t id)
{
	p->waiter.ended = waited;
	p->waiter.arg = p;
	core_wait(p->c->b, id, &p->waiter);
}

static void
submitted(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	struct pending *p = arg;

	struct {
		uint64_t tag;
		uint8_t existed, pad[7];
	} body = { htole64(p->tag), existed, { 0 } };

	if (p->c == NULL) {
		pending_free(p);
	} else if (error != QERR_NONE) {
		frames_refuse(p->c, p->tag, error, NULL);
		pending_free(p);
	} else {
		frames_put(
		    p->c, WIRE_ACCEPTED, 0, id, &body, sizeof body, NULL, 0);
		if (p->wait)
			start_waiting(p, id);
		else
			pending_free(p);
	}
}

static void
detach_series(struct client *c, struct series *s)
{
	list_remove(&s->link);
	c->series_count--;
}

static void
free_series(struct series *s)
{
	buf_done(&s->body);
	free(s);
}

static void
drop_all_series(struct client *c)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &c->series) {
		struct series *s = LIST_ENTRY(l, struct series, link);

		detach_series(c, s);
		free_series(s);
	}
}

void
frames_abandon(struct client *c)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &c->pending) {
		struct pending *p = LIST_ENTRY(l, struct pending, link);

		list_remove(l);
		p->c = NULL;
		/* One that is not committed yet is freed by submitted. */
		if (p->waiter.ended != NULL) {
			core_unwait(&p->waiter);
			slab_give(&pendings, p);
		}
	}
	drop_all_series(c);
}

/* --- SUBMIT --------------------------------------------------------------- */

static void
take_submit(struct client *c, const struct wire_head *head, const char *body,
    size_t size)
{
	struct submission *s;
	struct pending *p;
	char why[256] = "";
	bool wait;
	int e;

	if (size < sizeof(struct wire_submit)) {
		protocol_error(c, "SUBMIT is too short");
		return;
	}
	if (!c->conn.who.may_change) {
		frames_refuse(c, head->id, QERR_DENIED, NULL);
		return;
	}
	e = submission_from_wire(
	    body, size, head->flags & WIRE_JSON, &s, &wait, why, sizeof why);
	if (e != 0) {
		frames_refuse(
		    c, head->id, (enum queue_error)e, *why ? why : NULL);
		return;
	}
	p = pending_new(c, head->id);
	if (p == NULL) {
		submission_free(s);
		frames_refuse(c, head->id, QERR_NO_MEMORY, NULL);
		return;
	}
	p->wait = wait;
	core_submit(c->b, s, submitted, p);
}

/* --- the others ----------------------------------------------------------- */

static void
take_await(struct client *c, uint64_t tag, const char *body, size_t size)
{
	struct pending *p;
	uint64_t id;

	if (size != sizeof id) {
		protocol_error(c, "AWAIT must have one id");
		return;
	}
	if (!c->conn.who.may_look) {
		frames_refuse(c, tag, QERR_DENIED, NULL);
		return;
	}
	memcpy(&id, body, sizeof id);
	p = pending_new(c, tag);
	if (p == NULL)
		frames_refuse(c, tag, QERR_NO_MEMORY, NULL);
	else
		start_waiting(p, le64toh(id));
}

static void
take_hello(struct client *c, const char *body, size_t size)
{
	static const char hello[] = "{\"hello\":1}";
	json_t *said = json_loadb(body, size, 0, NULL);
	json_int_t version = json_integer_value(json_object_get(said, "hello"));

	json_decref(said);
	if (version < WIRE_VERSION) {
		protocol_error(c, "HELLO must be {\"hello\":1}");
		return;
	}
	/* One of a later version hears ours and does as we do. */
	c->greeted = true;
	frames_put(c, WIRE_HELLO, 0, 0, NULL, 0, hello, sizeof hello - 1);
}

static void
take_message(struct client *c, const struct wire_head *head, const char *body,
    size_t size)
{
	if (!c->greeted && head->type != WIRE_HELLO) {
		protocol_error(c, "the first frame must be HELLO");
		return;
	}
	switch (head->type) {
	case WIRE_HELLO:
		take_hello(c, body, size);
		return;
	case WIRE_SYNC:
		drop_all_series(c);
		frames_put(c, WIRE_SYNC, 0, head->id, NULL, 0, NULL, 0);
		return;
	case WIRE_SUBMIT:
		take_submit(c, head, body, size);
		return;
	case WIRE_AWAIT:
		take_await(c, head->id, body, size);
		return;
	case WIRE_CALL:
		if (size > CONN_LINE)
			frames_refuse(c, head->id, QERR_TOO_LARGE, NULL);
		else
			calls_take(c, body, size, true, head->id);
		return;
	default:
		protocol_error(c, "a client may not send this type of frame");
	}
}

/* --- bodies in pieces ----------------------------------------------------- */

static struct series *
find_series(struct client *c, const struct wire_head *head)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &c->series) {
		struct series *s = LIST_ENTRY(l, struct series, link);

		if (s->type == head->type && s->id == head->id)
			return s;
	}
	return NULL;
}

static struct series *
new_series(struct client *c, const struct wire_head *head)
{
	struct series *s;

	if (c->series_count >= SERIES_MAX) {
		protocol_error(c, "too many bodies in pieces at once");
		return NULL;
	}
	s = calloc(1, sizeof *s);
	if (s == NULL) {
		conn_break(&c->conn);
		return NULL;
	}
	s->type = head->type;
	s->id = head->id;
	buf_init(&s->body);
	list_append(&c->series, &s->link);
	c->series_count++;
	return s;
}

static void
take_piece(struct client *c, struct series *s, const struct wire_head *head,
    const char *body)
{
	struct wire_head whole = *head;

	/* What is too large is swallowed to its end, then refused. */
	if (s->body.size <= BODY_MAX)
		buf_add(&s->body, body, head->size);
	if (head->flags & WIRE_MORE)
		return;
	detach_series(c, s);
	whole.flags = s->flags;
	if (s->body.failed)
		conn_break(&c->conn);
	else if (s->body.size > BODY_MAX)
		frames_refuse(c, head->id, QERR_TOO_LARGE, NULL);
	else
		take_message(c, &whole, buf_text(&s->body), s->body.size);
	free_series(s);
}

static void
take_frame(struct client *c, const struct wire_head *head, const char *body)
{
	struct series *s = list_empty(&c->series) ? NULL : find_series(c, head);
	bool later = head->flags & WIRE_LATER;

	if (s == NULL && later)
		return; /* without its beginning */
	if (s == NULL && !(head->flags & WIRE_MORE)) {
		take_message(c, head, body, head->size);
		return;
	}
	if (s == NULL)
		s = new_series(c, head);
	if (s == NULL)
		return;
	if (!later) { /* it begins, maybe once more */
		buf_clear(&s->body);
		s->flags = head->flags & (uint8_t) ~(WIRE_MORE | WIRE_LATER);
	}
	take_piece(c, s, head, body);
}

size_t
frames_take(struct client *c, const char *data, size_t size)
{
	size_t at = 0;

	while (
	    !c->conn.broken && !c->conn.finishing && size - at >= WIRE_HEAD) {
		struct wire_head head;

		wire_get_head(data + at, &head);
		if (head.size > WIRE_BODY) {
			protocol_error(c, "a frame is too large");
			break;
		}
		if (size - at < WIRE_HEAD + head.size)
			return at;
		if (conn_is_full(&c->conn)) {
			conn_hold(&c->conn);
			return at;
		}
		take_frame(c, &head, data + at + WIRE_HEAD);
		at += WIRE_HEAD + head.size;
	}
	return c->conn.broken || c->conn.finishing ? size : at;
}
