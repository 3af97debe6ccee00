#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/client/sv_int.h"

#define PATIENCE_MS 10000
/* Unsent bytes at which what is there is sent before more is added. */
#define FULL (256U << 10)

/* --- a client ------------------------------------------------------------- */

static int
fits(char *to, size_t size, int n)
{
	(void)to;
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static int
find_path(const char *path, char *to, size_t size)
{
	static const char machine[] = "/run/supervisord/tasks.sock";
	const char *run = getenv("XDG_RUNTIME_DIR");
	int r;

	if (path == NULL)
		path = getenv("SUPERVISOR_TASKS");
	if (path != NULL && *path != '\0')
		return fits(to, size, snprintf(to, size, "%s", path));
	if (geteuid() == 0)
		r = -ENOENT;
	else if (run != NULL && run[0] == '/')
		r = fits(to, size,
		    snprintf(to, size, "%s/supervisord/tasks.sock", run));
	else
		r = fits(to, size,
		    snprintf(to, size, "/tmp/supervisord-%u/tasks.sock",
			(unsigned)geteuid()));
	/* Without one of their own, a user means the machine's. */
	if (r < 0 || access(to, F_OK) < 0)
		return fits(to, size, snprintf(to, size, "%s", machine));
	return 0;
}

int
sv_client_new(const char *path, struct sv_client **ret)
{
	struct sv_client *c = calloc(1, sizeof *c);
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->fd = c->epoll = c->timer = -1;
	c->patience_ms = PATIENCE_MS;
	c->all.prev = c->all.next = &c->all;
	r = find_path(path, c->path, sizeof c->path);
	if (r == 0)
		r = sv_conn_open(c);
	if (r < 0) {
		sv_client_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void
sv_client_free(struct sv_client *c)
{
	if (c == NULL)
		return;
	sv_requests_done(c);
	sv_conn_close(c);
	free(c);
}

void
sv_client_patience(struct sv_client *c, int ms)
{
	c->patience_ms = ms;
}

const struct sv_error *
sv_client_error(const struct sv_client *c)
{
	return &c->error;
}

const char *
sv_state_name(enum sv_state state)
{
	switch (state) {
	case SV_DONE:
		return "done";
	case SV_FAILED:
		return "failed";
	case SV_CANCELLED:
		return "cancelled";
	case SV_DEAD:
		return "dead";
	}
	return "?";
}

void
sv_result_done(struct sv_result *r)
{
	free(r->data);
	r->data = NULL;
	r->size = 0;
}

int
sv_client_fd(const struct sv_client *c)
{
	return c->epoll;
}

size_t
sv_client_pending(const struct sv_client *c)
{
	return c->pending;
}

/* --- many at the same time ------------------------------------------------ */

static size_t
length(const char *s)
{
	return s != NULL ? strlen(s) : 0;
}

static int
check(struct sv_client *c, const struct sv_job *t)
{
	if (length(t->worker) == 0 || length(t->worker) > 255 ||
	    length(t->func) == 0 || length(t->func) > WIRE_FUNC_MAX)
		return sv_set_error(c, -EINVAL, "bad-value",
		    "a task needs a worker and a function of at most 128 "
		    "bytes");
	if (length(t->key) > WIRE_KEY_MAX ||
	    length(t->limit_key) > WIRE_KEY_MAX)
		return sv_set_error(c, -EINVAL, "bad-value",
		    "a key may have at most 256 bytes");
	if (t->size > WIRE_PAYLOAD_MAX)
		return sv_set_error(c, -E2BIG, "too-large",
		    "the arguments may have at most 1 MiB");
	return 0;
}

static char *
put(char *to, const void *from, size_t size)
{
	if (size > 0)
		memcpy(to, from, size);
	return to + size;
}

/* The body of SUBMIT into a block of its size; NULL: no memory. */
static char *
make_body(const struct sv_job *t, bool wait, char *own, size_t own_size,
    size_t *ret_size)
{
	struct wire_submit w = { .priority = (uint8_t)t->priority,
		.flags = wait ? WIRE_WAIT : 0,
		.worker_size = (uint8_t)length(t->worker),
		.func_size = (uint8_t)length(t->func),
		.key_size = htole16((uint16_t)length(t->key)),
		.limit_key_size = htole16((uint16_t)length(t->limit_key)),
		.retries = (int32_t)htole32((uint32_t)t->retries),
		.timeout_ms = (int32_t)htole32((uint32_t)t->timeout_ms),
		.delay_ms = htole64(t->delay_ms) };
	size_t size = sizeof w + w.worker_size + w.func_size + length(t->key) +
		      length(t->limit_key) + t->size;
	char *body = size <= own_size ? own : malloc(size), *to;

	if (body == NULL)
		return NULL;
	to = put(body, &w, sizeof w);
	to = put(to, t->worker, w.worker_size);
	to = put(to, t->func, w.func_size);
	to = put(to, t->key, length(t->key));
	to = put(to, t->limit_key, length(t->limit_key));
	put(to, t->data, t->size);
	*ret_size = size;
	return body;
}

static int
start(struct sv_client *c, struct sv_request *r, enum wire_type type,
    uint8_t flags, const char *body, size_t size)
{
	int e = sv_request_send(c, r, type, flags, body, size);

	if (e < 0) {
		sv_request_free(c, r);
		return sv_set_error(c, e, "memory", "out of memory");
	}
	return 0;
}

/* A connection, or one that is being tried for. */
static int
be_connected(struct sv_client *c)
{
	int r = sv_conn_start(c);

	if (r < 0)
		return sv_set_error(c, r, "connection", strerror(-r));
	if (c->out.size - c->out_at > FULL)
		sv_conn_flush(c);
	return 0;
}

/* As sv_start; *ret is the request, to take it back. */
static int
start_task(struct sv_client *c, const struct sv_job *task,
    sv_accepted_fn *accepted, sv_ended_fn *ended, void *arg,
    struct sv_request **ret)
{
	struct sv_request *r;
	char own[512], *body;
	size_t size = 0;
	int e = check(c, task);

	if (e == 0)
		e = be_connected(c);
	if (e < 0)
		return e;
	body = make_body(task, ended != NULL, own, sizeof own, &size);
	r = body != NULL ? sv_request_new(c, SV_SUBMIT, ++c->last_tag) : NULL;
	if (r != NULL) {
		r->keyed = task->key != NULL;
		r->accepted = accepted;
		r->ended = ended;
		r->arg = arg;
		*ret = r;
		e = start(
		    c, r, WIRE_SUBMIT, task->json ? WIRE_JSON : 0, body, size);
	} else {
		e = sv_set_error(c, -ENOMEM, "memory", "out of memory");
	}
	if (body != own)
		free(body);
	return e;
}

int
sv_start(struct sv_client *c, const struct sv_job *task,
    sv_accepted_fn *accepted, sv_ended_fn *ended, void *arg)
{
	struct sv_request *r;

	return start_task(c, task, accepted, ended, arg, &r);
}

/* As sv_watch; *ret is the request, to take it back. */
static int
watch(struct sv_client *c, uint64_t id, sv_ended_fn *ended, void *arg,
    struct sv_request **ret)
{
	struct sv_request *r;
	uint64_t le = htole64(id);
	int e;

	if (id == 0)
		return sv_set_error(
		    c, -EINVAL, "bad-value", "a task's id is never 0");
	e = be_connected(c);
	if (e < 0)
		return e;
	r = sv_request_take_up(c, id);
	if (r != NULL) {
		r->ended = ended;
		r->arg = arg;
		*ret = r;
		return 0;
	}
	r = sv_request_new(c, SV_AWAIT, ++c->last_tag);
	if (r == NULL || sv_request_await(c, r, id) < 0) {
		if (r != NULL)
			sv_request_free(c, r);
		return sv_set_error(c, -ENOMEM, "memory", "out of memory");
	}
	r->ended = ended;
	r->arg = arg;
	*ret = r;
	return start(c, r, WIRE_AWAIT, 0, (const char *)&le, sizeof le);
}

int
sv_watch(struct sv_client *c, uint64_t id, sv_ended_fn *ended, void *arg)
{
	struct sv_request *r;

	return watch(c, id, ended, arg, &r);
}

int
sv_client_dispatch(struct sv_client *c, int timeout_ms)
{
	int64_t until = sv_now() + timeout_ms * 1000000LL;

	if (c->inside)
		return sv_set_error(c, -EDEADLK, "callback",
		    "this may not be called from a callback");
	c->called = 0;
	do {
		int64_t left = (until - sv_now() + 999999) / 1000000;
		int wait = timeout_ms < 0                ? -1
			   : left < 0 || timeout_ms == 0 ? 0
							 : (int)left;
		int r = sv_conn_turn(c, c->pending > 0 ? wait : 0);

		if (r < 0)
			return r;
	} while (c->called == 0 && c->pending > 0 &&
		 (timeout_ms < 0 || sv_now() < until));
	return c->called;
}

/* --- one after the other -------------------------------------------------- */

/* What a call waits for. */
struct one {
	bool over;
	int error;
	uint64_t id;
	struct sv_result *result;
	char **json;
	size_t *left; /* of many */
	int *first;   /* error of many */
};

static void
on_accepted(void *arg, int error, const struct sv_error *why, uint64_t id)
{
	struct one *o = arg;

	(void)why;
	o->id = id;
	o->error = error;
	o->over = o->result == NULL || error < 0;
	if (o->left != NULL)
		--*o->left;
	if (o->first != NULL && *o->first == 0)
		*o->first = error;
}

static void
on_ended(
    void *arg, int error, const struct sv_error *why, struct sv_result *result)
{
	struct one *o = arg;

	(void)why;
	o->error = error;
	o->over = true;
	if (result != NULL) {
		*o->result = *result;
		result->data = NULL;
	}
}

static void
on_answer(void *arg, int error, const struct sv_error *why, const char *json,
    size_t size)
{
	struct one *o = arg;

	(void)why;
	o->error = error;
	o->over = true;
	if (error == 0 && o->json != NULL) {
		*o->json = strndup(json, size);
		if (*o->json == NULL)
			o->error = -ENOMEM;
	}
}

/* false: the time is over. Failures of the connection come by o. */
static bool
until_over(struct sv_client *c, struct one *o, int timeout_ms)
{
	int64_t until = sv_now() + timeout_ms * 1000000LL;

	while (!o->over) {
		int64_t left = (until - sv_now() + 999999) / 1000000;
		int r;

		if (timeout_ms >= 0 && left <= 0)
			return false;
		r = sv_client_dispatch(c, timeout_ms < 0 ? -1 : (int)left);
		if (r < 0 && !o->over) {
			o->error = r;
			o->over = true;
		}
	}
	return true;
}

static int
may_block(struct sv_client *c)
{
	return c->inside ? sv_set_error(c, -EDEADLK, "callback",
			       "this may not be called from a callback")
			 : 0;
}

int
sv_submit(struct sv_client *c, const struct sv_job *task, uint64_t *ret_id)
{
	struct one o = { .over = false };
	int r = may_block(c);

	if (r == 0)
		r = sv_start(c, task, on_accepted, NULL, &o);
	if (r < 0)
		return r;
	until_over(c, &o, -1);
	*ret_id = o.id;
	return o.error;
}

int
sv_submit_many(struct sv_client *c, const struct sv_job *tasks, size_t count,
    uint64_t *ids)
{
	struct one *all = calloc(count > 0 ? count : 1, sizeof *all);
	size_t left = 0;
	int first = may_block(c), r = 0;

	if (all == NULL)
		return sv_set_error(c, -ENOMEM, "memory", "out of memory");
	for (size_t i = 0; first == 0 && i < count; i++) {
		all[i].left = &left;
		all[i].first = &first;
		left++;
		r = sv_start(c, &tasks[i], on_accepted, NULL, &all[i]);
		if (r < 0) {
			left--;
			first = r;
		} else if (c->out.size - c->out_at >= FULL) {
			sv_client_dispatch(c, 0);
		}
	}
	/* Each is answered, or fails with the connection. */
	while (left > 0 && sv_client_dispatch(c, -1) >= 0)
		continue;
	for (size_t i = 0; i < count; i++)
		ids[i] = all[i].error == 0 ? all[i].id : 0;
	free(all);
	return first;
}

static int
take_back(struct sv_client *c, struct sv_request *r)
{
	sv_request_leave(c, r);
	return sv_set_error(c, -ETIMEDOUT, "timeout",
	    "the task has not ended within the time given");
}

int
sv_wait(struct sv_client *c, uint64_t id, int timeout_ms, struct sv_result *ret)
{
	struct one o = { .result = ret };
	struct sv_request *request = NULL;
	int r = may_block(c);

	*ret = (struct sv_result){ .id = id };
	if (r == 0)
		r = watch(c, id, on_ended, &o, &request);
	if (r < 0)
		return r;
	if (!until_over(c, &o, timeout_ms))
		return take_back(c, request);
	return o.error;
}

int
sv_run(struct sv_client *c, const struct sv_job *task, int timeout_ms,
    struct sv_result *ret)
{
	struct one o = { .result = ret };
	struct sv_request *request = NULL;
	int r = may_block(c);

	*ret = (struct sv_result){ .id = 0 };
	if (r == 0)
		r = start_task(c, task, on_accepted, on_ended, &o, &request);
	if (r < 0)
		return r;
	if (!until_over(c, &o, timeout_ms)) {
		ret->id = o.id;
		return take_back(c, request);
	}
	return o.error;
}

static int
call(struct sv_client *c, const char *method, const char *params,
    char **ret_json)
{
	struct one o = { .json = ret_json };
	uint64_t tag = ++c->last_tag;
	struct sv_request *r;
	char *text = NULL;
	int n, e;

	n = asprintf(&text,
	    "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"%s\","
	    "\"params\":%s}",
	    (unsigned long long)tag, method, params != NULL ? params : "{}");
	r = n > 0 ? sv_request_new(c, SV_CALL, tag) : NULL;
	if (r == NULL) {
		if (n > 0)
			free(text);
		return sv_set_error(c, -ENOMEM, "memory", "out of memory");
	}
	r->answered = on_answer;
	r->arg = &o;
	e = start(c, r, WIRE_CALL, 0, text, (size_t)n);
	free(text);
	if (e < 0)
		return e;
	until_over(c, &o, -1);
	return o.error;
}

int
sv_call(struct sv_client *c, const char *method, const char *params,
    char **ret_json)
{
	int e = may_block(c);

	if (e == 0)
		e = be_connected(c);
	if (e == 0)
		e = call(c, method, params, ret_json);
	return e;
}

int
sv_cancel(struct sv_client *c, uint64_t id)
{
	char params[64];

	snprintf(
	    params, sizeof params, "{\"id\":%llu}", (unsigned long long)id);
	return sv_call(c, "cancel", params, NULL);
}
