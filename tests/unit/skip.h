#ifndef TESTS_UNIT_SKIP_H
#define TESTS_UNIT_SKIP_H

/* skip(), with the reason for tests/run to print. */
#define SKIP_BECAUSE(why)                                                      \
	do {                                                                   \
		print_message("%s\n", why);                                    \
		skip();                                                        \
	} while (0)

#endif
