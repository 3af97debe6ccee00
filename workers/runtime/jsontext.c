#include "workers/runtime/jsontext.h"

#include <stdint.h>
#include <string.h>

#include "supervisord/base/utf8.h"

struct text {
	const unsigned char *at, *end;
};

static void
skip_blanks(struct text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' ||
				     *t->at == '\t' || *t->at == '\r'))
		t->at++;
}

static bool
take(struct text *t, unsigned char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool
digits(struct text *t)
{
	const unsigned char *from = t->at;

	while (t->at < t->end && *t->at >= '0' && *t->at <= '9')
		t->at++;
	return t->at > from;
}

static bool
number(struct text *t)
{
	(void)take(t, '-');
	if (!take(t, '0') && !digits(t))
		return false;
	if (take(t, '.') && !digits(t))
		return false;
	if (take(t, 'e') || take(t, 'E')) {
		if (!take(t, '+'))
			(void)take(t, '-');
		return digits(t);
	}
	return true;
}

static bool
hex4(struct text *t, unsigned *ret)
{
	*ret = 0;
	for (int i = 0; i < 4; i++, t->at++) {
		unsigned char c = t->at < t->end ? *t->at : 0;

		if (c >= '0' && c <= '9')
			*ret = *ret << 4 | (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			*ret = *ret << 4 | (unsigned)((c | 32) - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* Half a surrogate pair is no character, and no parser agrees on it. */
static bool
escape(struct text *t)
{
	unsigned c, low;

	if (t->at == t->end)
		return false;
	if (*t->at != 'u')
		return strchr("\"\\/bfnrt", *t->at) != NULL && *t->at != 0 &&
		       t->at++ != NULL;
	t->at++;
	if (!hex4(t, &c) || (c >= 0xdc00 && c <= 0xdfff))
		return false;
	if (c < 0xd800 || c > 0xdbff)
		return true;
	return take(t, '\\') && take(t, 'u') && hex4(t, &low) &&
	       low >= 0xdc00 && low <= 0xdfff;
}

static bool
string(struct text *t)
{
	if (!take(t, '"'))
		return false;
	while (t->at < t->end) {
		unsigned char c = *t->at;
		size_t n = 1;

		if (c == '"')
			return take(t, '"');
		if (c < 0x20)
			return false;
		if (c >= 0x80)
			n = utf8_length(t->at, (size_t)(t->end - t->at));
		if (n == 0)
			return false;
		t->at += n;
		if (c == '\\' && !escape(t))
			return false;
	}
	return false;
}

static bool
word(struct text *t, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(t->end - t->at) < n || memcmp(t->at, w, n) != 0)
		return false;
	t->at += n;
	return true;
}

static bool
scalar(struct text *t)
{
	switch (t->at < t->end ? *t->at : 0) {
	case '"':
		return string(t);
	case 't':
		return word(t, "true");
	case 'f':
		return word(t, "false");
	case 'n':
		return word(t, "null");
	default:
		return number(t);
	}
}

static bool
key(struct text *t)
{
	skip_blanks(t);
	if (!string(t))
		return false;
	skip_blanks(t);
	return take(t, ':');
}

struct nest {
	unsigned char close[JSONTEXT_DEPTH]; /* what ends each level */
	unsigned depth;
};

/* One that opens here and is not empty is gone into; false: not valid. */
static bool
open_one(struct text *t, struct nest *n, bool *ret_inside)
{
	unsigned char close = *t->at == '{' ? '}' : ']';

	t->at++;
	skip_blanks(t);
	*ret_inside = !take(t, close);
	if (!*ret_inside)
		return true;
	if (n->depth == JSONTEXT_DEPTH)
		return false;
	n->close[n->depth++] = close;
	return close == ']' || key(t);
}

/* Behind a value: what has ended is left; 1 when another value follows. */
static int
after_value(struct text *t, struct nest *n)
{
	for (;;) {
		skip_blanks(t);
		if (n->depth == 0)
			return 0;
		if (take(t, ','))
			return n->close[n->depth - 1] == ']' || key(t) ? 1 : -1;
		if (!take(t, n->close[n->depth - 1]))
			return -1;
		n->depth--;
	}
}

bool
jsontext_valid(const char *text, size_t size)
{
	struct text t = { (const unsigned char *)text,
		(const unsigned char *)text + size };
	struct nest n = { .depth = 0 };

	for (;;) {
		bool inside = false;
		int more;

		skip_blanks(&t);
		if (t.at < t.end && (*t.at == '{' || *t.at == '[')) {
			if (!open_one(&t, &n, &inside))
				return false;
		} else if (!scalar(&t)) {
			return false;
		}
		if (inside)
			continue;
		more = after_value(&t, &n);
		if (more <= 0)
			return more == 0 && t.at == t.end;
	}
}

size_t
jsontext_one_line(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	}
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	return size;
}
