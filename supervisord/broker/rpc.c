#include "supervisord/broker/calls.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/clients_int.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/taskjson.h"

/* jansson recurses while it parses: deeper input is refused by its own limit
 * (2,048), duplicates by this flag. */
#define PARSE_FLAGS JSON_REJECT_DUPLICATES

/* --- answers -------------------------------------------------------------- */

/* One message to the client, as a line or as a frame. */
static void
put_message(struct client *client, bool framed, uint64_t tag, struct buf *line)
{
	if (line->failed) {
		log_error("clients: no memory for an answer: connection "
			  "closed");
		client_break(client);
	} else if (framed) {
		frames_put(client, WIRE_ANSWER, 0, tag, NULL, 0, line->data,
		    line->size);
	} else if (!client->broken) {
		buf_char(line, '\n');
		buf_add(&client->out, line->data, line->size);
		client_touch(client);
	}
}

static void
put_head(struct buf *b, const json_t *id)
{
	jw_object(b);
	jw_kv_string(b, "jsonrpc", "2.0");
	jw_key(b, "id");
	if (json_is_integer(id))
		jw_int(b, json_integer_value(id));
	else if (json_is_string(id))
		jw_string(b, json_string_value(id));
	else
		jw_null(b);
}

static void
send_error(struct client *client, const json_t *id, int code, const char *name,
    const char *words)
{
	struct buf line;

	buf_init(&line);
	put_head(&line, id);
	jw_key(&line, "error");
	jw_object(&line);
	jw_kv_int(&line, "code", code);
	jw_kv_string(&line, "message", words);
	if (name != NULL) {
		jw_key(&line, "data");
		jw_object(&line);
		jw_kv_string(&line, "error", name);
		jw_object_end(&line);
	}
	jw_object_end(&line);
	jw_object_end(&line);
	put_message(client, false, 0, &line);
	buf_done(&line);
}

/* What failed before there was a call, or is one's end. */
static void
refuse(struct client *client, bool framed, uint64_t tag, const json_t *id,
    int code, const char *name, const char *words)
{
	char text[1200];
	int32_t le = (int32_t)htole32((uint32_t)code);

	if (!framed) {
		send_error(client, id, code, name, words);
		return;
	}
	snprintf(
	    text, sizeof text, "%s: %s", name != NULL ? name : "call", words);
	frames_put(
	    client, WIRE_REFUSED, 0, tag, &le, sizeof le, text, strlen(text));
}

/* It is over: nothing refers to it any more. */
static void
call_free(struct call *c)
{
	if (c->client != NULL)
		client_answered(c->client);
	list_remove(&c->link);
	json_decref(c->id);
	json_decref(c->params);
	free(c->own);
	free(c);
}

void
call_reply(struct call *c, struct buf *result)
{
	struct buf line;

	if (result->failed) {
		buf_done(result);
		call_fail(c, QERR_NO_MEMORY, NULL);
		return;
	}
	if (c->client != NULL && (c->id != NULL || c->framed)) {
		buf_init(&line);
		put_head(&line, c->id);
		jw_key(&line, "result");
		buf_add(&line, result->data, result->size);
		jw_object_end(&line);
		put_message(c->client, c->framed, c->tag, &line);
		buf_done(&line);
	}
	buf_done(result);
	call_free(c);
}

static void
fail(struct call *c, int code, const char *name, const char *words)
{
	if (c->client != NULL && (c->id != NULL || c->framed))
		refuse(c->client, c->framed, c->tag, c->id, code, name, words);
	call_free(c);
}

void
call_fail(struct call *c, enum queue_error e, const char *fmt, ...)
{
	char words[1024];
	va_list ap;

	if (fmt == NULL) {
		fail(c, queue_error_code(e), queue_error_name(e),
		    queue_error_words(e));
		return;
	}
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	fail(c, queue_error_code(e), queue_error_name(e), words);
}

void
call_fail_params(struct call *c, const char *fmt, ...)
{
	char words[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	fail(c, CALL_PARAMS, queue_error_name(QERR_BAD_VALUE), words);
}

void
call_notify(struct call *c, const char *method, const struct buf *params)
{
	struct buf line;

	/* It comes again, newer: one that does not read misses the older. */
	if (c->client == NULL || params->failed ||
	    c->client->out.size - c->client->out_at > CLIENT_UNREAD)
		return;
	buf_init(&line);
	jw_object(&line);
	jw_kv_string(&line, "jsonrpc", "2.0");
	jw_kv_string(&line, "method", method);
	jw_key(&line, "params");
	buf_add(&line, params->data, params->size);
	jw_object_end(&line);
	put_message(c->client, c->framed, c->tag, &line);
	buf_done(&line);
}

/* --- waiting for a task --------------------------------------------------- */

static void
progressed(struct waiter *w, const struct task *t)
{
	struct call *c = w->arg;
	struct buf b;

	buf_init(&b);
	jw_object(&b);
	jw_kv_int(&b, "id", (int64_t)t->row.id);
	task_put_progress(&b, t);
	jw_object_end(&b);
	call_notify(c, "progress", &b);
	buf_done(&b);
}

static void
ended(struct waiter *w, enum queue_error error, const struct task_row *row)
{
	struct call *c = w->arg;
	struct buf b;

	if (row == NULL) {
		call_fail(c, error, NULL);
		return;
	}
	buf_init(&b);
	task_put(&b, c->b, row, NULL, true);
	call_reply(c, &b);
}

void
call_wait(struct call *c, uint64_t id)
{
	if (c->client == NULL) { /* nobody wants to know any more */
		call_free(c);
		return;
	}
	c->waiter.progress = progressed;
	c->waiter.ended = ended;
	c->waiter.arg = c;
	core_wait(c->b, id, &c->waiter);
}

void
calls_abandon(struct client *client)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &client->calls) {
		struct call *c = LIST_ENTRY(l, struct call, link);

		list_remove(l);
		c->client = NULL;
		/* The others are answered by whom they asked, into the void. */
		if (c->waiter.ended != NULL) {
			core_unwait(&c->waiter);
			call_free(c);
		}
	}
}

/* --- requests ------------------------------------------------------------- */

/* The master asks for its clients: rights are its business then, names ours. */
static void
find_caller(struct call *c)
{
	const json_t *caller = json_object_get(c->params, "caller");
	const json_t *uid = json_object_get(caller, "uid");
	const json_t *pid = json_object_get(caller, "pid");

	c->uid = c->client->uid;
	c->pid = c->client->pid;
	if (!c->client->trusted)
		return;
	if (json_is_integer(uid))
		c->uid = (uid_t)json_integer_value(uid);
	if (json_is_integer(pid))
		c->pid = (pid_t)json_integer_value(pid);
}

static const char *
what_is_wrong(
    const json_t *message, const json_t *id, const json_t *params, int *code)
{
	*code = CALL_INVALID;
	if (json_is_array(message))
		return "batches are not supported: send one request a line";
	if (!json_is_string(json_object_get(message, "method")) ||
	    (id != NULL && !json_is_string(id) && !json_is_integer(id) &&
		!json_is_null(id)))
		return "not a request: a JSON object with \"method\" (a "
		       "string) and \"id\" (a number or a string) is expected";
	*code = CALL_PARAMS;
	if (params != NULL && !json_is_object(params))
		return "\"params\" must be an object with named parameters";
	return NULL;
}

static struct call *
call_new(struct client *client, bool framed, uint64_t tag, json_t *id,
    json_t *params)
{
	struct call *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->b = client->of->b;
	c->client = client;
	c->framed = framed;
	c->tag = tag;
	c->id = json_incref(id);
	c->params = params != NULL ? json_incref(params) : json_object();
	list_init(&c->link);
	list_append(&client->calls, &c->link);
	client_began(client);
	find_caller(c);
	return c;
}

static void
run(struct call *c, const char *name)
{
	c->method = method_find(name);
	if (c->method == NULL) {
		char words[160];

		snprintf(
		    words, sizeof words, "no such method: \"%.100s\"", name);
		fail(c, CALL_NO_METHOD, NULL, words);
	} else if (c->method->look ? !c->client->may_look
				   : !c->client->may_change) {
		call_fail(c, QERR_DENIED,
		    "permission denied: uid %d may not use %s "
		    "(control.admins and control.viewers in the config say "
		    "who may)",
		    (int)c->client->uid, name);
	} else {
		c->method->run(c);
	}
}

void
calls_take(struct client *client, const char *text, size_t size, bool framed,
    uint64_t tag)
{
	json_error_t error;
	json_t *message = json_loadb(text, size, PARSE_FLAGS, &error);
	json_t *id = json_object_get(message, "id");
	json_t *params = json_object_get(message, "params");
	char words[JSON_ERROR_TEXT_LENGTH + 64];
	const char *wrong;
	int code = CALL_PARSE;

	if (message == NULL) {
		snprintf(words, sizeof words, "not JSON: %s (byte %d)",
		    error.text, error.position);
		wrong = words;
	} else {
		wrong = what_is_wrong(message, id, params, &code);
	}
	if (wrong != NULL) {
		refuse(client, framed, tag, code == CALL_PARAMS ? id : NULL,
		    code, NULL, wrong);
	} else {
		struct call *c = call_new(client, framed, tag, id, params);

		if (c != NULL)
			run(c, json_string_value(
				   json_object_get(message, "method")));
		else
			refuse(client, framed, tag, id,
			    queue_error_code(QERR_NO_MEMORY),
			    queue_error_name(QERR_NO_MEMORY), "out of memory");
	}
	json_decref(message);
}

/* --- parameters ----------------------------------------------------------- */

bool
call_bool(struct call *c, const char *name, bool *ret)
{
	const json_t *v = json_object_get(c->params, name);

	*ret = json_is_true(v);
	if (v == NULL || json_is_null(v) || json_is_boolean(v))
		return true;
	call_fail_params(c, "\"%s\" must be true or false", name);
	return false;
}

bool
call_int(struct call *c, const char *name, int64_t fallback, int64_t min,
    int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(c->params, name);

	*ret = fallback;
	if (v == NULL || json_is_null(v))
		return true;
	*ret = json_integer_value(v);
	if (json_is_integer(v) && *ret >= min && *ret <= max)
		return true;
	call_fail_params(c, "\"%s\" must be a whole number from %lld to %lld",
	    name, (long long)min, (long long)max);
	return false;
}

bool
call_id(struct call *c, uint64_t *ret)
{
	int64_t id;

	if (json_object_get(c->params, "id") == NULL) {
		call_fail_params(c, "\"id\" is missing: which task?");
		return false;
	}
	if (!call_int(c, "id", 0, 1, INT64_MAX, &id))
		return false;
	*ret = (uint64_t)id;
	return true;
}

bool
call_text(struct call *c, const char *name, bool required, const char **ret)
{
	const json_t *v = json_object_get(c->params, name);

	*ret = json_string_value(v);
	if (*ret != NULL || ((v == NULL || json_is_null(v)) && !required))
		return true;
	call_fail_params(c, "\"%s\" must be a string", name);
	return false;
}

bool
call_worker(struct call *c, bool required, const char **ret)
{
	if (!call_text(c, "worker", required, ret))
		return false;
	if (*ret == NULL || broker_pool(c->b, *ret) != NULL)
		return true;
	call_fail(c, QERR_NO_WORKER,
	    "there is no worker \"%.64s\", or it takes no tasks", *ret);
	return false;
}
