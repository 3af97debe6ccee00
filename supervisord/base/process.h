#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/* What supervisord's own processes beside the guardian are from the start. */

/*
 * Signals a terminal or a user sends to all of us are ignored: the guardian's
 * word counts. So is what a closed socket or a full file would send. As many
 * descriptors may be open as the hard limit lets.
 */
void process_setup(void);

#endif
