/*
 * What stands between a user's text and libconfig 1.5, which ends the process
 * on some input, cuts integers silently, swallows the rest of a file after an
 * unterminated comment, and calls everything else "syntax error".
 *
 * The grammar is small enough to be read here in full, by recursive descent:
 *
 *     settings  (NAME (= or :) value (; or ,)?)*
 *     value     STRING+  NUMBER  BOOL  { settings }  [ scalars ]  ( values )
 *
 * What has been read is written out again without its comments, so libconfig
 * sees no text of which we have not made sense, and these things are changed:
 *
 *  - `workers: { web: {...}; }` becomes `workers: ( { *: "web"; ...} )`, for
 *    libconfig needs quadratic time for a large group, not for a list, and
 *    reports a name defined twice without its first place; `sockets` and
 *    `schedules` likewise;
 *  - any other name defined twice is reported, and renamed to go on;
 *  - a trailing comma in an array or list, an error to this libconfig, goes;
 *  - line breaks in strings become escapes.
 */

#include "config/lex.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/lex_int.h"
#include "config/report.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"

#define DEPTH_MAX 32

static const char *const scalar_names[] = {
	[SCALAR_NONE] = "nothing",
	[SCALAR_INT] = "an integer",
	[SCALAR_INT64] = "a 64 bit integer",
	[SCALAR_FLOAT] = "a number with a point",
	[SCALAR_STRING] = "a string",
	[SCALAR_BOOL] = "true or false",
};

/* A group, array or list that is open. */
struct scope {
	const struct scope *up;
	const char
	    *name; /* of the setting it is the value of; NULL: an element */
	size_t size;
	unsigned id;    /* of all groups of the file */
	unsigned index; /* of the element in hand */
	unsigned line;
	char close; /* '\0': the file */
};

/* Every failure ends the reading: 0 is success, -EINVAL has been reported. */
static int read_value(struct lex *x, struct scope *up, const char *name,
    size_t size, enum scalar *ret);

int
lex_bad(struct lex *x, unsigned line, const char *fmt, ...)
{
	char words[512], hint[128] = "";
	va_list ap;

	va_start(ap, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	if (x->string_to > 0 && x->string_to <= line)
		snprintf(hint, sizeof hint,
		    " (the string that starts on line %u ends on line %u: "
		    "is a quote missing?)",
		    x->string_from, x->string_to);
	report_add(x->report, x->path, line, "%s%s", words, hint);
	return -EINVAL;
}

static bool
name_byte(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_-.", c));
}

/* The word at p, for a message. */
int
lex_word_size(const struct lex *x)
{
	const char *p = x->p;

	while (p < x->end && (name_byte(*p) || (*p & 0x80)) && p - x->p < 40)
		p++;
	return (int)(p - x->p);
}

static int
unexpected(struct lex *x, const char *wanted)
{
	int n = lex_word_size(x);

	if (x->p == x->end)
		return lex_bad(
		    x, x->line, "the file ends where %s should be", wanted);
	if (*x->p == '@')
		return lex_bad(x, x->line,
		    "@include is not supported: write include = "
		    "[ \"FILE\" ]; at the top of the file");
	if (n > 0)
		return lex_bad(
		    x, x->line, "expected %s, not \"%.*s\"", wanted, n, x->p);
	if (*x->p < ' ' || *x->p == 0x7f)
		return lex_bad(x, x->line, "expected %s, not byte 0x%02x",
		    wanted, (unsigned char)*x->p);
	return lex_bad(x, x->line, "expected %s, not \"%c\"", wanted, *x->p);
}

/* Line breaks are written in front of the next name or value: libconfig takes
 * an element's line from the separator or bracket behind it. */
void
lex_newline(struct lex *x)
{
	x->line++;
	x->breaks++;
}

static void
write_breaks(struct lex *x)
{
	for (; x->breaks > 0; x->breaks--)
		buf_char(x->out, '\n');
}

bool
lex_at(const struct lex *x, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(x->end - x->p) >= n && memcmp(x->p, text, n) == 0;
}

/* White space and comments; of both only the line breaks are kept. */
int
lex_skip(struct lex *x)
{
	unsigned from;

	while (x->p < x->end) {
		if (*x->p == '\n') {
			lex_newline(x);
			x->p++;
		} else if (strchr(" \t\r\f\v", *x->p) != NULL) {
			x->p++;
		} else if (*x->p == '#' || lex_at(x, "//")) {
			while (x->p < x->end && *x->p != '\n')
				x->p++;
		} else if (lex_at(x, "/*")) {
			from = x->line;
			for (x->p += 2; x->p < x->end && !lex_at(x, "*/");
			     x->p++) {
				if (*x->p == '\n')
					lex_newline(x);
			}
			if (x->p == x->end)
				return lex_bad(x, from,
				    "this comment is never closed: \"*/\" is "
				    "missing");
			x->p += 2;
		} else {
			return 0;
		}
	}
	return 0;
}

/* --- groups, arrays, lists ---------------------------------------------------
 */

static void
write_path(const struct scope *s, struct buf *out)
{
	if (s->up == NULL)
		return;
	write_path(s->up, out);
	if (s->name == NULL)
		buf_fmt(out, "[%u]", s->up->index);
	else
		buf_fmt(out, "%s%.*s", out->size > 0 ? "." : "", (int)s->size,
		    s->name);
}

/* Tells a name's second place in its group. The value then goes by a name the
 * reader passes over, so that the rest of the file is still checked. */
static int
check_twice(struct lex *x, const struct scope *s, const char *name, size_t size,
    unsigned line)
{
	char id[16];
	int n = snprintf(id, sizeof id, "%u.", s->id);
	char *key = arena_alloc(&x->arena, (size_t)n + size + 1);
	struct buf path;
	uintptr_t first;

	if (key == NULL)
		return -ENOMEM;
	memcpy(key, id, (size_t)n);
	memcpy(key + n, name, size);
	size += (size_t)n;
	first = (uintptr_t)map_get(&x->names, key, size);
	if (first == 0)
		return map_put(&x->names, key, size, (void *)(uintptr_t)line);
	buf_init(&path);
	write_path(s, &path);
	if (path.size > 0)
		buf_char(&path, '.');
	buf_add(&path, key + n, size - (size_t)n);
	report_add(x->report, x->path, line, "%s: set twice, first at %s:%u",
	    buf_text(&path) != NULL ? buf_text(&path) : "?", x->path,
	    (unsigned)first);
	buf_done(&path);
	buf_fmt(x->out, "*%u", ++x->scopes);
	return 0;
}

static int
check_name(struct lex *x, const char *name, size_t size)
{
	if (size > 200)
		return lex_bad(x, x->line, "%.40s... is too long a name", name);
	if (!isalpha((unsigned char)name[0]) || memchr(name, '.', size) != NULL)
		return lex_bad(x, x->line,
		    "\"%.*s\" can't be the name of a setting: a letter, then "
		    "letters, digits, _ and -",
		    (int)size, name);
	if ((size == 4 && strncasecmp(name, "true", 4) == 0) ||
	    (size == 5 && strncasecmp(name, "false", 5) == 0))
		return lex_bad(x, x->line,
		    "\"%.*s\" can't be the name of a setting", (int)size, name);
	return 0;
}

/* `NAME =`; of a named element nothing is written out yet. */
static int
read_name(struct lex *x, const struct scope *s, bool element,
    const char **ret_name, size_t *ret_size)
{
	const char *name = x->p;
	unsigned line = x->line;
	size_t size;
	int err;

	write_breaks(x);
	while (x->p < x->end && name_byte(*x->p))
		x->p++;
	size = (size_t)(x->p - name);
	if (size == 0)
		return unexpected(
		    x, s->close != '\0' ? "a setting or \"}\"" : "a setting");
	if (!element) {
		err = check_name(x, name, size);
		if (err == 0) {
			buf_add(x->out, name, size);
			err = check_twice(x, s, name, size, line);
		}
		if (err < 0)
			return err;
	} else {
		if (size > 200)
			return lex_bad(
			    x, line, "%.40s... is too long a name", name);
		buf_fmt(x->out, "%s{" LEX_NAME ":\"%.*s\";",
		    s->index > 0 ? "," : "", (int)size, name);
	}
	err = lex_skip(x);
	if (err < 0)
		return err;
	if (x->p == x->end || (*x->p != '=' && *x->p != ':'))
		return lex_bad(
		    x, line, "expected \"=\" after \"%.*s\"", (int)size, name);
	x->p++;
	if (!element)
		buf_char(x->out, '=');
	*ret_name = name;
	*ret_size = size;
	return lex_skip(x);
}

static int read_settings(struct lex *x, struct scope *s);

/* A section whose members have names of the user's own. */
static bool
is_named(const struct scope *s)
{
	static const char *const sections[] = { "workers", "sockets",
		"schedules" };

	if (s->up == NULL || s->up->up != NULL || s->name == NULL)
		return false;
	for (size_t i = 0; i < N_ELEMENTS(sections); i++) {
		if (s->size == strlen(sections[i]) &&
		    memcmp(s->name, sections[i], s->size) == 0)
			return true;
	}
	return false;
}

/* A member of one, made an element of a list. */
static int
read_member(struct lex *x, struct scope *s)
{
	struct scope group = { .up = s, .line = x->line, .close = '}' };
	enum scalar scalar;
	int err;

	err = read_name(x, s, true, &group.name, &group.size);
	if (err < 0)
		return err;
	if (x->p < x->end && *x->p == '{') {
		group.line = x->line;
		group.id = ++x->scopes;
		x->p++;
		err = read_settings(x, &group);
	} else {
		buf_str(x->out, LEX_VALUE "=");
		err = read_value(x, s, group.name, group.size, &scalar);
	}
	if (err < 0)
		return err;
	buf_char(x->out, '}');
	err = lex_skip(x);
	if (err == 0 && x->p < x->end && (*x->p == ';' || *x->p == ','))
		x->p++;
	return err;
}

/* The members of a group (behind its "{") or of the file, to the end of it. */
static int
read_settings(struct lex *x, struct scope *s)
{
	bool named = is_named(s);
	enum scalar scalar;
	const char *name = NULL;
	size_t size = 0;
	int err;

	for (;; s->index++) {
		err = lex_skip(x);
		if (err < 0)
			return err;
		if (x->p == x->end && s->close != '\0')
			return lex_bad(x, s->line,
			    "the \"{\" opened here is never closed");
		if (x->p == x->end)
			return 0;
		if (*x->p == s->close) {
			x->p++;
			return 0;
		}
		if (named) {
			err = read_member(x, s);
			if (err < 0)
				return err;
			continue;
		}
		err = read_name(x, s, false, &name, &size);
		if (err == 0)
			err = read_value(x, s, name, size, &scalar);
		if (err == 0)
			err = lex_skip(x);
		if (err < 0)
			return err;
		if (x->p < x->end && (*x->p == ';' || *x->p == ','))
			x->p++;
		buf_char(x->out, ';');
	}
}

static int
read_elements(struct lex *x, struct scope *s)
{
	enum scalar first = SCALAR_NONE, scalar;
	unsigned line;
	int err;

	for (;; s->index++) {
		err = lex_skip(x);
		if (err < 0)
			return err;
		if (x->p == x->end)
			return lex_bad(x, s->line,
			    "the \"%c\" opened here is never closed",
			    s->close == ']' ? '[' : '(');
		if (*x->p == s->close) {
			x->p++;
			return 0;
		}
		if (s->index > 0)
			buf_char(x->out, ',');
		line = x->line;
		scalar = SCALAR_NONE;
		err = read_value(x, s, NULL, 0, &scalar);
		if (err == 0)
			err = lex_skip(x);
		if (err < 0)
			return err;
		if (s->index == 0)
			first = scalar;
		if (s->close == ']' && scalar != first)
			return lex_bad(x, line,
			    "an array holds values of one type: %s after %s",
			    scalar_names[scalar], scalar_names[first]);
		if (x->p < x->end && *x->p == ',')
			x->p++;
		else if (x->p < x->end && *x->p != s->close)
			return unexpected(x, "\",\"");
	}
}

static int
read_scope(struct lex *x, struct scope *s)
{
	unsigned depth = 0;
	bool list;
	int err;

	for (const struct scope *up = s->up; up != NULL; up = up->up)
		depth++;
	if (depth > DEPTH_MAX)
		return lex_bad(
		    x, x->line, "nested more than %d deep", DEPTH_MAX);
	list = is_named(s) && *x->p == '{';
	s->close = *x->p == '{' ? '}' : *x->p == '[' ? ']' : ')';
	s->id = ++x->scopes;
	buf_char(x->out, list ? '(' : *x->p);
	x->p++;
	err = s->close == '}' ? read_settings(x, s) : read_elements(x, s);
	buf_char(x->out, list ? ')' : s->close);
	return err;
}

static int
read_value(struct lex *x, struct scope *up, const char *name, size_t size,
    enum scalar *ret)
{
	struct scope s = {
		.up = up, .name = name, .size = size, .line = x->line
	};
	char c = x->p < x->end ? *x->p : '\0';

	write_breaks(x);
	if (c == '{' || c == '[' || c == '(') {
		if (up->close == ']')
			return lex_bad(x, x->line,
			    "an array [ ] holds strings, numbers or booleans "
			    "only; a list is written ( )");
		*ret = SCALAR_NONE;
		return read_scope(x, &s);
	}
	if (c == '"') {
		*ret = SCALAR_STRING;
		return lex_strings(x);
	}
	if (isdigit((unsigned char)c) || c == '+' || c == '-' || c == '.')
		return lex_number(x, ret);
	if (isalpha((unsigned char)c) || c == '_')
		return lex_word(x, ret);
	return unexpected(x, "a value");
}

int
lex_text(const char *text, size_t size, const char *path, struct report *report,
    struct buf *out)
{
	struct lex x = { .p = text,
		.end = text + size,
		.line = 1,
		.path = path,
		.report = report,
		.out = out };
	struct scope file = { .line = 1 };
	const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
	int err;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return lex_bad(&x, 1,
		    "the file starts with a byte order mark (BOM): save it as "
		    "UTF-8 without one");
	if (nul != NULL) {
		for (const char *p = text; p < nul; p++)
			x.line += *p == '\n';
		return lex_bad(
		    &x, x.line, "a NUL byte: this is not a text file");
	}
	err = read_settings(&x, &file);
	map_done(&x.names);
	arena_done(&x.arena);
	if (err < 0)
		return err;
	return out->failed ? -ENOMEM : 0;
}
