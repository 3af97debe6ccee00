/* The body of a SUBMIT frame (proto/wire.h). */

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "supervisord/base/json_check.h"
#include "supervisord/broker/submission.h"
#include "supervisord/proto/wire.h"

static char *
text_of(const char *from, size_t size)
{
	return size > 0 ? strndup(from, size) : NULL;
}

/* JSON goes to workers as a line as well: blanks that end one are others. */
static struct body *
payload_of(const char *from, size_t size, bool json)
{
	struct body *b = body_new(from, size);

	if (b == NULL || !json ||
	    (memchr(b->data, '\n', size) == NULL &&
		memchr(b->data, '\r', size) == NULL))
		return b;
	for (size_t i = 0; i < size; i++) {
		if (b->data[i] == '\n' || b->data[i] == '\r')
			b->data[i] = ' ';
	}
	return b;
}

static void
get_submit(const char *body, struct wire_submit *ret)
{
	memcpy(ret, body, sizeof *ret);
	ret->key_size = le16toh(ret->key_size);
	ret->limit_key_size = le16toh(ret->limit_key_size);
	ret->retries = (int32_t)le32toh((uint32_t)ret->retries);
	ret->timeout_ms = (int32_t)le32toh((uint32_t)ret->timeout_ms);
	ret->delay_ms = le64toh(ret->delay_ms);
}

/* 0, or an enum queue_error; words only where its own do not do. */
static int
check_submit(const struct wire_submit *w, const char *texts, size_t size,
    bool json, char *why, size_t why_size)
{
	size_t head = (size_t)w->worker_size + w->func_size + w->key_size +
		      w->limit_key_size;
	const char *func = texts + w->worker_size;
	int e = 0;

	if (head > size || w->priority >= PRIORITIES || w->retries < -1 ||
	    w->retries > 1000000 || w->timeout_ms < -1 ||
	    w->delay_ms > 3660ULL * 86400 * 1000) {
		snprintf(why, why_size, "SUBMIT: a field is out of its range");
		return QERR_BAD_VALUE;
	}
	if (w->worker_size == 0 || w->worker_size > WORKER_NAME_MAX ||
	    memchr(texts, '\0', w->worker_size) != NULL)
		return QERR_NO_WORKER;
	e = submission_check_name(
	    "func", func, w->func_size, WIRE_FUNC_MAX, why, why_size);
	if (e == 0 && w->key_size > 0)
		e = submission_check_name("key", func + w->func_size,
		    w->key_size, WIRE_KEY_MAX, why, why_size);
	if (e == 0 && w->limit_key_size > 0)
		e = submission_check_name("limit_key",
		    func + w->func_size + w->key_size, w->limit_key_size,
		    WIRE_KEY_MAX, why, why_size);
	if (e == 0 && size - head > WIRE_PAYLOAD_MAX)
		e = QERR_TOO_LARGE;
	if (e == 0 && json && size > head &&
	    json_check(texts + head, size - head, NULL) < 0)
		e = QERR_NOT_JSON;
	return e;
}

static struct submission *
make_submission(
    const struct wire_submit *w, const char *texts, size_t size, bool json)
{
	struct submission *s = submission_new();
	const char *at = texts + w->worker_size;
	size_t head = (size_t)w->worker_size + w->func_size + w->key_size +
		      w->limit_key_size;

	if (s == NULL)
		return NULL;
	memcpy(s->worker, texts, w->worker_size);
	s->worker[w->worker_size] = '\0';
	s->priority = w->priority;
	s->retries = w->retries;
	s->timeout_ms = w->timeout_ms;
	s->delay_ms = (int64_t)w->delay_ms;
	s->func = text_of(at, w->func_size);
	at += w->func_size;
	s->key = text_of(at, w->key_size);
	at += w->key_size;
	s->limit_key = text_of(at, w->limit_key_size);
	at += w->limit_key_size;
	size -= head;
	s->json = json;
	if (size > 0 || !json)
		s->payload = payload_of(at, size, json);
	if (s->func != NULL && (w->key_size == 0 || s->key != NULL) &&
	    (w->limit_key_size == 0 || s->limit_key != NULL) &&
	    (s->payload != NULL || (size == 0 && json)))
		return s;
	submission_free(s);
	return NULL;
}

int
submission_from_wire(const char *body, size_t size, bool json,
    struct submission **ret, bool *ret_wait, char *why, size_t why_size)
{
	struct wire_submit w;
	int e;

	get_submit(body, &w);
	body += sizeof w;
	size -= sizeof w;
	e = check_submit(&w, body, size, json, why, why_size);
	if (e != 0)
		return e;
	*ret = make_submission(&w, body, size, json);
	*ret_wait = w.flags & WIRE_WAIT;
	return *ret != NULL ? 0 : QERR_NO_MEMORY;
}
