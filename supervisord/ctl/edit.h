#ifndef CTL_EDIT_H
#define CTL_EDIT_H

/*
 * Line editing with history and completion, by libedit. It is loaded when the
 * shell starts and not before: linked in, it makes every command half a
 * millisecond slower. Without it lines are read plainly.
 */

#include "supervisord/ctl/ctl.h"

void ctl_edit_start(struct ctl *ctl);

/* The next line (to be freed, without its newline), NULL at the end. */
char *ctl_edit_line(const char *prompt);

/* Saves the history. */
void ctl_edit_end(void);

/*
 * Splits a line into words in place, as a shell would. Their number, -EINVAL
 * for an open quote or -E2BIG.
 */
int ctl_split(char *line, char **words, int max);

/*
 * The words that may stand at `start` of line and begin with text: a NULL-
 * terminated array of allocated strings, itself allocated; NULL if none.
 */
char **ctl_complete(
    struct ctl *ctl, const char *line, size_t start, const char *text);

#endif
