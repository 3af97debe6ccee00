#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/lex.h"
#include "config/load_int.h"

void *
loading_scratch(struct loading *l, size_t size)
{
	void *p = arena_alloc(&l->scratch, size);

	if (p == NULL)
		l->nomem = true;
	return p;
}

char *
loading_keep(struct loading *l, const char *text)
{
	size_t size = strlen(text);
	char *kept = map_get(&l->strings, text, size);

	if (kept != NULL)
		return kept;
	kept = arena_copy(&l->own->arena, text, size);
	if (kept == NULL || map_put(&l->strings, kept, size, kept) < 0) {
		l->nomem = true;
		return NULL;
	}
	return kept;
}

/* --- places
 * ------------------------------------------------------------------- */

const struct part *
part_of(const config_setting_t *s)
{
	return CONTAINER_OF(s->config, struct part, config);
}

const char *
place_of(struct loading *l, const config_setting_t *s)
{
	const char *path = part_of(s)->path;
	char *place = loading_scratch(l, strlen(path) + 16);

	if (place == NULL)
		return "";
	sprintf(place, "%s:%u", path, s->line);
	return place;
}

/* An element of workers, sockets or schedules. */
static bool
is_element(const config_setting_t *s)
{
	const config_setting_t *up = s->parent;

	return up != NULL && up->parent != NULL && up->parent->parent == NULL &&
	       config_setting_is_list(up);
}

/* "workers.web.backoff.max", "workers[3]", "control.admins[0]" */
static void
write_path(const config_setting_t *s, struct buf *out)
{
	const char *name = s->name;

	if (s->parent == NULL)
		return;
	write_path(s->parent, out);
	if (is_element(s) && named_name(s) != NULL)
		name = named_name(s);
	else if (name != NULL && strcmp(name, LEX_VALUE) == 0)
		return;
	if (name == NULL)
		buf_fmt(out, "[%d]", config_setting_index(s));
	else
		buf_fmt(out, "%s%s", out->size > 0 ? "." : "", name);
}

int
fail(struct loading *l, const config_setting_t *s, const char *fmt, ...)
{
	struct buf path;
	char *words = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&words, fmt, ap);
	va_end(ap);
	buf_init(&path);
	write_path(s, &path);
	if (n < 0 || buf_text(&path) == NULL)
		l->nomem = true;
	else
		report_add(&l->report, part_of(s)->path, s->line, "%s: %s",
		    buf_text(&path), words);
	free(words);
	buf_done(&path);
	return -EINVAL;
}

/* --- the load
 * ------------------------------------------------------------------ */

static int
begin(struct loading *l, const struct load *load)
{
	int err;

	l->load = load;
	l->last_section = &l->sections;
	err = source_init(&l->source, load->from, load->from_size);
	if (err == -EINVAL)
		report_add(&l->report, load->path, 0,
		    "the snapshot of the config is damaged");
	if (err < 0)
		return err;
	l->own = calloc(1, sizeof *l->own);
	if (l->own == NULL)
		return -ENOMEM;
	l->fleet = &l->own->fleet;
	l->fleet->own = l->own;
	err = environment_inherit(l);
	return err < 0 ? err : read_presets(l);
}

/* Workers and settings are read though a file had errors, to tell of all. */
static int
run(struct loading *l)
{
	int err = read_files(l);

	if (l->nomem)
		return -ENOMEM;
	/* Workers name sockets, schedules and settings name workers. */
	if (sockets_read(l) < 0)
		err = -EINVAL;
	if (l->nomem)
		return -ENOMEM;
	if (workers_read(l) < 0)
		err = -EINVAL;
	if (l->nomem)
		return -ENOMEM;
	if (schedules_read(l) < 0)
		err = -EINVAL;
	if (settings_read(l) < 0)
		err = -EINVAL;
	if (l->nomem || l->report.nomem)
		return -ENOMEM;
	return err < 0 || l->report.count > 0 ? -EINVAL : 0;
}

static void
end(struct loading *l)
{
	for (struct part *p = l->parts; p != NULL; p = p->next)
		config_destroy(&p->config);
	map_done(&l->included);
	map_done(&l->strings);
	map_done(&l->arrays);
	map_done(&l->env_files);
	report_done(&l->report);
	source_done(&l->source);
	arena_done(&l->scratch);
}

int
load_fleet(const struct load *load, struct fleet **ret_fleet,
    struct buf *snapshot, struct buf *errors)
{
	struct loading l = { 0 };
	int err = begin(&l, load);

	if (err == 0)
		err = run(&l);
	if (err == 0 && snapshot != NULL) {
		source_write(&l.source, snapshot);
		if (snapshot->failed)
			err = -ENOMEM;
	}
	if (err == -EINVAL) {
		report_write(&l.report, errors);
		if (errors->failed)
			err = -ENOMEM;
	}
	if (err < 0)
		fleet_free(l.fleet);
	else
		*ret_fleet = l.fleet;
	end(&l);
	return err;
}

int
load_default_path(char *out, size_t size)
{
	static const char system_wide[] = "/etc/supervisord/supervisord.cfg";
	static const char here[] = "/supervisord.cfg";
	size_t n;

	if (getcwd(out, size) != NULL && access(here + 1, F_OK) == 0) {
		n = strcmp(out, "/") == 0 ? 0 : strlen(out);
		if (n + sizeof here > size)
			return -ENOENT;
		memcpy(out + n, here, sizeof here);
		return 0;
	}
	if (access(system_wide, F_OK) < 0 || sizeof system_wide > size)
		return -ENOENT;
	memcpy(out, system_wide, sizeof system_wide);
	return 0;
}
