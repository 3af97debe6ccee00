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

/* Behind the silence after which a connection is given up: then it is known
 * what is wrong. Before clients lose patience. */
#define DOUBT_S 8.

/* --- answers -------------------------------------------------------------- */

/* One message to the client, as a line or as a frame. */
static void
put_message(
    struct client *client, bool framed, uint64_t tag, const struct buf *text)
{
	if (framed && !text->failed)
		frames_put(client, WIRE_ANSWER, 0, tag, NULL, 0, text->data,
		    text->size);
	else
		conn_put_line(&client->conn, text);
}

static void
send_error(struct client *client, const json_t *id, int code, const char *name,
    const char *words)
{
	struct buf line;
	char data[64];

	snprintf(
	    data, sizeof data, "{\"error\":\"%s\"}", name != NULL ? name : "");
	buf_init(&line);
	rpc_put_error(&line, id, code, words, name != NULL ? data : NULL);
	conn_put_line(&client->conn, &line);
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
		conn_answered(&c->client->conn);
	list_remove(&c->link);
	ev_timer_stop(c->b->loop, &c->doubt);
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
		rpc_put_result(&line, c->id, result);
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

	if (fmt == NULL && e == QERR_STORE &&
	    !broker_health(c->b, words, sizeof words)) {
		fail(c, queue_error_code(e), queue_error_name(e), words);
		return;
	}
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
	fail(c, RPC_PARAMS, queue_error_name(QERR_BAD_VALUE), words);
}

void
call_notify(struct call *c, const char *method, const struct buf *params)
{
	struct buf line;

	/* It comes again, newer: one that does not read misses the older. */
	if (c->client == NULL || params->failed ||
	    conn_unread(&c->client->conn) > CONN_UNREAD)
		return;
	buf_init(&line);
	rpc_put_notification(&line, method, params);
	put_message(c->client, c->framed, c->tag, &line);
	buf_done(&line);
}

/* --- in doubt ------------------------------------------------------------- */

/* It goes on, and may come to be yet. */
static void
on_doubt(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct call *c = w->data;
	const struct broker *b = c->b;
	char words[1024];

	(void)loop;
	(void)revents;
	if (c->client == NULL)
		return;
	snprintf(words, sizeof words,
	    "%s has not answered for %.0f s%s%s: whether it was accepted is "
	    "not known yet, nor is it lost",
	    b->shared_name, DOUBT_S, b->shared_words[0] != '\0' ? ": " : "",
	    b->shared_words);
	if (c->id != NULL || c->framed)
		refuse(c->client, c->framed, c->tag, c->id,
		    queue_error_code(QERR_UNSURE),
		    queue_error_name(QERR_UNSURE), words);
	conn_answered(&c->client->conn);
	list_remove(&c->link);
	c->client = NULL;
}

void
call_doubt(struct call *c, const char *worker)
{
	const struct pool_config *pool = broker_pool(c->b, worker);

	if (pool == NULL || !pool->shared)
		return;
	ev_timer_init(&c->doubt, on_doubt, DOUBT_S, 0);
	c->doubt.data = c;
	ev_timer_start(c->b->loop, &c->doubt);
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
	ev_timer_stop(c->b->loop, &c->doubt);
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

	c->uid = c->client->conn.who.uid;
	c->pid = c->client->conn.who.pid;
	if (!c->client->conn.who.trusted)
		return;
	if (json_is_integer(uid))
		c->uid = (uid_t)json_integer_value(uid);
	if (json_is_integer(pid))
		c->pid = (pid_t)json_integer_value(pid);
}

static struct call *
call_new(struct client *client, bool framed, uint64_t tag,
    const struct rpc_message *message)
{
	struct call *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->b = client->b;
	c->client = client;
	c->framed = framed;
	c->tag = tag;
	c->id = json_incref(message->id);
	c->params = message->params != NULL ? json_incref(message->params)
					    : json_object();
	list_init(&c->link);
	list_append(&client->calls, &c->link);
	conn_began(&client->conn);
	find_caller(c);
	return c;
}

static void
run(struct call *c, const char *name)
{
	const struct who *who = &c->client->conn.who;

	c->method = method_find(name);
	if (c->method == NULL) {
		char words[160];

		snprintf(
		    words, sizeof words, "no such method: \"%.100s\"", name);
		fail(c, RPC_NO_METHOD, NULL, words);
	} else if (c->method->look ? !who->may_look : !who->may_change) {
		call_fail(c, QERR_DENIED, RPC_DENIED, (int)who->uid, name);
	} else {
		c->method->run(c);
	}
}

void
calls_take(struct client *client, const char *text, size_t size, bool framed,
    uint64_t tag)
{
	char words[RPC_WORDS];
	struct rpc_message message;
	struct call *c;
	int code = rpc_message_read(&message, text, size, false, words);

	if (code != 0)
		refuse(client, framed, tag, message.id, code,
		    code == RPC_NO_MEMORY ? queue_error_name(QERR_NO_MEMORY)
					  : NULL,
		    words);
	else if ((c = call_new(client, framed, tag, &message)) == NULL)
		refuse(client, framed, tag, message.id,
		    queue_error_code(QERR_NO_MEMORY),
		    queue_error_name(QERR_NO_MEMORY), "out of memory");
	else
		run(c, message.method);
	rpc_message_done(&message);
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
	if (*ret == NULL || broker_pool(c->b, *ret) != NULL ||
	    core_knows(c->b, *ret))
		return true;
	call_fail(c, QERR_NO_WORKER,
	    "there is no worker \"%.64s\", or it takes no tasks", *ret);
	return false;
}
