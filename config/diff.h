#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

/* What a reload has to do: the difference between two fleets. */

#include <stdbool.h>
#include <stddef.h>

struct fleet;
struct socket_setting;
struct worker;

enum change {
	CHANGE_KEPT,    /* nothing differs */
	CHANGE_LIVE,    /* applied without touching a process: rules, rotation,
			 * number of processes, log file paths, tasks, recycle,
			 * autoscale */
	CHANGE_RESTART, /* command, module, threads, environment, directory,
			 * umask, tasks' mode, sockets or what they listen at,
			 * or where stdout or stderr go in kind: its instances
			 * must be replaced */
	CHANGE_ADDED,
	CHANGE_REMOVED
};

struct worker_diff {
	enum change change;
	const struct worker *old, *new; /* NULL where there is none */
	bool rules, output, processes;  /* what of the live kind differs */
	bool tasks; /* tasks, recycle or autoscale, also of the live kind */
	char settings[256]; /* "command, umask": names for the plan, "" if none
			     */
};

struct fleet_diff {
	struct worker_diff
	    *workers; /* the new fleet's order, removed ones last */
	size_t count;
	bool sockets;   /* added, removed, or a setting of one changed */
	bool schedules; /* likewise */
	/* master or control settings that only a restart of supervisord can
	 * apply, "master.state_dir, control.mode", or "" */
	char fixed[256];
};

/* Linear in the number of workers. 0 or -ENOMEM. Borrowed from both fleets. */
int fleet_diff(
    const struct fleet *old, const struct fleet *new, struct fleet_diff *ret);
void fleet_diff_done(struct fleet_diff *diff);

/* Whether both are one socket: what else differs (backlog, mode) can be changed
 * on it while it listens. */
bool diff_same_socket(
    const struct socket_setting *a, const struct socket_setting *b);

extern const char *const
    change_names[]; /* "kept", "changed", "restarted", "added", "removed" */

#endif
