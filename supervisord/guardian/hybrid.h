#ifndef GUARDIAN_HYBRID_H
#define GUARDIAN_HYBRID_H

/*
 * Task sockets. A hybrid worker gets one end of a socket pair and a memory with
 * a slot for each of its threads (wire.h). The other end and the memory stay in
 * its table slot, so that a broker that is killed leaves them to the next one,
 * and what an instance wrote before its end can be read behind it. Those that
 * have one are chained, those with something to tell at the end.
 */

#include <stdbool.h>
#include <stdint.h>

#include "supervisord/guardian/table.h"

/*
 * Makes socket and memory; the worker's end goes to *ret_fd and is the
 * caller's. 0 or -errno.
 */
int hybrid_make(struct slot *s, uint32_t threads, int *ret_fd);
/* It has a process: the broker is to know. */
void hybrid_launched(struct slot *s);
/* The process has ended. keep: until the broker is done with it. */
void hybrid_ended(struct slot *s, bool keep);
/* The broker is done with it: the slot may be free then. */
void hybrid_done(uint32_t slot, uint32_t gen);
/* Nobody will be told any more. */
void hybrid_close(struct slot *s);

/*
 * Ended ones need not wait any longer: there is no broker and will be none, or
 * there is no room. told: only those whose end the broker that runs has been
 * told, for it has them open itself. How many.
 */
unsigned hybrid_forget_ended(bool told);
/* A new broker knows nothing. */
void hybrid_untold(void);
/* Tells the broker what it has not been told. 0, -EAGAIN or -errno. */
int hybrid_tell(int sock);

/* For upgrade.c: the descriptors are open here; before news_free_if_done. */
void hybrid_restore(
    struct slot *s, uint32_t threads, int task_fd, int memory_fd);

#endif
