#ifndef CLIENT_SV_INT_H
#define CLIENT_SV_INT_H

/* The inside of a client: conn.c has the socket, requests.c what is under way,
 * client.c the calls. */

#include <supervisor/client.h>

#include "supervisord/proto/wire.h"

struct sv_buf {
	char *data;
	size_t size, room;
};

/* Room for more bytes behind; NULL: no memory. */
char *sv_buf_room(struct sv_buf *b, size_t more);
void sv_buf_consume(struct sv_buf *b, size_t n);
void sv_buf_done(struct sv_buf *b);

enum sv_kind {
	SV_SUBMIT,
	SV_AWAIT,
	SV_CALL
};

/* An answer's JSON, borrowed; error as in the other callbacks. */
typedef void sv_answer_fn(void *arg, int error, const struct sv_error *why,
    const char *json, size_t size);

struct sv_request {
	struct sv_request *prev, *next;    /* in the order they were made */
	struct sv_request *by_tag, *by_id; /* chains of the tables */
	uint64_t tag, id;                  /* id: the task's, once known */
	enum sv_kind kind;
	bool keyed;     /* may be sent twice */
	bool sent;      /* may have been seen by the broker */
	bool by_id_too; /* is in the table by id */
	bool begun;     /* the first piece of its answer is there */
	bool left;      /* nobody waits for it any more, the broker knows not */
	char *frame;    /* to send (again), or NULL */
	size_t frame_size;
	struct sv_buf answer; /* so far */
	sv_accepted_fn *accepted;
	sv_ended_fn *ended;
	sv_answer_fn *answered;
	void *arg;
};

struct sv_table {
	struct sv_request **chains;
	size_t size, count; /* size: a power of 2, or 0 */
};

struct sv_client {
	char path[108];
	int fd;           /* -1: not connected */
	int epoll, timer; /* epoll is the caller's descriptor */
	bool wants_out;   /* watched for room */
	bool broken;      /* fd has seen an error: to be dealt with */
	bool inside;      /* a callback runs */
	int patience_ms, retry_ms;
	int64_t lost_ns; /* since when there is no connection */
	struct sv_buf in, out;
	size_t out_at;         /* sent so far */
	struct sv_request all; /* the ring's head */
	struct sv_table tags, ids;
	uint64_t last_tag;
	size_t pending;
	int called; /* callbacks so far in this dispatch */
	struct sv_error error;
};

/* --- conn.c --------------------------------------------------------------- */

int64_t sv_now(void); /* monotonic ns */
int sv_conn_open(struct sv_client *c);
/* Connects where there is none; 0 also where that is being tried again. */
int sv_conn_start(struct sv_client *c);
void sv_conn_flush(struct sv_client *c);
/* One round; 0 or -errno. */
int sv_conn_turn(struct sv_client *c, int timeout_ms);
void sv_conn_close(struct sv_client *c);

/* --- requests.c ----------------------------------------------------------- */

/* NULL: no memory. */
struct sv_request *sv_request_new(
    struct sv_client *c, enum sv_kind kind, uint64_t tag);
/* Sends it now, or when there is a connection; in pieces if need be. */
int sv_request_send(struct sv_client *c, struct sv_request *r,
    enum wire_type type, uint8_t flags, const char *body, size_t size);
/* From now on the RESULT of this task is its. 0 or -ENOMEM. */
int sv_request_await(struct sv_client *c, struct sv_request *r, uint64_t id);
/* What a new connection has to hear. */
void sv_requests_resend(struct sv_client *c);
/* The connection is lost: fails what can't be asked again. */
void sv_requests_lost(struct sv_client *c);
void sv_requests_fail(struct sv_client *c, int error, const char *words);
/* One frame of the broker's. */
void sv_request_frame(
    struct sv_client *c, const struct wire_head *head, const char *body);
/* Out of the tables, freed; nobody is called. */
void sv_request_free(struct sv_client *c, struct sv_request *r);
/* Nobody waits for it any more. Its RESULT will come all the same: who waits
 * for the same task until then takes it up, so that the broker does not have
 * more and more of them. */
void sv_request_leave(struct sv_client *c, struct sv_request *r);
struct sv_request *sv_request_take_up(struct sv_client *c, uint64_t id);
void sv_requests_done(struct sv_client *c);

int sv_set_error(
    struct sv_client *c, int error, const char *name, const char *words);

#endif
