#ifndef LOGGER_ORPHAN_H
#define LOGGER_ORPHAN_H

/*
 * The guardian is dead, its workers live and write: the logger reads on, and
 * waits at HOME for a new supervisord's master, to hand it the pipes. From
 * the first pipe it hands over until the master has all of them nothing is
 * read; if the master goes before that, reading goes on. Once it has hung up
 * after the last one the logger ends. It ends too when no writer is left.
 */

#include <stdbool.h>
#include <stdint.h>

void orphan_begin(void);
bool orphan_done(void);   /* the pipes are another's: end */
bool orphan_silent(void); /* handing over: nothing may be read */

int orphan_fd(void); /* the listener or the new master, or -1 */
short orphan_events(void);
int64_t orphan_deadline(void); /* CLOCK_MONOTONIC ns, or INT64_MAX */
void orphan_serve(void);       /* after poll, and each time round */
void orphan_end(void);         /* leaves no socket behind */

#endif
