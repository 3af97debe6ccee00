#ifndef RPC_MESSAGE_H
#define RPC_MESSAGE_H

/* JSON-RPC 2.0: the messages themselves, in and out. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "supervisord/base/buf.h"

/* The codes it has itself; a server's own are beside them. */
enum rpc_error {
	RPC_PARSE = -32700,
	RPC_INVALID = -32600,
	RPC_NO_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_NO_MEMORY = 1 /* not of JSON-RPC: supervisorctl's exit status */
};

#define RPC_WORDS 256 /* room for what is wrong with a message */

/* A request as it came. What it points to lives until rpc_message_done. */
struct rpc_message {
	json_t *json;
	const char *method;
	json_t *id;     /* NULL: a notification, no answer wanted */
	json_t *params; /* NULL, an object or, where they may be, a list */
};

/* 0, or an enum rpc_error with words; the id is known where the parameters are
 * what is wrong. lists: parameters without names are taken. rpc_message_done in
 * either case. */
int rpc_message_read(struct rpc_message *m, const char *text, size_t size,
    bool lists, char words[RPC_WORDS]);
void rpc_message_done(struct rpc_message *m);

/* The text of an answer, without the newline. id: NULL is null. */
void rpc_put_result(struct buf *b, const json_t *id, const struct buf *result);
/* data: a JSON value, or NULL. */
void rpc_put_error(struct buf *b, const json_t *id, int code, const char *words,
    const char *data);
void rpc_put_notification(
    struct buf *b, const char *method, const struct buf *params);

/* The words for who may not; method as it was asked for. */
#define RPC_DENIED                                                             \
	"permission denied: uid %d may not use %s (control.admins and "        \
	"control.viewers in the config say who may)"

#endif
