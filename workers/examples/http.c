/*
 * A small HTTP/1.1 server: "/" answers 100 bytes, other paths are files below
 * the folder named in HTTP_ROOT, if it is set. GET and HEAD, keep-alive and
 * pipelining, one connection per thread (RFC 9110, RFC 9112).
 *
 *     sockets: { http: { listen = "tcp://127.0.0.1:8080"; }; };
 *     workers: { web: { module = "http.so"; threads = 8;
 *                       sockets = [ "http" ]; }; };
 */
#define _GNU_SOURCE 1 /* memmem, strcasestr */
#include <supervisor/worker.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
/* ms a client has for its request, and for taking bytes */
#define PATIENCE 5000
/* A turn; then it may be that others wait for the thread. So many ms, and so
 * many requests that a new connection costs little beside them, but not more
 * ms than MOST; who asks for nothing for so long looks, too. */
#define TURN          20
#define TURN_REQUESTS 100
#define TURN_MOST     250

static const char page[] =
    "supervisord serves this from a thread of a hybrid worker: a crash takes "
    "one process, not the socket\n";
_Static_assert(sizeof page - 1 == 100, "the body has 100 bytes");

static int root = -1; /* the folder of files */

struct client {
	int fd;
	int64_t turn;    /* when it began */
	unsigned served; /* since then */
	size_t have;
	char in[HEAD_MAX];
};

struct request {
	char *method, *path;
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

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Made anew each second. */
static const char *
date(void)
{
	static __thread char text[64];
	static __thread time_t made;
	time_t now = time(NULL);
	struct tm tm;

	if (now != made && gmtime_r(&now, &tm) != NULL) {
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		made = now;
	}
	return text;
}

static bool
send_all(int fd, const char *data, size_t size, int flags)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* The head and, if it is a short text, the body. False: the end. */
static bool
reply(int fd, const struct request *r, const char *status, off_t size,
    const char *body)
{
	bool file = body == NULL && !r->head && size > 0;
	char out[512];
	int n = snprintf(out, sizeof out,
	    "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: %s\r\n"
	    "Content-Length: %lld\r\nConnection: %s\r\n\r\n%s",
	    status, date(),
	    body != NULL ? "text/plain" : "application/octet-stream",
	    (long long)size, r->close ? "close" : "keep-alive",
	    body != NULL && !r->head ? body : "");

	return send_all(fd, out, (size_t)n, file ? MSG_MORE : 0);
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
	int file = open_file(r->path, &size);
	bool ok;

	if (file < 0)
		return reply(fd, r, "404 Not Found", 0, "");
	ok = reply(fd, r, "200 OK", size, NULL);
	while (ok && !r->head && at < size)
		ok = sendfile(fd, file, &at, (size_t)(size - at)) > 0;
	close(file);
	return ok;
}

static bool
answer(int fd, struct request *r)
{
	r->path[strcspn(r->path, "?")] = '\0';
	if (!r->head && strcmp(r->method, "GET") != 0)
		return reply(fd, r, "405 Method Not Allowed", 0, "");
	if (strcmp(r->path, "/") != 0)
		return send_file(fd, r);
	return reply(fd, r, "200 OK", sizeof page - 1, page);
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
		if (line[strcspn(line, ": \t")] != ':')
			return false;
		if (strncasecmp(line, "Connection:", 11) == 0) {
			if (strcasestr(line + 11, "close") != NULL)
				r->close = true;
			else if (strcasestr(line + 11, "keep-alive") != NULL)
				r->close = false;
		}
		/* A body would be taken for the next request. */
		if (strncasecmp(line, "Transfer-Encoding:", 18) == 0 ||
		    (strncasecmp(line, "Content-Length:", 15) == 0 &&
			line[15 + strspn(line + 15, " \t0")] != '\0'))
			return false;
	}
	return true;
}

/* Takes apart size bytes that end with the empty line. */
static bool
parse(char *head, size_t size, struct request *r)
{
	char *line = strstr(head, "\r\n"), *version;

	*r = (struct request){ .method = head };
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

/*
 * Waits for a whole head. NULL and its size: there it is; "": there will be
 * none; else what is to be said.
 */
static const char *
read_head(struct client *c, size_t *ret_size)
{
	int64_t until = now_ms() + PATIENCE;

	for (;;) {
		char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
		ssize_t n;

		if (end != NULL) {
			*ret_size = (size_t)(end + 4 - c->in);
			return NULL;
		}
		if (c->have == HEAD_MAX)
			return "431 Request Header Fields Too Large";
		n = recv(c->fd, c->in + c->have, HEAD_MAX - c->have, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return "";
		if (n > 0)
			c->have += (size_t)n;
		else if (c->have == 0 && sv_crowded())
			return ""; /* others have something to ask */
		if (n < 0 && now_ms() >= until)
			return c->have > 0 ? "408 Request Timeout" : "";
	}
}

/* The connection may be needed no more, its thread by another. */
static bool
turn_is_over(struct client *c)
{
	int64_t now = now_ms(), ms = now - c->turn;

	c->served++;
	if (ms < TURN || (ms < TURN_MOST && c->served < TURN_REQUESTS))
		return false;
	c->turn = now;
	c->served = 0;
	return sv_crowded();
}

/* A close with something unread would take the answer from the client. */
static void
drain(struct client *c)
{
	int64_t until = now_ms() + PATIENCE;

	shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, c->in, sizeof c->in, 0) > 0 && now_ms() < until)
		continue;
}

static void
serve(struct sv_connection *connection)
{
	struct timeval look = { .tv_usec = TURN_MOST * 1000L },
		       patience = { .tv_sec = PATIENCE / 1000 };
	struct request r = { .close = false };
	struct client c;

	c.fd = connection->fd;
	c.turn = now_ms();
	c.served = 0;
	c.have = 0;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof look);
	setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	while (!r.close) {
		size_t size = 0;
		const char *wrong = read_head(&c, &size);

		if (wrong == NULL && !parse(c.in, size, &r))
			wrong = "400 Bad Request";
		if (wrong != NULL && *wrong == '\0')
			return;
		if (wrong != NULL) {
			r = (struct request){ .close = true };
			if (reply(c.fd, &r, wrong, 0, ""))
				drain(&c);
			return;
		}
		if (turn_is_over(&c) || sv_stopping())
			r.close = true;
		if (!answer(c.fd, &r))
			return;
		c.have -= size;
		memmove(c.in, c.in + size, c.have);
	}
	if (c.have > 0)
		drain(&c);
}

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "http",
	.init = init,
	.on_connection = serve,
};
