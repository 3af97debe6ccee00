#ifndef MASTER_SOCKETS_H
#define MASTER_SOCKETS_H

/*
 * The config's listening sockets: opened here, kept by the guardian as
 * "socket/NAME", handed to workers at their launch. They stay open while
 * masters, instances and configs come and go.
 */

#include <stddef.h>

struct buf;
struct fleet;
struct handover;
struct master;

/* What is to be open once a reload is through. */
struct sockets;

/*
 * The first of this master: takes what was kept, opens the rest. 0, or -errno
 * with words in the log. Where something is supervised already, a socket that
 * can't be opened is only complained about.
 */
int sockets_start(struct master *m, struct handover *h);

/*
 * Opens what `new` has and is not open yet, and changes nothing else. 0; or
 * -errno and one line in *error.
 */
int sockets_prepare(struct master *m, const struct fleet *new,
    struct sockets **ret, struct buf *error);

/* They are the ones from now on: new ones are kept, those that are gone closed.
 * The master's fleet is `new`'s already. */
void sockets_apply(struct master *m, struct sockets *prepared);

/* Closes what was opened for them. NULL is fine. */
void sockets_abandon(struct sockets *prepared);

/* supervisord ends: takes the paths of Unix sockets away. */
void sockets_unlink(const struct master *m);

#endif
