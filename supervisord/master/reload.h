#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

/*
 * From one fleet to the next while it runs. The config is read and checked
 * whole by a thread (a file may be on a slow disk, a group's name at a slow
 * name service); only a good one replaces anything.
 */

#include <stdbool.h>

struct actor;
struct fleet;
struct job;
struct master;
struct request;
struct team;

int reload_init(struct master *m);

/* SIGHUP (r NULL) or the command. */
void reload_start(struct master *m, struct request *r, bool dry_run, bool wait);

/*
 * The first fleet of this master: teams for its workers, its book to the
 * guardian. No instance yet. 0 or -errno.
 */
int reload_first(struct master *m);

/* Brings the number of instances to `count`: new ones are started where
 * autostart says so, those above it leave. job: what to wait for, or NULL. */
void reload_resize(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job);

/* A user's number, remembered until a reload. */
void reload_remember_scale(struct master *m, struct team *team);

/* A doomed instance has been freed. */
void reload_instance_gone(struct master *m, struct team *team);

/* A team for a name that is in the config no more; its instances are to end. */
struct team *reload_leftover_team(struct master *m, const char *name);

/* Keeps what was read as what runs, for the next master. */
struct buf;
void reload_keep_snapshot(struct master *m, const struct buf *snapshot);

#endif
