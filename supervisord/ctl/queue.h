#ifndef CTL_QUEUE_H
#define CTL_QUEUE_H

/*
 * Commands about tasks ask the broker itself, at tasks.sock beside
 * control.sock: the master has no part in them, and may be killed meanwhile.
 */

#include <jansson.h>
#include <stdio.h>

#include "supervisord/ctl/ctl.h"

/* From here on ctl->conn is a connection to tasks.sock. Where there is no such
 * socket, supervisord itself is asked: it knows why. 0 or an exit status. */
int ctl_queue_begin(struct ctl *ctl);
/* Back to control.sock. Does nothing if there was no begin. */
void ctl_queue_end(struct ctl *ctl);

/* A task's number: 0 or -EINVAL. */
int ctl_task_number(const char *word, int64_t *ret);
/* The same: 0, or an exit status after saying what is wrong. */
int ctl_task_id(struct ctl *ctl, const char *word, int64_t *ret);

/* Waits for the end of a task; its object is *ret (to be decref'd). 0 or an
 * exit status. */
int ctl_task_wait(struct ctl *ctl, int64_t id, json_t **ret);

/* The exit status a task's end is worth: 0 for done. */
int ctl_task_status(const json_t *task);

/* Its result to stdout, as it is (raw) or for people to read; or why there is
 * none to stderr. */
void ctl_task_print_end(struct ctl *ctl, const json_t *task, bool raw);

/* "5 tasks wait for web, which is not in the config", if any do. */
void ctl_put_waiting(FILE *to, const json_t *queue);

/* "5s" as seconds for a parameter; 0 or an exit status. */
int ctl_seconds(
    struct ctl *ctl, const char *option, const char *text, double *ret);

#endif
