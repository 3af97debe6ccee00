/* Variables, and command lines cut as a shell would cut them. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/expand.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/util.h"

static char env_a[] = "A=1", env_b[] = "B=x y",
	    env_empty[] = "E=", env_hole[] = "HOLE=\x01", env_long[] = "AB=2";
static char *environment[] = { env_long, env_a, env_b, env_empty, env_hole,
	NULL };

static const struct {
	const char *text, *out, *why;
} variables[] = {
	{ "", "", NULL },
	{ "plain $A $ { }", "plain $A $ { }", NULL },
	{ "${A}${AB}${B}", "12x y", NULL },
	{ "${E}", "", NULL },
	{ "${E:-d}${U:-d}${A:-d}", "dd1", NULL },
	{ "${U:-}", "", NULL },
	{ "${U:-${V:-${A}}}", "1", NULL },
	{ "${U:-a{b}c}", "a{bc}", NULL },
	{ "$${A} $$${A} $$", "${A} $${A} $$", NULL },
	{ "${config_dir}/${worker}-${index}", "/c/web-\x01", NULL },
	{ "${U}", NULL,
	    "${U} is not set and has no default (${U:-default}; a literal "
	    "\"${\" is written \"$${\")" },
	{ "${A", NULL,
	    "\"${\" without \"}\" (a literal \"${\" is written \"$${\")" },
	{ "${A-x}", NULL,
	    "\"${A-x}\" is not ${NAME} or ${NAME:-default} (a literal \"${\" "
	    "is written \"$${\")" },
	{ "${}", NULL,
	    "\"${}\" is not ${NAME} or ${NAME:-default} (a literal \"${\" is "
	    "written \"$${\")" },
	{ "${1}", NULL,
	    "\"${1}\" is not ${NAME} or ${NAME:-default} (a literal \"${\" is "
	    "written \"$${\")" },
	{ "a\x01", NULL, "a string can't hold a byte 0x01" },
	{ "${HOLE}", NULL, "the value of ${HOLE} holds a byte 0x01" },
	{ "${U:-${U:-${U:-${U:-${U:-${U:-${U:-${U:-${U:-${U:-x}}}}}}}}}}", NULL,
	    "variables are nested too deep" },
};

static void
variables_are_replaced(void **state)
{
	const struct variables v = { .environ = environment,
		.dir = "/c",
		.worker = "web",
		.index = true };
	struct buf out, why;
	int err;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(variables); i++) {
		buf_init(&out);
		buf_init(&why);
		err = expand(&v, variables[i].text, &out, &why);
		if (variables[i].why != NULL) {
			assert_int_equal(err, -EINVAL);
			assert_string_equal(buf_text(&why), variables[i].why);
		} else {
			assert_int_equal(err, 0);
			assert_string_equal(buf_text(&out), variables[i].out);
		}
		buf_done(&out);
		buf_done(&why);
	}
}

static void
a_workers_variables_are_known_in_workers_only(void **state)
{
	const struct variables outside = { .environ = environment,
		.dir = "/c" };
	const struct variables fixed = { .dir = "/c", .worker = "web" };
	struct buf out, why;

	(void)state;
	buf_init(&out);
	buf_init(&why);
	assert_int_equal(expand(&outside, "${worker}", &out, &why), -EINVAL);
	assert_string_equal(
	    buf_text(&why), "${worker} is known in a worker only");
	buf_clear(&why);
	assert_int_equal(expand(&fixed, "${index}", &out, &why), -EINVAL);
	assert_string_equal(buf_text(&why), "${index} can't be used here");
	buf_done(&out);
	buf_done(&why);
}

#define NOT_RUN                                                                \
	" means something to a shell, but no shell is run: quote it, or "      \
	"write [ \"sh\", \"-c\", \"...\" ]"

static const struct {
	const char *text, *words, *why; /* words end in a "|" each */
} lines[] = {
	{ "", "", NULL },
	{ " \t\n ", "", NULL },
	{ "a", "a|", NULL },
	{ "  a  b\tc\nd ", "a|b|c|d|", NULL },
	{ "a 'b c' \"d e\"", "a|b c|d e|", NULL },
	{ "a'b'\"c\"d", "abcd|", NULL },
	{ "'' \"\"", "||", NULL },
	{ "a\\ b \\\\ \\\" \\'", "a b|\\|\"|'|", NULL },
	{ "'a\\b' \"a\\b\\\\\\\"\\$\"", "a\\b|a\\b\\\"$|", NULL },
	{ "a\\\nb \"c\\\nd\"", "ab|cd|", NULL },
	{ "'a|b;c&' \"<>\" \\; \\&", "a|b;c&|<>|;|&|", NULL },
	{ "*.c ? [a] ~ # $A $ x=y", "*.c|?|[a]|~|#|$A|$|x=y|", NULL },
	{ "${A b} ${A:-x y}z", "${A b}|${A:-x y}z|", NULL },
	{ "$${A} '${A}' \"${A}\"", "$${A}|${A}|${A}|", NULL },
	{ "\\${A} \"\\${A}\"", "$${A}|$${A}|", NULL },
	{ "a | b", NULL, "\"|\"" NOT_RUN },
	{ "a > b", NULL, "\">\"" NOT_RUN },
	{ "a 2>&1", NULL, "\">\"" NOT_RUN },
	{ "a < b", NULL, "\"<\"" NOT_RUN },
	{ "a && b", NULL, "\"&\"" NOT_RUN },
	{ "a; b", NULL, "\";\"" NOT_RUN },
	{ "a `b`", NULL, "\"`\"" NOT_RUN },
	{ "a $(b)", NULL, "\"$(\"" NOT_RUN },
	{ "a \"$(b)\"", NULL, "\"$(\"" NOT_RUN },
	{ "a 'b", NULL, "a closing ' is missing" },
	{ "a \"b\\\"", NULL, "a closing \" is missing" },
	{ "a \\", NULL, "a lone backslash at the end" },
};

static void
a_line_is_cut_as_a_shell_would(void **state)
{
	struct buf out, why;
	size_t count, words;
	int err;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
		buf_init(&out);
		buf_init(&why);
		err = split_words(lines[i].text, &out, &count, &why);
		if (lines[i].why != NULL) {
			assert_int_equal(err, -EINVAL);
			assert_string_equal(buf_text(&why), lines[i].why);
		} else {
			assert_int_equal(err, 0);
			words = 0;
			for (size_t j = 0; j < out.size; j++) {
				if (out.data[j] == '\0') {
					out.data[j] = '|';
					words++;
				}
			}
			assert_string_equal(buf_text(&out), lines[i].words);
			assert_int_equal(count, words);
		}
		buf_done(&out);
		buf_done(&why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_are_replaced),
		cmocka_unit_test(a_workers_variables_are_known_in_workers_only),
		cmocka_unit_test(a_line_is_cut_as_a_shell_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
