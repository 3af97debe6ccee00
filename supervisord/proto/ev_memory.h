#ifndef PROTO_EV_MEMORY_H
#define PROTO_EV_MEMORY_H

/*
 * Memory for libev, which ends its process when it gets none. It asks for
 * little, arrays of watchers that double in size, so there is a reserve for it.
 * To be called before the first loop is made.
 */
void ev_memory_setup(void);

#endif
