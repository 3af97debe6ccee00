#include "supervisord/broker/lines.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/json_check.h"
#include "supervisord/base/util.h"
#include "supervisord/broker/base64.h"

/* A value as it stands in the line. */
struct slice {
	const char *at;
	size_t size;
};

enum key {
	KEY_HELLO,
	KEY_DONE,
	KEY_FAILED,
	KEY_PROGRESS,
	KEY_START,
	KEY_RETURNED,
	KEY_DRAINING,
	KEY_SYNC,
	KEY_RESULT,
	KEY_DATA,
	KEY_ERROR,
	KEY_RETRY,
	KEY_SHARE,
	KEY_TEXT,
	KEY_THREAD,
	KEY_HELD,
	KEYS
};

static const char *const keys[KEYS] = {
	[KEY_HELLO] = "hello",
	[KEY_DONE] = "done",
	[KEY_FAILED] = "failed",
	[KEY_PROGRESS] = "progress",
	[KEY_START] = "start",
	[KEY_RETURNED] = "returned",
	[KEY_DRAINING] = "draining",
	[KEY_SYNC] = "sync",
	[KEY_RESULT] = "result",
	[KEY_DATA] = "data",
	[KEY_ERROR] = "error",
	[KEY_RETRY] = "retry",
	[KEY_SHARE] = "share",
	[KEY_TEXT] = "text",
	[KEY_THREAD] = "thread",
	[KEY_HELD] = "held",
};

/* The keys that say what it is about; their value is the id, where there is
 * one. */
static const enum wire_type types[] = {
	[KEY_HELLO] = WIRE_HELLO,
	[KEY_DONE] = WIRE_DONE,
	[KEY_FAILED] = WIRE_FAILED,
	[KEY_PROGRESS] = WIRE_PROGRESS,
	[KEY_START] = WIRE_START,
	[KEY_RETURNED] = WIRE_RETURNED,
	[KEY_DRAINING] = WIRE_DRAINING,
	[KEY_SYNC] = WIRE_SYNC,
};

/* --- a line that is known to be JSON, cut at its upper level -------------- */

static const char *
blank(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

/* Behind the string that begins at p. */
static const char *
string_end(const char *p)
{
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
	}
	return p + 1;
}

static const char *
value_end(const char *p)
{
	size_t depth = 0;

	for (;; p++) {
		if (*p == '"')
			p = string_end(p) - 1;
		else if (*p == '{' || *p == '[')
			depth++;
		else if (depth > 0 && (*p == '}' || *p == ']'))
			depth--;
		else if (depth == 0 &&
			 (*p == ',' || *p == '}' || *p == ']' || *p == ' ' ||
			     *p == '\t' || *p == '\r' || *p == '\n'))
			return p;
		else
			continue;
		if (depth == 0)
			return p + 1;
	}
}

static void
cut(const char *line, struct slice all[KEYS])
{
	const char *p = blank(blank(line) + 1);

	while (*p == '"') {
		const char *name = p + 1, *v, *end;
		size_t size;

		p = string_end(p);
		size = (size_t)(p - name) - 1;
		v = blank(blank(p) + 1);
		end = value_end(v);
		for (size_t k = 0; k < KEYS; k++) {
			if (strlen(keys[k]) == size &&
			    memcmp(keys[k], name, size) == 0)
				all[k] = (struct slice){ v, (size_t)(end - v) };
		}
		p = blank(end);
		if (*p == ',')
			p = blank(p + 1);
	}
}

static bool
is_word(const struct slice *s, const char *word)
{
	return s->size == strlen(word) && memcmp(s->at, word, s->size) == 0;
}

static bool
is_null(const struct slice *s)
{
	return s->at == NULL || is_word(s, "null");
}

static bool
take_number(const struct slice *s, uint64_t *ret)
{
	uint64_t n = 0;

	if (s->size == 0 || s->size > 19)
		return false;
	for (size_t i = 0; i < s->size; i++) {
		if (s->at[i] < '0' || s->at[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(s->at[i] - '0');
	}
	*ret = n;
	return true;
}

static int
take_text(const struct slice *s, struct said *ret)
{
	json_t *v;

	if (is_null(s))
		return 0;
	if (s->at[0] != '"')
		return -EPROTO;
	/* Without an escape it is what it is. */
	if (memchr(s->at, '\\', s->size) == NULL) {
		ret->data = s->at + 1;
		ret->size = s->size - 2;
		return 0;
	}
	v = json_loadb(s->at, s->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (v == NULL)
		return -ENOMEM; /* nothing is wrong with it: it was checked */
	buf_add(&ret->own, json_string_value(v), json_string_length(v));
	json_decref(v);
	if (ret->own.failed)
		return -ENOMEM;
	ret->data = ret->own.data;
	ret->size = ret->own.size;
	return 0;
}

static int
take_escaped(const struct slice *data, struct said *ret)
{
	struct buf bytes;
	int r = take_text(data, ret);

	if (r < 0)
		return r;
	buf_init(&bytes);
	r = base64_take(&bytes, ret->data, ret->size);
	buf_done(&ret->own);
	ret->own = bytes;
	ret->data = bytes.data;
	ret->size = bytes.size;
	return r == -EINVAL ? -EPROTO : r;
}

static int
take_done(const struct slice *all, struct said *ret)
{
	const struct slice *data = &all[KEY_DATA], *result = &all[KEY_RESULT];
	int r;

	if (data->at == NULL) {
		ret->json = true;
		ret->data = result->at;
		ret->size = result->size;
		return 0;
	}
	if (result->at != NULL || data->size < 2 || data->at[0] != '"')
		return -EPROTO;
	/* Some writers of JSON escape the slash. */
	if (memchr(data->at, '\\', data->size) != NULL)
		return take_escaped(data, ret);
	r = base64_take(&ret->own, data->at + 1, data->size - 2);
	ret->data = ret->own.data;
	ret->size = ret->own.size;
	return r == -EINVAL ? -EPROTO : r;
}

static int
take_progress(const struct slice *all, struct said *ret)
{
	ret->share = WIRE_NO_SHARE;
	if (!is_null(&all[KEY_SHARE])) {
		char number[32], *end;
		double share;

		if (all[KEY_SHARE].size >= sizeof number)
			return -EPROTO;
		memcpy(number, all[KEY_SHARE].at, all[KEY_SHARE].size);
		number[all[KEY_SHARE].size] = '\0';
		share = strtod(number, &end);
		if (*end != '\0' || end == number)
			return -EPROTO;
		/* Sums of shares go a little over; below 0 it is not known, as
		 * with sv_progress. */
		if (share >= 0.)
			ret->share = (uint32_t)(MIN_OF(share, 1.) * 1000. + .5);
	}
	return take_text(&all[KEY_TEXT], ret);
}

static int
take_held(const struct slice *held, struct said *ret)
{
	const char *p = held->at, *end;

	if (is_null(held))
		return 0;
	end = p + held->size;
	if (*p != '[')
		return -EPROTO;
	for (p = blank(p + 1); *p != ']'; p = blank(p)) {
		struct slice one = { p, 0 };
		uint64_t id;

		one.size = (size_t)(value_end(p) - p);
		if (!take_number(&one, &id) || one.at + one.size >= end)
			return -EPROTO;
		id = htole64(id);
		buf_add(&ret->own, &id, sizeof id);
		p = blank(one.at + one.size);
		if (*p == ',')
			p++;
	}
	if (ret->own.failed)
		return -ENOMEM;
	ret->data = ret->own.data;
	ret->size = ret->own.size;
	return 0;
}

static int
take_thread(const struct slice *s, struct said *ret)
{
	uint64_t n = 0;

	if (!is_null(s) && (!take_number(s, &n) || n >= WIRE_THREADS_MAX))
		return -EPROTO;
	ret->thread = (uint16_t)n;
	return 0;
}

static int
take_rest(const struct slice *all, struct said *ret)
{
	switch (ret->type) {
	case WIRE_DONE:
		return take_done(all, ret);
	case WIRE_FAILED:
		ret->for_good = is_word(&all[KEY_RETRY], "false");
		return take_text(&all[KEY_ERROR], ret);
	case WIRE_PROGRESS:
		return take_progress(all, ret);
	case WIRE_START:
		return take_thread(&all[KEY_THREAD], ret);
	case WIRE_SYNC:
		return take_held(&all[KEY_HELD], ret);
	default:
		return 0;
	}
}

/* The code of the escape "\uXXXX" at p, or 0. */
static unsigned
escape_code(const char *p, const char *end)
{
	char digits[5] = "", *stop;
	unsigned code;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return 0;
	memcpy(digits, p + 2, 4);
	code = (unsigned)strtoul(digits, &stop, 16);
	return *stop == '\0' ? code : 0;
}

/* Surrogates without their other half become U+FFFD, in as many bytes. */
static void
mend(char *p, const char *end)
{
	static const char replacement[4] = { 'f', 'f', 'f', 'd' };

	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
		unsigned code = escape_code(p, end);
		bool pair = code >= 0xd800 && code <= 0xdbff &&
			    escape_code(p + 6, end) >= 0xdc00 &&
			    escape_code(p + 6, end) <= 0xdfff;

		if (code >= 0xd800 && code <= 0xdfff && !pair)
			memcpy(p + 2, replacement, sizeof replacement);
		p += MIN_OF(pair ? 12 : 2, end - p);
	}
}

static int
parse(const char *line, size_t size, struct said *ret)
{
	struct slice all[KEYS] = { 0 };
	size_t what = 0;

	if (*blank(line) != '{')
		return -EINVAL;
	cut(line, all);
	/* PROGRESS has "progress", and no other has what begins a message. */
	while (what < N_ELEMENTS(types) && all[what].at == NULL)
		what++;
	if (what == N_ELEMENTS(types))
		return -EPROTO;
	ret->type = types[what];
	if (ret->type == WIRE_HELLO) {
		ret->data = line;
		ret->size = size;
		return 0;
	}
	if (ret->type != WIRE_DRAINING && !take_number(&all[what], &ret->id))
		return -EPROTO;
	return take_rest(all, ret);
}

int
lines_parse(const char *line, size_t size, struct said *ret)
{
	int r;

	memset(ret, 0, sizeof *ret);
	buf_init(&ret->own);
	buf_init(&ret->line);
	if (json_check(line, size, NULL) < 0) {
		buf_add(&ret->line, line, size);
		if (ret->line.failed)
			return -ENOMEM;
		if (size > 0)
			mend(ret->line.data, ret->line.data + size);
		line = ret->line.data;
		if (size == 0 || json_check(line, size, NULL) < 0) {
			said_done(ret);
			return -EINVAL;
		}
	}
	r = parse(line, size, ret);
	if (r < 0)
		said_done(ret);
	return r;
}

void
said_done(struct said *s)
{
	buf_done(&s->own);
	buf_done(&s->line);
}

/* --- out ------------------------------------------------------------------ */

/* A line must not have a newline in it; in JSON that was checked one is only
 * ever a blank. */
static void
add_flat(struct buf *out, const char *json, size_t size)
{
	size_t from = out->size;

	buf_add(out, json, size);
	if (out->failed)
		return;
	for (char *p = out->data + from;
	     (p = memchr(p, '\n', out->size - (size_t)(p - out->data))) != NULL;
	     p++)
		*p = ' ';
}

void
lines_task(struct buf *out, const struct task_row *row, uint32_t attempt)
{
	const struct body *payload = row->payload;

	buf_fmt(out,
	    "{\"task\":%" PRIu64 ",\"attempt\":%" PRIu32 ",\"func\":", row->id,
	    attempt);
	jw_string(out, row->func != NULL ? row->func : "");
	if (payload == NULL) {
		buf_str(out, ",\"args\":null");
	} else if (row->json) {
		buf_str(out, ",\"args\":");
		add_flat(out, payload->data, payload->size);
	} else {
		buf_str(out, ",\"data\":\"");
		base64_put(out, payload->data, payload->size);
		buf_char(out, '"');
	}
	buf_str(out, ",\"timeout\":");
	if (row->timeout_ms > 0)
		jw_seconds(out, row->timeout_ms * NS_PER_MS);
	else
		jw_null(out);
	if (row->missed > 0)
		buf_fmt(out, ",\"missed\":%" PRIu32, row->missed);
	buf_str(out, "}\n");
}

void
lines_id(struct buf *out, const char *key, uint64_t id)
{
	buf_fmt(out, "{\"%s\":%" PRIu64 "}\n", key, id);
}
