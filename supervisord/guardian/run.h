#ifndef GUARDIAN_RUN_H
#define GUARDIAN_RUN_H

/* The guardian's life from its start to guardian_exit. */

/* Finds the own program and those of the helpers. 0, or said why not. */
int run_locate(char **argv);

/*
 * Sets everything up; this is the only part that may fail. With daemon, only
 * the child of a fork returns. 0, or -errno after saying why.
 */
int run_start(int daemon);

_Noreturn void run_for_ever(void);

#endif
