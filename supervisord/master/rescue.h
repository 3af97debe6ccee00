#ifndef MASTER_RESCUE_H
#define MASTER_RESCUE_H

/*
 * After a crash of the guardian outside of a container: its instances live on,
 * and with them the listening sockets they were given, which nobody else could
 * open again. One of them gives us its own (pidfd_getfd(2)).
 */

#include <stdbool.h>

struct master;

/* A copy of the first descriptor that is_it takes, close-on-exec; -1: nobody of
 * ours has one, or we may not ask. */
int rescue_socket(const struct master *m,
    bool (*is_it)(int fd, const void *arg), const void *arg);

#endif
