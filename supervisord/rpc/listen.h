#ifndef RPC_LISTEN_H
#define RPC_LISTEN_H

/* A Unix socket to listen on: its name, its mode, its group. */

#include <sys/types.h>

/* Listens at path, in place of whatever socket is there. group: (gid_t)-1 is
 * none of its own. A descriptor or -errno. */
int socket_listen(const char *path, mode_t mode, gid_t group);

/* 0 or -errno; a group that can't be had is said in the log. */
int socket_mode(const char *path, mode_t mode, gid_t group);

#endif
