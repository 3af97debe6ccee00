#include "supervisord/master/rpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/control.h"
#include "supervisord/master/jobs.h"

static void
request_free(struct request *r)
{
	list_remove(&r->link);
	json_decref(r->id);
	json_decref(r->params);
	free(r->own);
	if (r->client != NULL)
		conn_answered(&r->client->conn);
	free(r);
}

/* At once: what the request has set off may end this process before the turn
 * is over (an upgrade). */
static void
send_line(struct client *c, const struct buf *line)
{
	conn_put_line(&c->conn, line);
	conn_push(&c->conn);
}

void
request_reply(struct request *r, struct buf *result)
{
	struct buf line;

	if (result->failed) {
		buf_done(result);
		r->job = NULL;
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	if (r->client != NULL && r->id != NULL) {
		buf_init(&line);
		rpc_put_result(&line, r->id, result);
		send_line(r->client, &line);
		buf_done(&line);
	}
	buf_done(result);
	request_free(r);
}

static void
send_error(struct client *c, const json_t *id, int code, const char *data,
    const char *words)
{
	struct buf line;

	buf_init(&line);
	rpc_put_error(&line, id, code, words, data);
	send_line(c, &line);
	buf_done(&line);
}

static void
fail(struct request *r, int code, const char *data, const char *fmt, va_list ap)
{
	char words[1024];

	vsnprintf(words, sizeof words, fmt, ap);
	if (r->client != NULL && r->id != NULL)
		send_error(r->client, r->id, code, data, words);
	request_free(r);
}

void
request_fail(struct request *r, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(r, code, NULL, fmt, ap);
	va_end(ap);
}

void
request_fail_data(
    struct request *r, int code, const char *data, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(r, code, data, fmt, ap);
	va_end(ap);
}

void
request_notify(struct request *r, const char *method, const struct buf *params)
{
	struct buf line;

	if (r->client == NULL || params->failed)
		return;
	buf_init(&line);
	rpc_put_notification(&line, method, params);
	send_line(r->client, &line);
	buf_done(&line);
}

void
request_abandon(struct request *r)
{
	r->client = NULL;
	list_remove(&r->link);
	/* Nobody else holds a request that waits for instances: it ends here.
	 * The others are answered by whom they asked, into the void. */
	if (r->job != NULL) {
		job_cancel(r->job);
		request_free(r);
	}
}

bool
request_wants_progress(const struct request *r)
{
	return json_is_true(json_object_get(r->params, "progress"));
}

void
request_set_job(struct request *r, struct job *job)
{
	r->job = job;
}

bool
param_bool(struct request *r, const char *name, bool fallback, bool *ret)
{
	const json_t *v = json_object_get(r->params, name);

	*ret = fallback;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_boolean(v)) {
		request_fail(
		    r, RPC_PARAMS, "\"%s\" must be true or false", name);
		return false;
	}
	*ret = json_is_true(v);
	return true;
}

bool
param_int(struct request *r, const char *name, int64_t fallback, int64_t min,
    int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(r->params, name);

	*ret = fallback;
	if (v == NULL || json_is_null(v))
		return true;
	if (json_is_real(v) && json_real_value(v) >= (double)min &&
	    json_real_value(v) <= (double)max) {
		*ret = (int64_t)json_real_value(v);
		return true;
	}
	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max) {
		request_fail(r, RPC_PARAMS,
		    "\"%s\" must be a number from %lld to %lld", name,
		    (long long)min, (long long)max);
		return false;
	}
	*ret = json_integer_value(v);
	return true;
}

bool
param_string(
    struct request *r, const char *name, bool required, const char **ret)
{
	const json_t *v = json_object_get(r->params, name);

	*ret = json_string_value(v);
	if (*ret != NULL || ((v == NULL || json_is_null(v)) && !required))
		return true;
	request_fail(r, RPC_PARAMS, "\"%s\" must be a string", name);
	return false;
}

/*
 * One target may be said as a string, or as "target"; a list of parameters
 * without names is a list of targets. New reference; NULL: out of memory.
 */
static json_t *
named_params(json_t *params)
{
	json_t *named, *one;
	int r;

	if (json_is_array(params))
		return json_pack("{s:O}", "targets", params);
	named = params != NULL ? json_copy(params) : json_object();
	/* A copy without some of it would be another request. */
	r = json_object_size(named) == json_object_size(params) ? 0 : -1;
	one = json_object_get(named, "targets");
	if (one == NULL)
		one = json_object_get(named, "target");
	if (r == 0 && json_is_string(one))
		r = json_object_set_new(
		    named, "targets", json_pack("[O]", one));
	else if (r == 0 && json_is_array(one))
		r = json_object_set(named, "targets", one);
	if (r < 0) {
		json_decref(named);
		named = NULL;
	}
	return named;
}

static struct request *
request_new(struct client *c, const struct rpc_message *message)
{
	const char *command =
	    json_string_value(json_object_get(message->params, "command"));
	struct request *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->m = c->m;
	r->client = c;
	list_init(&r->link);
	list_append(&c->requests, &r->link);
	conn_began(&c->conn);
	r->id = json_incref(message->id);
	r->params = named_params(message->params);
	snprintf(r->command, sizeof r->command, "%s",
	    command != NULL ? command : message->method);
	r->actor.uid = c->conn.who.uid;
	r->actor.pid = c->conn.who.pid;
	r->actor.command = r->command;
	r->method = command_find(message->method);
	return r;
}

static void
run(struct request *r, const char *method)
{
	const struct who *who = &r->client->conn.who;

	if (r->params == NULL)
		request_fail(r, RPC_FAILED, "out of memory");
	else if (r->method == NULL)
		request_fail(
		    r, RPC_NO_METHOD, "no such method: \"%.100s\"", method);
	else if (r->method->permission == MAY_LOOK ? !who->may_look
						   : !who->may_change)
		request_fail(r, RPC_FAILED, RPC_DENIED, (int)who->uid,
		    r->method->method);
	else
		r->method->run(r);
}

void
rpc_line(struct conn *conn, const char *text, size_t size)
{
	struct client *c = CONTAINER_OF(conn, struct client, conn);
	char words[RPC_WORDS];
	struct rpc_message message;
	struct request *r;
	int code = rpc_message_read(&message, text, size, true, words);

	if (code != 0)
		send_error(c, message.id, code, NULL, words);
	else if ((r = request_new(c, &message)) == NULL)
		send_error(c, message.id, RPC_FAILED, NULL, "out of memory");
	else
		run(r, message.method);
	rpc_message_done(&message);
}
