/* The names of rotated files, also after a logger was killed between them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/logger/last.h"
#include "supervisord/logger/rotate.h"

static char dir[64], path[128];

/* Files are named by what follows "f", and hold their name. */
static void
put(const char *name)
{
	char file[256];
	FILE *f;

	snprintf(file, sizeof file, "%s%s", path, name);
	f = fopen(file, "we");
	assert_non_null(f);
	fprintf(f, "f%s\n", name);
	assert_int_equal(fclose(f), 0);
}

static void
assert_holds(const char *name, const char *text)
{
	char file[256], got[64] = "";
	FILE *f;

	snprintf(file, sizeof file, "%s%s", path, name);
	f = fopen(file, "re");
	if (text == NULL) {
		assert_null(f);
		return;
	}
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof got, f));
	got[strcspn(got, "\n")] = '\0';
	assert_string_equal(got, text);
	assert_int_equal(fclose(f), 0);
}

static int
make_folder(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/test-rotate-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/f", dir);
	return 0;
}

static int
remove_folder(void **state)
{
	static const char *const names[] = { "", ".1", ".2", ".3", ".4", ".5",
		".1.gz", ".2.gz", ".3.gz", ".4.gz" };
	char file[256];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		snprintf(file, sizeof file, "%s%s", path, names[i]);
		(void)unlink(file);
	}
	return rmdir(dir);
}

static void
the_oldest_goes(void **state)
{
	unsigned none = 0;

	(void)state;
	put("");
	put(".1");
	put(".2.gz");
	put(".3");
	assert_int_equal(rotate_shift(path, 3, &none), 0);
	assert_holds("", NULL);
	assert_holds(".1", "f");
	assert_holds(".2", "f.1");
	assert_holds(".3.gz", "f.2.gz");
	assert_holds(".3", NULL);
	assert_holds(".4", NULL);
}

static void
a_gap_is_filled_and_nothing_goes(void **state)
{
	unsigned none = 0;

	(void)state;
	put("");
	put(".1");
	put(".3");
	assert_int_equal(rotate_shift(path, 3, &none), 0);
	assert_holds(".1", "f");
	assert_holds(".2", "f.1");
	assert_holds(".3", "f.3");
}

static void
a_smaller_keep_removes_the_rest(void **state)
{
	unsigned none = 0;

	(void)state;
	put("");
	put(".1");
	put(".2");
	put(".3");
	put(".4.gz");
	assert_int_equal(rotate_shift(path, 1, &none), 0);
	assert_holds(".1", "f");
	assert_holds(".2", NULL);
	assert_holds(".3", NULL);
	assert_holds(".4.gz", NULL);
}

static void
the_file_being_compressed_is_followed(void **state)
{
	unsigned index = 2;

	(void)state;
	put("");
	put(".1");
	put(".2");
	assert_int_equal(rotate_shift(path, 3, &index), 0);
	assert_int_equal(index, 3);
	put("");
	assert_int_equal(rotate_shift(path, 3, &index), 0);
	assert_int_equal(index, 0);
}

static void
without_a_file_nothing_is_lost(void **state)
{
	unsigned none = 0;

	(void)state;
	put(".1");
	assert_int_equal(rotate_shift(path, 3, &none), -ENOENT);
	assert_holds(".2", "f.1");
}

static void
folders_are_made(void **state)
{
	char deep[256];
	struct stat st;

	(void)state;
	snprintf(deep, sizeof deep, "%s/a/b/c.log", dir);
	assert_int_equal(rotate_make_folder(deep), 0);
	assert_int_equal(rotate_make_folder(deep), 0);
	snprintf(deep, sizeof deep, "%s/a/b", dir);
	assert_int_equal(stat(deep, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	put("");
	snprintf(deep, sizeof deep, "%s/x/y.log", path);
	assert_int_equal(rotate_make_folder(deep), -ENOTDIR);
	snprintf(deep, sizeof deep, "%s/a/b", dir);
	assert_int_equal(rmdir(deep), 0);
	snprintf(deep, sizeof deep, "%s/a", dir);
	assert_int_equal(rmdir(deep), 0);
}

static void
append(const char *text)
{
	FILE *f = fopen(path, "ae");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void
the_last_lines(void **state)
{
	static char out[LAST_MAX];
	const struct last_mark none = { 0 };
	uint32_t n;
	FILE *f;

	(void)state;
	assert_int_equal(last_lines(path, 5, &none, out, &n), 0);
	assert_int_equal(n, 0);
	put(".1");
	f = fopen(path, "we");
	assert_non_null(f);
	fputs("one\n\nthree", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(last_lines(path, 1, &none, out, &n), 5);
	assert_memory_equal(out, "three", 5);
	assert_int_equal(last_lines(path, 2, &none, out, &n), 6);
	assert_memory_equal(out, "\nthree", 6);
	assert_int_equal(last_lines(path, 9, &none, out, &n), 14);
	assert_int_equal(n, 4);
	assert_memory_equal(out, "f.1\none\n\nthree", 14);
	assert_int_equal(last_lines(path, 0, &none, out, &n), 14);
	/* More than fits: the end of it. */
	f = fopen(path, "we");
	assert_non_null(f);
	for (int i = 0; i < 2000; i++)
		fprintf(f, "%07d\n", i);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(last_lines(path, 5000, &none, out, &n), LAST_MAX);
	assert_int_equal(n, 1024);
	assert_memory_equal(out + LAST_MAX - 8, "0001999\n", 8);
}

/* As an exit's lines are asked for: those since the exit before. */
static void
the_last_lines_since_a_mark(void **state)
{
	static char out[LAST_MAX];
	struct last_mark mark;
	char rotated[300];
	uint32_t n;

	(void)state;
	last_mark(path, &mark);
	assert_int_equal(mark.ino, 0);
	append("old\n");
	assert_int_equal(last_lines(path, 9, &mark, out, &n), 4);
	last_mark(path, &mark);
	assert_int_equal(last_lines(path, 9, &mark, out, &n), 0);
	append("new\nnewer\n");
	assert_int_equal(last_lines(path, 9, &mark, out, &n), 10);
	assert_memory_equal(out, "new\nnewer\n", 10);
	assert_int_equal(last_lines(path, 1, &mark, out, &n), 6);
	/* Across a rotation, and not beyond the file before it. */
	snprintf(rotated, sizeof rotated, "%s.1", path);
	assert_int_equal(rename(path, rotated), 0);
	append("newest\n");
	assert_int_equal(last_lines(path, 9, &mark, out, &n), 17);
	assert_memory_equal(out, "new\nnewer\nnewest\n", 17);
	assert_int_equal(unlink(rotated), 0);
	assert_int_equal(last_lines(path, 9, &mark, out, &n), 7);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_oldest_goes),
		TEST(a_gap_is_filled_and_nothing_goes),
		TEST(a_smaller_keep_removes_the_rest),
		TEST(the_file_being_compressed_is_followed),
		TEST(without_a_file_nothing_is_lost),
		TEST(folders_are_made),
		TEST(the_last_lines),
		TEST(the_last_lines_since_a_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
