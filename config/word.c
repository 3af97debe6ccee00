/* Settings into fields: words, paths, and what is looked up by its name. */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/load_int.h"
#include "supervisord/base/buf.h"

#define PATH_LONGEST 3800

static int
read_enum(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, false), *nearest = NULL;
	unsigned best = SCHEMA_FAR;
	struct buf all;

	if (text == NULL)
		return -EINVAL;
	for (unsigned i = 0; row->words[i] != NULL; i++) {
		unsigned d = schema_distance(text, row->words[i]);

		if (strcmp(text, row->words[i]) == 0) {
			*(unsigned *)field = i;
			return 0;
		}
		if (d < best) {
			best = d;
			nearest = row->words[i];
		}
	}
	if (nearest != NULL)
		return fail(r->l, s,
		    "\"%s\" is not known (did you mean \"%s\"?)", text,
		    nearest);
	buf_init(&all);
	for (unsigned i = 0; row->words[i] != NULL; i++)
		buf_fmt(&all, "%s\"%s\"",
		    i == 0                      ? ""
		    : row->words[i + 1] == NULL ? " or "
						: ", ",
		    row->words[i]);
	fail(r->l, s, "\"%s\" is not %s", text,
	    buf_text(&all) != NULL ? buf_text(&all) : "");
	buf_done(&all);
	return -EINVAL;
}

/* A bool that is written as one of two words. */
static int
read_either(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	unsigned n = 0;
	int err = read_enum(r, s, row, &n);

	if (err == 0)
		*(bool *)field = n == 1;
	return err;
}

static int
read_string(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, (row->flags & SETTING_INDEX) != 0);

	if (text == NULL)
		return -EINVAL;
	*(char **)field = loading_keep(r->l, text);
	return 0;
}

static int
read_path(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text = text_of(r, s, (row->flags & SETTING_INDEX) != 0);

	if (text == NULL)
		return -EINVAL;
	if (*text == '\0')
		return fail(r->l, s, "an empty path");
	text = path_of(r->l, s, text);
	if (text == NULL)
		return -ENOMEM;
	if (strlen(text) > PATH_LONGEST)
		return fail(r->l, s, "the path is too long");
	*(char **)field = loading_keep(r->l, text);
	return 0;
}

/* NULL stands for the word. */
static int
path_or_word(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field, const char *word)
{
	const char *text = text_of(r, s, false);

	if (text == NULL)
		return -EINVAL;
	if (strcmp(text, word) != 0)
		return read_path(r, s, row, field);
	*(char **)field = NULL;
	return 0;
}

static int
read_state_dir(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return path_or_word(r, s, row, field, "none");
}

static int
read_log_file(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return path_or_word(r, s, row, field, "stderr");
}

static int
read_run_dir(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const struct sockaddr_un *un = NULL;
	int err = read_path(r, s, row, field);
	const char *dir = *(char **)field;

	if (err == 0 && dir != NULL &&
	    strlen(dir) + sizeof "/control.sock" > sizeof un->sun_path)
		return fail(r->l, s,
		    "the path is too long for a socket in it (%zu bytes at "
		    "most)",
		    sizeof un->sun_path - sizeof "/control.sock");
	return err;
}

static int
read_group_id(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text;
	struct buf what;
	int64_t n;
	int err;

	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		struct setting number = *row;

		number.max = INT_MAX;
		return type_int.read(r, s, &number, field);
	}
	text = text_of(r, s, false);
	if (text == NULL)
		return -EINVAL;
	if (is_decimal(text) && *text != '-' &&
	    strtoll(text, NULL, 10) < UINT_MAX) {
		*(gid_t *)field = (gid_t)strtoll(text, NULL, 10);
		return 0;
	}
	buf_init(&what);
	buf_fmt(&what, "group:%s", text);
	err = buf_text(&what) != NULL
		  ? source_number(&r->l->source, buf_text(&what), &n)
		  : -ENOMEM;
	buf_done(&what);
	if (err == -ENOMEM)
		r->l->nomem = true;
	if (err < 0)
		return fail(r->l, s, "there is no group \"%s\"", text);
	*(gid_t *)field = (gid_t)n;
	return 0;
}

/* "name", "123", "@group": looked up when somebody asks, not now. */
static int
read_names(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	int n = strings_count(r, s, row->type->words);
	char **names;

	if (n < 0)
		return n;
	names = arena_alloc(&r->l->own->arena, ((size_t)n + 1) * sizeof *names);
	if (names == NULL) {
		r->l->nomem = true;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < (unsigned)n; i++) {
		const config_setting_t *e = strings_at(s, i);
		const char *text = text_of(r, e, false);

		if (text == NULL)
			return -EINVAL;
		if (text[*text == '@'] == '\0')
			return fail(r->l, e, "an empty name");
		names[i] = loading_keep(r->l, text);
	}
	*(char ***)field = names;
	return 0;
}

static int
read_group(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return members_read(r, s, row, field);
}

const struct type type_enum = { "a word", read_enum, same_int };
const struct type type_either = { "a word", read_either, same_bool };
const struct type type_string = { "a string", read_string, same_string };
const struct type type_path = { "a path", read_path, same_string };
const struct type type_state_dir = { "a path or \"none\"", read_state_dir,
	same_string };
const struct type type_run_dir = { "a path", read_run_dir, same_string };
const struct type type_log_file = { "a path or \"stderr\"", read_log_file,
	same_string };
const struct type type_group_id = { "a group's name or number", read_group_id,
	same_int };
const struct type type_names = { "an array of names", read_names,
	same_strings };
const struct type type_group = { "a group { }", read_group, NULL };
