/* The sections `master` and `control` into the fleet's settings. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/expand.h"
#include "config/load.h"
#include "config/load_int.h"

static const char *
env(const struct loading *l, const char *name)
{
	const char *value = variable_get(l->load->environ, name, strlen(name));

	/* XDG: a path that is not absolute is to be ignored. */
	return value != NULL && *value == '/' ? value : NULL;
}

/* The last piece may be NULL. */
static char *
keep_path(struct loading *l, const char *dir, const char *below)
{
	char *path = loading_scratch(l, strlen(dir) + strlen(below) + 1);

	if (path == NULL)
		return NULL;
	sprintf(path, "%s%s", dir, below);
	return loading_keep(l, path);
}

static char *
default_run_dir(struct loading *l)
{
	const char *runtime = env(l, "XDG_RUNTIME_DIR");
	struct sockaddr_un *un = NULL;
	char own[64];

	if (geteuid() == 0)
		return loading_keep(l, "/run/supervisord");
	if (runtime != NULL &&
	    strlen(runtime) + sizeof "/supervisord/control.sock" <=
		sizeof un->sun_path)
		return keep_path(l, runtime, "/supervisord");
	snprintf(own, sizeof own, "/tmp/supervisord-%u", (unsigned)geteuid());
	return loading_keep(l, own);
}

static char *
default_state_dir(struct loading *l)
{
	const char *home = env(l, "HOME"), *state = env(l, "XDG_STATE_HOME");

	if (geteuid() == 0)
		return loading_keep(l, "/var/lib/supervisord");
	if (state != NULL)
		return keep_path(l, state, "/supervisord");
	if (home != NULL)
		return keep_path(l, home, "/.local/state/supervisord");
	/* Nowhere that is our own. */
	return NULL;
}

static int
read_table(struct loading *l, const char *name, const struct setting *rows,
    struct slots *slots)
{
	const config_setting_t *presets =
	    config_root_setting(&l->presets->config);
	struct reader r = { .l = l };
	int err = 0;

	for (struct section *s = l->sections; s != NULL; s = s->next) {
		if (strcmp(s->row->key, name) != 0)
			continue;
		if (!config_setting_is_group(s->value))
			err = fail(l, s->value, "must be a group { }");
		else if (slots_fill(l, s->value, rows, slots) < 0)
			err = -EINVAL;
	}
	if (slots_read(&r, slots, config_setting_get_member(presets, name),
		rows, &l->fleet->settings) < 0)
		err = -EINVAL;
	return err;
}

static int
check_exit_with(struct loading *l, const config_setting_t *s)
{
	const char *name = l->fleet->settings.exit_with;
	struct nearest nearest;

	if (name == NULL || fleet_find(l->fleet, name) != NULL)
		return 0;
	nearest_init(&nearest, name);
	for (size_t i = 0; i < l->fleet->count; i++)
		nearest_try(&nearest, l->fleet->workers[i]->name);
	return fail_absent(l, s, "worker", &nearest);
}

int
settings_read(struct loading *l)
{
	struct settings *settings = &l->fleet->settings;
	struct slots master = { 0 }, control = { 0 };
	size_t state = schema_index(schema_master, "state_dir");
	size_t run = schema_index(schema_master, "run_dir");
	size_t with = schema_index(schema_master, "exit_with");
	int err;

	settings->control_group = (gid_t)-1;
	err = read_table(l, "master", schema_master, &master);
	if (read_table(l, "control", schema_control, &control) < 0)
		err = -EINVAL;
	if (master.of[state] == NULL)
		settings->state_dir = default_state_dir(l);
	if (master.of[run] == NULL)
		settings->run_dir = default_run_dir(l);
	if (check_exit_with(l, master.of[with]) < 0)
		err = -EINVAL;
	return err;
}
