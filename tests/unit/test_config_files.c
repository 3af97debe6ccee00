/* The disk: includes, what can't be read, and the snapshot of it all. */

#include "tests/unit/config_helper.h"
#include "tests/unit/skip.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
	char path[64];
	char top[128];
};

static int
enter(void **state)
{
	struct folder *f = calloc(1, sizeof *f);

	strcpy(f->path, "/tmp/test-config-XXXXXX");
	if (mkdtemp(f->path) == NULL)
		return -1;
	snprintf(f->top, sizeof f->top, "%s/supervisord.cfg", f->path);
	*state = f;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
leave(void **state)
{
	struct folder *f = *state;

	nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void
put(const struct folder *f, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", f->path, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void
make_folder(const struct folder *f, const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", f->path, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int
load_disk(const struct folder *f, const struct buf *from, struct fleet **fleet,
    struct buf *snapshot, struct buf *errors)
{
	struct load load = { .path = f->top,
		.from = from != NULL ? from->data : NULL,
		.from_size = from != NULL ? from->size : 0,
		.environ = helper_environ };
	char *p;
	int err;

	buf_init(errors);
	*fleet = NULL;
	err = load_fleet(&load, fleet, snapshot, errors);
	while (
	    errors->size > 0 && (p = strstr(errors->data, f->path)) != NULL) {
		*p = 'D';
		memmove(p + 1, p + strlen(f->path),
		    strlen(p + strlen(f->path)) + 1);
		errors->size = strlen(errors->data);
	}
	return err;
}

static void
an_include_of_what_is_no_file_is_an_error(void **state)
{
	struct folder *f = *state;
	struct fleet *fleet;
	struct buf errors;
	char fifo[256];

	make_folder(f, "folder");
	make_folder(f, "conf.d");
	make_folder(f, "conf.d/x.cfg");
	snprintf(fifo, sizeof fifo, "%s/fifo", f->path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	put(f, "supervisord.cfg",
	    "include = [ \"folder\",\n\"fifo\",\n\"none\",\n\"conf.d/*.cfg\",\n"
	    "\"/dev/null\", \"none/*\", \"folder/*\" ];");
	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(buf_text(&errors),
	    "D/supervisord.cfg:1: include[0]: D/folder is a folder\n"
	    "D/supervisord.cfg:2: include[1]: D/fifo is not a regular file\n"
	    "D/supervisord.cfg:3: include[2]: D/none does not exist\n"
	    "D/supervisord.cfg:4: include[3]: D/conf.d/x.cfg is a folder\n"
	    "D/supervisord.cfg:5: include[4]: /dev/null is not a regular "
	    "file\n");
	buf_done(&errors);
}

static void
an_unreadable_include_is_an_error(void **state)
{
	struct folder *f = *state;
	struct fleet *fleet;
	struct buf errors;
	char path[256];

	if (geteuid() == 0)
		SKIP_BECAUSE("root may read everything");
	put(f, "secret.cfg", "");
	snprintf(path, sizeof path, "%s/secret.cfg", f->path);
	assert_int_equal(chmod(path, 0), 0);
	put(f, "supervisord.cfg", "include = \"secret.cfg\";");
	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(buf_text(&errors),
	    "D/supervisord.cfg:1: include: D/secret.cfg can't be read: permission "
	    "denied\n");
	buf_done(&errors);
}

static void
a_top_file_that_is_none_is_an_error(void **state)
{
	struct folder *f = *state;
	struct fleet *fleet;
	struct buf errors;

	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(
	    buf_text(&errors), "D/supervisord.cfg: does not exist\n");
	buf_done(&errors);
	make_folder(f, "supervisord.cfg");
	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(
	    buf_text(&errors), "D/supervisord.cfg: is a folder\n");
	buf_done(&errors);
}

static void
includes_end_somewhere(void **state)
{
	struct folder *f = *state;
	struct fleet *fleet;
	struct buf errors;
	char name[32], text[64];

	put(f, "supervisord.cfg", "include = \"1.cfg\";");
	for (int i = 1; i < 20; i++) {
		snprintf(name, sizeof name, "%d.cfg", i);
		snprintf(text, sizeof text, "include = \"%d.cfg\";", i + 1);
		put(f, name, text);
	}
	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(buf_text(&errors),
	    "D/16.cfg:1: include: includes are nested more than 16 deep\n");
	buf_done(&errors);
	put(f, "2.cfg", "include = \"1.cfg\";");
	assert_int_equal(load_disk(f, NULL, &fleet, NULL, &errors), -EINVAL);
	assert_string_equal(buf_text(&errors),
	    "D/2.cfg:1: include: D/1.cfg is included twice, first at "
	    "D/supervisord.cfg:1\n");
	buf_done(&errors);
}

static void
write_fleet(const struct folder *f)
{
	put(f, "supervisord.cfg",
	    "include = [ \"conf.d/*.cfg\" ];\ncontrol: { group = \"root\"; };\n"
	    "workers: { web: { command = \"./web\"; processes = \"cores\"; "
	    "environment_file = [ \"-later.env\", \"web.env\" ]; }; };");
	put(f, "web.env", "A=1\n");
	put(f, "conf.d/b.cfg", "workers: { b: { command = \"b\"; }; };");
	put(f, "conf.d/a.cfg", "workers: { a: { command = \"a\"; }; };");
}

/* Whatever has been edited since, the snapshot gives what was read. */
static void
a_snapshot_outlives_the_files(void **state)
{
	struct folder *f = *state;
	struct fleet *old, *again, *edited;
	struct buf snapshot, second, errors;
	struct fleet_diff diff;

	make_folder(f, "conf.d");
	write_fleet(f);
	buf_init(&snapshot);
	buf_init(&second);
	assert_int_equal(load_disk(f, NULL, &old, &snapshot, &errors), 0);
	assert_int_equal(old->count, 3);
	assert_string_equal(old->workers[0]->name, "a");
	assert_string_equal(old->workers[1]->name, "b");
	assert_int_equal(old->settings.control_group, 0);

	put(f, "web.env", "A=2\n");
	put(f, "later.env", "B=2\n");
	put(f, "conf.d/a.cfg", "workers: { a: { command = \"a -x\"; }; };");
	put(f, "conf.d/c.cfg", "workers: { c: { command = \"c\"; }; };");
	put(f, "supervisord.cfg.not", "junk");

	assert_int_equal(load_disk(f, &snapshot, &again, &second, &errors), 0);
	assert_int_equal(fleet_diff(old, again, &diff), 0);
	assert_int_equal(diff.count, 3);
	for (size_t i = 0; i < diff.count; i++)
		assert_int_equal(diff.workers[i].change, CHANGE_KEPT);
	fleet_diff_done(&diff);
	/* and can be handed on */
	assert_int_equal(snapshot.size, second.size);
	assert_memory_equal(snapshot.data, second.data, second.size);

	assert_int_equal(load_disk(f, NULL, &edited, NULL, &errors), 0);
	assert_int_equal(fleet_diff(old, edited, &diff), 0);
	assert_int_equal(diff.count, 4);
	assert_int_equal(diff.workers[0].change, CHANGE_RESTART);
	assert_string_equal(diff.workers[0].settings, "command");
	assert_int_equal(diff.workers[1].change, CHANGE_KEPT);
	assert_int_equal(diff.workers[2].change, CHANGE_ADDED);
	assert_int_equal(diff.workers[3].change, CHANGE_RESTART);
	assert_string_equal(diff.workers[3].settings, "environment");
	fleet_diff_done(&diff);
	fleet_free(old);
	fleet_free(again);
	fleet_free(edited);
	buf_done(&snapshot);
	buf_done(&second);
}

static void
a_pattern_in_the_folders_own_name_is_none(void **state)
{
	struct folder *f = *state, odd = *f;
	struct fleet *fleet;
	struct buf errors;

	make_folder(f, "[x]*");
	snprintf(odd.path, sizeof odd.path, "%.40s/[x]*", f->path);
	snprintf(odd.top, sizeof odd.top, "%s/supervisord.cfg", odd.path);
	put(&odd, "supervisord.cfg", "include = \"?.cfg\";");
	put(&odd, "a.cfg", "workers: { a: { command = \"./a\"; }; };");
	assert_int_equal(load_disk(&odd, NULL, &fleet, NULL, &errors), 0);
	assert_int_equal(fleet->count, 1);
	fleet_free(fleet);
	buf_done(&errors);
}

static void
the_default_file_is_the_one_here(void **state)
{
	struct folder *f = *state;
	char path[PATH_MAX], small[8];
	int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(f->path), 0);
	put(f, "supervisord.cfg", "");
	assert_int_equal(load_default_path(path, sizeof path), 0);
	assert_string_equal(path, f->top);
	assert_int_equal(load_default_path(small, sizeof small), -ENOENT);
	assert_int_equal(fchdir(back), 0);
	close(back);
}

int
main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(an_include_of_what_is_no_file_is_an_error),
		IN_FOLDER(an_unreadable_include_is_an_error),
		IN_FOLDER(a_top_file_that_is_none_is_an_error),
		IN_FOLDER(includes_end_somewhere),
		IN_FOLDER(a_snapshot_outlives_the_files),
		IN_FOLDER(a_pattern_in_the_folders_own_name_is_none),
		IN_FOLDER(the_default_file_is_the_one_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
