#ifndef RUNTIME_CONNECTION_H
#define RUNTIME_CONNECTION_H

/* The worker's listening sockets: LISTEN_FDS, as sd_listen_fds(3) has them. */

#include <stdbool.h>

#define PEER_TEXT 112

/*
 * Reads LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES; unless serve, only makes the
 * descriptors close-on-exec. The number of sockets, or minus an exit status
 * when one of them can't be accepted on, which is said in the log.
 */
int connection_open(bool serve);

/* Has epoll report the i-th as first + i. 0 or -errno. */
int connection_poll(int poller, unsigned first);
void connection_refuse(int poller); /* no more of it */

/* A connection of the i-th socket, or -1: somebody else has it. */
int connection_accept(int i);

/* Whether there is one that nobody has accepted yet. */
bool connection_waits(void);

const char *connection_socket(int i); /* its name */
void connection_peer(int fd, char out[PEER_TEXT]);

#endif
