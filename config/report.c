#include "config/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/buf.h"

struct report_line {
	const char *file;
	unsigned line;
	size_t order; /* of being found */
	const char *text;
	size_t size;
};

void
report_addv(struct report *r, const char *file, unsigned line, const char *fmt,
    va_list ap)
{
	struct report_line *l;
	char *words = NULL, *key = NULL;
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
	if (n >= 0)
		key = arena_alloc(
		    &r->arena, strlen(file) + sizeof line + 1 + (size_t)n + 1);
	if (key == NULL) {
		r->nomem = 1;
		free(words);
		return;
	}
	/* One error is one line, whatever the user's strings hold. */
	for (char *p = words; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	l = &r->lines[r->count];
	*l = (struct report_line){ file, line, r->count, key, (size_t)n };
	memcpy(key, words, (size_t)n + 1);
	memcpy(key + n + 1, &line, sizeof line);
	memcpy(key + n + 1 + sizeof line, file, strlen(file));
	free(words);
	/* A fault in defaults is met again with every worker. */
	n += (int)(1 + sizeof line + strlen(file));
	if (map_get(&r->known, key, (size_t)n) != NULL)
		return;
	if (map_put(&r->known, key, (size_t)n, key) < 0)
		r->nomem = 1;
	r->count++;
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
	return x->order < y->order ? -1 : x->order > y->order;
}

void
report_write(struct report *r, struct buf *out)
{
	if (r->count == 0)
		return;
	qsort(r->lines, r->count, sizeof *r->lines, by_place);
	for (size_t i = 0; i < r->count; i++) {
		const struct report_line *l = &r->lines[i];

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
	map_done(&r->known);
	arena_done(&r->arena);
	memset(r, 0, sizeof *r);
}
