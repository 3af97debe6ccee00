#ifndef MASTER_ACCESS_H
#define MASTER_ACCESS_H

/* Who may use the sockets: from the config's names to numbers (rpc/access.h),
 * and to the broker, which decides for its own socket. */

#include "supervisord/rpc/access.h"

struct settings;
struct buf;

/* NULL: out of memory. A name nobody has is logged and grants nothing. */
struct access *access_new(const struct settings *settings);
void access_free(struct access *a);

/* Two keys for the broker: "admins" and "viewers", each
 * {"uids":[],"gids":[]}. a: NULL is nobody. */
void access_json(const struct access *a, struct buf *b);

#endif
