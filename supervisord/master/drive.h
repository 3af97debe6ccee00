#ifndef MASTER_DRIVE_H
#define MASTER_DRIVE_H

/* Feeds policy with what happens, and carries out what it answers. */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct actor;
struct instance;
struct master;
struct msg_child;
struct msg_failed;
struct msg_launched;

/* A user's (or autostart's, or a shutdown's) wish. by: who. */
void drive_up(struct master *m, struct instance *it, const struct actor *by);
void drive_down(struct master *m, struct instance *it, const struct actor *by);
void drive_bounce(
    struct master *m, struct instance *it, const struct actor *by);

/* Ends its process, by the stop ladder or (hard) by SIGKILL at once, and starts
 * another. It is wanted. */
void drive_replace(struct master *m, struct instance *it, bool hard);

/*
 * Nobody waits for its end: a hybrid one is given nothing more, and is stopped
 * when it has done the tasks it has. Then another is started, or (retire) it is
 * gone. A user's wish meanwhile begins the stop ladder at once. The instance
 * may be freed by drive_retire.
 */
void drive_finish(struct master *m, struct instance *it);
void drive_retire(
    struct master *m, struct instance *it, const struct actor *by);

/* News from the guardian. */
void drive_launched(struct master *m, const struct msg_launched *msg);
void drive_not_launched(struct master *m, const struct msg_failed *msg);
void drive_exited(struct master *m, const struct msg_child *msg);
void drive_empty(struct master *m, uint32_t slot, uint32_t gen);
void drive_ready(struct master *m, uint32_t slot, uint32_t gen);

/* The broker is there, and will hear when it is ready. */
void drive_heard(struct master *m, struct instance *it);

/* The broker: it has none of its tasks left. */
void drive_finished(struct master *m, uint32_t slot, uint32_t gen);

/* The worker's rules have changed. */
void drive_rules_changed(struct master *m, struct instance *it);

/* After a crash of the master: asks again for what may not have been heard.
 * The instance may be freed by this. */
void drive_restore(struct master *m, struct instance *it);

/* Its next answer from the guardian is about a process found after a crash: as
 * if it were being launched until then. */
void drive_adopting(struct master *m, struct instance *it);

/* That process was found to live (RUNNING from its start on), or to be gone. */
void drive_found(struct master *m, struct instance *it, int64_t started_mono);
void drive_not_found(struct master *m, struct instance *it);

/* KILLs what is left of it, and of what it started. */
void drive_kill(struct master *m, struct instance *it);

/* Those that wait for their turn, as far as the cap lets them. */
void drive_grant_turns(struct master *m);

/* A signal to its process; false: it has none. */
bool drive_signal(struct master *m, struct instance *it, int signo, bool group);

/* libev's callback of instance.timer. */
void drive_timer(struct ev_loop *loop, ev_timer *timer, int events);

/* An instance that left the config goes as soon as it is down. */
void drive_doom(struct master *m, struct instance *it, const struct actor *by);

#endif
