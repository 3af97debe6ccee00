#include "supervisord/rpc/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisord/base/log.h"

#define BACKLOG 1024

int
socket_mode(const char *path, mode_t mode, gid_t group)
{
	if (group != (gid_t)-1 && chown(path, (uid_t)-1, group) < 0)
		log_warn("can't give %s to the group of control.group: %s",
		    path, strerror(errno));
	return chmod(path, mode) < 0 ? -errno : 0;
}

static int
bind_and_name(int fd, const struct sockaddr_un *temporary, const char *path,
    mode_t mode, gid_t group)
{
	int r;

	unlink(temporary->sun_path);
	if (bind(fd, (const struct sockaddr *)temporary, sizeof *temporary) < 0)
		return -errno;
	r = socket_mode(temporary->sun_path, mode, group);
	if (r == 0 &&
	    (listen(fd, BACKLOG) < 0 || rename(temporary->sun_path, path) < 0))
		r = -errno;
	if (r < 0)
		unlink(temporary->sun_path);
	return r;
}

/*
 * Bound under another name and renamed, so that the socket has its mode before
 * anybody can connect, and a stale one is replaced at once.
 */
int
socket_listen(const char *path, mode_t mode, gid_t group)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');
	int folder = slash != NULL ? (int)(slash + 1 - path) : 0;
	int fd, r;

	r = snprintf(a.sun_path, sizeof a.sun_path, "%.*s.new.%d", folder, path,
	    (int)getpid());
	if (r < 0 || (size_t)r >= sizeof a.sun_path ||
	    strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = bind_and_name(fd, &a, path, mode, group);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}
