#ifndef GUARDIAN_QUIT_H
#define GUARDIAN_QUIT_H

/*
 * The end of supervisord. The master orders it when all is stopped: the logger
 * may empty its pipes, the broker end its commits, whatever still lives is
 * killed. Should the master not
 * manage to, in spite of a second TERM or a QUIT, the guardian does it alone.
 */

#include <stdbool.h>

void quit(int status);
bool quit_under_way(void);

/* One more step, if there is one to take; each turn of the loop. */
void quit_step(void);

/* supervisord was asked to end (again): the master has ten seconds. */
void quit_expected(void);
void quit_patience_over(void);

#endif
