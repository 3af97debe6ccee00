#include "supervisord/base/json.h"

#include <stdio.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/utf8.h"

/* A comma is due unless a value has just been opened or named. */
static void
separate(struct buf *b)
{
	if (b->size == 0)
		return;
	switch (b->data[b->size - 1]) {
	case '{':
	case '[':
	case ':':
	case '\n':
		return;
	default:
		buf_char(b, ',');
	}
}

void
jw_object(struct buf *b)
{
	separate(b);
	buf_char(b, '{');
}

void
jw_object_end(struct buf *b)
{
	buf_char(b, '}');
}

void
jw_array(struct buf *b)
{
	separate(b);
	buf_char(b, '[');
}

void
jw_array_end(struct buf *b)
{
	buf_char(b, ']');
}

void
jw_key(struct buf *b, const char *key)
{
	jw_string(b, key);
	buf_char(b, ':');
}

static void
put_escaped(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		buf_str(b, "\\\"");
		break;
	case '\\':
		buf_str(b, "\\\\");
		break;
	case '\n':
		buf_str(b, "\\n");
		break;
	case '\t':
		buf_str(b, "\\t");
		break;
	case '\r':
		buf_str(b, "\\r");
		break;
	default:
		buf_fmt(b, "\\u%04x", c);
	}
}

void
jw_bytes(struct buf *b, const void *data, size_t size)
{
	const unsigned char *s = data, *end = s + size, *plain = s;

	separate(b);
	buf_char(b, '"');
	while (s < end) {
		size_t n = utf8_length(s, (size_t)(end - s));

		if (n > 1 || (n == 1 && *s >= 0x20 && *s != '"' && *s != '\\' &&
				 *s != 0x7f)) {
			s += n;
			continue;
		}
		buf_add(b, plain, (size_t)(s - plain));
		if (n == 0)
			buf_str(b, UTF8_REPLACEMENT);
		else
			put_escaped(b, *s);
		plain = ++s;
	}
	buf_add(b, plain, (size_t)(s - plain));
	buf_char(b, '"');
}

void
jw_string(struct buf *b, const char *s)
{
	if (s == NULL)
		jw_null(b);
	else
		jw_bytes(b, s, strlen(s));
}

/* A status of 10,000 is mostly numbers: printf would be half its price. */
static void
put_decimal(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	buf_add(b, digits + at, sizeof digits - at);
}

void
jw_int(struct buf *b, int64_t n)
{
	separate(b);
	if (n < 0)
		buf_char(b, '-');
	put_decimal(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void
jw_seconds(struct buf *b, int64_t ns)
{
	int64_t ms = ns / NS_PER_MS;

	separate(b);
	if (ms < 0) {
		buf_char(b, '-');
		ms = -ms;
	}
	put_decimal(b, (uint64_t)(ms / 1000));
	if (ms % 1000 != 0) {
		char rest[4] = { '.', (char)('0' + ms % 1000 / 100),
			(char)('0' + ms % 100 / 10), (char)('0' + ms % 10) };
		size_t size = sizeof rest;

		while (rest[size - 1] == '0')
			size--;
		buf_add(b, rest, size);
	}
}

void
jw_bool(struct buf *b, bool v)
{
	separate(b);
	buf_str(b, v ? "true" : "false");
}

void
jw_null(struct buf *b)
{
	separate(b);
	buf_str(b, "null");
}

void
jw_time(struct buf *b, int64_t wall_ms)
{
	char text[CLOCK_TEXT];

	jw_string(b, clock_format(wall_ms, text, sizeof text));
}

void
jw_raw(struct buf *b, const char *json)
{
	separate(b);
	buf_str(b, json);
}

void
jw_kv_string(struct buf *b, const char *key, const char *s)
{
	jw_key(b, key);
	jw_string(b, s);
}

void
jw_kv_int(struct buf *b, const char *key, int64_t n)
{
	jw_key(b, key);
	jw_int(b, n);
}

void
jw_kv_seconds(struct buf *b, const char *key, int64_t ns)
{
	jw_key(b, key);
	jw_seconds(b, ns);
}

void
jw_kv_bool(struct buf *b, const char *key, bool v)
{
	jw_key(b, key);
	jw_bool(b, v);
}

void
jw_kv_null(struct buf *b, const char *key)
{
	jw_key(b, key);
	jw_null(b);
}

void
jw_kv_time(struct buf *b, const char *key, int64_t wall_ms)
{
	jw_key(b, key);
	jw_time(b, wall_ms);
}
