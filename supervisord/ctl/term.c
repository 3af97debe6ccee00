#include "supervisord/ctl/term.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"

/* Characters of a line that somebody may read. */
#define LINE_READABLE 1000

/*
 * The character at s and its length in *ret_size; -1 (and 1) if the bytes are
 * no UTF-8 (RFC 3629 section 4).
 */
static long
decode(const unsigned char *s, size_t left, size_t *ret_size)
{
	size_t n = s[0] < 0x80   ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;
	static const long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	long code;

	*ret_size = 1;
	if (n == 1)
		return s[0];
	if (n == 0 || left < n)
		return -1;
	code = s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return -1;
	*ret_size = n;
	return code;
}

/* C0, DEL, C1, line and paragraph separators, and what turns the direction. */
static bool
is_harmful(long code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0x200e ||
	       code == 0x200f;
}

void
ctl_escape(struct buf *out, const char *text, size_t size, bool lines)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + size;
	const unsigned char *plain = s;

	while (s < end) {
		size_t n;
		long code = decode(s, (size_t)(end - s), &n);

		if (code >= 0 && (!is_harmful(code) || code == '\t' ||
				     (code == '\n' && lines))) {
			s += n;
			continue;
		}
		buf_add(out, plain, (size_t)(s - plain));
		if (code >= 0x80)
			buf_fmt(out, "\\u%04lx", (unsigned long)code);
		else
			buf_fmt(out, "\\x%02x", *s);
		s += n;
		plain = s;
	}
	buf_add(out, plain, (size_t)(s - plain));
}

void
ctl_put_line(FILE *to, const char *fmt, ...)
{
	struct buf escaped;
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	buf_init(&escaped);
	ctl_escape(&escaped, text, (size_t)n, true);
	buf_char(&escaped, '\n');
	if (to == stderr)
		fflush(stdout);
	fwrite(escaped.data, 1, escaped.size, to);
	buf_done(&escaped);
	free(text);
}

size_t
ctl_fit(const char *s, size_t size, size_t columns, size_t wide)
{
	size_t at = 0, used = 0;

	while (at < size) {
		size_t n =
		    utf8_length((const unsigned char *)s + at, size - at);

		used += n > 1 ? wide : 1;
		if (used > columns)
			break;
		at += n > 0 ? n : 1;
	}
	return at;
}

/* A line, or what people read of it: --json has all. */
static void
put_readable(struct buf *out, const char *line, size_t size)
{
	size_t n = ctl_fit(line, size, LINE_READABLE, 1);

	ctl_escape(out, line, n, false);
	if (n < size)
		buf_str(out, "...");
}

void
ctl_put_text(FILE *to, const char *indent, const char *text, size_t size)
{
	const char *end = text + size;
	struct buf out;

	buf_init(&out);
	do {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline != NULL ? newline : end) - text);

		buf_str(&out, indent);
		put_readable(&out, text, n);
		buf_char(&out, '\n');
		text += n + (newline != NULL);
	} while (text < end);
	fwrite(out.data, 1, out.size, to);
	buf_done(&out);
}

bool
ctl_has_color(const struct ctl *ctl)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	switch (ctl->color) {
	case CTL_COLOR_ALWAYS:
		return true;
	case CTL_COLOR_NEVER:
		return false;
	case CTL_COLOR_AUTO:
		break;
	}
	return ctl->out_tty && (no == NULL || no[0] == '\0') &&
	       (term == NULL || strcmp(term, "dumb") != 0);
}

const char *
ctl_state_color(const char *state)
{
	static const struct {
		const char *state, *color;
	} colors[] = {
		{ "RUNNING", "\x1b[32m" },
		{ "STARTING", "\x1b[33m" },
		{ "WAITING", "\x1b[33m" },
		{ "STOPPING", "\x1b[33m" },
		{ "BACKOFF", "\x1b[33m" },
		{ "FATAL", "\x1b[31m" },
		{ "UNKNOWN", "\x1b[31m" },
	};

	for (size_t i = 0; i < N_ELEMENTS(colors); i++) {
		if (strcmp(colors[i].state, state) == 0)
			return colors[i].color;
	}
	return "";
}

/* printf is most of the work of ten thousand lines of status. */
void
ctl_put_number(struct buf *out, double n)
{
	char digits[24];
	size_t at = sizeof digits;
	unsigned long long left = n > 0 && n < 1e15 ? (unsigned long long)n : 0;

	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	buf_add(out, digits + at, sizeof digits - at);
}

void
ctl_put_uptime(struct buf *out, double seconds)
{
	unsigned s = 0, hours;
	char text[6];

	if (seconds >= 86400) {
		ctl_put_number(out, seconds / 86400);
		buf_str(out, seconds < 2 * 86400 ? " day, " : " days, ");
	}
	if (seconds > 0 && seconds < 1e15)
		s = (unsigned)((unsigned long long)seconds % 86400);
	hours = s / 3600;
	ctl_put_number(out, hours);
	text[0] = text[3] = ':';
	text[1] = (char)('0' + s / 600 % 6);
	text[2] = (char)('0' + s / 60 % 10);
	text[4] = (char)('0' + s / 10 % 6);
	text[5] = (char)('0' + s % 10);
	buf_add(out, text, sizeof text);
}

void
ctl_put_duration(struct buf *out, double seconds)
{
	if (seconds < 1)
		buf_fmt(out, "%.0f ms", seconds > 0 ? seconds * 1000 : 0);
	else if (seconds < 60)
		buf_fmt(out, "%.1f s", seconds);
	else
		ctl_put_uptime(out, seconds);
}

void
ctl_put_time(struct buf *out, const char *rfc3339, bool ms)
{
	struct tm tm = { .tm_isdst = 0 };
	const char *rest = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm);
	size_t digits;
	char text[64];
	time_t t;

	if (rest == NULL) {
		ctl_escape(out, rfc3339, strlen(rfc3339), false);
		return;
	}
	t = timegm(&tm);
	localtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	buf_str(out, text);
	digits = rest[0] == '.' ? strspn(rest + 1, "0123456789") : 0;
	if (ms)
		buf_fmt(out, ".%.*s%s", (int)MIN_OF(digits, (size_t)3),
		    digits > 0 ? rest + 1 : "", digits > 0 ? "" : "000");
}

void
ctl_table_init(struct ctl_table *t, size_t columns)
{
	buf_init(&t->cells);
	t->columns = columns;
	t->n = 0;
}

void
ctl_table_cell(struct ctl_table *t, const char *text)
{
	put_readable(&t->cells, text, strlen(text));
	buf_char(&t->cells, '\0');
	t->n++;
}

#define MAX_COLUMNS 16

void
ctl_table_row(struct ctl_table *t, struct buf *cells)
{
	for (size_t i = 0; i < t->columns; i++) {
		ctl_table_cell(t, cells[i].failed ? "?" : buf_text(&cells[i]));
		buf_done(&cells[i]);
	}
}

void
ctl_table_print(struct ctl_table *t, FILE *to)
{
	size_t widths[MAX_COLUMNS] = { 0 };
	const char *cell = t->cells.data;

	for (size_t i = 0; i < t->n && !t->cells.failed; i++) {
		size_t size = strlen(cell), column = i % t->columns;

		widths[column] = MAX_OF(widths[column], size);
		cell += size + 1;
	}
	cell = t->cells.data;
	for (size_t i = 0; i < t->n && !t->cells.failed; i++) {
		size_t column = i % t->columns;

		if (column + 1 == t->columns)
			fprintf(to, "%s\n", cell);
		else
			fprintf(to, "%-*s  ", (int)widths[column], cell);
		cell += strlen(cell) + 1;
	}
	buf_done(&t->cells);
}
