/* Stamps: before each line, once, and no line begun that has no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/logger/stamp.h"

static const struct row {
	const char *raw;
	bool at_line, force;
	int64_t room;
	const char *out;
	size_t used;
} rows[] = {
	{ "", true, false, -1, "", 0 },
	{ "a\n", true, false, -1, "T a\n", 2 },
	{ "a\nbc\n", true, false, -1, "T a\nT bc\n", 5 },
	{ "a\nbc", true, false, -1, "T a\nT bc", 4 },
	{ "a\nbc", false, false, -1, "a\nT bc", 4 },
	{ "\n\n", true, false, -1, "T \nT \n", 2 },
	{ "a\nbc\n", true, false, 9, "T a\nT bc\n", 5 },
	{ "a\nbc\n", true, false, 8, "T a\n", 2 },
	{ "a\nbc\n", true, false, 4, "T a\n", 2 },
	{ "a\nbc\n", true, false, 3, "", 0 },
	{ "a\nbc\n", true, true, 3, "T a\n", 2 },
	{ "a\nbc\n", true, true, 0, "T a\n", 2 },
	{ "a\nbc\n", false, true, 0, "a\n", 2 },
	{ "a\nbc\n", false, false, 0, "", 0 },
	{ "endless", true, true, 0, "T endless", 7 },
};

static void
every_line_gets_one_stamp(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *r = &rows[i];
		struct buf b;

		buf_init(&b);
		buf_str(&b, "before");
		assert_int_equal(stamp_format(&b, r->raw, strlen(r->raw), "T",
				     r->at_line, r->room, r->force),
		    r->used);
		assert_string_equal(buf_text(&b) + 6, r->out);
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_gets_one_stamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
