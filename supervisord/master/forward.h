#ifndef MASTER_FORWARD_H
#define MASTER_FORWARD_H

/*
 * Requests about tasks that come by the control socket go on to the broker, all
 * over one connection to tasks.sock: their ids are exchanged for numbers of our
 * own, the caller's uid and pid are added, and answers find their way back.
 */

#include <stdbool.h>
#include <stdint.h>

struct master;
struct request;

/* Answers the request, now or later. */
void forward_request(struct request *r);

/* Asks the broker why the instance is as it is; what it says goes to
 * answers_tail_arrived under the cookie, if it comes. false: nobody to ask. */
bool forward_why(struct master *m, const char *instance, uint32_t cookie);

#endif
