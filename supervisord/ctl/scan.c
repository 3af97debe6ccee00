#include "supervisord/ctl/scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Deeper nesting than any answer has, far below what a walker could suffer. */
/* As deep as jansson reads what is asked. */
#define MAX_DEPTH 2048

void
ctl_scan_init(struct ctl_scan *s, const char *text, size_t size)
{
	s->p = text;
	s->end = text + size;
	s->bad = false;
}

static bool
spoil(struct ctl_scan *s)
{
	s->bad = true;
	s->p = s->end;
	return false;
}

char
ctl_scan_peek_blank(struct ctl_scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' ||
				    *s->p == '\n' || *s->p == '\r'))
		s->p++;
	return s->p < s->end ? *s->p : '\0';
}

bool
ctl_scan_at_end(struct ctl_scan *s)
{
	ctl_scan_peek(s);
	return s->p == s->end;
}

bool
ctl_scan_open(struct ctl_scan *s, char bracket)
{
	if (ctl_scan_peek(s) != bracket)
		return spoil(s);
	s->p++;
	return true;
}

bool
ctl_scan_more(struct ctl_scan *s, char closing, bool *first)
{
	char c = ctl_scan_peek(s);
	bool at_first = *first;

	*first = false;
	if (c == closing) {
		s->p++;
		return false;
	}
	if (at_first && c != '\0')
		return true;
	if (c != ',')
		return spoil(s);
	s->p++;
	/* "[1,]" is refused here, not taken for an empty element. */
	if (ctl_scan_peek(s) == closing)
		return spoil(s);
	return true;
}

#define EACH(byte) (0x0101010101010101ULL * (byte))

/*
 * Whether one of eight bytes is a quote, a backslash or a control byte (the
 * zero-byte test of Hacker's Delight 6-1, on the differences). A byte above
 * 0x7f may be taken for one: the caller looks closer.
 */
static bool
may_end_string(uint64_t w)
{
	uint64_t quote = w ^ EACH('"'), back = w ^ EACH('\\');

	return (((w - EACH(0x20)) | (quote - EACH(1)) | (back - EACH(1))) &
		   EACH(0x80)) != 0;
}

/* The next byte of a string that is not plain, or end. */
static const char *
skip_plain(const char *p, const char *end)
{
	uint64_t w;

	while (end - p >= (ptrdiff_t)sizeof w) {
		memcpy(&w, p, sizeof w);
		if (may_end_string(w))
			break;
		p += sizeof w;
	}
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		p++;
	return p;
}

bool
ctl_scan_string(struct ctl_scan *s, struct ctl_span *ret)
{
	const char *from, *p;

	if (ctl_scan_peek(s) != '"')
		return spoil(s);
	from = s->p + 1;
	p = skip_plain(from, s->end);
	while (p < s->end && *p == '\\' && s->end - p >= 2)
		p = skip_plain(p + 2, s->end);
	if (p >= s->end || *p != '"')
		return spoil(s);
	ret->s = from;
	ret->n = (size_t)(p - from);
	s->p = p + 1;
	return true;
}

bool
ctl_scan_key(struct ctl_scan *s, struct ctl_span *ret)
{
	if (!ctl_scan_string(s, ret))
		return false;
	if (ctl_scan_peek(s) != ':')
		return spoil(s);
	s->p++;
	return true;
}

static bool
is_number_byte(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' ||
	       c == 'e' || c == 'E';
}

static bool
scan_literal(struct ctl_scan *s, const char *word, size_t size)
{
	if ((size_t)(s->end - s->p) < size || memcmp(s->p, word, size) != 0)
		return spoil(s);
	s->p += size;
	return true;
}

/* true, false, null or a number. */
static bool
scan_word(struct ctl_scan *s, struct ctl_span *ret)
{
	const char *from = s->p;
	bool ok = true;

	ret->s = from;
	switch (from < s->end ? *from : '\0') {
	case 't':
		ok = scan_literal(s, "true", 4);
		break;
	case 'f':
		ok = scan_literal(s, "false", 5);
		break;
	case 'n':
		ok = scan_literal(s, "null", 4);
		break;
	case '-':
	case '0' ... '9':
		while (s->p < s->end && is_number_byte(*s->p))
			s->p++;
		break;
	default:
		ok = spoil(s);
	}
	ret->n = (size_t)(s->p - from);
	return ok;
}

/* "123", "62.125": nearly all there are. False: it takes strtod. */
static bool
plain_number(struct ctl_span word, double *ret)
{
	static const double scale[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	int64_t n = 0;
	size_t point = word.n;

	if (word.n > 15)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (word.s[i] >= '0' && word.s[i] <= '9')
			n = n * 10 + (word.s[i] - '0');
		else if (word.s[i] == '.' && point == word.n && i > 0)
			point = i;
		else
			return false;
	}
	if (point + 1 == word.n)
		return false;
	*ret = (double)n;
	if (point < word.n)
		*ret /= scale[word.n - point - 1];
	return word.n > 0;
}

bool
ctl_scan_number(struct ctl_scan *s, double *ret)
{
	struct ctl_span word;
	char text[64], *end;

	ctl_scan_peek(s);
	if (!scan_word(s, &word))
		return false;
	if (plain_number(word, ret))
		return true;
	if (word.n >= sizeof text)
		return spoil(s);
	memcpy(text, word.s, word.n);
	text[word.n] = '\0';
	*ret = strtod(text, &end);
	if (*end != '\0' || end == text)
		return spoil(s);
	return true;
}

/*
 * One token of an array or object being walked over. Commas and colons are
 * taken as they come: that the brackets match is what the extent depends on.
 */
static bool
scan_token(struct ctl_scan *s, char *kinds, unsigned *depth)
{
	struct ctl_span ignored;
	char c = ctl_scan_peek(s);

	switch (c) {
	case '"':
		return ctl_scan_string(s, &ignored);
	case ',':
	case ':':
		if (*depth == 0)
			return spoil(s);
		s->p++;
		return true;
	case '[':
	case '{':
		if (*depth == MAX_DEPTH)
			return spoil(s);
		kinds[(*depth)++] = c == '[' ? ']' : '}';
		s->p++;
		return true;
	case ']':
	case '}':
		if (*depth == 0 || kinds[*depth - 1] != c)
			return spoil(s);
		(*depth)--;
		s->p++;
		return true;
	default:
		return scan_word(s, &ignored);
	}
}

bool
ctl_scan_value(struct ctl_scan *s, struct ctl_span *ret)
{
	char kinds[MAX_DEPTH];
	unsigned depth = 0;
	const char *from;

	ctl_scan_peek(s);
	from = s->p;
	do {
		if (!scan_token(s, kinds, &depth))
			return false;
	} while (depth > 0);
	if (ret != NULL) {
		ret->s = from;
		ret->n = (size_t)(s->p - from);
	}
	return true;
}

bool
ctl_span_is(struct ctl_span span, const char *word)
{
	return span.n == strlen(word) && memcmp(span.s, word, span.n) == 0;
}

/* Four hexadecimal digits, or -1. */
static int
hex4(const char *s, const char *end)
{
	int code = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = s[i];

		code <<= 4;
		if (c >= '0' && c <= '9')
			code += c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			code += (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return code;
}

static void
put_utf8(struct buf *out, unsigned code)
{
	if (code < 0x80) {
		buf_char(out, (char)code);
	} else if (code < 0x800) {
		buf_char(out, (char)(0xc0 | code >> 6));
		buf_char(out, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_char(out, (char)(0xe0 | code >> 12));
		buf_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_char(out, (char)(0x80 | (code & 0x3f)));
	} else {
		buf_char(out, (char)(0xf0 | code >> 18));
		buf_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
		buf_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_char(out, (char)(0x80 | (code & 0x3f)));
	}
}

/* "\uXXXX" at p, with its second half where there is one; returns what follows.
 */
static const char *
put_unicode(struct buf *out, const char *p, const char *end)
{
	int code = hex4(p + 2, end), low;

	if (code < 0) {
		buf_char(out, 'u');
		return p + 2;
	}
	p += 6;
	if (code >= 0xd800 && code < 0xdc00 && end - p >= 6 && p[0] == '\\' &&
	    p[1] == 'u' && (low = hex4(p + 2, end)) >= 0xdc00 && low < 0xe000) {
		put_utf8(out, 0x10000U + ((unsigned)code - 0xd800) * 0x400 +
				  ((unsigned)low - 0xdc00));
		return p + 6;
	}
	put_utf8(
	    out, code >= 0xd800 && code < 0xe000 ? 0xfffd : (unsigned)code);
	return p;
}

void
ctl_scan_unescape(struct buf *out, struct ctl_span raw)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p = raw.s, *end = raw.s + raw.n, *at;

	while (p < end) {
		const char *back = memchr(p, '\\', (size_t)(end - p));

		if (back == NULL || back + 1 >= end) {
			buf_add(out, p, (size_t)(end - p));
			return;
		}
		buf_add(out, p, (size_t)(back - p));
		if (back[1] == 'u') {
			p = put_unicode(out, back, end);
			continue;
		}
		at = back[1] != '\0' ? strchr(from, back[1]) : NULL;
		buf_char(out, at != NULL ? to[at - from] : back[1]);
		p = back + 2;
	}
}
