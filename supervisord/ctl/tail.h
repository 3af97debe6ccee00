#ifndef CTL_TAIL_H
#define CTL_TAIL_H

/*
 * Log files: their last lines, and what is added to them across rotation. The
 * files are read here, not by supervisord.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/base/buf.h"

/* One followed file. */
struct ctl_tail {
	const char *name; /* of the instance, borrowed */
	const char *path; /* borrowed */
	int fd;           /* -1: the file is not there (yet) */
	off_t offset;     /* bytes read of it */
	struct buf part;  /* a line whose end has not come yet */
	int watch;        /* inotify's numbers, -1 for none */
	int dir_watch;
};

/*
 * Appends the last n lines of the file fd to out; *ret_end is where reading
 * ended. 0 or -errno.
 */
int ctl_tail_last(int fd, long n, struct buf *out, off_t *ret_end);

struct ctl_tails {
	struct ctl_tail *all;
	size_t n;
	/* Gets each piece: whole lines if whole is set, else what there is. */
	void (*emit)(void *arg, const struct ctl_tail *tail, const char *text,
	    size_t size);
	void (*flush)(void *arg); /* before waiting */
	void *arg;
	bool whole;
};

/*
 * Follows the files, whose fd and offset say where to go on, until
 * ctl_interrupted(). 0 or -errno.
 */
int ctl_tails_follow(struct ctl_tails *tails);

#endif
