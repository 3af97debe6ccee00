#include "config/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report_line {
	const char *file;
	unsigned line;
	size_t at, size; /* in the report's text */
	const char *text;
};

void
report_addv(struct report *r, const char *file, unsigned line, const char *fmt,
    va_list ap)
{
	struct report_line *l;
	char *words = NULL;
	int n;

	if (r->count == r->room) {
		size_t room = r->room > 0 ? 2 * r->room : 16;

		l = reallocarray(r->lines, room, sizeof *l);
		if (l == NULL) {
			r->nomem = 1;
			return;
		}
		r->lines = l;
		r->room = room;
	}
	n = vasprintf(&words, fmt, ap);
	if (n < 0) {
		r->nomem = 1;
		return;
	}
	/* One error is one line, whatever the user's strings hold. */
	for (char *p = words; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	r->lines[r->count++] = (struct report_line){ .file = file,
		.line = line,
		.at = r->text.size,
		.size = (size_t)n };
	buf_add(&r->text, words, (size_t)n + 1);
	if (r->text.failed)
		r->nomem = 1;
	free(words);
}

void
report_add(
    struct report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_addv(r, file, line, fmt, ap);
	va_end(ap);
}

static int
by_place(const void *a, const void *b)
{
	const struct report_line *x = a, *y = b;
	int c = strcmp(x->file, y->file);

	if (c != 0)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	/* As they were found. */
	return x->at < y->at ? -1 : x->at > y->at;
}

void
report_write(struct report *r, struct buf *out)
{
	const struct report_line *last = NULL;

	if (r->count == 0 || r->nomem)
		return;
	for (size_t i = 0; i < r->count; i++)
		r->lines[i].text = r->text.data + r->lines[i].at;
	qsort(r->lines, r->count, sizeof *r->lines, by_place);
	for (size_t i = 0; i < r->count; i++) {
		const struct report_line *l = &r->lines[i];

		if (last != NULL && last->line == l->line &&
		    strcmp(last->file, l->file) == 0 &&
		    strcmp(last->text, l->text) == 0)
			continue;
		last = l;
		if (l->line > 0)
			buf_fmt(out, "%s:%u: ", l->file, l->line);
		else
			buf_fmt(out, "%s: ", l->file);
		buf_add(out, l->text, l->size);
		buf_char(out, '\n');
	}
}

void
report_done(struct report *r)
{
	free(r->lines);
	buf_done(&r->text);
	memset(r, 0, sizeof *r);
}
