#ifndef GUARDIAN_REQUESTS_H
#define GUARDIAN_REQUESTS_H

/* What the master asks for. */

#include "supervisord/proto/channel.h"

/* Reads and carries out some requests. */
void requests_read(void);
/* All that is left in the channel of a master that has ended. */
void requests_drain(void);

/* Carries out one; closes or takes m->fd. 0, or -EPROTO: no request. */
int request(struct msg *m);

#endif
