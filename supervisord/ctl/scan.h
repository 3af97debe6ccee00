#ifndef CTL_SCAN_H
#define CTL_SCAN_H

/*
 * Walks JSON text in place: no tree, no allocation, no recursion. It finds
 * where a value ends and reads flat arrays, which makes `status` of 10,000
 * instances quick; smaller answers go to jansson. What is walked over is
 * checked for balance and for well-formed strings and words, not for UTF-8.
 *
 * The first thing out of place sets `bad`, after which every call does nothing
 * and returns false; so it is enough to ask at the end.
 */

#include <stdbool.h>
#include <stddef.h>

#include "supervisord/base/buf.h"

/* Borrowed bytes, without a NUL behind them. */
struct ctl_span {
	const char *s;
	size_t n;
};

struct ctl_scan {
	const char *p, *end;
	bool bad;
};

void ctl_scan_init(struct ctl_scan *s, const char *text, size_t size);

/* Of ctl_scan_peek: the case of white space before it. */
char ctl_scan_peek_blank(struct ctl_scan *s);

/* The next byte that is no white space, not consumed; 0 at the end. */
static inline char
ctl_scan_peek(struct ctl_scan *s)
{
	return s->p<s->end && * s->p> ' ' ? *s->p : ctl_scan_peek_blank(s);
}

/* Consumes '[' or '{'. */
bool ctl_scan_open(struct ctl_scan *s, char bracket);

/*
 * At an element's place in an array or object: true if one follows, false when
 * the closing bracket has been consumed. *first is true before the first call.
 */
bool ctl_scan_more(struct ctl_scan *s, char closing, bool *first);

/* A member's name and its colon. */
bool ctl_scan_key(struct ctl_scan *s, struct ctl_span *ret);

/* A string; ret is what stands between the quotes, escapes and all. */
bool ctl_scan_string(struct ctl_scan *s, struct ctl_span *ret);

bool ctl_scan_number(struct ctl_scan *s, double *ret);

/* Any value; ret (may be NULL) is its text. */
bool ctl_scan_value(struct ctl_scan *s, struct ctl_span *ret);

/* Only white space is left. */
bool ctl_scan_at_end(struct ctl_scan *s);

/* Appends the string that stands escaped in raw. */
void ctl_scan_unescape(struct buf *out, struct ctl_span raw);

bool ctl_span_is(struct ctl_span span, const char *word);

#endif
