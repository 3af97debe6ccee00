#ifndef BASE_REDIS_URL_H
#define BASE_REDIS_URL_H

/* Where a Redis is, as people write it:
 *
 *     redis://[user:password@]HOST[:6379][/DB]
 *     unix:///path/redis.sock[?db=DB]
 *     unix://[user:password@]/path/redis.sock[?db=DB]
 *
 * In user, password and path %xx stands for a byte; an IPv6 address is in [].
 */

#include <stdbool.h>
#include <stddef.h>

#define REDIS_URL_DB_MAX 65535

struct redis_url {
	char host[256]; /* "": it is at path */
	char path[108]; /* of a Unix socket, absolute; "": it is at host */
	int port;
	int db;
	char user[128], password[512]; /* "": none */
};

/* It is meant to be one, right or wrong: "redis://...", "unix://...". */
bool redis_url_meant(const char *text);

/* 0, or -EINVAL with what is wrong in why, without the password. */
int redis_url_parse(
    const char *text, struct redis_url *ret, char *why, size_t why_size);

/* For people: without user and password. Returns out. */
#define REDIS_URL_TEXT 320
char *redis_url_show(const struct redis_url *u, char *out, size_t size);

#endif
