#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

/*
 * From one fleet to the next while it runs. The config is read and checked
 * whole by a thread (a file may be on a slow disk, a group's name at a slow
 * name service); only a good one replaces anything.
 */

#include <stdbool.h>

struct buf;
struct master;
struct request;

int reload_init(struct master *m);

/* SIGHUP (r NULL) or the command. */
void reload_start(struct master *m, struct request *r, bool dry_run, bool wait);

/*
 * The first fleet of this master: teams for its workers, its book to the
 * guardian. No instance yet. 0 or -errno.
 */
int reload_first(struct master *m);

/* Keeps what was read as what runs, for the next master. */
void reload_keep_snapshot(struct master *m, const struct buf *snapshot);

#endif
