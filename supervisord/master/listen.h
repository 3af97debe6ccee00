#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

/* Opens one listening socket as the config describes it. */

#include <stdbool.h>

struct buf;
struct socket_setting;

/* No host: every address of this machine, of both families. */
bool listen_is_any(const struct socket_setting *s);

/* Bound, listening, close-on-exec; or -errno and a line in *error. */
int listen_open(const struct socket_setting *s, struct buf *error);

/* Is the socket what the setting asks for? */
bool listen_is_at(int fd, const struct socket_setting *s);

/* What may change of an open one: backlog, mode, reuse_port. */
void listen_adjust(int fd, const struct socket_setting *s);

#endif
