#ifndef BROKER_LINK_H
#define BROKER_LINK_H

/* What the guardian and the master say. */

#include "supervisord/broker/broker.h"

/* Sets both peers up; fd is the channel to the guardian. 0 or -errno. */
int link_init(struct broker *b, int fd);

/* Takes one message of the guardian; owns msg->fd. */
void link_guardian(struct broker *b, struct msg *msg);

/* Takes what the master has said so far. */
void link_read_master(struct broker *b);

#endif
