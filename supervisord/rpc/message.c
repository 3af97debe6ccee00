#include "supervisord/rpc/message.h"

#include <stdio.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/json_check.h"

/* jansson recurses while it parses: deeper input is refused by its own limit
 * (2,048), duplicates by this flag. */
#define PARSE_FLAGS JSON_REJECT_DUPLICATES

static int
wrong(char words[RPC_WORDS], int code, const char *text)
{
	snprintf(words, RPC_WORDS, "%s", text);
	return code;
}

/* The parser calls it a fault of the text, whatever memory it did not get. */
static bool
lacks_memory(const char *text, size_t size, const json_error_t *error)
{
	enum json_error_code code = json_error_code(error);
	size_t at = 0;

	while (at < size && strchr(" \t\r\n", text[at]) != NULL)
		at++;
	/* A value by itself is none it takes. */
	if (at == size || (text[at] != '{' && text[at] != '['))
		return false;
	return (code == json_error_unknown ||
		   code == json_error_out_of_memory ||
		   code == json_error_invalid_syntax ||
		   code == json_error_premature_end_of_input) &&
	       json_check(text, size, NULL) == 0;
}

int
rpc_message_read(struct rpc_message *m, const char *text, size_t size,
    bool lists, char words[RPC_WORDS])
{
	json_error_t error = { 0 };

	memset(m, 0, sizeof *m);
	m->json = json_loadb(text, size, PARSE_FLAGS, &error);
	if (m->json == NULL && lacks_memory(text, size, &error))
		return wrong(words, RPC_NO_MEMORY, "out of memory");
	if (m->json == NULL) {
		snprintf(words, RPC_WORDS, "not JSON: %s (byte %d)", error.text,
		    error.position);
		return RPC_PARSE;
	}
	if (json_is_array(m->json))
		return wrong(words, RPC_INVALID,
		    "batches are not supported: send one request a line");
	m->method = json_string_value(json_object_get(m->json, "method"));
	m->id = json_object_get(m->json, "id");
	m->params = json_object_get(m->json, "params");
	if (m->method == NULL ||
	    (m->id != NULL && !json_is_string(m->id) &&
		!json_is_integer(m->id) && !json_is_null(m->id))) {
		m->id = NULL;
		return wrong(words, RPC_INVALID,
		    "not a request: a JSON object with \"method\" (a string) "
		    "and \"id\" (a number or a string) is expected");
	}
	if (m->params == NULL || json_is_object(m->params) ||
	    (lists && json_is_array(m->params)))
		return 0;
	return wrong(words, RPC_PARAMS,
	    lists ? "\"params\" must be an object with named parameters, or a "
		    "list of targets"
		  : "\"params\" must be an object with named parameters");
}

void
rpc_message_done(struct rpc_message *m)
{
	json_decref(m->json);
	memset(m, 0, sizeof *m);
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

void
rpc_put_result(struct buf *b, const json_t *id, const struct buf *result)
{
	put_head(b, id);
	jw_key(b, "result");
	buf_add(b, result->data, result->size);
	jw_object_end(b);
}

void
rpc_put_error(struct buf *b, const json_t *id, int code, const char *words,
    const char *data)
{
	put_head(b, id);
	jw_key(b, "error");
	jw_object(b);
	jw_kv_int(b, "code", code);
	jw_kv_string(b, "message", words);
	if (data != NULL) {
		jw_key(b, "data");
		jw_raw(b, data);
	}
	jw_object_end(b);
	jw_object_end(b);
}

void
rpc_put_notification(
    struct buf *b, const char *method, const struct buf *params)
{
	jw_object(b);
	jw_kv_string(b, "jsonrpc", "2.0");
	jw_kv_string(b, "method", method);
	jw_key(b, "params");
	buf_add(b, params->data, params->size);
	jw_object_end(b);
}
