#include "supervisord/rpc/access.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of one process; the kernel's own limit is 65,536, but who has more is known
 * by his uid and his first group. */
#define GROUPS 1024

static void
ids_done(struct ids *ids)
{
	free(ids->uids);
	free(ids->gids);
	memset(ids, 0, sizeof *ids);
}

void
access_done(struct access *a)
{
	ids_done(&a->admins);
	ids_done(&a->viewers);
}

static bool
has(const struct ids *ids, uid_t uid, const gid_t *gids, size_t count)
{
	for (size_t i = 0; i < ids->uids_count; i++) {
		if (ids->uids[i] == uid)
			return true;
	}
	for (size_t i = 0; i < ids->gids_count; i++) {
		for (size_t k = 0; k < count; k++) {
			if (ids->gids[i] == gids[k])
				return true;
		}
	}
	return false;
}

void
access_of(const struct access *a, uid_t uid, const gid_t *gids, size_t count,
    struct who *ret)
{
	ret->trusted = uid == 0 || uid == geteuid();
	ret->may_change =
	    ret->trusted || (a != NULL && has(&a->admins, uid, gids, count));
	ret->may_look = ret->may_change ||
			(a != NULL && has(&a->viewers, uid, gids, count));
}

void
access_of_peer(const struct access *a, int fd, struct who *ret)
{
	struct ucred cred;
	socklen_t size = sizeof cred;
	gid_t gids[GROUPS + 1];

	*ret = (struct who){ .uid = (uid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	ret->uid = cred.uid;
	ret->pid = cred.pid;
	size = GROUPS * sizeof gids[0];
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0)
		size = 0;
	gids[size / sizeof gids[0]] = cred.gid;
	access_of(a, cred.uid, gids, size / sizeof gids[0] + 1, ret);
}
