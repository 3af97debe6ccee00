#include "supervisord/master/forward.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/answers.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/rpc.h"

/* With the caller's few bytes; the broker takes lines of 1 MiB. */
#define REQUEST_MAX (1 << 20)
#define ANSWER_MAX  (64 << 20)
#define UNSENT_MAX  (16 << 20)
#define PENDING_MAX 8192

/* A broker that is just starting has no socket yet. */
#define RETRY_SECONDS 0.02
#define RETRIES       250

struct pending {
	uint64_t id;
	struct request *r; /* NULL: a question of ours, answered by: */
	uint32_t cookie;
	UT_hash_handle hh;
};

struct forward {
	struct master *m;
	int fd; /* -1: not connected */
	ev_io io;
	ev_timer retry;
	unsigned tries;
	uint64_t last_id;
	struct buf in, out;
	size_t out_at;  /* sent so far */
	size_t scanned; /* of in: no newline before this */
	struct pending *pending;
};

/* --- the connection ------------------------------------------------------- */

static void
watch(struct forward *f)
{
	int want = EV_READ | (f->out.size > f->out_at ? EV_WRITE : 0);

	if (f->fd < 0 || (ev_is_active(&f->io) && f->io.events == want))
		return;
	ev_io_stop(f->m->loop, &f->io);
	ev_io_set(&f->io, f->fd, want);
	ev_io_start(f->m->loop, &f->io);
}

static void
end(struct forward *f, struct pending *p)
{
	HASH_DEL(f->pending, p);
	free(p);
}

static void
answer_lost(struct request *r, bool sent, const char *why)
{
	static const char data[] = "{\"error\":\"no-broker\"}";

	if (sent)
		request_fail_data(r, RPC_FAILED, data,
		    "the task queue does not answer (%s): what was asked may "
		    "have been done or not; a submit with a key can safely be "
		    "sent again",
		    why);
	else
		request_fail_data(r, RPC_FAILED, data,
		    "the task queue is not up (tasks.sock: %s): nothing was "
		    "done; supervisord's log says why",
		    why);
}

/* All that wait get this answer. A new request makes a new connection. */
static void
lose(struct forward *f, const char *why)
{
	struct pending *p, *tmp, *lost = f->pending;
	bool sent = f->fd >= 0;

	ev_timer_stop(f->m->loop, &f->retry);
	ev_io_stop(f->m->loop, &f->io);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->tries = 0;
	f->out_at = f->scanned = 0;
	buf_done(&f->in);
	buf_done(&f->out);
	/* A request that is answered may have another one behind it. */
	f->pending = NULL;
	HASH_ITER(hh, lost, p, tmp)
	{
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links */
		HASH_DEL(lost, p);
		if (p->r != NULL)
			answer_lost(p->r, sent, why);
		else
			answers_tail_arrived(f->m, p->cookie, "", 0);
		free(p);
	}
}

static void
flush(struct forward *f)
{
	while (f->fd >= 0 && f->out.size > f->out_at) {
		ssize_t n = send(f->fd, f->out.data + f->out_at,
		    f->out.size - f->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* The reader finds the end, and answers before it. */
			f->out_at = f->out.size;
			break;
		}
		f->out_at += (size_t)n;
	}
	if (f->out_at == f->out.size) {
		f->out_at = 0;
		buf_done(&f->out);
	}
	watch(f);
}

static int
try_connect(struct forward *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, error;

	if ((size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s/tasks.sock",
		f->m->fleet->settings.run_dir) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
		f->fd = fd;
		return 0;
	}
	error = errno;
	close(fd);
	return -error;
}

/* What is to be sent waits meanwhile. */
static void
connect_now(struct forward *f)
{
	int r;

	if (f->fd >= 0 || ev_is_active(&f->retry))
		return;
	r = try_connect(f);
	if (r == 0) {
		f->tries = 0;
		flush(f);
		return;
	}
	if ((r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN) &&
	    ++f->tries < RETRIES) {
		ev_timer_set(&f->retry, RETRY_SECONDS, 0.);
		ev_timer_start(f->m->loop, &f->retry);
		return;
	}
	lose(f, strerror(-r));
}

static void
again(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	connect_now(CONTAINER_OF(timer, struct forward, retry));
}

/* --- answers -------------------------------------------------------------- */

/* What a line of the broker's answers, as it should write it, and the rest of
 * the line; or NULL. */
static struct pending *
answered_by(struct forward *f, const char *line, size_t size, char **ret_rest)
{
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":";
	struct pending *p;
	uint64_t id;

	if (size < sizeof head || memcmp(line, head, sizeof head - 1) != 0)
		return NULL;
	id = strtoull(line + sizeof head - 1, ret_rest, 10);
	HASH_FIND(hh, f->pending, &id, sizeof id, p);
	return p;
}

/* The result's text goes on untouched: a number read and written again may be
 * another one. */
static bool
pass_on_result(struct forward *f, const char *line, size_t size)
{
	static const char middle[] = ",\"result\":";
	struct buf result;
	char *at;
	struct pending *p = answered_by(f, line, size, &at);

	if (p == NULL || p->r == NULL || line[size - 1] != '}' ||
	    strncmp(at, middle, sizeof middle - 1) != 0)
		return false;
	at += sizeof middle - 1;
	buf_init(&result);
	buf_add(&result, at, (size_t)(line + size - 1 - at));
	request_reply(p->r, &result);
	end(f, p);
	return true;
}

static int
add_text(const char *text, size_t size, void *arg)
{
	struct buf *b = arg;

	buf_add(b, text, size);
	return b->failed ? -1 : 0;
}

/* As json_dumps, which leaves a name out for which it gets no memory: the buf
 * remembers that. */
static char *
dump(const json_t *v)
{
	struct buf b;

	buf_init(&b);
	if (v == NULL || json_dump_callback(v, add_text, &b,
			     JSON_COMPACT | JSON_ENCODE_ANY) < 0)
		b.failed = true;
	return buf_take(&b);
}

static void
pass_on_error(struct request *r, const json_t *error)
{
	const char *words =
	    json_string_value(json_object_get(error, "message"));
	int code = (int)json_integer_value(json_object_get(error, "code"));
	char *data = dump(json_object_get(error, "data"));

	if (words == NULL)
		words = "the broker's answer can't be understood";
	request_fail_data(r, code != 0 ? code : RPC_FAILED, data, "%s", words);
	free(data);
}

static void
answer(struct forward *f, struct pending *p, const json_t *message)
{
	const json_t *result = json_object_get(message, "result");
	struct buf b;
	char *text;

	if (p->r == NULL) {
		const char *words =
		    json_string_value(json_object_get(result, "text"));

		if (words == NULL)
			words = "";
		answers_tail_arrived(f->m, p->cookie, words, strlen(words));
	} else if (result == NULL) {
		pass_on_error(p->r, json_object_get(message, "error"));
	} else {
		text = dump(result);
		buf_init(&b);
		buf_str(&b, text != NULL ? text : "null");
		b.failed = b.failed || text == NULL;
		free(text);
		request_reply(p->r, &b);
	}
	end(f, p);
}

static void
notify(struct request *r, const json_t *message)
{
	const char *method =
	    json_string_value(json_object_get(message, "method"));
	char *text = dump(json_object_get(message, "params"));
	struct buf params;

	buf_init(&params);
	if (method != NULL && text != NULL) {
		buf_str(&params, text);
		request_notify(r, method, &params);
	}
	buf_done(&params);
	free(text);
}

/* No JSON, or there is no memory for it. */
static void
take_unread(struct forward *f, const char *line, size_t size, const char *error)
{
	char *rest;
	struct pending *p = answered_by(f, line, size, &rest);

	log_error("what the broker says can't be read: %s", error);
	if (p == NULL)
		return;
	if (p->r != NULL)
		request_fail(p->r, RPC_FAILED,
		    "the task queue's answer can't be read (%s): what was "
		    "asked may have been done or not",
		    error);
	end(f, p);
}

static void
take_line(struct forward *f, const char *line, size_t size)
{
	const json_t *id;
	json_error_t error;
	struct pending *p;
	json_t *message;
	uint64_t number;

	if (pass_on_result(f, line, size))
		return;
	message = json_loadb(line, size, 0, &error);
	id = json_object_get(message, "id");
	if (id == NULL)
		id = json_object_get(message, "request");
	number = (uint64_t)json_integer_value(id);
	HASH_FIND(hh, f->pending, &number, sizeof number, p);
	if (message == NULL)
		take_unread(f, line, size, error.text);
	else if (p != NULL && json_object_get(message, "id") != NULL)
		answer(f, p, message);
	else if (p != NULL && p->r != NULL)
		notify(p->r, message);
	json_decref(message);
}

static void
take_lines(struct forward *f)
{
	size_t at = 0;

	while (f->fd >= 0 && at + f->scanned < f->in.size) {
		const char *start = f->in.data + at;
		const char *newline = memchr(
		    start + f->scanned, '\n', f->in.size - at - f->scanned);

		if (newline == NULL) {
			f->scanned = f->in.size - at;
			break;
		}
		f->scanned = 0;
		at += (size_t)(newline - start) + 1;
		take_line(f, start, (size_t)(newline - start));
	}
	if (f->fd < 0)
		return;
	buf_consume(&f->in, at);
	if (f->in.size == 0)
		buf_done(&f->in);
}

static void
receive(struct forward *f)
{
	ssize_t n;

	if (!buf_reserve(&f->in, 65536) || f->in.size > ANSWER_MAX) {
		lose(f, "an answer is too large");
		return;
	}
	n = recv(f->fd, f->in.data + f->in.size, f->in.room - f->in.size - 1,
	    MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		lose(f, n < 0 ? strerror(errno) : "its process has ended");
		return;
	}
	f->in.size += (size_t)n;
	f->in.data[f->in.size] = '\0';
	take_lines(f);
}

static void
ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct forward *f = CONTAINER_OF(io, struct forward, io);

	(void)loop;
	if (events & EV_WRITE)
		flush(f);
	if (f->fd >= 0 && (events & EV_READ))
		receive(f);
}

/* --- questions ------------------------------------------------------------ */

static struct forward *
of(struct master *m)
{
	struct forward *f = m->forward;

	if (f != NULL)
		return f;
	f = m->forward = calloc(1, sizeof *f);
	if (f == NULL)
		return NULL;
	f->m = m;
	f->fd = -1;
	buf_init(&f->in);
	buf_init(&f->out);
	ev_init(&f->io, ready);
	ev_init(&f->retry, again);
	return f;
}

/* A number for the question; 0: no memory. */
static uint64_t
expect(struct forward *f, struct request *r, uint32_t cookie)
{
	struct pending *p = calloc(1, sizeof *p);

	if (p == NULL)
		return 0;
	p->id = ++f->last_id;
	p->r = r;
	p->cookie = cookie;
	HASH_ADD(hh, f->pending, id, sizeof p->id, p);
	if (p->hh.tbl == NULL) {
		free(p);
		return 0;
	}
	return p->id;
}

static void
say(struct forward *f, const struct buf *line)
{
	if (f->out_at > 0) {
		buf_consume(&f->out, f->out_at);
		f->out_at = 0;
	}
	buf_add(&f->out, line->data, line->size);
	buf_char(&f->out, '\n');
	if (f->out.failed) {
		lose(f, "out of memory");
		return;
	}
	if (f->fd >= 0)
		flush(f);
	else
		connect_now(f);
}

static void
put_question(
    struct buf *line, uint64_t id, const char *method, const char *params)
{
	jw_object(line);
	jw_kv_string(line, "jsonrpc", "2.0");
	jw_kv_int(line, "id", (int64_t)id);
	jw_kv_string(line, "method", method);
	jw_key(line, "params");
	jw_raw(line, params);
	jw_object_end(line);
}

/* The request's parameters, and whose it is; free() it. */
static char *
params_of(const struct request *r)
{
	json_t *caller = json_pack("{s:I,s:I}", "uid", (json_int_t)r->actor.uid,
	    "pid", (json_int_t)r->actor.pid);

	/* In place of one the client has written itself. */
	if (caller == NULL ||
	    json_object_set_new(r->params, "caller", caller) < 0)
		return NULL;
	return dump(r->params);
}

void
forward_request(struct request *r)
{
	struct forward *f = of(r->m);
	const char *method = r->method->method;
	struct buf line;
	char *params;
	uint64_t id;

	if (!r->m->broker_wanted) {
		request_fail_data(r, RPC_NO_TARGET,
		    "{\"error\":\"unknown-worker\"}",
		    "no worker takes tasks (those that wait for one that has "
		    "left the config are kept until it is back)");
		return;
	}
	if (f != NULL && (HASH_COUNT(f->pending) >= PENDING_MAX ||
			     f->out.size - f->out_at > UNSENT_MAX)) {
		request_fail(r, RPC_FAILED,
		    "too many requests wait for the task queue's answer");
		return;
	}
	buf_init(&line);
	params = f != NULL ? params_of(r) : NULL;
	id = params != NULL ? expect(f, r, 0) : 0;
	if (id == 0) {
		request_fail(r, RPC_FAILED, "out of memory");
		free(params);
		return;
	}
	put_question(&line, id, method, params);
	free(params);
	if (line.failed || line.size > REQUEST_MAX) {
		struct pending *p;

		HASH_FIND(hh, f->pending, &id, sizeof id, p);
		if (p != NULL)
			end(f, p);
		request_fail(r, line.failed ? RPC_FAILED : RPC_USAGE, "%s",
		    line.failed ? "out of memory"
				: "larger than a task may be");
	} else {
		say(f, &line);
	}
	buf_done(&line);
}

bool
forward_why(struct master *m, const char *instance, uint32_t cookie)
{
	struct forward *f = m->broker_wanted ? of(m) : NULL;
	struct buf line, params;
	uint64_t id;

	if (f == NULL || HASH_COUNT(f->pending) >= PENDING_MAX)
		return false;
	id = expect(f, NULL, cookie);
	if (id == 0)
		return false;
	buf_init(&params);
	jw_object(&params);
	jw_kv_string(&params, "instance", instance);
	jw_object_end(&params);
	buf_init(&line);
	if (!params.failed)
		put_question(&line, id, "why", buf_text(&params));
	if (line.failed || params.failed) {
		struct pending *p;

		HASH_FIND(hh, f->pending, &id, sizeof id, p);
		if (p != NULL)
			end(f, p);
		id = 0;
	} else {
		say(f, &line);
	}
	buf_done(&params);
	buf_done(&line);
	return id != 0;
}
