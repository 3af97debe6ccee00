#ifndef MASTER_RELIEF_H
#define MASTER_RELIEF_H

/*
 * A stand-in for what is being replaced, so that no capacity is lost meanwhile:
 * one instance more than a hybrid worker has, with the next free index. It is
 * up before `recycle` takes an instance out, and is started at once when the
 * broker says that one takes no more tasks, as it waits for its end. When none
 * is being replaced any more, the stand-in finishes its tasks, and is gone.
 *
 * Plain workers have none: two of them may be after the same port.
 */

#include <stdbool.h>

struct instance;
struct master;
struct memory_row;
struct team;

/* May one of the team be taken out now? If not, recycle_next is called when it
 * may. */
bool relief_is_there(struct master *m, struct team *team);

/* It takes no more tasks and will be replaced; or it will not, after all. */
void relief_drains(struct master *m, struct instance *it, bool drains);

/* The state of an instance has changed. */
void relief_changed(struct master *m, struct instance *it);
/* It is about to be freed. */
void relief_gone(struct instance *it);

/* The team is to have so many; its instances are being replaced for good; it is
 * to end. */
void relief_resized(struct master *m, struct team *team, unsigned count);
void relief_dismiss(struct master *m, struct team *team);
void relief_team_gone(struct team *team);

/* What an earlier master knew of it; true: it stands in, and stays. Then, when
 * all are known. */
bool relief_adopt(struct master *m, struct team *team, struct instance *it);
void relief_restored(struct master *m, struct team *team);

#endif
