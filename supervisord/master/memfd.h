#ifndef MASTER_MEMFD_H
#define MASTER_MEMFD_H

/* Text for another process, in memory that nobody can change any more. */

struct buf;

/* A sealed memfd of the buffer's bytes, close-on-exec; or -errno. */
int memfd_sealed(const char *name, const struct buf *text);

#endif
