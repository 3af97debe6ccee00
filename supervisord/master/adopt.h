#ifndef MASTER_ADOPT_H
#define MASTER_ADOPT_H

/*
 * The start of a master: brings together what the config wants, what memory
 * remembers, what the store remembers and what the guardian says lives. First
 * start, crash and upgrade of the master are this one path; a crash of the
 * guardian adds taking over processes that are nobody's children any more.
 */

#include <stdbool.h>

struct handover;
struct instance;
struct master;
struct msg_launched;

/* fresh: memory holds nothing. clean: the last run ended in order, or there
 * was none. */
void adopt_all(
    struct master *m, const struct handover *h, bool fresh, bool clean);

/* The guardian has taken over what it was asked to. */
void adopt_taken_over(
    struct master *m, struct instance *it, const struct msg_launched *msg);

#endif
