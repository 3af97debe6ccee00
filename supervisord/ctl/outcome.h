#ifndef CTL_OUTCOME_H
#define CTL_OUTCOME_H

/* What became of each instance: the answer of start, stop, restart, signal. */

#include <jansson.h>

#include "supervisord/ctl/ctl.h"

/*
 * Asks method for args->words (with wait and progress), prints a line for each
 * instance: what went well on stdout ("web:0: started, pid 123", done being
 * "started"), what failed on stderr. Returns the exit status.
 */
int ctl_outcome_ask(struct ctl *ctl, const struct ctl_args *args,
    const char *method, const char *done);

/* Prints such a list, done NULL: only what failed. The exit status, 1 if one
 * instance failed. */
int ctl_outcome_print(
    struct ctl *ctl, const json_t *list, const char *done, bool waited);

#endif
