#ifndef GUARDIAN_LAUNCH_H
#define GUARDIAN_LAUNCH_H

/* What a launch takes on the guardian's side: a slot, the worker's output, its
 * listening sockets and its task socket; then its process (spawn.c). */

#include "supervisord/proto/messages.h"

/* Answered by LAUNCHED or NOT_LAUNCHED. */
void launch_request(const struct msg_launch *m);

#endif
