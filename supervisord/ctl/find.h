#ifndef CTL_FIND_H
#define CTL_FIND_H

/* Where things are: the control socket, and the supervisord program. */

#include "supervisord/ctl/ctl.h"

/*
 * Fills ctl->path: -s, else the run_dir of -c's config, else
 * $SUPERVISORCTL_SOCKET, else the config supervisord would take by itself, else
 * the default run_dir. Returns 0 or an exit status, having said why.
 */
int ctl_find_socket(struct ctl *ctl);

/*
 * Runs the supervisord beside this program (else the one in PATH) with these
 * arguments (argv[0] is filled in); its stdout, and stderr too if both, into
 * out unless that is NULL. Returns its exit status, 128 + a signal, or -errno
 * if it could not be run.
 */
int ctl_run_supervisord(char **argv, struct buf *out, bool both);

#endif
