#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

/*
 * The control socket: connections, lines in, lines out. A client that is slow,
 * hostile or gone costs only itself: its requests wait until it has read its
 * answers, its events stop when it does not read them.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"

struct conn;
struct control;
struct master;

/* Listens, on the descriptor kept from an earlier master or on a new one,
 * which is handed to the guardian. 0 or -errno, with words in the log. */
int control_open(struct master *m, int kept_fd);

/* The settings' mode, group, admins and viewers have changed. */
int control_apply_settings(struct master *m);

/* Takes the socket's name away: nobody new finds us. Who is connected sees the
 * end when this process ends. */
void control_unlink(struct master *m);

/* One line to the client: takes the text as it is, adds the newline. */
void conn_send(struct conn *c, const struct buf *line);
/* One of its requests is over without a line: was it the last to wait for? */
void conn_answered(struct conn *c);
/* The connection, once its answers are out, is to be closed. */
void conn_finish(struct conn *c);

uid_t conn_uid(const struct conn *c);
pid_t conn_pid(const struct conn *c);
bool conn_may_look(const struct conn *c);
bool conn_may_change(const struct conn *c);
struct list *conn_requests(struct conn *c);
struct master *conn_master(const struct conn *c);

/* From now on it gets events: of the names that match one of targets ("web",
 * "web:0"; NULL-terminated, taken over, freed by us), or of all (NULL). */
void conn_subscribe(struct conn *c, char **targets);

bool control_has_subscribers(const struct control *c);
void control_publish(
    struct control *c, const char *name, const struct buf *event);

#endif
