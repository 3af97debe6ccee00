#ifndef MASTER_RECORD_H
#define MASTER_RECORD_H

/*
 * Tells the state store, the subscribers and the log what has happened. Nothing
 * here waits: the store has a thread of its own.
 */

#include <stdbool.h>
#include <stdint.h>

struct actor;
struct buf;
struct exit_info;
struct instance;
struct life_change;
struct master;
struct msg_child;

/* Opens the store and begins this incarnation. *ret_clean: the last run of
 * supervisord ended in order. */
bool record_open(struct master *m, bool *ret_clean);
/* Nothing is known of the run before: no state_dir, or a new or broken store.
 */
bool record_is_forgetful(const struct master *m);
void record_close(struct master *m, bool in_order, const char *why);

/* A change of state, with the words for it; who asked, where somebody did. */
void record_change(struct master *m, struct instance *it,
    const struct life_change *change, const char *reason,
    const struct actor *by);

/* Any other event: a reload, a signal sent, the store broken. name: NULL for
 * supervisord itself. */
void record_event(struct master *m, const char *name, const char *kind,
    const char *reason, const struct actor *by);

/* The instance's row as it is now. */
void record_instance(struct master *m, struct instance *it);
void record_gone(struct master *m, const char *name);

/* A process's end; the guardian's mark is acknowledged once it is committed. */
void record_exit(struct master *m, struct instance *it,
    const struct msg_child *child, const struct exit_info *e);

/* A small fact that outlives supervisord ("scale.web"); NULL forgets it. */
void record_fact(struct master *m, const char *key, const char *value);

#endif
