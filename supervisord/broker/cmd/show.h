#ifndef BROKER_CMD_SHOW_H
#define BROKER_CMD_SHOW_H

/* What the methods about one task share. */

#include "supervisord/broker/calls.h"

/* Answers with the task whose number is the call's id. */
void call_show_task(struct call *c);

/* A change of the task has come out: `what` goes to the log with who asked for
 * it, `why_not` answers where its state does not allow it. */
void call_changed(
    struct call *c, enum queue_error e, const char *what, const char *why_not);

#endif
