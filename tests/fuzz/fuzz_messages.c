/*
 * Any bytes on the guardian's channel, with any descriptors. Every packet is
 * received and carried out as from a master; afterwards the table, the keep and
 * the descriptors must be what they were.
 *
 * The input is a run of packets: a byte for the type, a byte of flags (1: with
 * a descriptor; 2: sent raw, without a header; 4: the slot and generation of
 * the last child; 8: the descriptor is a pipe), two bytes of size, then so many
 * bytes of body. What is missing is zero.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/guardian/books.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/guardian/reap.h"
#include "supervisord/guardian/requests.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"
#include "supervisord/proto/book.h"
#include "supervisord/proto/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PACKETS_MOST 64

static int pair[2], null_fd, pipe_fd;
static struct msg_launched last;

/* Book 1: its only spec, at 32, is of a program that does not exist. */
static int
book_fd(void)
{
	static struct {
		struct book_head head;
		char words[16];
		struct book_spec spec;
		uint32_t refs[2];
	} b = { .words = "/no/program", .spec = { .argc = 1, .scratch = 64 } };

	int fd = memfd_create("book", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	b.head = (struct book_head){ BOOK_MAGIC, PROTO_VERSION, sizeof b };
	b.refs[0] = sizeof b.head;
	assert(write(fd, &b, sizeof b) == sizeof b);
	assert(fcntl(fd, F_ADD_SEALS,
		   F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

static void
set_up(void)
{
	struct rlimit limit;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd != LOOP_NULL)
		assert(dup3(null_fd, LOOP_NULL, O_CLOEXEC) == LOOP_NULL);
	null_fd = fcntl(LOOP_NULL, F_DUPFD_CLOEXEC, LOOP_LOW_FDS);
	log_setup(LOG_LEVEL_ERROR, false, null_fd);
	getrlimit(RLIMIT_NOFILE, &limit);
	assert(loop_init() == 0);
	assert(pipe2(pair, O_CLOEXEC) == 0);
	pipe_fd = loop_move_up(pair[0]);
	close(pair[1]);
	assert(channel_pair(pair) == 0);
	pair[0] = loop_move_up(pair[0]);
	pair[1] = loop_move_up(pair[1]);
	assert(spawn_init(&limit, -1) == 0);
	tag_init(0x1234);
	guardian.ready = true;
}

static void
send_packet(const uint8_t *bytes, size_t size, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, size };

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

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
	(void)sendmsg(pair[1], &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whatever the guardian has to say; remembers the last launch. */
static void
hear(void)
{
	static struct msg m;

	while (channel_receive(pair[1], &m) == 1) {
		if (m.type == MSG_LAUNCHED)
			last = m.u.LAUNCHED;
		if (m.fd >= 0)
			close(m.fd);
	}
}

static void
carry_out(void)
{
	static struct msg m;
	int got;

	while ((got = channel_receive(pair[0], &m)) != -EAGAIN) {
		if (got != 1)
			continue;
		/* What would end this process, or touch others. */
		if (m.type == MSG_QUIT || m.type == MSG_LOG_TO) {
			if (m.fd >= 0)
				close(m.fd);
			continue;
		}
		if (m.type == MSG_ADOPT)
			m.u.ADOPT.pid |= INT32_MIN;
		(void)request(&m);
		spawn_tidy();
		(void)news_send(pair[0]);
		hear();
	}
}

/* All children end, are acknowledged, and nothing is left of them. */
static void
settle(void)
{
	struct slot *s;
	struct kept *k;

	for (s = table_next(0); s != NULL; s = table_next(s->child.slot + 1)) {
		if (s->child.state == CHILD_ALIVE) /* it may be stopped */
			kill(s->child.pid, SIGKILL);
	}
	while (table_alive() > 0)
		reap_sweep();
	while (spawn_tidy())
		continue;
	tree_untell();
	tree_scan();
	tree_scan();
	assert(news_send(pair[0]) == 0);
	hear();
	while ((s = table_next(0)) != NULL) {
		assert(s->child.state == CHILD_EXITED);
		assert(s->tree == 0);
		news_acked(s);
	}
	while ((k = keep_next(0)) != NULL && (k->flags & KEEP_DROPPED) == 0)
		keep_drop(k->name);
	books_drop_all();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	static uint8_t packet[PROTO_MESSAGE_MAX + 1024];
	struct msg_book book = { .book = 1 };

	if (!ready)
		set_up();
	ready = true;
	news_handover(1, 0);
	assert(news_send(pair[0]) == 0);
	hear();
	book.size =
	    sizeof(struct book_head) + 16 + sizeof(struct book_spec) + 8;
	(void)books_add(1, book_fd(), book.size);
	for (int i = 0; i < PACKETS_MOST && size >= 4; i++) {
		uint8_t type = data[0], flags = data[1];
		size_t n = (size_t)data[2] | (size_t)data[3] << 8, at = 0;
		uint16_t head[4] = { type, PROTO_VERSION, 0, 0 };

		data += 4;
		size -= 4;
		if ((flags & 2) == 0) {
			memcpy(packet, head, sizeof head);
			at = sizeof head;
		}
		n = n < sizeof packet - at ? n : sizeof packet - at;
		memset(packet + at, 0, n);
		memcpy(packet + at, data, n < size ? n : size);
		if ((flags & 4) != 0 && n >= 8) {
			memcpy(packet + at, &last.slot, 4);
			memcpy(packet + at + 4, &last.gen, 4);
		}
		data += n < size ? n : size;
		size -= n < size ? n : size;
		send_packet(packet, at + n,
		    (flags & 1) == 0   ? -1
		    : (flags & 8) != 0 ? pipe_fd
				       : null_fd);
		carry_out();
	}
	settle();
	return 0;
}
