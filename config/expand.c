#include "config/expand.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"

#define DEPTH_MAX 8

const char *
variable_end(const char *p)
{
	unsigned depth = 0;

	for (; *p != '\0'; p++) {
		if (p[0] == '$' && p[1] == '{') {
			depth++;
			p++;
		} else if (*p == '}' && --depth == 0) {
			return p + 1;
		}
	}
	return NULL;
}

const char *
variable_get(char *const *environ, const char *name, size_t size)
{
	for (; environ != NULL && *environ != NULL; environ++) {
		if (strncmp(*environ, name, size) == 0 &&
		    (*environ)[size] == '=')
			return *environ + size + 1;
	}
	return NULL;
}

static int expand_part(const struct variables *v, const char *text,
    const char *end, unsigned depth, struct buf *out, struct buf *why);

static bool
is(const char *name, size_t size, const char *what)
{
	return strlen(what) == size && memcmp(name, what, size) == 0;
}

/* NULL with a reason, or NULL without one: not set. */
static const char *
value_of(
    const struct variables *v, const char *name, size_t size, struct buf *why)
{
	static const char hole[] = { FLEET_HOLE, '\0' };
	const char *value;

	if (is(name, size, "config_dir"))
		return v->dir;
	if (is(name, size, "worker") && v->worker != NULL)
		return v->worker;
	if (is(name, size, "index") && v->worker != NULL) {
		if (v->index)
			return hole;
		buf_str(why, "${index} can't be used here");
		return NULL;
	}
	value = variable_get(v->environ, name, size);
	if (value != NULL && strchr(value, FLEET_HOLE) != NULL) {
		buf_fmt(why, "the value of ${%.*s} holds a byte 0x01",
		    (int)size, name);
		return NULL;
	}
	return value;
}

/* p: behind "${"; end: the "}". */
static int
expand_variable(const struct variables *v, const char *p, const char *end,
    unsigned depth, struct buf *out, struct buf *why)
{
	const char *name = p, *value;
	size_t size;

	while (p < end && (isalnum((unsigned char)*p) || *p == '_'))
		p++;
	size = (size_t)(p - name);
	if (size == 0 || isdigit((unsigned char)*name) ||
	    (p < end && (p[0] != ':' || p[1] != '-'))) {
		buf_fmt(why,
		    "\"${%.*s}\" is not ${NAME} or ${NAME:-default} (a "
		    "literal \"${\" is written \"$${\")",
		    (int)(end - name), name);
		return -EINVAL;
	}
	value = value_of(v, name, size, why);
	if (why->size > 0)
		return -EINVAL;
	if (p < end && (value == NULL || *value == '\0'))
		return expand_part(v, p + 2, end, depth + 1, out, why);
	if (value != NULL) {
		buf_str(out, value);
		return 0;
	}
	if (is(name, size, "worker") || is(name, size, "index"))
		buf_fmt(
		    why, "${%.*s} is known in a worker only", (int)size, name);
	else
		buf_fmt(why,
		    "${%.*s} is not set and has no default "
		    "(${%.*s:-default}; a literal \"${\" is written \"$${\")",
		    (int)size, name, (int)size, name);
	return -EINVAL;
}

static int
expand_part(const struct variables *v, const char *text, const char *end,
    unsigned depth, struct buf *out, struct buf *why)
{
	const char *p = text, *close;
	int err;

	if (depth > DEPTH_MAX) {
		buf_str(why, "variables are nested too deep");
		return -EINVAL;
	}
	while (p < end) {
		if (*p == FLEET_HOLE) {
			buf_str(why, "a string can't hold a byte 0x01");
			return -EINVAL;
		}
		if (end - p >= 3 && memcmp(p, "$${", 3) == 0) {
			buf_str(out, "${");
			p += 3;
		} else if (end - p >= 2 && memcmp(p, "${", 2) == 0) {
			close = variable_end(p);
			if (close == NULL || close > end) {
				buf_str(why,
				    "\"${\" without \"}\" (a literal \"${\" "
				    "is written \"$${\")");
				return -EINVAL;
			}
			err = expand_variable(
			    v, p + 2, close - 1, depth, out, why);
			if (err < 0)
				return err;
			p = close;
		} else {
			buf_char(out, *p++);
		}
	}
	return 0;
}

int
expand(const struct variables *v, const char *text, struct buf *out,
    struct buf *why)
{
	return expand_part(v, text, text + strlen(text), 0, out, why);
}

/* --- words ------------------------------------------------------------------
 */

static int
refuse(struct buf *why, const char *what)
{
	buf_fmt(why,
	    "%s means something to a shell, but no shell is run: quote it, or "
	    "write [ \"sh\", \"-c\", \"...\" ]",
	    what);
	return -EINVAL;
}

/* What can't be split off, or 0. */
static int
check_meta(const char *p, struct buf *why)
{
	char what[] = { '"', *p, '"', '\0' };

	if (strchr("|<>&;`", *p) != NULL)
		return refuse(why, what);
	if (p[0] == '$' && p[1] == '(')
		return refuse(why, "\"$(\"");
	return 0;
}

/* A variable, or an escaped one, goes through whole. */
static const char *
copy_variable(const char *p, struct buf *out)
{
	const char *end = NULL;

	if (strncmp(p, "$${", 3) == 0)
		end = p + 3;
	else if (strncmp(p, "${", 2) == 0)
		end = variable_end(p);
	if (end != NULL)
		buf_add(out, p, (size_t)(end - p));
	return end;
}

/* The character behind a backslash is itself, a "${" included. */
static const char *
copy_escaped(const char *p, struct buf *out)
{
	if (p[0] == '$' && p[1] == '{')
		buf_char(out, '$');
	if (p[0] != '\n')
		buf_char(out, p[0]);
	return p + 1;
}

/* p: behind the quote. Returns what is behind the closing one, or NULL. */
static const char *
copy_quoted(const char *p, char quote, struct buf *out, struct buf *why)
{
	const char *end;

	while (*p != quote) {
		if (*p == '\0') {
			buf_fmt(why, "a closing %c is missing", quote);
			return NULL;
		}
		end = copy_variable(p, out);
		if (end != NULL) {
			p = end;
		} else if (quote == '"' && *p == '\\' && p[1] != '\0' &&
			   strchr("$`\"\\\n", p[1]) != NULL) {
			p = copy_escaped(p + 1, out);
		} else if (quote == '"' && p[0] == '$' && p[1] == '(') {
			refuse(why, "\"$(\"");
			return NULL;
		} else if (quote == '"' && *p == '`') {
			refuse(why, "\"`\"");
			return NULL;
		} else {
			buf_char(out, *p++);
		}
	}
	return p + 1;
}

int
split_words(
    const char *text, struct buf *out, size_t *ret_count, struct buf *why)
{
	const char *p = text, *end;
	size_t count = 0;

	for (;; count++) {
		p += strspn(p, " \t\r\n\f\v");
		if (*p == '\0')
			break;
		while (*p != '\0' && strchr(" \t\r\n\f\v", *p) == NULL) {
			end = copy_variable(p, out);
			if (end != NULL) {
				p = end;
				continue;
			}
			if (check_meta(p, why) < 0)
				return -EINVAL;
			if (*p == '\\' && p[1] == '\0') {
				buf_str(why, "a lone backslash at the end");
				return -EINVAL;
			}
			if (*p == '\\') {
				p = copy_escaped(p + 1, out);
			} else if (*p == '"' || *p == '\'') {
				p = copy_quoted(p + 1, *p, out, why);
				if (p == NULL)
					return -EINVAL;
			} else {
				buf_char(out, *p++);
			}
		}
		buf_char(out, '\0');
	}
	*ret_count = count;
	return 0;
}
