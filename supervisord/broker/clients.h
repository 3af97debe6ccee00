#ifndef BROKER_CLIENTS_H
#define BROKER_CLIENTS_H

/*
 * tasks.sock: who submits tasks and asks about them. A client speaks frames or
 * JSON lines, told apart by its first byte; both may have any number of
 * requests under way. A client that is slow, hostile or gone costs only itself:
 * what it does not read stops its being read, and beyond a limit ends it.
 */

#include "supervisord/broker/broker.h"

/* Listens on listen_fd, which an earlier broker had (taken over), or, with -1,
 * on a new socket, which is given to the guardian to keep. 0 or -errno, with
 * words in the log. */
int clients_new(struct broker *b, int listen_fd);

/* The socket's mode, its group, admins and viewers have changed. */
void clients_configure(struct broker *b);

/* End of a turn, behind store_flush: what was answered in it goes out, a send
 * for many; who broke is closed. */
void clients_turn(struct broker *b);

/* What is unanswered stays so: the clients see the end. */
void clients_free(struct broker *b);

#endif
