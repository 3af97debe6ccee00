#ifndef BROKER_START_H
#define BROKER_START_H

/* The broker's parts, put together and taken apart. */

#include "supervisord/broker/broker.h"

/* Reads a new "broker/config" and, once the broker runs, applies it. A bad one
 * changes nothing. */
void start_configure(struct broker *b, int fd);

/* Opens the store, makes the queues, takes over what a broker before has left,
 * listens. 0 or -errno, said in the log. */
int start_run(struct broker *b);

/* Commits what is decided and frees everything. */
void start_end(struct broker *b);

#endif
