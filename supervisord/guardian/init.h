#ifndef GUARDIAN_INIT_H
#define GUARDIAN_INIT_H

/*
 * Container init: runs one command as its only business, forwards signals to
 * it, reaps whatever is orphaned, and ends with the command's exit status. No
 * config, no master, nothing but libc.
 *
 * For `supervisord --init …` (--init is argv[1]) and for the names tini and
 * dumb-init (basename of argv[0]), each with its own options and habits.
 * Returns what main() should return.
 */
int init_main(int argc, char **argv);

#endif
