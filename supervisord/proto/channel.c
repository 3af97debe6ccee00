#include "supervisord/proto/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "supervisord/base/util.h"

#define SOCKET_BUFFER (4 << 20)
#define ZERO_SIZE     512 /* no body is larger */

struct header {
	uint16_t type;
	uint16_t version;
	uint32_t tail_size;
};

static const struct row {
	const char *name;
	size_t body;
	size_t tail;
	unsigned fds;
} rows[] = {

#define MSG(number, NAME, bodytype, tailmax, nfds, direction)                  \
	[number] = { #NAME, sizeof(struct msg_##bodytype), tailmax, nfds },
#include "supervisord/proto/messages.def"
#undef MSG
};

/* Sizes are multiples of 8, so no body ends in padding the compiler made. */
#define MSG(number, NAME, body, tail, fds, direction)                          \
	_Static_assert(sizeof(struct msg_##body) % 8 == 0, #NAME);             \
	_Static_assert(                                                        \
	    sizeof(struct header) + sizeof(struct msg_##body) + (tail) <=      \
		PROTO_MESSAGE_MAX,                                             \
	    #NAME);                                                            \
	_Static_assert(sizeof(struct msg_##body) <= ZERO_SIZE, #NAME);         \
	_Static_assert((fds) <= 1, #NAME);
#include "supervisord/proto/messages.def"
#undef MSG

static const struct row *
row_of(unsigned type)
{
	if (type >= N_ELEMENTS(rows) || rows[type].name == NULL)
		return NULL;
	return &rows[type];
}

const char *
msg_name(unsigned type)
{
	const struct row *row = row_of(type);

	return row != NULL ? row->name : "?";
}

size_t
channel_body_size(unsigned type)
{
	const struct row *row = row_of(type);

	return row != NULL ? row->body : 0;
}

int
channel_setup(int fd)
{
	int size = SOCKET_BUFFER, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	/* The forced form passes the limit net.core.wmem_max and needs
	 * CAP_NET_ADMIN; without it a smaller buffer only means more waiting
	 * for writability. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return 0;
}

int
channel_pair(int ret_fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, ret_fd) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		(void)channel_setup(ret_fd[i]);
	return 0;
}

int
channel_send(int sock, enum msg_type type, const void *body, const void *tail,
    size_t tail_size, int fd)
{
	static const union {
		char bytes[ZERO_SIZE];
		uint64_t align;
	} zero;
	const struct row *row = row_of(type);
	struct header h = { (uint16_t)type, PROTO_VERSION,
		(uint32_t)tail_size };

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[3];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	if (row == NULL || tail_size > row->tail || (fd >= 0) != (row->fds > 0))
		return -EINVAL;
	iov[0].iov_base = &h;
	iov[0].iov_len = sizeof h;
	iov[1].iov_base = (void *)(uintptr_t)(body != NULL ? body : &zero);
	iov[1].iov_len = row->body;
	if (tail_size > 0) {
		iov[2].iov_base = (void *)(uintptr_t)tail;
		iov[2].iov_len = tail_size;
		m.msg_iovlen = 3;
	}
	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof control);
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		/* ETOOMANYREFS: too many descriptors on their way; they are
		 * taken as the peer reads. */
		if (errno == EWOULDBLOCK || errno == ENOBUFS ||
		    errno == ETOOMANYREFS)
			return -EAGAIN;
		return -errno;
	}
	return 0;
}

/* Takes the first descriptor, closes any other. Returns how many there were. */
static unsigned
take_fds(struct msghdr *m, int *ret_fd)
{
	unsigned count = 0;

	*ret_fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++, count++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
			if (count == 0)
				*ret_fd = one;
			else
				close(one);
		}
	}
	return count;
}

/* Every name ends within its field, and every tail that is text has its NUL. */
static bool
texts_end(const struct msg *msg)
{
#define ENDS(field) (memchr(field, '\0', sizeof field) != NULL)
	bool tail =
	    msg->tail_size == 0 || msg->tail[msg->tail_size - 1] == '\0';

	switch ((enum msg_type)msg->type) {
	case MSG_CHILD:
	case MSG_EXITED:
	case MSG_CHANNEL_EXIT:
		return ENDS(msg->u.CHILD.name);
	case MSG_KEPT:
	case MSG_KEEP:
	case MSG_DROP:
	case MSG_PIPE_KEEP:
	case MSG_SINK_DROP:
	case MSG_ORPHAN_PIPE:
	case MSG_BROKER_FD:
	case MSG_BROKER_KEEP:
	case MSG_BROKER_DROP:
		return ENDS(msg->u.KEPT.name);
	case MSG_LAUNCH:
		return ENDS(msg->u.LAUNCH.name);
	case MSG_ADOPT:
		return ENDS(msg->u.ADOPT.name);
	case MSG_PIPE:
	case MSG_PIPE_DROP:
		return ENDS(msg->u.PIPE.name);
	case MSG_SINK:
		return tail && ENDS(msg->u.SINK.name);
	case MSG_TAIL:
	case MSG_TAIL_IS:
		return ENDS(msg->u.TAIL.name);
	case MSG_SINK_STATE:
		return tail && ENDS(msg->u.SINK_STATE.name);
	case MSG_HOME:
		return tail;
	case MSG_CHANNEL:
		return ENDS(msg->u.CHANNEL.name);
	case MSG_SCALE:
		return tail && ENDS(msg->u.SCALE.name);
	case MSG_QUEUE_EVENT:
		return tail && ENDS(msg->u.QUEUE_EVENT.name) &&
		       ENDS(msg->u.QUEUE_EVENT.kind);
	case MSG_REPLACE:
	case MSG_QUEUE_HEALTH:
		return tail;
	case MSG_BROKER_UP:
	case MSG_BROKER_WANTED:
	case MSG_BROKER_PEER:
	case MSG_HAND_UP:
	case MSG_HAND_IDLE:
	case MSG_CHANNEL_SLOTS:
	case MSG_BROKER_TOLD:
	case MSG_CHANNEL_DONE:
	case MSG_STOPPING:
	case MSG_EXIT_TOLD:
	case MSG_HELLO:
	case MSG_HANDED_OVER:
	case MSG_LAUNCHED:
	case MSG_NOT_LAUNCHED:
	case MSG_SIGNALLED:
	case MSG_TREE_EMPTY:
	case MSG_LOGGER_UP:
	case MSG_NOT_UPGRADED:
	case MSG_READY:
	case MSG_BOOK:
	case MSG_BOOK_DROP:
	case MSG_KILL:
	case MSG_TREE:
	case MSG_ACK:
	case MSG_LOGGER_PEER:
	case MSG_UPGRADE:
	case MSG_QUIT:
	case MSG_LOG_TO:
	case MSG_PEER:
	case MSG_FINISH:
	case MSG_REOPEN:
	case MSG_ORPHAN_END:
		return true;
	}
#undef ENDS
	return false;
}

int
channel_receive(int sock, struct msg *ret)
{
	static union {
		struct header head;
		char bytes[PROTO_MESSAGE_MAX];
		uint64_t align;
	} packet;

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov = { &packet, sizeof packet };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	const struct row *row;
	unsigned fds;
	ssize_t n;

	ret->fd = -1;
	do {
		n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	fds = take_fds(&m, &ret->fd);
	if (n == 0 && fds == 0)
		return 0;

	row = (size_t)n >= sizeof packet.head ? row_of(packet.head.type) : NULL;
	if (row == NULL || (m.msg_flags & MSG_TRUNC) != 0 ||
	    packet.head.version != PROTO_VERSION ||
	    packet.head.tail_size > row->tail ||
	    (size_t)n != sizeof packet.head + row->body + packet.head.tail_size)
		goto bad;
	/* MSG_CTRUNC with no descriptor at all is this process out of room for
	 * one: the message is unusable, the peer is not to blame. */
	if (row->fds > 0 && fds == 0 && (m.msg_flags & MSG_CTRUNC) != 0)
		return -EMFILE;
	if (fds != row->fds || (m.msg_flags & MSG_CTRUNC) != 0)
		goto bad;
	ret->type = packet.head.type;
	ret->tail_size = packet.head.tail_size;
	ret->tail = packet.bytes + sizeof packet.head + row->body;
	memcpy(&ret->u, packet.bytes + sizeof packet.head, row->body);
	if (!texts_end(ret))
		goto bad;
	return 1;
bad:
	if (ret->fd >= 0)
		close(ret->fd);
	ret->fd = -1;
	return -EPROTO;
}
