/* Settings into fields: the types that have nothing to do with workers. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/load.h"
#include "config/load_int.h"
#include "supervisord/base/units.h"

static const char *
kind_of(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_FLOAT:
		return "a number with a point";
	default:
		return "a number";
	}
}

int
fail_type(struct reader *r, const config_setting_t *s, const char *words)
{
	return fail(r->l, s, "must be %s, not %s", words, kind_of(s));
}

const char *
text_expand(
    struct reader *r, const config_setting_t *s, const char *raw, bool index)
{
	const struct variables v = { .environ = r->l->load->environ,
		.dir = part_of(s)->dir,
		.worker = r->worker,
		.index = index };
	const char *text = NULL;
	struct buf out, why;

	if (strchr(raw, '$') == NULL && strchr(raw, FLEET_HOLE) == NULL)
		return raw;
	buf_init(&out);
	buf_init(&why);
	if (expand(&v, raw, &out, &why) < 0)
		fail(r->l, s, "%s",
		    buf_text(&why) != NULL ? buf_text(&why) : "");
	else if (out.failed)
		r->l->nomem = true;
	else
		text = arena_copy(&r->l->scratch, buf_text(&out), out.size);
	buf_done(&out);
	buf_done(&why);
	return text;
}

const char *
text_of(struct reader *r, const config_setting_t *s, bool index)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		fail_type(r, s, "a string");
		return NULL;
	}
	return text_expand(r, s, config_setting_get_string(s), index);
}

int
strings_count(struct reader *r, const config_setting_t *s, const char *words)
{
	int n, type = config_setting_type(s);

	if (type == CONFIG_TYPE_STRING)
		return 1;
	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return fail_type(r, s, words);
	n = config_setting_length(s);
	for (int i = 0; i < n; i++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)i);

		if (config_setting_type(e) != CONFIG_TYPE_STRING)
			return fail_type(r, e, "a string");
	}
	return n;
}

const config_setting_t *
strings_at(const config_setting_t *s, unsigned i)
{
	return config_setting_type(s) == CONFIG_TYPE_STRING
		   ? s
		   : config_setting_get_elem(s, i);
}

/* --- numbers
 * ------------------------------------------------------------------ */

static int
read_bool(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text;
	bool *to = field;

	if (config_setting_type(s) == CONFIG_TYPE_BOOL) {
		*to = config_setting_get_bool(s) != 0;
		return 0;
	}
	/* A string is how a variable gets here. */
	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return fail_type(r, s, row->type->words);
	text = text_of(r, s, false);
	if (text == NULL)
		return -EINVAL;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return fail(r->l, s, "\"%s\" is not true or false", text);
	*to = text[0] == 't';
	return 0;
}

bool
is_decimal(const char *text)
{
	text += *text == '-';
	return *text != '\0' && strlen(text) <= 18 &&
	       text[strspn(text, "0123456789")] == '\0';
}

static int
read_whole(struct reader *r, const config_setting_t *s,
    const struct setting *row, int64_t *ret)
{
	const char *text;
	long long n;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		n = config_setting_get_int64(s);
		break;
	case CONFIG_TYPE_STRING:
		text = text_of(r, s, false);
		if (text == NULL)
			return -EINVAL;
		if (!is_decimal(text))
			return fail(
			    r->l, s, "\"%s\" is not a whole number", text);
		n = strtoll(text, NULL, 10);
		break;
	default:
		return fail_type(r, s, row->type->words);
	}
	if (n < row->min || n > row->max)
		return fail(r->l, s, "%lld is not within %lld to %lld", n,
		    (long long)row->min, (long long)row->max);
	*ret = n;
	return 0;
}

static int
read_int(struct reader *r, const config_setting_t *s, const struct setting *row,
    void *field)
{
	int64_t n = 0;
	int err = read_whole(r, s, row, &n);

	if (err == 0)
		*(int *)field = (int)n;
	return err;
}

/* The same, but 64 bits wide. */
static int
read_count(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return read_whole(r, s, row, field);
}

static int
read_factor(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text;
	double f = 0;
	char *end;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		f = (double)config_setting_get_int64(s);
		break;
	case CONFIG_TYPE_FLOAT:
		f = config_setting_get_float(s);
		break;
	case CONFIG_TYPE_STRING:
		text = text_of(r, s, false);
		if (text == NULL)
			return -EINVAL;
		f = strtod(text, &end);
		if (end == text || *end != '\0' ||
		    text[strspn(text, "0123456789.")] != '\0')
			return fail(r->l, s, "\"%s\" is not a number", text);
		break;
	default:
		return fail_type(r, s, row->type->words);
	}
	if (f >= (double)row->min && f <= (double)row->max) {
		*(double *)field = f;
		return 0;
	}
	return fail(r->l, s, "%g is not within %lld to %lld", f,
	    (long long)row->min, (long long)row->max);
}

/* The text of a number with a unit, as base/units.h takes it. */
static const char *
text_of_units(struct reader *r, const config_setting_t *s,
    const struct setting *row, char room[64])
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(room, 64, "%lld", config_setting_get_int64(s));
		return room;
	case CONFIG_TYPE_FLOAT:
		snprintf(room, 64, "%.9f", config_setting_get_float(s));
		/* Such a number is out of any range: it has as many digits. */
		if (strlen(room) > 23)
			snprintf(room, 64, "%s99999999999999999999",
			    room[0] == '-' ? "-" : "");
		return room;
	case CONFIG_TYPE_STRING:
		return text_of(r, s, false);
	default:
		fail_type(r, s, row->type->words);
		return NULL;
	}
}

static int
read_duration(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	char room[64];
	const char *text = text_of_units(r, s, row, room);
	int64_t ns;

	if (text == NULL)
		return -EINVAL;
	switch (units_duration(text, &ns)) {
	case 0:
		break;
	case -ERANGE:
		return fail(r->l, s,
		    text[0] == '-' ? "%s is negative" : "%s is too long", text);
	default:
		return fail(r->l, s,
		    "\"%s\" is not a duration (such as \"250ms\", \"10s\", "
		    "\"5m\", \"2h\", \"1d\" or a number of seconds)",
		    text);
	}
	if (ns > row->max)
		return fail(r->l, s, "%s is too long", text);
	*(int64_t *)field = ns;
	return 0;
}

static int
read_size(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	char room[64];
	const char *text = text_of_units(r, s, row, room);
	int64_t bytes;

	if (text == NULL)
		return -EINVAL;
	switch (units_size(text, &bytes)) {
	case 0:
		break;
	case -ERANGE:
		return fail(r->l, s,
		    text[0] == '-' ? "%s is negative" : "%s is too large",
		    text);
	default:
		return fail(r->l, s,
		    "\"%s\" is not a size (such as \"64K\", \"512M\", \"2G\" "
		    "or a number of bytes)",
		    text);
	}
	*(int64_t *)field = bytes;
	return 0;
}

/* Octal, as a string: libconfig has no octal numbers, 0660 would be 660. */
static int
read_mode(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text;
	unsigned long n;

	if (config_setting_is_number(s))
		return fail(r->l, s,
		    "must be a string of octal digits: write \"%04lld\"",
		    config_setting_get_int64(s));
	text = text_of(r, s, false);
	if (text == NULL)
		return -EINVAL;
	n = strtoul(text, NULL, 8);
	if (*text == '\0' || strlen(text) > 6 ||
	    text[strspn(text, "01234567")] != '\0' ||
	    n > (unsigned long)row->max)
		return fail(r->l, s,
		    "\"%s\" is not an octal number from 0 to %04o", text,
		    (unsigned)row->max);
	*(unsigned *)field = (unsigned)n;
	return 0;
}

/* --- the same?
 * ------------------------------------------------------------------- */

bool
same_bool(const void *a, const void *b)
{
	return *(const bool *)a == *(const bool *)b;
}

bool
same_int(const void *a, const void *b)
{
	return *(const int *)a == *(const int *)b;
}

bool
same_int64(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

static bool
same_double(const void *a, const void *b)
{
	return *(const double *)a == *(const double *)b;
}

bool
same_string(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return x == y || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

bool
same_strings(const void *a, const void *b)
{
	char *const *x = *(char *const *const *)a;
	char *const *y = *(char *const *const *)b;

	if (x == NULL || y == NULL)
		return x == y;
	for (; *x != NULL && *y != NULL; x++, y++) {
		if (strcmp(*x, *y) != 0)
			return false;
	}
	return *x == *y;
}

const struct type type_bool = { "true or false", read_bool, same_bool };
const struct type type_int = { "a whole number", read_int, same_int };
const struct type type_count = { "a whole number", read_count, same_int64 };
const struct type type_factor = { "a number", read_factor, same_double };
const struct type type_duration = {
	"a duration (\"10s\", or a number of seconds)", read_duration,
	same_int64
};
const struct type type_size = { "a size (\"50M\", or a number of bytes)",
	read_size, same_int64 };
const struct type type_mode = { "octal digits in quotes", read_mode, same_int };
