#ifndef MASTER_AUTOSCALE_H
#define MASTER_AUTOSCALE_H

/*
 * Workers whose number of instances changes by itself. By cpu or by a command:
 * looked at here, every `interval`, and decided in policy/autoscale.h. By the
 * queue: the broker says what it wants. Either is carried out here.
 *
 * While a user has stopped them all, or scaled them to 0, nothing happens.
 */

struct buf;
struct master;
struct team;

/* The worker's settings are others, or the first of this master. */
void autoscale_settings(struct master *m, struct team *team);
/* The team is about to be freed. */
void autoscale_gone(struct team *team);

/* From now on there shall be so many; why, in words. */
void autoscale_to(
    struct master *m, struct team *team, unsigned count, const char *why);

/* For `why`: what it did last, and what keeps it from working. */
void autoscale_tell(const struct team *team, struct buf *b);

#endif
