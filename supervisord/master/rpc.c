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

/* jansson recurses while it parses: deeper input is refused by its own limit
 * (2,048), duplicates by this flag. */
#define PARSE_FLAGS JSON_REJECT_DUPLICATES

static void
request_free(struct request *r)
{
	list_remove(&r->link);
	json_decref(r->id);
	json_decref(r->params);
	free(r->own);
	free(r);
}

static void
put_id(struct buf *b, const json_t *id)
{
	jw_key(b, "id");
	if (json_is_integer(id))
		jw_int(b, json_integer_value(id));
	else if (json_is_string(id))
		jw_string(b, json_string_value(id));
	else
		jw_null(b);
}

void
request_reply(struct request *r, struct buf *result)
{
	struct buf line;

	/* A client that turns out to be gone abandons the requests it has;
	 * this one is over. */
	list_remove(&r->link);
	buf_init(&line);
	if (result->failed) {
		buf_done(result);
		r->job = NULL;
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	if (r->conn != NULL && r->id != NULL) {
		jw_object(&line);
		jw_kv_string(&line, "jsonrpc", "2.0");
		put_id(&line, r->id);
		jw_key(&line, "result");
		buf_add(&line, result->data, result->size);
		jw_object_end(&line);
		conn_send(r->conn, &line);
	} else if (r->conn != NULL) {
		conn_answered(r->conn);
	}
	buf_done(&line);
	buf_done(result);
	request_free(r);
}

static void
send_error(struct conn *conn, const json_t *id, int code, const char *data,
    const char *words)
{
	struct buf line;

	buf_init(&line);
	jw_object(&line);
	jw_kv_string(&line, "jsonrpc", "2.0");
	put_id(&line, id);
	jw_key(&line, "error");
	jw_object(&line);
	jw_kv_int(&line, "code", code);
	jw_kv_string(&line, "message", words);
	if (data != NULL) {
		jw_key(&line, "data");
		jw_raw(&line, data);
	}
	jw_object_end(&line);
	jw_object_end(&line);
	conn_send(conn, &line);
	buf_done(&line);
}

static void
fail(struct request *r, int code, const char *data, const char *fmt, va_list ap)
{
	char words[1024];

	list_remove(&r->link);
	vsnprintf(words, sizeof words, fmt, ap);
	if (r->conn != NULL && r->id != NULL)
		send_error(r->conn, r->id, code, data, words);
	else if (r->conn != NULL)
		conn_answered(r->conn);
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

	if (r->conn == NULL || params->failed)
		return;
	buf_init(&line);
	jw_object(&line);
	jw_kv_string(&line, "jsonrpc", "2.0");
	jw_kv_string(&line, "method", method);
	jw_key(&line, "params");
	buf_add(&line, params->data, params->size);
	jw_object_end(&line);
	conn_send(r->conn, &line);
	buf_done(&line);
}

void
request_abandon(struct request *r)
{
	r->conn = NULL;
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

	if (json_is_array(params))
		return json_pack("{s:O}", "targets", params);
	named = params != NULL ? json_copy(params) : json_object();
	one = json_object_get(named, "targets");
	if (one == NULL)
		one = json_object_get(named, "target");
	if (json_is_string(one))
		json_object_set_new(named, "targets", json_pack("[O]", one));
	else if (json_is_array(one))
		json_object_set(named, "targets", one);
	return named;
}

/* Says so and returns NULL where the line is no request. */
static struct request *
parse(struct master *m, struct conn *conn, const char *line, size_t size,
    const char **ret_method)
{
	json_error_t error;
	json_t *message, *method, *params, *id;
	struct request *r = NULL;
	const char *command;

	message = json_loadb(line, size, PARSE_FLAGS, &error);
	if (message == NULL) {
		char words[JSON_ERROR_TEXT_LENGTH + 64];

		snprintf(words, sizeof words, "not JSON: %s (byte %d)",
		    error.text, error.position);
		send_error(conn, NULL, RPC_PARSE, NULL, words);
		return NULL;
	}
	method = json_object_get(message, "method");
	params = json_object_get(message, "params");
	id = json_object_get(message, "id");
	if (json_is_array(message)) {
		send_error(conn, NULL, RPC_INVALID, NULL,
		    "batches are not supported: send one request a line");
	} else if (!json_is_string(method) ||
		   (id != NULL && !json_is_string(id) && !json_is_integer(id) &&
		       !json_is_null(id))) {
		send_error(conn, NULL, RPC_INVALID, NULL,
		    "not a request: a JSON object with \"method\" (a string) "
		    "and \"id\" (a number or a string) is expected");
	} else if (params != NULL && !json_is_object(params) &&
		   !json_is_array(params)) {
		send_error(conn, id, RPC_PARAMS, NULL,
		    "\"params\" must be an object with named parameters, or a "
		    "list of targets");
	} else if ((r = calloc(1, sizeof *r)) == NULL) {
		send_error(conn, id, RPC_FAILED, NULL, "out of memory");
	}
	if (r == NULL)
		goto out;
	r->m = m;
	r->conn = conn;
	list_init(&r->link);
	list_append(conn_requests(conn), &r->link);
	r->id = id != NULL ? json_incref(id) : NULL;
	r->params = named_params(params);
	command = json_string_value(json_object_get(params, "command"));
	snprintf(r->command, sizeof r->command, "%s",
	    command != NULL ? command : json_string_value(method));
	r->actor.uid = conn_uid(conn);
	r->actor.pid = conn_pid(conn);
	r->actor.command = r->command;
	r->method = command_find(json_string_value(method));
	if (r->method == NULL) {
		request_fail(r, RPC_NO_METHOD, "no such method: \"%.100s\"",
		    json_string_value(method));
		r = NULL;
	} else {
		*ret_method = r->method->method;
	}
out:
	json_decref(message);
	return r;
}

void
rpc_line(struct master *m, struct conn *conn, const char *line, size_t size)
{
	const char *method = NULL;
	struct request *r = parse(m, conn, line, size, &method);

	if (r == NULL)
		return;
	if (r->method->permission == MAY_LOOK ? !conn_may_look(conn)
					      : !conn_may_change(conn)) {
		request_fail(r, RPC_FAILED,
		    "permission denied: uid %d may not use %s (control.admins "
		    "and control.viewers in the config say who may)",
		    (int)conn_uid(conn), method);
		return;
	}
	r->method->run(r);
}
