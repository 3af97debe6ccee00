#include "supervisord/master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/log.h"
#include "supervisord/master/master.h"

int
lock_make_dir(const char *path, unsigned mode)
{
	char part[PATH_MAX];
	struct stat st;
	size_t n = strlen(path);

	if (n >= sizeof part)
		return -ENAMETOOLONG;
	memcpy(part, path, n + 1);
	for (char *s = part + 1; *s != '\0'; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	if (mkdir(part, mode) < 0 && errno != EEXIST)
		return -errno;
	if (stat(part, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int
holder(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof text - 1, 0) <= 0)
		return 0;
	return atoi(text);
}

/*
 * The lock of a supervisord that was killed is free as soon as its master has
 * noticed, which is a matter of milliseconds: waited for, as there is nothing
 * to watch.
 */
static int
grab(int fd, int *ret_holder)
{
	const struct timespec nap = { 0, 5 * 1000 * 1000 };

	for (int i = 0; i < 600; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -errno;
		*ret_holder = holder(fd);
		if (*ret_holder <= 0 || kill(*ret_holder, 0) == 0 ||
		    errno != ESRCH)
			return -EWOULDBLOCK;
		nanosleep(&nap, NULL);
	}
	return -EWOULDBLOCK;
}

static bool
lock_one(struct master *m, const char *dir, const char *keep_as)
{
	struct msg_name name = { "" };
	char path[PATH_MAX], text[32];
	int fd, r, pid = 0;

	snprintf(path, sizeof path, "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		log_error("%s: %s", path, strerror(errno));
		return false;
	}
	r = grab(fd, &pid);
	if (r == -EWOULDBLOCK) {
		log_error(
		    "another supervisord (pid %d) uses %s: stop it first, "
		    "or give this one a state_dir and run_dir of its own",
		    pid, dir);
		close(fd);
		return false;
	}
	if (r < 0)
		log_warn("can't lock %s: %s", path, strerror(-r));
	snprintf(text, sizeof text, "%u\n", m->hello.guardian_pid);
	if (ftruncate(fd, 0) < 0 ||
	    pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		log_warn("%s: %s", path, strerror(errno));
	snprintf(name.name, sizeof name.name, "%s", keep_as);
	peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, fd);
	close(fd);
	return true;
}

/* A state_dir that can't be written is no reason not to supervise. */
static bool
can_lock(const char *dir)
{
	return access(dir, W_OK) == 0;
}

bool
lock_take(struct master *m, int held)
{
	const struct settings *s = &m->fleet->settings;

	if (held >= 0) {
		close(held);
		return true;
	}
	if (!lock_one(m, s->run_dir, "lock"))
		return false;
	if (s->state_dir == NULL || strcmp(s->state_dir, s->run_dir) == 0)
		return true;
	if (!can_lock(s->state_dir)) {
		log_warn("%s can't be written: state is kept in memory, and "
			 "nothing keeps a second supervisord from using it",
		    s->state_dir);
		return true;
	}
	return lock_one(m, s->state_dir, "lock-state");
}
