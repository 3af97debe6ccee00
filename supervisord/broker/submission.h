#ifndef BROKER_SUBMISSION_H
#define BROKER_SUBMISSION_H

/*
 * From what a client says about a task to a struct submission: the params of
 * `submit`, and the same as text where a task waits for another's success.
 * Pure; any thread may call it.
 */

#include <jansson.h>
#include <stddef.h>

#include "supervisord/base/buf.h"
#include "supervisord/broker/task.h"

#define SUBMISSION_DEPTH 16   /* a `then` within a `then` */
#define SUBMISSION_CHAIN 1000 /* tasks in one list of `then` */

/*
 * Text that was `then`: an object, or a list of them, which is a chain: the
 * first is returned, and the rest is its own `then`. 0, or an enum queue_error
 * with words in why.
 */
int submission_parse(const char *json, size_t size, struct submission **ret,
    char *why, size_t why_size);

/*
 * The same of what is parsed already. top: it is a request's params, in which
 * "wait", "progress", "caller" and "command" may be beside it.
 */
int submission_from_json(json_t *params, bool top, struct submission **ret,
    char *why, size_t why_size);

/* The same of the body of a SUBMIT frame, which is at least as long as a struct
 * wire_submit. why is left alone where the error's own words do. */
int submission_from_wire(const char *body, size_t size, bool json,
    struct submission **ret, bool *ret_wait, char *why, size_t why_size);

/* Checks a `then` all through; its text is the caller's. */
int submission_then(json_t *then, char **ret_text, char *why, size_t why_size);

/* 0, or why these bytes can't be a function's name, a key: not UTF-8, control
 * characters, empty, longer than max. what: "func"; for the words. */
int submission_check_name(const char *what, const char *name, size_t size,
    size_t max, char *why, size_t why_size);

/* A value as short text; a number with a fraction by the fewest digits that
 * read back as the same. */
void submission_put_json(struct buf *b, const json_t *value);

#endif
