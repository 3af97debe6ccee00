#include "supervisord/ctl/value.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/utf8.h"

/* Bytes of one value that people are shown. */
#define SHOWN_MAX 8192

static int
base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static void
put_base64(struct buf *out, const char *text)
{
	unsigned bits = 0, n = 0;

	for (; base64_digit(*text) >= 0; text++) {
		bits = bits << 6 | (unsigned)base64_digit(*text);
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_char(out, (char)(bits >> n & 0xff));
		}
	}
}

/* Appends the bytes it stands for; false if it stands for itself. */
static bool
take_bytes(struct buf *out, const json_t *value)
{
	const char *text = json_string_value(json_object_get(value, "base64"));

	if (text == NULL || json_object_size(value) != 1)
		return false;
	put_base64(out, text);
	return true;
}

/* --- JSON ----------------------------------------------------------------- */

/* What every double can be told by; fewer do for those that people write: 0.1
 * is not 0.10000000000000001. */
#define DIGITS_MOST  17
#define DIGITS_FIRST 15

static bool
is_read_back(const char *text, const json_t *value)
{
	json_t *again =
	    json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	bool same = json_equal(again, value);

	json_decref(again);
	return same;
}

char *
ctl_value_dump(const json_t *value, size_t flags)
{
	char *text = NULL;

	for (size_t n = DIGITS_FIRST; n <= DIGITS_MOST; n++) {
		free(text);
		text = json_dumps(
		    value, JSON_ENCODE_ANY | flags | JSON_REAL_PRECISION(n));
		if (text == NULL || is_read_back(text, value))
			break;
	}
	return text;
}

static void
take_json(struct buf *out, const json_t *value, int indent)
{
	char *text = ctl_value_dump(value, JSON_INDENT((size_t)indent));

	buf_str(out, text != NULL ? text : "?");
	free(text);
}

static bool
is_text(const struct buf *b)
{
	size_t at = 0, n;

	for (; at < b->size; at += n) {
		n = utf8_length(
		    (const unsigned char *)b->data + at, b->size - at);
		if (n == 0 || b->data[at] == '\0')
			return false;
	}
	return true;
}

void
ctl_value_write(FILE *to, const json_t *value)
{
	struct buf text;

	if (value == NULL || json_is_null(value))
		return;
	buf_init(&text);
	if (!take_bytes(&text, value)) {
		take_json(&text, value, 0);
		buf_char(&text, '\n');
	}
	fwrite(text.data, 1, text.size, to);
	buf_done(&text);
}

/* The first part of what is too long, and how to get the rest. */
static void
put_part(
    struct buf *out, const struct buf *text, long long id, const char *whole)
{
	size_t n = SHOWN_MAX;

	while (n > 0 && (text->data[n] & 0xc0) == 0x80)
		n--;
	buf_add(out, text->data, n);
	buf_fmt(out, "...\n(%zu bytes in all: supervisorctl task %lld %s)",
	    text->size, id, whole);
}

void
ctl_value_show(struct buf *out, const json_t *value, int indent, long long id,
    const char *whole)
{
	struct buf text;
	bool bytes;

	buf_init(&text);
	bytes = take_bytes(&text, value);
	if (indent == 0 && json_is_string(value))
		buf_add(
		    &text, json_string_value(value), json_string_length(value));
	else if (!bytes)
		take_json(&text, value, indent);
	if (bytes && !is_text(&text))
		buf_fmt(out, "%zu bytes: supervisorctl task %lld %s", text.size,
		    id, whole);
	else if (text.size > SHOWN_MAX)
		put_part(out, &text, id, whole);
	else
		buf_add(out, text.data, text.size);
	out->failed |= text.failed;
	buf_done(&text);
}
