#ifndef CTL_STATUS_H
#define CTL_STATUS_H

/* How status reads its answers; apart from the command for tests and fuzzing.
 */

#include "supervisord/ctl/ctl.h"
#include "supervisord/ctl/scan.h"

/* A row of the compact form; numbers are -1 where the answer says null. */
struct ctl_status_row {
	struct ctl_span name, state, reason; /* escaped as in the answer */
	double pid, uptime, restarts;
};

/* The next row of an array of them; false at its end or if s is bad. */
bool ctl_status_next(
    struct ctl_scan *s, bool *first, struct ctl_status_row *row);

void ctl_status_put_row(struct buf *out, const struct ctl_status_row *row,
    size_t width, bool color);

/* The whole compact answer as text: the exit status, or -1 if malformed. */
int ctl_status_draw(struct buf *out, struct ctl_span body, bool color);

/* The exit status that the long form calls for, or -1 if malformed. */
int ctl_status_judge(struct ctl_span body);

/* status --threads. The exit status. */
int ctl_status_threads(struct ctl *ctl, const struct ctl_args *args);

#endif
