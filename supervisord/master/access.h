#ifndef MASTER_ACCESS_H
#define MASTER_ACCESS_H

/*
 * Who may use the control socket. Names are looked up once, when the config is
 * read: a name service may block, and a connection must not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct settings;
struct access;
struct buf;

/* NULL: out of memory. A name nobody has is logged and grants nothing. */
struct access *access_new(const struct settings *settings);
void access_free(struct access *a);

/* May a process with these ids look (and change)? */
void access_of(const struct access *a, uid_t uid, const gid_t *gids,
    size_t count, bool *ret_look, bool *ret_change);

/* Two keys for the broker, which decides for its own socket: "admins" and
 * "viewers", each {"uids":[],"gids":[]}. a: NULL is nobody. */
void access_json(const struct access *a, struct buf *b);

#endif
