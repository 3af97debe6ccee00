#ifndef BROKER_TASKJSON_H
#define BROKER_TASKJSON_H

/* Tasks as clients get to see them. */

#include "supervisord/base/buf.h"
#include "supervisord/broker/core.h"

/* The task object. live: what is in memory of it, or NULL. whole: with its
 * arguments and its result. */
void task_put(struct buf *out, const struct broker *b,
    const struct task_row *row, const struct task *live, bool whole);

/* "share": 0.5, "text": "...", within an object. */
void task_put_progress(struct buf *out, const struct task *t);

/* Bytes or JSON as a value on one line; NULL is null. */
void task_put_body(struct buf *out, const struct body *body, bool json);

/* The state of that name, or -1. */
int task_state_of(const char *name);

#endif
