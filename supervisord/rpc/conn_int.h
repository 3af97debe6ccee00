#ifndef RPC_CONN_INT_H
#define RPC_CONN_INT_H

/* Between conns.c (all of a socket's connections) and conn.c (one of them). */

#include "supervisord/rpc/conn.h"

struct conn *conn_new(struct conns *of, int fd); /* takes fd */
/* At once: only where nobody is inside it. */
void conn_close(struct conn *c);
/* Sends what it takes; closes it if that is due. End of a turn. */
void conn_settle(struct conn *c);
/* Reads on in what it has sent before. */
void conn_resume(struct conn *c);

#endif
