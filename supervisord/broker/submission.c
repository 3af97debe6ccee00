#include "supervisord/broker/submission.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/base64.h"
#include "supervisord/proto/wire.h"

#define DAY_S 86400.

/* Where the words go that say what is wrong. */
struct words {
	char *text;
	size_t size;
};

static int refuse(struct words *w, enum queue_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(struct words *w, enum queue_error e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->text, w->size, fmt, ap);
	va_end(ap);
	return (int)e;
}

static int
no_memory(struct words *w)
{
	return refuse(w, QERR_NO_MEMORY, "out of memory");
}

/* --- values as text ------------------------------------------------------- */

static void
put_real(struct buf *b, double v)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* Read back, it has to be a real number again. */
	if (strpbrk(text, ".e") == NULL)
		memcpy(text + strlen(text), ".0", sizeof ".0");
	jw_raw(b, text);
}

static void
put_object(struct buf *b, const json_t *object)
{
	void *it = json_object_iter((json_t *)(uintptr_t)object);

	jw_object(b);
	for (; it != NULL;
	     it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
		jw_key(b, json_object_iter_key(it));
		submission_put_json(b, json_object_iter_value(it));
	}
	jw_object_end(b);
}

void
submission_put_json(struct buf *b, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		put_object(b, value);
		return;
	case JSON_ARRAY:
		jw_array(b);
		for (size_t i = 0; i < json_array_size(value); i++)
			submission_put_json(b, json_array_get(value, i));
		jw_array_end(b);
		return;
	case JSON_STRING:
		jw_bytes(
		    b, json_string_value(value), json_string_length(value));
		return;
	case JSON_INTEGER:
		jw_int(b, json_integer_value(value));
		return;
	case JSON_REAL:
		put_real(b, json_real_value(value));
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		jw_bool(b, json_is_true(value));
		return;
	case JSON_NULL:
		jw_null(b);
		return;
	}
}

/* --- one setting after the other ------------------------------------------ */

int
submission_check_name(const char *what, const char *name, size_t size,
    size_t max, char *why, size_t why_size)
{
	struct words w = { why, why_size };

	if (size == 0)
		return refuse(&w, QERR_BAD_VALUE, "\"%s\" is empty", what);
	if (size > max)
		return refuse(&w, QERR_BAD_VALUE,
		    "\"%s\" is longer than %zu bytes", what, max);
	for (size_t i = 0; i < size;) {
		const unsigned char *s = (const unsigned char *)name + i;
		size_t n = *s < 0x80 ? 1 : utf8_length(s, size - i);

		if (n == 0 || *s < 0x20 || *s == 0x7f)
			return refuse(&w, QERR_BAD_VALUE,
			    "\"%s\" has a byte that is no text (at %zu)", what,
			    i);
		i += n;
	}
	return 0;
}

typedef int take_fn(
    struct submission *s, const json_t *v, const char *name, struct words *w);

static int
take_text(
    char **to, const json_t *v, const char *name, size_t max, struct words *w)
{
	int e;

	if (!json_is_string(v))
		return refuse(
		    w, QERR_BAD_VALUE, "\"%s\" must be a string", name);
	e = submission_check_name(name, json_string_value(v),
	    json_string_length(v), max, w->text, w->size);
	if (e != 0)
		return e;
	*to = strdup(json_string_value(v));
	return *to == NULL ? no_memory(w) : 0;
}

static int
take_worker(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	if (!json_is_string(v))
		return refuse(
		    w, QERR_BAD_VALUE, "\"%s\" must be a string", name);
	if (json_string_length(v) > WORKER_NAME_MAX)
		return refuse(w, QERR_NO_WORKER, "no such worker: \"%.64s...\"",
		    json_string_value(v));
	memcpy(s->worker, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

static int
take_func(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	return take_text(&s->func, v, name, WIRE_FUNC_MAX, w);
}

static int
take_key(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	return take_text(&s->key, v, name, WIRE_KEY_MAX, w);
}

static int
take_limit_key(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	return take_text(&s->limit_key, v, name, WIRE_KEY_MAX, w);
}

static int
take_priority(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	static const char *const names[PRIORITIES] = { "high", "middle",
		"low" };

	for (uint8_t i = 0; json_is_string(v) && i < PRIORITIES; i++) {
		if (strcmp(json_string_value(v), names[i]) == 0) {
			s->priority = i;
			return 0;
		}
	}
	return refuse(w, QERR_BAD_VALUE,
	    "\"%s\" must be \"high\", \"middle\" or \"low\"", name);
}

/* Seconds of 0 to max into milliseconds. */
static int
take_seconds(
    int64_t *to, const json_t *v, const char *name, double max, struct words *w)
{
	double n = json_number_value(v);

	if (!json_is_number(v) || !(n >= 0) || n > max)
		return refuse(w, QERR_BAD_VALUE,
		    "\"%s\" must be a number of seconds from 0 to %.0f", name,
		    max);
	*to = (int64_t)(n * 1000. + .5);
	return 0;
}

static int
take_delay(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	return take_seconds(&s->delay_ms, v, name, 3660 * DAY_S, w);
}

static int
take_at(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	/* Until the year 5138: a time in milliseconds is surely meant wrong. */
	return take_seconds(&s->due_ms, v, name, 1e11, w);
}

static int
take_timeout(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	/* The wire has 32 bits of milliseconds for it. */
	int e = take_seconds(&s->timeout_ms, v, name, 24 * DAY_S, w);

	if (e == 0 && s->timeout_ms == 0 && json_number_value(v) > 0)
		s->timeout_ms = 1;
	return e;
}

static int
take_result_ttl(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	return take_seconds(&s->result_ttl_ms, v, name, 3660 * DAY_S, w);
}

static int
take_retries(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < -1 || n > 1000000)
		return refuse(w, QERR_BAD_VALUE,
		    "\"%s\" must be a whole number from 0 to 1000000, or -1 for no limit",
		    name);
	s->retries = n < 0 ? SUBMIT_NO_LIMIT : (int)n;
	return 0;
}

static int
take_payload(
    struct submission *s, struct buf *b, const char *name, struct words *w)
{
	int e = 0;

	if (b->failed)
		e = no_memory(w);
	else if (b->size > WIRE_PAYLOAD_MAX)
		e = refuse(w, QERR_TOO_LARGE,
		    "\"%s\" has %zu bytes, a task may have %u", name, b->size,
		    WIRE_PAYLOAD_MAX);
	else if ((s->payload = body_new(b->data, b->size)) == NULL)
		e = no_memory(w);
	buf_done(b);
	return e;
}

static int
take_args(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	struct buf b;

	if (s->payload != NULL)
		return refuse(w, QERR_BAD_VALUE,
		    "\"args\" and \"data\" exclude each other");
	buf_init(&b);
	submission_put_json(&b, v);
	s->json = true;
	return take_payload(s, &b, name, w);
}

static int
take_data(
    struct submission *s, const json_t *v, const char *name, struct words *w)
{
	struct buf b;

	if (s->payload != NULL)
		return refuse(w, QERR_BAD_VALUE,
		    "\"args\" and \"data\" exclude each other");
	buf_init(&b);
	if (!json_is_string(v) || base64_take(&b, json_string_value(v),
				      json_string_length(v)) == -EINVAL) {
		buf_done(&b);
		return refuse(w, QERR_BAD_VALUE,
		    "\"%s\" must be bytes as base64 in a string", name);
	}
	s->json = false;
	return take_payload(s, &b, name, w);
}

static int check_then(
    json_t *then, unsigned depth, char **ret, struct words *w);

static const struct {
	const char *name;
	take_fn *take;
} settings[] = {
	{ "worker", take_worker },
	{ "func", take_func },
	{ "args", take_args },
	{ "data", take_data },
	{ "priority", take_priority },
	{ "delay", take_delay },
	{ "at", take_at },
	{ "timeout", take_timeout },
	{ "retries", take_retries },
	{ "key", take_key },
	{ "limit_key", take_limit_key },
	{ "result_ttl", take_result_ttl },
};

static bool
is_beside(const char *name)
{
	static const char *const names[] = { "wait", "progress", "caller",
		"command" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static int
take_setting(struct submission *s, const char *name, json_t *v, bool top,
    unsigned depth, struct words *w)
{
	if (json_is_null(v))
		return 0;
	for (size_t i = 0; i < N_ELEMENTS(settings); i++) {
		if (strcmp(settings[i].name, name) == 0)
			return settings[i].take(s, v, name, w);
	}
	if (strcmp(name, "then") == 0)
		return check_then(v, depth, &s->then, w);
	if (top && is_beside(name))
		return 0;
	return refuse(
	    w, QERR_BAD_VALUE, "\"%.64s\" is nothing a task can have", name);
}

static int
from_object(json_t *params, bool top, unsigned depth, struct submission **ret,
    struct words *w)
{
	struct submission *s = submission_new();
	const char *name;
	json_t *v;
	int e = 0;

	if (s == NULL)
		return no_memory(w);
	s->json = true;
	json_object_foreach(params, name, v)
	{
		e = take_setting(s, name, v, top, depth, w);
		if (e != 0)
			break;
	}
	if (e == 0 && (s->worker[0] == '\0' || s->func == NULL))
		e = refuse(w, QERR_BAD_VALUE, "\"%s\" is missing: %s",
		    s->func == NULL ? "func" : "worker",
		    s->func == NULL ? "which function is to be called?"
				    : "which worker is to do it?");
	if (e == 0 && s->due_ms != 0 && s->delay_ms != 0)
		e = refuse(w, QERR_BAD_VALUE,
		    "\"at\" and \"delay\" exclude each other");
	if (e != 0) {
		submission_free(s);
		return e;
	}
	*ret = s;
	return 0;
}

/* --- what comes after a task ---------------------------------------------- */

/* The elements of a list from one on, as `then` of the one before it. */
static char *
rest_of(const json_t *list, size_t from)
{
	struct buf b;

	buf_init(&b);
	if (from + 1 == json_array_size(list)) {
		submission_put_json(&b, json_array_get(list, from));
		return buf_take(&b);
	}
	jw_array(&b);
	for (; from < json_array_size(list); from++)
		submission_put_json(&b, json_array_get(list, from));
	jw_array_end(&b);
	return buf_take(&b);
}

static int
check_list(json_t *list, unsigned depth, struct words *w)
{
	size_t n = json_array_size(list);

	if (n == 0 || n > SUBMISSION_CHAIN)
		return refuse(w, QERR_BAD_VALUE,
		    "\"then\" must name 1 to %d tasks, not %zu",
		    SUBMISSION_CHAIN, n);
	for (size_t i = 0; i < n; i++) {
		json_t *one = json_array_get(list, i);
		struct submission *s = NULL;
		int e;

		if (!json_is_object(one))
			return refuse(w, QERR_BAD_VALUE,
			    "\"then\" must be a task or a list of tasks");
		if (i + 1 < n && json_object_get(one, "then") != NULL)
			return refuse(w, QERR_BAD_VALUE,
			    "in a list of \"then\" only the last may have a "
			    "\"then\" of its own");
		e = from_object(one, false, depth, &s, w);
		if (e != 0)
			return e;
		submission_free(s);
	}
	return 0;
}

static int
check_then(json_t *then, unsigned depth, char **ret, struct words *w)
{
	struct submission *s = NULL;
	struct buf b;
	int e;

	if (depth >= SUBMISSION_DEPTH)
		return refuse(w, QERR_BAD_VALUE,
		    "\"then\" is nested deeper than %d: use a list",
		    SUBMISSION_DEPTH);
	if (json_is_array(then)) {
		e = check_list(then, depth + 1, w);
	} else if (json_is_object(then)) {
		e = from_object(then, false, depth + 1, &s, w);
		if (e == 0)
			submission_free(s);
	} else {
		e = refuse(w, QERR_BAD_VALUE,
		    "\"then\" must be a task or a list of tasks");
	}
	if (e != 0)
		return e;
	buf_init(&b);
	submission_put_json(&b, then);
	*ret = buf_take(&b);
	return *ret == NULL ? no_memory(w) : 0;
}

int
submission_then(json_t *then, char **ret_text, char *why, size_t why_size)
{
	struct words w = { why, why_size };

	return check_then(then, 0, ret_text, &w);
}

int
submission_from_json(json_t *params, bool top, struct submission **ret,
    char *why, size_t why_size)
{
	struct words w = { why, why_size };

	if (!json_is_object(params))
		return refuse(&w, QERR_BAD_VALUE, "a task must be an object");
	return from_object(params, top, 0, ret, &w);
}

/* The first of a chain; the rest is what comes after it. */
static int
from_list(json_t *list, struct submission **ret, struct words *w)
{
	int e = check_list(list, 0, w);

	if (e == 0)
		e = from_object(json_array_get(list, 0), false, 0, ret, w);
	if (e != 0 || json_array_size(list) == 1)
		return e;
	(*ret)->then = rest_of(list, 1);
	if ((*ret)->then != NULL)
		return 0;
	submission_free(*ret);
	return no_memory(w);
}

int
submission_parse(const char *json, size_t size, struct submission **ret,
    char *why, size_t why_size)
{
	struct words w = { why, why_size };
	json_error_t error;
	json_t *tree = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
	int e;

	if (tree == NULL)
		return refuse(&w, QERR_NOT_JSON, "not JSON: %s (byte %d)",
		    error.text, error.position);
	if (json_is_array(tree))
		e = from_list(tree, ret, &w);
	else
		e = submission_from_json(tree, false, ret, why, why_size);
	json_decref(tree);
	return e;
}
