#include "supervisord/ctl/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/wait.h"

#define MAX_REQUEST (1U << 20)
#define READ_SIZE   (256U << 10)

void
ctl_conn_init(struct ctl_conn *c)
{
	memset(c, 0, sizeof *c);
	c->fd = -1;
}

void
ctl_conn_close(struct ctl_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_clear(&c->in);
	buf_clear(&c->out);
	c->taken = c->seen = 0;
}

void
ctl_conn_done(struct ctl_conn *c)
{
	ctl_conn_close(c);
	buf_done(&c->in);
	buf_done(&c->out);
}

/*
 * sun_path holds 107 bytes; a longer path goes by its folder's descriptor
 * (unix(7) knows no other way).
 */
static int
fill_address(struct sockaddr_un *sun, const char *path, int *ret_dir)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');
	int n;

	*ret_dir = -1;
	memset(sun, 0, sizeof *sun);
	sun->sun_family = AF_UNIX;
	if (strlen(path) < sizeof sun->sun_path) {
		memcpy(sun->sun_path, path, strlen(path));
		return 0;
	}
	if (slash == NULL || (size_t)(slash - path) >= sizeof dir)
		return -ENAMETOOLONG;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return -errno;
	n = snprintf(sun->sun_path, sizeof sun->sun_path, "/proc/self/fd/%d/%s",
	    *ret_dir, slash + 1);
	return n >= (int)sizeof sun->sun_path ? -ENAMETOOLONG : 0;
}

int
ctl_conn_open(struct ctl_conn *c, const char *path, int timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000 };
	struct sockaddr_un sun;
	int dir, r;

	ctl_conn_close(c);
	r = fill_address(&sun, path, &dir);
	if (r < 0)
		goto out;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		r = -errno;
		goto out;
	}
	/* Bounds connect() to a full backlog. */
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	if (connect(c->fd, (struct sockaddr *)&sun, sizeof sun) < 0)
		r = -errno;
	else
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
out:
	if (dir >= 0)
		close(dir);
	if (r < 0)
		ctl_conn_close(c);
	return r;
}

int64_t
ctl_conn_queue(struct ctl_conn *c, const char *method, const char *params)
{
	size_t before = c->out.size;

	buf_str(&c->out, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_fmt(&c->out, "%lld", (long long)++c->last_id);
	jw_kv_string(&c->out, "method", method);
	jw_key(&c->out, "params");
	buf_str(&c->out, params);
	buf_str(&c->out, "}\n");
	if (c->out.failed)
		return -ENOMEM;
	if (c->out.size - before > MAX_REQUEST) {
		/* What was queued before is well. */
		c->out.size = before;
		return -E2BIG;
	}
	return c->last_id;
}

/* Who answers more than the connection holds takes no more requests until that
 * is read: it is, meanwhile. */
static int
wait_to_send(struct ctl_conn *c, int quiet_ms)
{
	int r = ctl_wait(c->fd, POLLOUT | POLLIN, quiet_ms);
	ssize_t n;

	if (r < 0)
		return r;
	if (!buf_reserve(&c->in, READ_SIZE))
		return -ENOMEM;
	n = read(c->fd, c->in.data + c->in.size, READ_SIZE);
	c->in.size += n > 0 ? (size_t)n : 0;
	return 0;
}

int
ctl_conn_flush(struct ctl_conn *c, int quiet_ms)
{
	if (c->fd < 0)
		return -EPIPE;
	while (c->out.size > 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL);
		int r = 0;

		if (n >= 0)
			buf_consume(&c->out, (size_t)n);
		else if (errno == EAGAIN)
			r = wait_to_send(c, quiet_ms);
		else if (errno != EINTR)
			r = errno == ECONNRESET ? -EPIPE : -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

bool
ctl_conn_has_line(struct ctl_conn *c)
{
	return c->in.size > c->taken && memchr(c->in.data + c->taken, '\n',
					    c->in.size - c->taken) != NULL;
}

/* Reads what is there, waiting for the first byte. */
static int
fill(struct ctl_conn *c, int quiet_ms)
{
	ssize_t n;
	int r;

	if (!buf_reserve(&c->in, READ_SIZE))
		return -ENOMEM;
	for (;;) {
		n = read(c->fd, c->in.data + c->in.size, READ_SIZE);
		if (n > 0) {
			c->in.size += (size_t)n;
			return 0;
		}
		if (n == 0 || errno == ECONNRESET)
			return -EPIPE;
		if (errno != EAGAIN)
			return -errno;
		r = ctl_wait(c->fd, POLLIN, quiet_ms);
		if (r < 0)
			return r;
	}
}

int
ctl_conn_next(struct ctl_conn *c, int quiet_ms, struct ctl_msg *ret)
{
	const char *newline = NULL;
	size_t size, at;
	int r;

	if (c->fd < 0)
		return -EPIPE;
	if (c->taken > 0) {
		buf_consume(&c->in, c->taken);
		c->taken = c->seen = 0;
	}
	for (;;) {
		if (c->in.size > c->seen)
			newline = memchr(
			    c->in.data + c->seen, '\n', c->in.size - c->seen);
		if (newline != NULL)
			break;
		c->seen = c->in.size;
		r = fill(c, quiet_ms);
		if (r < 0)
			return r;
	}
	at = (size_t)(newline - c->in.data);
	size = at;
	c->taken = c->seen = at + 1;
	return ctl_msg_parse(c->in.data, size, ret);
}

/* Members a message may have; what else there is is skipped. */
struct parts {
	struct ctl_span method, result, error, params;
	double id;
};

static bool
parse_member(struct ctl_scan *s, struct parts *parts)
{
	struct ctl_span key;

	if (!ctl_scan_key(s, &key))
		return false;
	if (ctl_span_is(key, "method"))
		return ctl_scan_string(s, &parts->method);
	if (ctl_span_is(key, "id") && ctl_scan_peek(s) != 'n')
		return ctl_scan_number(s, &parts->id);
	if (ctl_span_is(key, "result"))
		return ctl_scan_value(s, &parts->result);
	if (ctl_span_is(key, "error"))
		return ctl_scan_value(s, &parts->error);
	if (ctl_span_is(key, "params"))
		return ctl_scan_value(s, &parts->params);
	return ctl_scan_value(s, NULL);
}

int
ctl_msg_parse(const char *line, size_t size, struct ctl_msg *ret)
{
	struct parts parts = { .id = 0 };
	struct ctl_scan s;
	bool first = true;

	memset(ret, 0, sizeof *ret);
	ctl_scan_init(&s, line, size);
	ctl_scan_open(&s, '{');
	while (ctl_scan_more(&s, '}', &first)) {
		if (!parse_member(&s, &parts))
			break;
	}
	if (s.bad || !ctl_scan_at_end(&s) ||
	    !(parts.id >= 0 && parts.id < 1e15))
		return -EBADMSG;
	ret->id = (int64_t)parts.id;
	if (parts.method.s != NULL) {
		ret->kind = CTL_MSG_NOTIFY;
		ret->method = parts.method;
		ret->body = parts.params;
	} else if (parts.error.s != NULL && parts.error.s[0] == '{') {
		ret->kind = CTL_MSG_ERROR;
		ret->body = parts.error;
	} else if (parts.result.s != NULL) {
		ret->kind = CTL_MSG_RESULT;
		ret->body = parts.result;
	} else {
		return -EBADMSG;
	}
	return 0;
}
