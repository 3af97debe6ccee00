#ifndef MASTER_SHUTDOWN_H
#define MASTER_SHUTDOWN_H

/* The end of supervisord, in order or at once. */

#include <stdbool.h>

struct actor;
struct instance;
struct master;

void shutdown_init(struct master *m);

/* A master has just started: goes on with a shutdown that the one before had
 * begun, or was about to begin. */
void shutdown_resume(struct master *m);

/* Once a turn of the loop: ends it when all is done. */
void shutdown_turn(struct master *m);

/*
 * Stops every instance, then supervisord with that status. Called again, or
 * with at_once, it KILLs what is left.
 */
void shutdown_begin(
    struct master *m, int status, bool at_once, const struct actor *by);

/* Instances have gone: is it over? */
void shutdown_look(struct master *m);

/* An instance is down: was it the last, or the one of exit_with? */
void shutdown_one_is_down(struct master *m, const struct instance *it);

#endif
