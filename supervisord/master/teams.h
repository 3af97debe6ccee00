#ifndef MASTER_TEAMS_H
#define MASTER_TEAMS_H

/*
 * Teams come and go with reloads, and grow and shrink with reloads and `scale`.
 */

#include <stdbool.h>

struct actor;
struct fleet;
struct job;
struct master;
struct team;

/* A fleet that was replaced, kept while workers of it are being ended. */
struct retired {
	struct fleet *fleet;
	unsigned refs;
};

/* One reference less; NULL is fine. */
void teams_release(struct retired *retired);

/* Teams for all workers of the fleet, in its order; new ones are empty. 0 or
 * -ENOMEM. */
int teams_make(struct master *m, const struct fleet *fleet);

/* The fleet is not taken after all: teams that were made for it go. */
void teams_unmake(struct master *m, const struct fleet *fleet);

/* Brings the number of instances to `count`: new ones are started where
 * autostart says so, those above it leave. job: what to wait for, or NULL. */
void team_resize(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job);

/* Is there room for so many of it? */
bool team_may_scale(
    const struct master *m, const struct team *team, unsigned count);

/* Another number than the config's, until a reload says otherwise. */
void team_scale(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job);

/* That number, remembered until a reload. */
void team_remember_scale(struct master *m, struct team *team);

/* A doomed instance has been freed. */
void team_instance_gone(struct master *m, struct team *team);

/* A team for a name that is in the config no more; its instances are to end. */
struct team *team_leftover(struct master *m, const char *name);

#endif
