/*
 * A worker's environment: what supervisord has itself, then the layers of
 * defaults and worker in the order they are written, later ones winning. The
 * result is sorted by name. Strings are kept once, and so are whole arrays, so
 * that ten thousand workers that differ in nothing share one.
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/load_int.h"

/* Entries "NAME=value", gathered in order. */
struct entries {
	struct buf pointers;
};

struct env_file {
	char **entries; /* NULL-terminated; NULL: the file had errors */
	size_t count;
};

static size_t
name_size(const char *entry)
{
	return strcspn(entry, "=");
}

static int
compare_names(const char *a, const char *b)
{
	size_t n = name_size(a), m = name_size(b);
	int c = memcmp(a, b, MIN_OF(n, m));

	return c != 0 ? c : n < m ? -1 : n > m;
}

static void
add(struct loading *l, struct entries *e, const char *name, size_t size,
    const char *value)
{
	struct buf entry;
	char *kept = NULL;

	buf_init(&entry);
	buf_add(&entry, name, size);
	buf_char(&entry, '=');
	buf_str(&entry, value);
	if (buf_text(&entry) != NULL)
		kept = loading_keep(l, buf_text(&entry));
	buf_done(&entry);
	if (kept == NULL)
		l->nomem = true;
	else
		buf_add(&e->pointers, &kept, sizeof kept);
}

static bool
is_own(const char *name, size_t size)
{
	static const char *const own[] = { "SUPERVISOR_WORKER",
		"SUPERVISOR_INSTANCE", "SUPERVISOR_INDEX" };

	for (size_t i = 0; i < N_ELEMENTS(own); i++) {
		if (strlen(own[i]) == size && memcmp(own[i], name, size) == 0)
			return true;
	}
	return false;
}

/* What is wrong with a name, or NULL. */
static const char *
name_fault(const char *name, size_t size)
{
	if (size == 0)
		return "a name is missing before \"=\"";
	if (is_own(name, size))
		return "is set by supervisord itself";
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)name[i] <= ' ' || name[i] == '*')
			return "is not the name of a variable";
	}
	return NULL;
}

struct item {
	char *entry;
	size_t order;
};

static int
by_name(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = compare_names(x->entry, y->entry);

	return c != 0 ? c : x->order < y->order ? -1 : 1;
}

/* Sorts by name; of several with one name the last stays. */
static void
settle(struct loading *l, struct entries *e)
{
	char **p = (char **)(void *)e->pointers.data;
	size_t n = e->pointers.size / sizeof *p, kept = 0;
	struct item *items;

	if (e->pointers.failed)
		l->nomem = true;
	if (e->pointers.failed || n < 2)
		return;
	items = reallocarray(NULL, n, sizeof *items);
	if (items == NULL) {
		l->nomem = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		items[i] = (struct item){ p[i], i };
	qsort(items, n, sizeof *items, by_name);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 == n ||
		    compare_names(items[i].entry, items[i + 1].entry) != 0)
			p[kept++] = items[i].entry;
	}
	e->pointers.size = kept * sizeof *p;
	free(items);
}

/* --- files
 * ---------------------------------------------------------------------------
 */

/* A value's quotes, when it is quoted as a whole. In place. */
static int
unquote(char *value)
{
	char quote = value[0], *to = value, *p;

	if (quote != '"' && quote != '\'')
		return 0;
	for (p = value + 1; *p != quote; p++) {
		if (*p == '\0')
			return -EINVAL;
		if (quote == '"' && *p == '\\' && p[1] != '\0' &&
		    strchr("\"\\$`", p[1]) != NULL)
			p++;
		*to++ = *p;
	}
	*to = '\0';
	return p[1] == '\0' ? 0 : -EINVAL;
}

/* One line, NUL-terminated, which is changed. */
static int
read_line(struct loading *l, char *p, const char *path, unsigned line,
    struct entries *e)
{
	const char *fault;
	char *value, *end;
	size_t size;

	p += strspn(p, " \t\r");
	if (*p == '\0' || *p == '#' || *p == ';')
		return 0;
	if (strncmp(p, "export ", 7) == 0)
		p += 7 + strspn(p + 7, " \t");
	size = name_size(p);
	if (p[size] == '\0') {
		report_add(&l->report, path, line, "expected NAME=VALUE");
		return -EINVAL;
	}
	fault = name_fault(p, size);
	if (fault != NULL) {
		report_add(
		    &l->report, path, line, "\"%.*s\" %s", (int)size, p, fault);
		return -EINVAL;
	}
	value = p + size + 1;
	value += strspn(value, " \t");
	for (end = value + strlen(value);
	     end > value && strchr(" \t\r", end[-1]) != NULL; end--)
		end[-1] = '\0';
	if (unquote(value) < 0) {
		report_add(&l->report, path, line,
		    "the closing quote is not at the end of the line");
		return -EINVAL;
	}
	if (strchr(value, FLEET_HOLE) != NULL) {
		report_add(
		    &l->report, path, line, "a value can't hold a byte 0x01");
		return -EINVAL;
	}
	add(l, e, p, size, value);
	return 0;
}

static void
parse_file(struct loading *l, const struct record *text, const char *path,
    struct env_file *file)
{
	char *copy = loading_scratch(l, text->size + 1), *p, *next;
	struct entries e = { { 0 } };
	unsigned line = 1;
	int err = 0;

	if (copy == NULL)
		return;
	memcpy(copy, text->data, text->size);
	if (memchr(copy, '\0', text->size) != NULL) {
		report_add(
		    &l->report, path, 0, "holds a NUL byte: not a text file");
		return;
	}
	for (p = copy; p != NULL; p = next, line++) {
		next = strchr(p, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (read_line(l, p, path, line, &e) < 0)
			err = -EINVAL;
	}
	if (err == 0 && !e.pointers.failed) {
		file->count = e.pointers.size / sizeof(char *);
		file->entries =
		    loading_scratch(l, e.pointers.size + sizeof(char *));
		if (file->entries != NULL && file->count > 0)
			memcpy(file->entries, e.pointers.data, e.pointers.size);
	}
	buf_done(&e.pointers);
}

/* Each file is read once, however many workers name it. */
static int
add_file(struct reader *r, const config_setting_t *s, struct entries *e)
{
	struct loading *l = r->l;
	const char *path = text_of(r, s, false);
	const struct record *text;
	struct env_file *file;
	bool optional;
	int err;

	if (path == NULL)
		return -EINVAL;
	optional = *path == '-';
	path = path_of(l, s, path + optional);
	if (path == NULL)
		return -ENOMEM;
	err = source_file(&l->source, path, &text);
	if (err == -ENOENT && optional)
		return 0;
	if (err == -ENOMEM)
		l->nomem = true;
	if (err < 0)
		return fail(l, s, "%s %s", path, source_words(err));
	file = map_get(&l->env_files, path, strlen(path));
	if (file == NULL) {
		file = loading_scratch(l, sizeof *file);
		path = file != NULL ? loading_keep(l, path) : NULL;
		if (path == NULL)
			return -ENOMEM;
		parse_file(l, text, path, file);
		if (map_put(&l->env_files, path, strlen(path), file) < 0)
			l->nomem = true;
	}
	if (file->entries == NULL)
		return -EINVAL;
	buf_add(&e->pointers, file->entries, file->count * sizeof(char *));
	return 0;
}

static int
add_files(struct reader *r, const config_setting_t *s, struct entries *e)
{
	int n = strings_count(r, s, "a path or an array of paths"), err = 0;

	for (unsigned i = 0; n > 0 && i < (unsigned)n; i++) {
		if (add_file(r, strings_at(s, i), e) < 0)
			err = -EINVAL;
	}
	return n < 0 ? n : err;
}

/* --- environment { }
 * ------------------------------------------------------------------- */

static int
add_member(struct reader *r, const config_setting_t *s, struct entries *e)
{
	const char *name = config_setting_name(s), *value, *fault;
	char number[32];

	if (strchr(name, '*') != NULL) /* reported by the lexer */
		return 0;
	fault = name_fault(name, strlen(name));
	if (fault != NULL)
		return fail(r->l, s, "%s", fault);
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		value = text_of(r, s, true);
		if (value == NULL)
			return -EINVAL;
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(
		    number, sizeof number, "%lld", config_setting_get_int64(s));
		value = number;
		break;
	case CONFIG_TYPE_BOOL:
		value = config_setting_get_bool(s) ? "true" : "false";
		break;
	default:
		return fail_type(
		    r, s, "a string, a whole number, true or false");
	}
	add(r->l, e, name, strlen(name), value);
	return 0;
}

/* [ "NAME=value" ]: for names that libconfig can't take, such as "_". */
static int
add_string(struct reader *r, const config_setting_t *s, struct entries *e)
{
	const char *text = text_of(r, s, true), *fault;
	size_t size;

	if (text == NULL)
		return -EINVAL;
	size = name_size(text);
	if (text[size] == '\0')
		return fail(r->l, s, "expected \"NAME=VALUE\"");
	fault = name_fault(text, size);
	if (fault != NULL)
		return fail(r->l, s, "\"%.*s\" %s", (int)size, text, fault);
	add(r->l, e, text, size, text + size + 1);
	return 0;
}

static int
add_members(struct reader *r, const config_setting_t *s, struct entries *e)
{
	bool group = config_setting_is_group(s);
	int n, err = 0;

	if (!group && !config_setting_is_array(s) && !config_setting_is_list(s))
		return fail_type(r, s, "a group { } of variables");
	n = config_setting_length(s);
	for (unsigned i = 0; i < (unsigned)n; i++) {
		const config_setting_t *m = config_setting_get_elem(s, i);

		if ((group ? add_member : add_string)(r, m, e) < 0)
			err = -EINVAL;
	}
	return err;
}

/* --- layers
 * ------------------------------------------------------------------------------
 */

/* Both settings of one section, in the order they are written. */
static int
add_layer(struct reader *r, const config_setting_t *members,
    const config_setting_t *files, struct entries *e)
{
	bool files_last =
	    members != NULL && files != NULL &&
	    members->parent == files->parent && files->line >= members->line &&
	    config_setting_index(files) > config_setting_index(members);
	int err = 0;

	if (files != NULL && !files_last && add_files(r, files, e) < 0)
		err = -EINVAL;
	if (members != NULL && add_members(r, members, e) < 0)
		err = -EINVAL;
	if (files_last && add_files(r, files, e) < 0)
		err = -EINVAL;
	return err;
}

/* Two sorted lists into one array of the fleet; the second wins. */
static char **
merge(struct loading *l, char **under, const struct entries *over)
{
	char **o = (char **)(void *)over->pointers.data, **array, *end = NULL;
	size_t left = over->pointers.size / sizeof *o;
	struct buf all;

	buf_init(&all);
	while (*under != NULL || left > 0) {
		int c = *under == NULL ? 1
			: left == 0    ? -1
				       : compare_names(*under, *o);

		buf_add(&all, c < 0 ? under : o, sizeof *o);
		if (c <= 0)
			under++;
		if (c >= 0) {
			o++;
			left--;
		}
	}
	buf_add(&all, &end, sizeof end);
	array = all.failed ? NULL : map_get(&l->arrays, all.data, all.size);
	if (array == NULL && !all.failed) {
		array = (char **)(void *)arena_copy(
		    &l->own->arena, all.data, all.size);
		if (array == NULL ||
		    map_put(&l->arrays, array, all.size, array) < 0)
			array = NULL;
	}
	buf_done(&all);
	if (array == NULL)
		l->nomem = true;
	return array;
}

int
environment_read(struct reader *r, const struct slots *own,
    const struct slots *defaults, struct worker *w)
{
	static const struct slots none;
	size_t m = schema_index(schema_worker, "environment");
	size_t f = schema_index(schema_worker, "environment_file");
	size_t c = schema_index(schema_worker, "clean_environment");
	char *nothing = NULL;
	struct entries e = { { 0 } };
	bool clean = false;
	int err;

	if (defaults == NULL)
		defaults = &none;
	err = add_layer(r, defaults->of[m],
	    own->of[f] != NULL ? NULL : defaults->of[f], &e);
	if (add_layer(r, own->of[m], own->of[f], &e) < 0)
		err = -EINVAL;
	if (own->of[c] != NULL || defaults->of[c] != NULL) {
		const config_setting_t *s =
		    own->of[c] != NULL ? own->of[c] : defaults->of[c];

		if (type_bool.read(r, s, &schema_worker[c], &clean) < 0)
			err = -EINVAL;
	}
	settle(r->l, &e);
	if (err == 0 && !r->l->nomem)
		w->environment =
		    merge(r->l, clean ? &nothing : r->l->inherited, &e);
	buf_done(&e.pointers);
	return err;
}

int
environment_inherit(struct loading *l)
{
	static char *const none[] = { NULL };
	char *const *from = l->load->environ != NULL ? l->load->environ : none;
	struct entries e = { { 0 } };
	size_t n = 0;

	/* From the end, so that settle keeps the first of a name, as getenv.
	 * A value with a hole byte could not be told from a template. */
	while (from[n] != NULL)
		n++;
	while (n-- > 0) {
		size_t size = name_size(from[n]);

		if (size > 0 && from[n][size] == '=' &&
		    !is_own(from[n], size) &&
		    strchr(from[n], FLEET_HOLE) == NULL)
			add(l, &e, from[n], size, from[n] + size + 1);
	}
	settle(l, &e);
	l->inherited = loading_scratch(l, e.pointers.size + sizeof(char *));
	if (l->inherited != NULL && e.pointers.size > 0)
		memcpy(l->inherited, e.pointers.data, e.pointers.size);
	buf_done(&e.pointers);
	return l->nomem ? -ENOMEM : 0;
}

const struct type type_environment = { "a group { } of variables", NULL,
	same_strings };
