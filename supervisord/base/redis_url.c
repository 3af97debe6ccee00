#include "supervisord/base/redis_url.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PORT 6379

struct why {
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int
wrong(const struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

bool
redis_url_meant(const char *text)
{
	return starts(text, "redis:") || starts(text, "rediss:") ||
	       starts(text, "unix:") || strstr(text, "://") != NULL;
}

static int
hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* From `from` until `end`, with %xx as bytes. */
static int
decode(const char *what, const char *from, const char *end, char *ret,
    size_t size, const struct why *why)
{
	size_t n = 0;

	while (from < end) {
		char c = *from++;

		if (c == '%') {
			int high = end - from >= 2 ? hex(from[0]) : -1;
			int low = high >= 0 ? hex(from[1]) : -1;

			if (low < 0)
				return wrong(why,
				    "the %s: a %% stands before two hex digits "
				    "(%%25 is the %% itself)",
				    what);
			c = (char)(high << 4 | low);
			from += 2;
		}
		if (c == '\0')
			return wrong(why, "the %s has a NUL", what);
		if (n + 1 >= size)
			return wrong(why,
			    "the %s is longer than %zu characters", what,
			    size - 1);
		ret[n++] = c;
	}
	ret[n] = '\0';
	return 0;
}

static int
number(const char *what, const char *from, const char *end, int least, int most,
    int *ret, const struct why *why)
{
	long n = 0;
	const char *p = from;

	for (; p < end && *p >= '0' && *p <= '9' && n <= most; p++)
		n = n * 10 + (*p - '0');
	if (p == from || p < end || n < least || n > most)
		return wrong(why, "\"%.*s\" is not a %s (%d to %d)",
		    (int)(end - from < 40 ? end - from : 40), from, what, least,
		    most);
	*ret = (int)n;
	return 0;
}

/* user:password@ at the front of `from`; *ret_rest is behind it. */
static int
login(const char *from, const char *end, struct redis_url *u,
    const char **ret_rest, const struct why *why)
{
	const char *at = NULL, *colon;
	int r;

	for (const char *p = from; p < end; p++)
		if (*p == '@')
			at = p;
	*ret_rest = from;
	if (at == NULL)
		return 0;
	*ret_rest = at + 1;
	colon = memchr(from, ':', (size_t)(at - from));
	if (colon == NULL)
		return wrong(why,
		    "before the @ stands user:password, or :password alone");
	r = decode("user", from, colon, u->user, sizeof u->user, why);
	if (r == 0)
		r = decode("password", colon + 1, at, u->password,
		    sizeof u->password, why);
	if (r == 0 && u->password[0] == '\0')
		return wrong(why, "the password before the @ is empty");
	return r;
}

static int
host_port(const char *from, const char *end, struct redis_url *u,
    const struct why *why)
{
	const char *host_end, *port;
	bool bracket = from < end && *from == '[';
	size_t size;

	if (bracket) {
		from++;
		host_end = memchr(from, ']', (size_t)(end - from));
		if (host_end == NULL)
			return wrong(
			    why, "the ] behind the address is missing");
		port = host_end + 1;
	} else {
		host_end = memchr(from, ':', (size_t)(end - from));
		if (host_end == NULL)
			host_end = end;
		port = host_end;
	}
	size = (size_t)(host_end - from);
	if (size == 0)
		return wrong(why, "the host is missing");
	if (size >= sizeof u->host)
		return wrong(why, "the host is longer than %zu characters",
		    sizeof u->host - 1);
	for (const char *p = from; p < host_end; p++)
		if ((unsigned char)*p <= ' ' || *p == '%' || *p == '@')
			return wrong(why, "the host has a '%c'", *p);
	memcpy(u->host, from, size);
	u->host[size] = '\0';
	if (port == end)
		return 0;
	if (*port != ':')
		return wrong(why, "behind the address stands a :port or a /DB");
	return number("port", port + 1, end, 1, 65535, &u->port, why);
}

static int
parse_redis(const char *text, struct redis_url *u, const struct why *why)
{
	const char *end = text + strlen(text), *slash, *rest;
	const char *at = strrchr(text, '@');
	int r;

	/* A password may have a slash, though it had better be %2F. */
	slash = strchr(at != NULL ? at : text, '/');
	r = login(text, slash != NULL ? slash : end, u, &rest, why);
	if (r == 0)
		r = host_port(rest, slash != NULL ? slash : end, u, why);
	if (r < 0 || slash == NULL || slash + 1 == end)
		return r;
	if (strchr(slash, '?') != NULL || strchr(slash, '#') != NULL)
		return wrong(why, "behind the / stands a database's number, "
				  "and nothing behind it");
	return number("database's number", slash + 1, end, 0, REDIS_URL_DB_MAX,
	    &u->db, why);
}

static int
parse_unix(const char *text, struct redis_url *u, const struct why *why)
{
	const char *end = text + strlen(text), *query = strchr(text, '?');
	const char *path_end = query != NULL ? query : end;
	const char *slash = strchr(text, '/'), *rest;
	const char *at = strrchr(text, '@');
	int r;

	if (at != NULL && at < path_end && text[0] != '/')
		slash = strchr(at, '/');
	if (slash == NULL || slash >= path_end)
		return wrong(why, "the path of the socket is missing: "
				  "unix:///run/redis/redis.sock");
	r = login(text, slash, u, &rest, why);
	if (r < 0)
		return r;
	if (rest != slash)
		return wrong(why, "the path of the socket has to begin with a "
				  "/: unix:///run/redis/redis.sock");
	r = decode("path", slash, path_end, u->path, sizeof u->path, why);
	if (r < 0 || query == NULL)
		return r;
	if (!starts(query, "?db="))
		return wrong(why, "behind the ? stands db=NUMBER");
	return number("database's number", query + strlen("?db="), end, 0,
	    REDIS_URL_DB_MAX, &u->db, why);
}

int
redis_url_parse(
    const char *text, struct redis_url *ret, char *why_text, size_t why_size)
{
	struct why why = { why_text, why_size };

	*ret = (struct redis_url){ .port = PORT };
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return wrong(&why, "it has a control character");
	if (starts(text, "redis://"))
		return parse_redis(text + strlen("redis://"), ret, &why);
	if (starts(text, "unix://"))
		return parse_unix(text + strlen("unix://"), ret, &why);
	if (starts(text, "rediss://"))
		return wrong(&why,
		    "rediss:// (TLS) is not supported: let a tunnel (stunnel, "
		    "ssh, WireGuard) carry redis://");
	return wrong(
	    &why, "it is neither redis://HOST/DB nor unix:///path/redis.sock");
}

char *
redis_url_show(const struct redis_url *u, char *out, size_t size)
{
	if (u->path[0] != '\0')
		snprintf(out, size, "unix://%s?db=%d", u->path, u->db);
	else
		snprintf(out, size,
		    strchr(u->host, ':') != NULL ? "redis://[%s]:%d/%d"
						 : "redis://%s:%d/%d",
		    u->host, u->port, u->db);
	return out;
}
