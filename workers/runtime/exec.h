#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

/*
 * Tasks as runs of a command: the payload is its standard input, what it writes
 * to its standard output the result, its exit status the outcome. One at a
 * time; nothing of one is left when the next begins.
 */

#include "workers/runtime/link.h"

/* argv as main's: ends with NULL, and lives as long. 0 or an exit status. */
int exec_open(char **argv);
void exec_close(void);

extern const struct engine exec_engine;

#endif
