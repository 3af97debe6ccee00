#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

/* The control socket (rpc/conn.h): its clients, and who of them gets events. */

#include <stdbool.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/rpc/conn.h"

struct control;
struct master;

struct client {
	struct conn conn;
	struct master *m;
	struct list requests; /* struct request.link */
	char **targets;       /* of a subscriber (conn.listens); NULL: all */
};

/* Listens, on the descriptor kept from an earlier master or on a new one,
 * which is handed to the guardian. 0 or -errno, with words in the log. */
int control_open(struct master *m, int kept_fd);

/* The settings' mode, group, admins and viewers have changed. */
int control_apply_settings(struct master *m);

/* Sends what is still to be sent, and takes the socket's name away: nobody new
 * finds us. Who is connected sees the end when this process ends. */
void control_unlink(struct master *m);

/* From now on it gets events: of the names that match one of targets ("web",
 * "web:0"; NULL-terminated, taken over, freed by us), or of all (NULL). */
void client_subscribe(struct client *c, char **targets);

bool control_has_subscribers(const struct control *c);
void control_publish(
    struct control *c, const char *name, const struct buf *event);

#endif
