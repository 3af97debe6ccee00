#ifndef RPC_ACCESS_H
#define RPC_ACCESS_H

/*
 * Who may use a socket: numbers only. Names are looked up once, when the config
 * is read: a name service may block, and a connection must not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Users and groups, each list allocated with malloc or NULL. */
struct ids {
	uid_t *uids;
	gid_t *gids;
	size_t uids_count, gids_count;
};

struct access {
	struct ids admins, viewers;
};

/* Who is at the other end of a connection, and what it may. */
struct who {
	uid_t uid; /* (uid_t)-1: unknown, and then it may nothing */
	pid_t pid;
	bool trusted; /* root, or the user we run as */
	bool may_look, may_change;
};

/* Frees the lists; both are empty then. */
void access_done(struct access *a);

/* a: NULL is nobody but the trusted. */
void access_of(const struct access *a, uid_t uid, const gid_t *gids,
    size_t count, struct who *ret);

/* Asks a connected Unix socket. */
void access_of_peer(const struct access *a, int fd, struct who *ret);

#endif
