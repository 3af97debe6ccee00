#include "supervisord/base/json_check.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "supervisord/base/utf8.h"

struct check {
	const char *p, *end;
	unsigned depth;
	unsigned char objects[JSON_DEPTH / 8]; /* bit n: level n is one */
};

static bool
is_in_object(const struct check *c)
{
	return c->depth > 0 &&
	       c->objects[(c->depth - 1) / 8] >> (c->depth - 1) % 8 & 1;
}

static void
skip_space(struct check *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' ||
				    *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static bool
take(struct check *c, char wanted)
{
	if (c->p == c->end || *c->p != wanted)
		return false;
	c->p++;
	return true;
}

static bool
skip_word(struct check *c, const char *word)
{
	for (; *word != '\0'; word++) {
		if (!take(c, *word))
			return false;
	}
	return true;
}

static bool
skip_digits(struct check *c)
{
	const char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static bool
skip_number(struct check *c)
{
	take(c, '-');
	if (!take(c, '0') && !skip_digits(c))
		return false;
	if (take(c, '.') && !skip_digits(c))
		return false;
	if (take(c, 'e') || take(c, 'E')) {
		if (!take(c, '+'))
			take(c, '-');
		return skip_digits(c);
	}
	return true;
}

/* The four digits behind "\u", or -1. */
static int
get_hex(struct check *c)
{
	int n = 0;

	for (int i = 0; i < 4; i++, c->p++) {
		char digit = c->p < c->end ? *c->p : '\0';

		if (digit >= '0' && digit <= '9')
			n = n * 16 + (digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			n = n * 16 + (digit - 'a') + 10;
		else if (digit >= 'A' && digit <= 'F')
			n = n * 16 + (digit - 'A') + 10;
		else
			return -1;
	}
	return n;
}

/* What follows a backslash. */
static bool
skip_escape(struct check *c)
{
	int code;

	if (c->p == c->end)
		return false;
	if (*c->p != 'u') {
		if (*c->p == '\0' || strchr("\"\\/bfnrt", *c->p) == NULL)
			return false;
		c->p++;
		return true;
	}
	c->p++;
	code = get_hex(c);
	if (code < 0 || (code >= 0xdc00 && code <= 0xdfff))
		return false;
	if (code < 0xd800 || code > 0xdbff)
		return true;
	if (!take(c, '\\') || !take(c, 'u'))
		return false;
	code = get_hex(c);
	return code >= 0xdc00 && code <= 0xdfff;
}

static bool
skip_string(struct check *c)
{
	if (!take(c, '"'))
		return false;
	while (c->p < c->end && *c->p != '"') {
		size_t n;

		if ((unsigned char)*c->p < ' ')
			return false;
		if (take(c, '\\')) {
			if (!skip_escape(c))
				return false;
			continue;
		}
		n = utf8_length(
		    (const unsigned char *)c->p, (size_t)(c->end - c->p));
		if (n == 0)
			return false;
		c->p += n;
	}
	return take(c, '"');
}

/* `"key":` */
static bool
skip_key(struct check *c)
{
	skip_space(c);
	if (!skip_string(c))
		return false;
	skip_space(c);
	if (!take(c, ':'))
		return false;
	skip_space(c);
	return true;
}

/* A whole value, or the beginning of one that holds others: then *ret_open, and
 * p is where its first value is. */
static bool
begin_value(struct check *c, bool *ret_open)
{
	char first = c->p < c->end ? *c->p : '\0';
	unsigned char bit;

	*ret_open = false;
	switch (first) {
	case '"':
		return skip_string(c);
	case 't':
		return skip_word(c, "true");
	case 'f':
		return skip_word(c, "false");
	case 'n':
		return skip_word(c, "null");
	case '{':
	case '[':
		break;
	default:
		return skip_number(c);
	}
	if (c->depth == JSON_DEPTH)
		return false;
	c->p++;
	skip_space(c);
	if (take(c, first == '{' ? '}' : ']'))
		return true;
	bit = (unsigned char)(1U << c->depth % 8);
	if (first == '{')
		c->objects[c->depth / 8] |= bit;
	else
		c->objects[c->depth / 8] &= (unsigned char)~bit;
	c->depth++;
	*ret_open = true;
	return first == '[' || skip_key(c);
}

/* Behind a value: to the next one, or out of what it was the last of. */
static bool
end_value(struct check *c, bool *ret_next)
{
	*ret_next = false;
	for (skip_space(c); c->depth > 0; skip_space(c)) {
		if (take(c, ',')) {
			*ret_next = true;
			if (is_in_object(c))
				return skip_key(c);
			skip_space(c);
			return true;
		}
		if (!take(c, is_in_object(c) ? '}' : ']'))
			return false;
		c->depth--;
	}
	return true;
}

int
json_check(const char *text, size_t size, size_t *ret_at)
{
	struct check c = { .p = text, .end = text + size };
	bool more = true, good = true;

	skip_space(&c);
	while (good && more) {
		good = begin_value(&c, &more);
		if (good && !more)
			good = end_value(&c, &more);
	}
	if (ret_at != NULL)
		*ret_at = (size_t)(c.p - text);
	return good && c.p == c.end ? 0 : -EINVAL;
}
