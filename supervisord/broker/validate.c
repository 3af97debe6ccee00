#include "supervisord/broker/validate.h"

#include <string.h>

#include "supervisord/base/utf8.h"

struct text {
	const unsigned char *at, *end;
};

static void
skip_blank(struct text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' ||
				     *t->at == '\t' || *t->at == '\r'))
		t->at++;
}

static bool
take_char(struct text *t, unsigned char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool
take_word(struct text *t, const char *word, size_t size)
{
	if ((size_t)(t->end - t->at) < size || memcmp(t->at, word, size) != 0)
		return false;
	t->at += size;
	return true;
}

static bool
is_digit(const struct text *t)
{
	return t->at < t->end && *t->at >= '0' && *t->at <= '9';
}

static bool
take_digits(struct text *t)
{
	if (!is_digit(t))
		return false;
	while (is_digit(t))
		t->at++;
	return true;
}

static bool
take_number(struct text *t)
{
	take_char(t, '-');
	if (!take_char(t, '0') && !take_digits(t))
		return false;
	if (take_char(t, '.') && !take_digits(t))
		return false;
	if (take_char(t, 'e') || take_char(t, 'E')) {
		if (!take_char(t, '+'))
			take_char(t, '-');
		return take_digits(t);
	}
	return true;
}

static int
hex4(struct text *t)
{
	int n = 0;

	if (t->end - t->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		unsigned char c = *t->at++;

		if (c >= '0' && c <= '9')
			n = n * 16 + c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			n = n * 16 + (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return n;
}

/* Behind a backslash. A lone half of a surrogate pair is no character. */
static bool
take_escape(struct text *t)
{
	int n;

	if (t->at == t->end)
		return false;
	if (*t->at != 'u')
		return *t->at != '\0' && strchr("\"\\/bfnrt", *t->at++) != NULL;
	t->at++;
	n = hex4(t);
	if (n < 0xd800 || n > 0xdfff)
		return n >= 0;
	if (n > 0xdbff || !take_word(t, "\\u", 2))
		return false;
	n = hex4(t);
	return n >= 0xdc00 && n <= 0xdfff;
}

static bool
take_string(struct text *t)
{
	if (!take_char(t, '"'))
		return false;
	while (t->at < t->end) {
		unsigned char c = *t->at;
		size_t n;

		if (c == '"') {
			t->at++;
			return true;
		}
		if (c == '\\') {
			t->at++;
			if (!take_escape(t))
				return false;
			continue;
		}
		if (c < 0x20)
			return false;
		n = c < 0x80 ? 1 : utf8_length(t->at, (size_t)(t->end - t->at));
		if (n == 0)
			return false;
		t->at += n;
	}
	return false;
}

static bool
take_scalar(struct text *t)
{
	if (t->at == t->end)
		return false;
	switch (*t->at) {
	case '"':
		return take_string(t);
	case 't':
		return take_word(t, "true", 4);
	case 'f':
		return take_word(t, "false", 5);
	case 'n':
		return take_word(t, "null", 4);
	default:
		return take_number(t);
	}
}

static bool
take_key(struct text *t)
{
	skip_blank(t);
	if (!take_string(t))
		return false;
	skip_blank(t);
	return take_char(t, ':');
}

/* Behind a value: closes what ends here. 1: one more value has to follow, 0:
 * that was all, -1: wrong. */
static int
after_value(struct text *t, const char *open, size_t *depth)
{
	while (*depth > 0) {
		skip_blank(t);
		if (take_char(t, ','))
			return open[*depth - 1] == '[' || take_key(t) ? 1 : -1;
		if (!take_char(t, open[*depth - 1] == '[' ? ']' : '}'))
			return -1;
		--*depth;
	}
	return 0;
}

bool
json_valid(const char *text, size_t size)
{
	struct text t = { (const unsigned char *)text,
		(const unsigned char *)text + size };
	char open[VALIDATE_DEPTH];
	size_t depth = 0;
	int more = 1;

	while (more > 0) {
		bool array;

		skip_blank(&t);
		array = take_char(&t, '[');
		if (array || take_char(&t, '{')) {
			if (depth == VALIDATE_DEPTH)
				return false;
			open[depth++] = array ? '[' : '{';
			skip_blank(&t);
			if (!take_char(&t, array ? ']' : '}')) {
				if (!array && !take_key(&t))
					return false;
				continue;
			}
			depth--;
		} else if (!take_scalar(&t)) {
			return false;
		}
		more = after_value(&t, open, &depth);
	}
	skip_blank(&t);
	return more == 0 && t.at == t.end;
}
