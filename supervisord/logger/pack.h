#ifndef LOGGER_PACK_H
#define LOGGER_PACK_H

/*
 * Rotated files are compressed one at a time, in a niced child: it writes
 * FILE.packing, and when it has ended well this process renames that to
 * FILE.n.gz and removes FILE.n. n is known here alone, for the next rotation
 * may move it up meanwhile. A logger killed half way takes its child with
 * it; its successor removes FILE.packing and begins again.
 */

#include <stdbool.h>

struct sink;

void pack_want(struct sink *s);   /* there may be something to compress */
void pack_forget(struct sink *s); /* the sink is about to be freed */
int pack_fd(void);                /* readable when the child has ended, or -1 */
void pack_ended(void);
/* Starts the next one if none runs. True: call again, there may be more. */
bool pack_next(void);

/* What the child does. 0 or -errno. */
int pack_file(int from, int to);

#endif
