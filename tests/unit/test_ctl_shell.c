/* Lines of the shell into words, completion, and the last lines of a file. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/edit.h"
#include "supervisord/ctl/tail.h"

static void
lines_are_split_as_by_a_shell(void **state)
{
	static const struct {
		const char *line, *words; /* joined by | */
	} cases[] = { { "", "" }, { "  \t\n", "" }, { "status", "status" },
		{ " stop  web:0 db\n", "stop|web:0|db" }, { "a # b", "a" },
		{ "a#b", "a#b" }, { "'a b' \"c d\"", "a b|c d" },
		{ "a'b'\"c\"d", "abcd" }, { "''", "" }, { "x '' y", "x||y" },
		{ "a\\ b \\'", "a b|'" }, { "'a\\b'", "a\\b" },
		{ "\"a\\\"b\"", "a\"b" }, { "a\\", "a\\" } };

	char line[64], joined[64], *words[8];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		int n;

		snprintf(line, sizeof line, "%s", cases[i].line);
		n = ctl_split(line, words, 8);
		joined[0] = '\0';
		for (int k = 0; k < n; k++)
			snprintf(joined + strlen(joined),
			    sizeof joined - strlen(joined), "%s%s",
			    k > 0 ? "|" : "", words[k]);
		assert_string_equal(joined, cases[i].words);
	}
	snprintf(line, sizeof line, "a 'b");
	assert_int_equal(ctl_split(line, words, 8), -EINVAL);
	snprintf(line, sizeof line, "1 2 3 4 5 6 7 8 9");
	assert_int_equal(ctl_split(line, words, 8), -E2BIG);
}

/* The completions joined by blanks. */
static void
assert_completed(const char *line, const char *want)
{
	const char *blank = strrchr(line, ' ');
	size_t start = blank != NULL ? (size_t)(blank + 1 - line) : 0;
	struct ctl ctl = { .conn.fd = -1 };
	char **all = ctl_complete(&ctl, line, start, line + start);
	char got[1024] = "";

	for (size_t i = 0; all != NULL && all[i] != NULL; i++) {
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s",
		    i > 0 ? " " : "", all[i]);
		free(all[i]);
	}
	free(all);
	assert_string_equal(got, want);
}

static void
commands_and_options_are_completed(void **state)
{
	(void)state;
	assert_completed("rel", "reload");
	assert_completed("re", "restart requeue resume reload");
	assert_completed("imp", ""); /* of a later version */
	assert_completed("qui", "quit");
	assert_completed("help sto", "stop");
	assert_completed("reload --", "--dry-run --no-wait --json");
	assert_completed("restart --", "--no-wait --json");
	assert_completed("nothing x", "");
	/* Without a connection only what always is. */
	assert_completed("stop a", "all");
	assert_completed("check f", "");
}

/* N lines of the text's end. */
static void
assert_last(const char *text, long n, const char *want)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct buf out;
	off_t end;

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	buf_init(&out);
	assert_int_equal(ctl_tail_last(fd, n, &out, &end), 0);
	assert_int_equal(end, (off_t)strlen(text));
	assert_int_equal(out.size, strlen(want));
	if (out.size > 0)
		assert_memory_equal(out.data, want, out.size);
	buf_done(&out);
	close(fd);
}

static void
last_lines_of_a_file(void **state)
{
	char *big = malloc(200001);

	(void)state;
	assert_last("", 5, "");
	assert_last("a\nb\nc\n", 2, "b\nc\n");
	assert_last("a\nb\nc", 2, "b\nc");
	assert_last("a\nb\nc\n", 3, "a\nb\nc\n");
	assert_last("a\nb\nc\n", 9, "a\nb\nc\n");
	assert_last("a\n\n\n", 2, "\n\n");
	assert_last("\n", 1, "\n");
	assert_last("a\n", 0, "");
	/* Lines across the blocks it is read in. */
	assert_non_null(big);
	memset(big, 'x', 200000);
	big[200000] = '\0';
	big[10] = big[100000] = '\n';
	assert_last(big, 1, big + 100001);
	assert_last(big, 2, big + 11);
	free(big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_split_as_by_a_shell),
		cmocka_unit_test(commands_and_options_are_completed),
		cmocka_unit_test(last_lines_of_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
