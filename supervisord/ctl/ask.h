#ifndef CTL_ASK_H
#define CTL_ASK_H

/*
 * One question and its answer: what the commands use instead of the connection
 * itself. Each call says what went wrong itself and returns the exit status;
 * 0 is success.
 */

#include <jansson.h>

#include "supervisord/ctl/ctl.h"

enum ctl_patience {
	CTL_READ,  /* only looks: quick, asked again if the connection ends */
	CTL_ACT,   /* quick, but never sent twice */
	CTL_LONG,  /* the answer comes when the outcome is known */
	CTL_WATCH, /* the same, and asked again if the connection ends */
};

/* Milliseconds without a byte after which a quick answer is given up. */
#define CTL_QUIET_MS 30000

/* Connects if there is no connection, or if it has ended meanwhile. */
int ctl_connect(struct ctl *ctl);

/* Says that nobody answers at the socket, with the reason of ctl_conn_open. */
int ctl_nobody(struct ctl *ctl, int r);

/* Opens a params object with the command in it; the caller adds members. */
void ctl_params(struct ctl *ctl, struct buf *params);
/* "targets": words from the one of that number on; none if there are none. */
void ctl_params_targets(
    struct buf *params, const struct ctl_args *args, int from);

/*
 * Closes params, asks and waits. ret->body is borrowed until the next call. An
 * error of supervisord has been printed.
 */
int ctl_ask(struct ctl *ctl, const char *method, struct buf *params,
    enum ctl_patience patience, struct ctl_msg *ret);

/*
 * A question that only looks, and its answer as a tree, to be decref'd. With
 * --json the answer has been printed as it came, and *ret is NULL, as it is
 * when it failed: the exit status is returned then.
 */
int ctl_ask_tree(
    struct ctl *ctl, const char *method, struct buf *params, json_t **ret);

/* One that does something: with --json the answer has been printed and is there
 * all the same, for the exit status. */
int ctl_do_tree(struct ctl *ctl, const char *method, struct buf *params,
    enum ctl_patience patience, json_t **ret);

/* The same, in steps: for commands that ask two things in one write. */
int64_t ctl_queue(struct ctl *ctl, const char *method, struct buf *params);
int ctl_flush(struct ctl *ctl);
/* The exit status an error answer is worth. */
int ctl_error_status(const json_t *error);
/* Prints an error answer; returns its exit status. */
int ctl_refused(struct ctl *ctl, struct ctl_span error);
/* Says why the connection failed (a result of ctl_conn_next). */
int ctl_broken(struct ctl *ctl, int r);

/* Draws "starting 3/10" from a progress notification, on a terminal. */
void ctl_progress(struct ctl *ctl, const struct ctl_msg *msg);
void ctl_progress_end(struct ctl *ctl);

/* The answer as it came, and a newline, to stdout. */
int ctl_put_raw(struct ctl *ctl, struct ctl_span body);

/* The answer as a tree; NULL if it is none (which has been said). */
json_t *ctl_tree(struct ctl *ctl, struct ctl_span body);
int ctl_malformed(struct ctl *ctl, const char *what);

/* Members of an object, "" or fallback where they are missing or null. */
const char *ctl_text(const json_t *object, const char *key);
double ctl_number(const json_t *object, const char *key, double fallback);

/* A number of things as an option gives it: 0 or -EINVAL. */
int ctl_count(const char *text, long *ret);

#endif
