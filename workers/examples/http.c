/*
 * A small HTTP/1.1 server: "/" answers 100 bytes, other paths are files below
 * the folder named in HTTP_ROOT, if it is set. GET and HEAD, keep-alive and
 * pipelining, one connection per thread (RFC 9110, RFC 9112).
 *
 *     sockets: { http: { listen = "tcp://127.0.0.1:8080"; }; };
 *     workers: { web: { module = "http.so"; threads = 8; sockets = [ "http" ];
 * }; };
 */
#include <supervisor/worker.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAD_MAX     8192
#define IDLE_SECONDS 5 /* a silent client gives its thread back */

static const char page[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n"
    "\r\n"
    "supervisord serves this from a thread of a hybrid worker: a crash takes "
    "one process, not the socket\n";
_Static_assert(sizeof page - 1 == 66 + 100, "the body has 100 bytes");

static int root = -1; /* the folder of files */

struct request {
	char *method, *path;
	size_t size; /* of its head, the empty line included */
	bool head, close;
};

static int
init(const struct sv_worker *worker)
{
	const char *folder = getenv("HTTP_ROOT");

	(void)worker;
	if (folder == NULL)
		return 0;
	root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fprintf(stderr, "http: %s: %s\n", folder, strerror(errno));
	return root < 0 ? -1 : 0;
}

static bool
send_all(int fd, const void *data, size_t size, int flags)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = send(fd, at, size, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static bool
refuse(int fd, const char *status, bool more)
{
	char head[256];
	int n = snprintf(head, sizeof head,
	    "HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n", status,
	    more ? "" : "Connection: close\r\n");

	return send_all(fd, head, (size_t)n, 0) && more;
}

/* A file below root, wherever its links and dots point to; or -1. */
static int
open_file(const char *path, off_t *ret_size)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	struct stat st;
	int fd;

	if (root < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, root, path + 1, &how, sizeof how);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	*ret_size = st.st_size;
	return fd;
}

static bool
send_file(int fd, const struct request *r)
{
	off_t size = 0, at = 0;
	int file = open_file(r->path, &size), n;
	char head[256];
	bool ok;

	if (file < 0)
		return refuse(fd, "404 Not Found", !r->close);
	n = snprintf(head, sizeof head,
	    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
	    "Content-Length: %lld\r\n%s\r\n",
	    (long long)size, r->close ? "Connection: close\r\n" : "");
	ok = send_all(fd, head, (size_t)n, r->head || size == 0 ? 0 : MSG_MORE);
	while (ok && !r->head && at < size)
		ok = sendfile(fd, file, &at, (size_t)(size - at)) > 0;
	close(file);
	return ok && !r->close;
}

static bool
answer(int fd, const struct request *r)
{
	r->path[strcspn(r->path, "?")] = '\0';
	if (!r->head && strcmp(r->method, "GET") != 0)
		return refuse(fd, "405 Method Not Allowed", false);
	if (strcmp(r->path, "/") != 0)
		return send_file(fd, r);
	if (r->head)
		return send_all(fd, page, sizeof page - 1 - 100, 0) &&
		       !r->close;
	return send_all(fd, page, sizeof page - 1, 0) && !r->close;
}

/* The header lines that matter here. False: not to be served on. */
static bool
read_fields(char *line, struct request *r)
{
	char *next;

	for (; line != NULL && *line != '\0'; line = next) {
		next = strstr(line, "\r\n");
		if (next != NULL) {
			*next = '\0';
			next += 2;
		}
		if (strncasecmp(line, "Connection:", 11) == 0) {
			if (strcasestr(line + 11, "close") != NULL)
				r->close = true;
			else if (strcasestr(line + 11, "keep-alive") != NULL)
				r->close = false;
		}
		/* A body would be taken for the next request. */
		if (strncasecmp(line, "Transfer-Encoding:", 18) == 0 ||
		    (strncasecmp(line, "Content-Length:", 15) == 0 &&
			strtoul(line + 15, NULL, 10) != 0))
			return false;
	}
	return true;
}

/* Takes apart size bytes that end with the empty line. */
static bool
parse(char *head, size_t size, struct request *r)
{
	char *line = strstr(head, "\r\n"), *version;

	*r = (struct request){ .method = head, .size = size };
	if (line == NULL || memchr(head, '\0', size) != NULL)
		return false;
	head[size - 2] = '\0';
	*line = '\0';
	r->path = strchr(head, ' ');
	if (r->path == NULL)
		return false;
	*r->path++ = '\0';
	version = strchr(r->path, ' ');
	if (r->path[0] != '/' || version == NULL)
		return false;
	*version++ = '\0';
	if (strncmp(version, "HTTP/1.", 7) != 0)
		return false;
	r->close = version[7] == '0';
	r->head = strcmp(r->method, "HEAD") == 0;
	return read_fields(line + 2, r);
}

static void
serve(struct sv_connection *c)
{
	struct timeval idle = { .tv_sec = IDLE_SECONDS };
	char in[HEAD_MAX + 1];
	size_t have = 0;
	bool more = true;
	int one = 1;

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	while (more) {
		struct request r;
		char *end;
		ssize_t n;

		in[have] = '\0';
		end = strstr(in, "\r\n\r\n");
		if (end == NULL && have == HEAD_MAX) {
			refuse(c->fd, "431 Request Header Fields Too Large",
			    false);
			return;
		}
		if (end == NULL) {
			n = recv(c->fd, in + have, HEAD_MAX - have, 0);
			if (n <= 0)
				return;
			have += (size_t)n;
			continue;
		}
		if (!parse(in, (size_t)(end + 4 - in), &r)) {
			refuse(c->fd, "400 Bad Request", false);
			return;
		}
		more = answer(c->fd, &r);
		have -= r.size;
		memmove(in, in + r.size, have);
	}
}

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "http",
	.init = init,
	.on_connection = serve,
};
