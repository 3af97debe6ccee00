/* From files, through the lexer and libconfig, to sections. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/lex.h"
#include "config/load.h"
#include "config/load_int.h"

#define DEPTH_MAX 16

static int read_part(struct loading *l, const char *path,
    const config_setting_t *from, unsigned depth);

/* An empty part, at the front of the list of those to be destroyed. */
static struct part *
new_part(struct loading *l, const char *path)
{
	struct part *part = loading_scratch(l, sizeof *part);
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) : 0;

	if (part == NULL)
		return NULL;
	/* The fleet's: workers say where they come from. */
	part->path = loading_keep(l, path);
	part->dir = slash == NULL ? "."
		    : n == 0      ? "/"
				  : arena_copy(&l->scratch, path, n);
	if (part->path == NULL || part->dir == NULL) {
		l->nomem = true;
		return NULL;
	}
	config_init(&part->config);
	part->next = l->parts;
	l->parts = part;
	return part;
}

/*
 * libconfig ends the process where it gets no memory, so there has to be more
 * than it can take: the shortest setting, "a=1;", is some 200 bytes to it.
 */
static bool
memory_suffices(size_t size)
{
	void *most = malloc(64 * size + (1U << 20));

	free(most);
	return most != NULL;
}

static int
parse(struct loading *l, struct part *part, const char *text, size_t size)
{
	struct buf clean;
	int err;

	buf_init(&clean);
	err = lex_text(text, size, part->path, &l->report, &clean);
	if (err == 0 && (buf_text(&clean) == NULL || !memory_suffices(size)))
		err = -ENOMEM;
	if (err == -ENOMEM)
		l->nomem = true;
	/* libconfig has nothing to object to what passed the lexer; if it
	 * does all the same, its word stands. */
	if (err == 0 && config_read_string(&part->config, buf_text(&clean)) !=
			    CONFIG_TRUE) {
		report_add(&l->report, part->path,
		    (unsigned)config_error_line(&part->config), "%s",
		    config_error_text(&part->config));
		err = -EINVAL;
	}
	buf_done(&clean);
	return err;
}

const char *
path_of(struct loading *l, const config_setting_t *s, const char *path)
{
	const char *dir = part_of(s)->dir;
	char *joined;

	if (*path == '/')
		return path;
	while (path[0] == '.' && path[1] == '/') {
		path += 2;
		path += strspn(path, "/");
	}
	if (strcmp(path, ".") == 0 || *path == '\0')
		return dir;
	joined = loading_scratch(l, strlen(dir) + strlen(path) + 2);
	if (joined != NULL)
		sprintf(joined, "%s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/",
		    path);
	return joined;
}

/* --- include
 * ------------------------------------------------------------------ */

/* The folder a pattern starts from is no pattern. */
static const char *
pattern_of(struct loading *l, const config_setting_t *s, const char *pattern)
{
	const char *dir = part_of(s)->dir;
	char *out, *to;

	if (*pattern == '/')
		return pattern;
	to = out = loading_scratch(l, 2 * strlen(dir) + strlen(pattern) + 2);
	if (out == NULL)
		return NULL;
	for (; *dir != '\0'; dir++) {
		if (strchr("*?[]\\", *dir) != NULL)
			*to++ = '\\';
		*to++ = *dir;
	}
	sprintf(to, "%s%s", to > out && to[-1] == '/' ? "" : "/", pattern);
	return out;
}

static int
include_pattern(struct loading *l, const config_setting_t *s,
    const char *pattern, unsigned depth)
{
	const struct record *found;
	int err;

	pattern = pattern_of(l, s, pattern);
	if (pattern == NULL)
		return -ENOMEM;
	err = source_glob(&l->source, pattern, &found);
	if (err == -ENOMEM)
		l->nomem = true;
	if (err < 0)
		return fail(l, s, "%s: %s", pattern, source_words(err));
	for (size_t i = 0; i < found->size; i += strlen(found->data + i) + 1) {
		if (read_part(l, found->data + i, s, depth + 1) < 0)
			err = -EINVAL;
	}
	return err;
}

static int
include(struct loading *l, const config_setting_t *s, unsigned depth)
{
	struct reader r = { .l = l };
	int n = strings_count(&r, s, "an array of paths"), err = 0;
	const char *path;

	for (unsigned i = 0; n > 0 && i < (unsigned)n; i++) {
		const config_setting_t *e = strings_at(s, i);

		path = text_of(&r, e, false);
		if (path == NULL)
			err = -EINVAL;
		else if (*path == '\0')
			err = fail(l, e, "an empty path");
		else if (strpbrk(path, "*?[") != NULL)
			err = include_pattern(l, e, path, depth);
		else if ((path = path_of(l, e, path)) != NULL)
			err = read_part(l, path, e, depth + 1);
	}
	return n < 0 ? n : err;
}

/* --- sections
 * ------------------------------------------------------------------ */

static int
add_section(
    struct loading *l, const struct setting *row, const config_setting_t *s)
{
	struct section *section = loading_scratch(l, sizeof *section);

	if (section == NULL)
		return -ENOMEM;
	section->row = row;
	section->value = s;
	*l->last_section = section;
	l->last_section = &section->next;
	return 0;
}

/* An include stands for the sections of its files, in its place. */
static int
read_sections(struct loading *l, const struct part *part, unsigned depth)
{
	const config_setting_t *root = config_root_setting(&part->config);
	int n = config_setting_length(root), err = 0;
	const char *nearest;

	for (unsigned i = 0; i < (unsigned)n; i++) {
		const config_setting_t *s = config_setting_get_elem(root, i);
		const char *key = config_setting_name(s);
		const struct setting *row = schema_find(schema_top, key);

		if (strchr(key, LEX_NAME[0]) != NULL)
			continue;
		nearest = schema_nearest(schema_top, key);
		if (row == NULL && nearest != NULL)
			err = fail(l, s,
			    "unknown setting (did you mean \"%s\"?)", nearest);
		else if (row == NULL)
			err = fail(l, s,
			    schema_find(schema_worker, key) != NULL
				? "is a worker's setting: it belongs into "
				  "defaults or a worker"
				: "unknown setting");
		else if (row->flags & SETTING_ABSENT)
			err = fail(l, s, "not supported yet");
		else if (strcmp(key, "include") == 0)
			err = include(l, s, depth) < 0 ? -EINVAL : err;
		else if (add_section(l, row, s) < 0)
			return -ENOMEM;
	}
	return err;
}

/* from: the setting that includes the file, or NULL. */
static int
read_part(struct loading *l, const char *path, const config_setting_t *from,
    unsigned depth)
{
	const config_setting_t *first =
	    map_get(&l->included, path, strlen(path));
	const struct record *text;
	struct part *part;
	int err;

	if (strcmp(path, l->load->path) == 0 && from != NULL)
		return fail(l, from, "%s includes itself", path);
	if (first != NULL)
		return fail(l, from, "%s is included twice, first at %s", path,
		    place_of(l, first));
	if (depth > DEPTH_MAX)
		return fail(l, from, "includes are nested more than %d deep",
		    DEPTH_MAX);
	err = source_file(&l->source, path, &text);
	if (err == -ENOMEM)
		l->nomem = true;
	if (err < 0 && from != NULL)
		return fail(l, from, "%s %s", path, source_words(err));
	if (err < 0) {
		report_add(&l->report, path, 0, "%s", source_words(err));
		return err;
	}
	part = new_part(l, path);
	if (part == NULL)
		return -ENOMEM;
	if (from != NULL &&
	    map_put(&l->included, part->path, strlen(part->path),
		(void *)(uintptr_t)from) < 0)
		l->nomem = true;
	err = parse(l, part, text->data, text->size);
	if (err < 0)
		return err;
	/* A file caught while an editor writes it anew must not be taken for
	 * the wish to remove everything. */
	if (from == NULL &&
	    config_setting_length(config_root_setting(&part->config)) == 0) {
		report_add(&l->report, path, 1,
		    "the file is empty: it names no workers");
		return -EINVAL;
	}
	return read_sections(l, part, depth);
}

int
read_files(struct loading *l)
{
	return read_part(l, l->load->path, NULL, 0);
}

/* --- presets
 * -------------------------------------------------------------------- */

static void
write_presets(struct buf *b, const char *name, const struct setting *rows)
{
	buf_fmt(b, "%s: {", name);
	for (; rows->key != NULL; rows++) {
		if (rows->preset != NULL)
			buf_fmt(b, "%s = %s;", rows->key, rows->preset);
	}
	buf_str(b, "};");
}

static void
write_members(struct buf *b, const struct setting *rows)
{
	for (; rows->key != NULL; rows++) {
		if (rows->members == NULL)
			continue;
		write_presets(b, rows->group != NULL ? rows->group : rows->key,
		    rows->members);
		write_members(b, rows->members);
	}
}

/* The built-in defaults, as a config of their own: the presets of the tables
 * and, in "members", those of what is a group. */
int
read_presets(struct loading *l)
{
	struct buf b;
	int err = -ENOMEM;

	buf_init(&b);
	write_presets(&b, "worker", schema_worker);
	write_presets(&b, "master", schema_master);
	write_presets(&b, "control", schema_control);
	write_presets(&b, "socket", schema_socket);
	write_presets(&b, "schedule", schema_schedule);
	buf_str(&b, "members: {");
	write_members(&b, schema_worker);
	write_members(&b, schema_master);
	buf_str(&b, "};");
	l->presets = new_part(l, "/built-in");
	if (l->presets != NULL && buf_text(&b) != NULL)
		err = parse(l, l->presets, b.data, b.size);
	buf_done(&b);
	return err;
}
