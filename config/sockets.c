/* The section `sockets`, and the names of them in workers. */

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/load_int.h"
#include "supervisord/base/buf.h"

#define HOST_MAX 253

/* --- addresses
 * ---------------------------------------------------------------- */

static int
fail_listen(struct reader *r, const config_setting_t *s, const char *text,
    const char *why)
{
	return fail(r->l, s,
	    "\"%s\" is not an address to listen at (\"tcp://HOST:PORT\", "
	    "\"udp://HOST:PORT\" or \"unix://PATH\"): %s",
	    text, why);
}

/* What is wrong with the host, or NULL. A name is looked up when the socket is
 * made. */
static const char *
check_host(const char *host, bool brackets)
{
	unsigned char address[sizeof(struct in6_addr)];
	size_t n = strcspn(host, "%");
	char plain[INET6_ADDRSTRLEN];

	if (brackets) {
		if (n >= sizeof plain ||
		    (host[n] == '%' && host[n + 1] == '\0'))
			return "no IPv6 address is in the [ ]";
		memcpy(plain, host, n);
		plain[n] = '\0';
		return inet_pton(AF_INET6, plain, address) == 1
			   ? NULL
			   : "no IPv6 address is in the [ ]";
	}
	if (*host == '\0' || strcmp(host, "*") == 0)
		return NULL;
	if (strchr(host, ':') != NULL)
		return "an IPv6 address goes in [ ], as in \"[::1]:80\"";
	if (strlen(host) > HOST_MAX || *host == '-' || *host == '.' ||
	    host[strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "abcdefghijklmnopqrstuvwxyz0123456789-._")] !=
		'\0')
		return "that is not the name of a host";
	if (host[strspn(host, "0123456789.")] == '\0' &&
	    inet_pton(AF_INET, host, address) != 1)
		return "that is not an IPv4 address";
	return NULL;
}

static const char *
check_port(const char *port)
{
	if (*port == '\0' || strlen(port) > 5 ||
	    port[strspn(port, "0123456789")] != '\0' || atoi(port) > 65535)
		return "the port is not a number from 0 to 65535";
	return NULL;
}

/* HOST:PORT, which is scratch memory of our own. */
static const char *
split_address(char *text, char **host, char **port)
{
	bool brackets = *text == '[';
	char *end = strrchr(text, brackets ? ']' : ':');
	const char *why;

	if (end == NULL)
		return brackets ? "a \"]\" is missing" : "the port is missing";
	if (brackets && end[1] != ':')
		return "the port is missing";
	*host = text + brackets;
	*port = end + 1 + brackets;
	*end = '\0';
	why = check_host(*host, brackets);
	return why != NULL ? why : check_port(*port);
}

static int
read_network(struct reader *r, const config_setting_t *s, const char *text,
    struct socket_setting *to)
{
	const char *rest = text + sizeof "tcp://" - 1, *why;
	char *copy = arena_copy(&r->l->scratch, rest, strlen(rest));
	char *host, *port;

	if (copy == NULL) {
		r->l->nomem = true;
		return -ENOMEM;
	}
	to->kind = *text == 't' ? SOCKET_TCP : SOCKET_UDP;
	why = split_address(copy, &host, &port);
	if (why != NULL)
		return fail_listen(r, s, text, why);
	to->host = loading_keep(r->l, host);
	to->port = loading_keep(r->l, port);
	return 0;
}

static int
read_unix(struct reader *r, const config_setting_t *s, const char *text,
    struct socket_setting *to)
{
	const struct sockaddr_un *un = NULL;
	const char *path = text + sizeof "unix://" - 1;

	to->kind = SOCKET_UNIX;
	if (*path == '\0')
		return fail_listen(r, s, text, "the path is missing");
	if (*path == '@')
		return fail_listen(r, s, text,
		    "an abstract name has no permissions and is not "
		    "supported");
	path = path_of(r->l, s, path);
	if (path == NULL)
		return -ENOMEM;
	if (path[strlen(path) - 1] == '/')
		return fail_listen(r, s, text, "the path is that of a folder");
	if (strlen(path) >= sizeof un->sun_path)
		return fail(r->l, s,
		    "the path %s is too long for a socket (%zu bytes at most)",
		    path, sizeof un->sun_path - 1);
	to->path = loading_keep(r->l, path);
	return 0;
}

static int
read_listen(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct socket_setting *to = field;
	const char *text = text_of(r, s, false);

	(void)row;
	if (text == NULL)
		return -EINVAL;
	to->listen = loading_keep(r->l, text);
	if (strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0)
		return read_network(r, s, text, to);
	if (strncmp(text, "unix://", 7) == 0)
		return read_unix(r, s, text, to);
	return fail_listen(r, s, text, "none of the three is in front");
}

static bool
same_listen(const void *a, const void *b)
{
	const struct socket_setting *x = a, *y = b;

	return x->kind == y->kind && same_string(&x->host, &y->host) &&
	       same_string(&x->port, &y->port) &&
	       same_string(&x->path, &y->path);
}

/* --- the section
 * -------------------------------------------------------------- */

/* What all of its sockets are read with. */
struct gathering {
	const config_setting_t *presets;
	struct map addresses; /* to the first socket there */
};

static const config_setting_t *
slot(const struct slots *slots, const char *key)
{
	return slots->of[schema_index(schema_socket, key)];
}

/* Settings that would do nothing are somebody's mistake. */
static int
check_kind(
    struct loading *l, const struct slots *own, struct socket_setting *to)
{
	int err = 0;

	if (to->kind != SOCKET_UNIX && slot(own, "mode") != NULL)
		err = fail(l, slot(own, "mode"),
		    "only a unix:// socket has permissions");
	if (to->kind == SOCKET_UNIX && slot(own, "reuse_port") != NULL)
		err = fail(
		    l, slot(own, "reuse_port"), "a unix:// socket has no port");
	if (to->kind == SOCKET_UDP && slot(own, "backlog") != NULL)
		err = fail(l, slot(own, "backlog"),
		    "a udp:// socket has no connections");
	if (to->kind != SOCKET_UNIX)
		to->mode = FLEET_NO_UMASK;
	return err;
}

/* Two sockets at one address: the second could not be made. */
static int
check_address(struct loading *l, struct gathering *g, const config_setting_t *s,
    const struct socket_setting *to)
{
	const struct socket_setting *first;
	const char *port = to->path != NULL ? "" : to->port;
	const char *host = to->path != NULL ? to->path : to->host;
	struct buf key;
	const char *text;
	int err = 0;

	/* NULL: no memory, or no address. */
	if (host == NULL || port == NULL || strcmp(port, "0") == 0)
		return 0;
	buf_init(&key);
	buf_fmt(&key, "%d %s %s", (int)to->kind,
	    strcmp(host, "*") == 0 ? "" : host, port);
	text = buf_text(&key) == NULL
		   ? NULL
		   : arena_copy(&l->scratch, key.data, key.size);
	first = text != NULL ? map_get(&g->addresses, text, key.size) : NULL;
	if (text == NULL)
		l->nomem = true;
	else if (first == NULL && map_put(&g->addresses, text, key.size,
				      (void *)(uintptr_t)to) < 0)
		l->nomem = true;
	else if (first != NULL && !(first->reuse_port && to->reuse_port))
		err = fail(l, s,
		    "\"%s\" is where sockets.%s (%s:%u) listens already",
		    to->listen, first->name, first->source, first->line);
	buf_done(&key);
	return err;
}

static int
read_element(struct loading *l, const config_setting_t *s, const char *name,
    void *context)
{
	struct gathering *g = context;
	struct socket_setting *to = arena_alloc(&l->own->arena, sizeof *to);
	struct reader r = { .l = l };
	struct slots own = { 0 };
	int err;

	name = loading_keep(l, name);
	if (to == NULL || name == NULL ||
	    map_put(&l->own->sockets, name, strlen(name), to) < 0) {
		l->nomem = true;
		return -ENOMEM;
	}
	to->name = loading_keep(l, name);
	to->source = part_of(s)->path;
	to->line = s->line;
	l->fleet->sockets[l->fleet->sockets_count++] = to;
	err = named_slots(l, s, schema_socket, &own);
	if (slots_read(&r, &own, g->presets, schema_socket, to) < 0)
		err = -EINVAL;
	if (slot(&own, "listen") == NULL)
		err = fail(l, s, "listen is missing");
	/* What is no address is of no kind. */
	if (to->host != NULL || to->path != NULL) {
		if (check_kind(l, &own, to) < 0)
			err = -EINVAL;
		if (check_address(l, g, slot(&own, "listen"), to) < 0)
			err = -EINVAL;
	}
	return err;
}

static const char *
socket_source(const void *known, unsigned *ret_line)
{
	const struct socket_setting *to = known;

	*ret_line = to->line;
	return to->source;
}

int
sockets_read(struct loading *l)
{
	struct gathering g = { 0 };
	const struct named named = { .section = "sockets",
		.noun = "socket",
		.known = &l->own->sockets,
		.read = read_element,
		.source = socket_source,
		.context = &g };
	int err;

	g.presets = config_setting_get_member(
	    config_root_setting(&l->presets->config), "socket");
	l->fleet->sockets = arena_alloc(&l->own->arena,
	    (named_count(l, "sockets") + 1) * sizeof(struct socket_setting *));
	if (l->fleet->sockets == NULL) {
		l->nomem = true;
		return -ENOMEM;
	}
	err = named_read(l, &named);
	map_done(&g.addresses);
	return err;
}

/* --- a worker's sockets
 * ------------------------------------------------------- */

static int
read_socket_name(
    struct reader *r, const config_setting_t *s, char **names, unsigned n)
{
	const char *name = text_of(r, s, false);
	struct nearest nearest;

	if (name == NULL)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return fail(r->l, s, "\"%s\" is in it twice", name);
	}
	names[n] = loading_keep(r->l, name);
	if (names[n] == NULL)
		return -ENOMEM;
	if (fleet_socket(r->l->fleet, name) != NULL)
		return 0;
	nearest_init(&nearest, name);
	for (size_t i = 0; i < r->l->fleet->sockets_count; i++)
		nearest_try(&nearest, r->l->fleet->sockets[i]->name);
	return fail_absent(r->l, s, "socket", &nearest);
}

static int
read_sockets(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	int n = strings_count(r, s, row->type->words), err = 0;
	char **names;

	if (n < 0)
		return n;
	if (n > FLEET_SOCKETS)
		return fail(r->l, s, "more than %d sockets", FLEET_SOCKETS);
	names = arena_alloc(&r->l->own->arena, ((size_t)n + 1) * sizeof *names);
	if (names == NULL) {
		r->l->nomem = true;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < (unsigned)n && err == 0; i++)
		err = read_socket_name(r, strings_at(s, i), names, i);
	*(char ***)field = n > 0 ? names : NULL;
	return err;
}

const struct type type_listen = { "an address", read_listen, same_listen };
const struct type type_sockets = { "an array of names of sockets", read_sockets,
	same_strings };
