#ifndef MASTER_TO_BROKER_H
#define MASTER_TO_BROKER_H

/*
 * The master's side of the broker: whether there is to be one, what it is to
 * know (broker/config), and what the two tell each other of instances that are
 * being stopped, have ended, are to be replaced.
 */

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct exit_info;
struct fleet;
struct instance;
struct master;
struct msg_child;

/* Does anybody in the fleet take tasks, or is anything submitted by itself? */
bool to_broker_is_wanted(const struct fleet *fleet);

/* The fleet is the first of this master, or another: the broker's config is
 * kept anew where it differs, the broker asked for or sent away. */
void to_broker_configure(struct master *m);

/* What the broker is to know, as JSON. */
void to_broker_write_config(const struct master *m, struct buf *b);

/* A broker has started: gives it a channel, and says who is being stopped. */
void to_broker_connect(struct master *m, int pid);

/* It is there, and hears what workers say. */
bool to_broker_is_there(const struct master *m);

/* A hybrid instance has a process: should that have said HELLO before this
 * master knew of it, the broker says so again. */
void to_broker_launched(struct master *m, const struct instance *it);

/* What is wrong with the task store, as the broker says; NULL: nothing. */
const char *to_broker_health(const struct master *m);

/* Before the first signal: the instance's end is no crash. */
void to_broker_stopping(struct master *m, const struct instance *it);

/* It is given nothing more, and the broker says when it has done what it has;
 * or that is taken back. */
void to_broker_finishing(struct master *m, const struct instance *it);

/* A hybrid instance has ended; `lines`: its last lines are on their way. */
void to_broker_exited(struct master *m, const struct instance *it,
    const struct exit_info *e, bool lines);

/* After an exit: the last one may have gone that the broker was there for. */
void to_broker_look(struct master *m);

/* An earlier master has seen this exit, and may not have told of it. */
void to_broker_exited_before(
    struct master *m, const struct msg_child *child, const struct exit_info *e);

/* The last lines of an exit have come; "" when there are none. */
void to_broker_lines(
    struct master *m, const char *name, int pid, const char *text, size_t size);

#endif
