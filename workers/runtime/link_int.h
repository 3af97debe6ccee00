#ifndef RUNTIME_LINK_INT_H
#define RUNTIME_LINK_INT_H

/* What the files of the link share; "locked" is called with its mutex held. */

#include "workers/runtime/link.h"

/* Longer than this is worth a wake-up of another thread. */
#define LINK_LONG (100 * 1000LL)

enum link_watched {
	WATCHED_SOCKET,
	WATCHED_STOP,
	WATCHED_LISTENER /* and more: the listeners */
};

/* link.c */
void link_kick_locked(void); /* the watcher, if it sleeps */
void link_answer_locked(
    uint8_t type, uint16_t slot, uint64_t id, const void *body, size_t size);
void link_take_locked(struct job *first, struct job *last, unsigned count);
void link_drain_locked(bool say);
void link_lost_locked(void);
struct job *link_unqueue_locked(uint64_t id);

/* link_io.c */
void io_read(void);         /* by who leads, without the mutex */
void io_flush_locked(void); /* lets the mutex go while it writes */
void io_writable(void);

#endif
