#ifndef PROTO_PEER_H
#define PROTO_PEER_H

/*
 * One end of a channel to another of supervisord's processes, on a libev loop.
 * What the channel has no room for waits in memory, in order.
 */

#include <ev.h>
#include <stdbool.h>

#include "supervisord/base/buf.h"
#include "supervisord/proto/channel.h"

struct peer {
	struct ev_loop *loop;
	int fd; /* -1: not connected; what is sent then is thrown away */
	ev_io io;
	struct buf outbox;
	bool reads; /* whatever happens, as the guardian: see peer_send */
	void (*receive)(void *arg, struct msg *msg); /* owns msg->fd */
	void (*gone)(void *arg, const char *why);
	void *arg;
};

void peer_init(struct peer *p, struct ev_loop *loop,
    void (*receive)(void *arg, struct msg *msg),
    void (*gone)(void *arg, const char *why), void *arg);

/* Takes fd over, in place of the present one. */
void peer_connect(struct peer *p, int fd);

/* Stops watching, closes, forgets what waits. */
void peer_close(struct peer *p);

/*
 * As channel_send; a descriptor that has to wait is duplicated. Without memory
 * for what has to wait, or a descriptor, the message is lost, which is said in
 * the log; but one that `reads` is waited for instead.
 */
void peer_send(struct peer *p, enum msg_type type, const void *body,
    const void *tail, size_t tail_size, int fd);

/* Blocks until a message is there, for the handover and the end, and sends what
 * waits meanwhile. As channel_receive. */
int peer_wait(struct peer *p, struct msg *ret);

#endif
