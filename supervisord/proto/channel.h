#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

/*
 * Messages over a SOCK_SEQPACKET socket pair: one packet a message, a small
 * header, the fixed body, the tail, and the descriptors the .def row names.
 * Nothing here blocks or allocates. A packet that is not exactly what its row
 * says is refused whole, its descriptors closed: the caller drops the peer.
 */

#include <stddef.h>
#include <stdint.h>

#include "supervisord/proto/messages.h"

struct msg {
	unsigned type;
	int fd; /* what travelled with it, the receiver's to close; -1 */
	size_t tail_size;
	const char *tail; /* into the receive buffer, until the next receive */

	union {
#define MSG(number, NAME, body, tail, fds, direction) struct msg_##body NAME;
#include "supervisord/proto/messages.def"
#undef MSG
		uint64_t align;
	} u;
};

/* A pair, non-blocking and close-on-exec, with large buffers. 0 or -errno. */
int channel_pair(int ret_fd[2]);

/* Makes an inherited end as channel_pair would have made it. */
int channel_setup(int fd);

/*
 * Sends one message. body is the row's struct (NULL: all zero); fd is -1 or is
 * duplicated by the kernel and stays the caller's. 0; -EAGAIN: no room, wait
 * for writability; -EPIPE, -ECONNRESET: the peer is gone; other -errno.
 */
int channel_send(int sock, enum msg_type type, const void *body,
    const void *tail, size_t tail_size, int fd);

/* Size of the row's body; 0 for an unknown number. */
size_t channel_body_size(unsigned type);

/*
 * Receives one message into *ret; its tail points into a buffer of this
 * process. 1; 0: the peer has closed; -EAGAIN: nothing there; -EPROTO: not a
 * message of ours; -EMFILE: this process had no room for the descriptor, which
 * is lost with its message; other -errno. ret->fd is -1 unless 1 is returned.
 */
int channel_receive(int sock, struct msg *ret);

#endif
