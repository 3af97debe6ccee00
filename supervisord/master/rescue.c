#include "supervisord/master/rescue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/util.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/proto/book.h"

struct search {
	char mark[256]; /* SUPERVISOR_SOCKET of our instances */
	bool (*is_it)(int fd, const void *arg);
	const void *arg;
	int found;
};

/* The descriptors it was started with; it may have closed some. */
static void
look_into(struct search *s, int pid, unsigned long count)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return;
	for (unsigned long i = 0; s->found < 0 && i < count; i++) {
		int fd = (int)syscall(
		    SYS_pidfd_getfd, pidfd, BOOK_FIRST_FD + (int)i, 0);

		if (fd >= 0 && s->is_it(fd, s->arg))
			s->found = fd;
		else if (fd >= 0)
			close(fd);
	}
	close(pidfd);
}

static void
look_at(int pid, void *arg)
{
	struct search *s = arg;
	char mark[sizeof s->mark], count[16];

	if (s->found >= 0 || !procfs_is_ours(pid) ||
	    !procfs_environ(pid, "LISTEN_FDS", count, sizeof count) ||
	    !procfs_environ(pid, "SUPERVISOR_SOCKET", mark, sizeof mark) ||
	    strcmp(mark, s->mark) != 0)
		return;
	look_into(s, pid,
	    MIN_OF(strtoul(count, NULL, 10), (unsigned long)BOOK_SOCKETS));
}

int
rescue_socket(const struct master *m, bool (*is_it)(int fd, const void *arg),
    const void *arg)
{
	struct search s = { .is_it = is_it, .arg = arg, .found = -1 };

	snprintf(s.mark, sizeof s.mark, "%s/control.sock",
	    m->fleet->settings.run_dir);
	procfs_each(look_at, &s);
	return s.found;
}
