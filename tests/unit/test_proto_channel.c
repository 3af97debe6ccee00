/* Messages between processes: what arrives whole, and what is refused. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/util.h"
#include "supervisord/proto/channel.h"
#include "supervisord/proto/stages.h"

/* The header as it is on the wire: what a hostile peer would write. */
struct wire {
	uint16_t type;
	uint16_t version;
	uint32_t tail_size;
	char rest[PROTO_MESSAGE_MAX];
};

static const struct row {
	unsigned type;
	const char *name;
	size_t body;
	size_t tail;
	int fds;
} rows[] = {

#define MSG(number, NAME, bodytype, tailmax, nfds, direction)                  \
	{ number, #NAME, sizeof(struct msg_##bodytype), tailmax, nfds },
#include "supervisord/proto/messages.def"
#undef MSG
};

static int a, b;
static struct msg msg;

static int
open_pair(void **state)
{
	int fd[2];

	(void)state;
	if (channel_pair(fd) < 0)
		return -1;
	a = fd[0];
	b = fd[1];
	memset(&msg, 0x55, sizeof msg);
	return 0;
}

static int
close_pair(void **state)
{
	(void)state;
	close(a);
	close(b);
	return 0;
}

static int
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Writes a packet of any size with any number of descriptors. */
static void
send_raw(const void *packet, size_t size, int fds)
{
	static char control[CMSG_SPACE(sizeof(int) * 64)];
	struct iovec iov = { (void *)(uintptr_t)packet, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds > 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof control);
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fds);
		for (int i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &a,
			    sizeof a);
	}
	assert_int_equal(sendmsg(a, &m, MSG_NOSIGNAL), size);
}

static struct wire *
wire(unsigned type, size_t tail)
{
	static struct wire w;

	memset(&w, 0, sizeof w);
	w.type = (uint16_t)type;
	w.version = PROTO_VERSION;
	w.tail_size = (uint32_t)tail;
	return &w;
}

static void
refused(int line)
{
	int r = channel_receive(b, &msg);

	if (r != -EPROTO || msg.fd != -1)
		fail_msg("line %d: %d, descriptor %d", line, r, msg.fd);
}

#define REFUSED() refused(__LINE__)

static void
every_row_travels(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		char body[512], tail[PROTO_MESSAGE_MAX];

		memset(body, 'b', sizeof body);
		/* names must end: all zero behind the first byte */
		memset(body + 1, 0, sizeof body - 1);
		memset(tail, 't', sizeof tail);
		if (row->tail > 0)
			tail[row->tail - 1] = '\0';
		assert_int_equal(channel_send(a, row->type, body, tail,
				     row->tail, row->fds > 0 ? a : -1),
		    0);
		assert_int_equal(channel_receive(b, &msg), 1);
		assert_int_equal(msg.type, row->type);
		assert_memory_equal(&msg.u, body, row->body);
		assert_int_equal(msg.tail_size, row->tail);
		assert_memory_equal(msg.tail, tail, row->tail);
		assert_string_equal(msg_name(row->type), row->name);
		assert_int_equal(msg.fd >= 0, row->fds > 0);
		if (msg.fd >= 0) {
			assert_int_equal(fcntl(msg.fd, F_GETFD), FD_CLOEXEC);
			close(msg.fd);
		}
	}
	assert_int_equal(channel_receive(b, &msg), -EAGAIN);
	assert_int_equal(msg.fd, -1);
}

static void
a_missing_body_is_all_zero(void **state)
{
	struct msg_child zero;

	(void)state;
	memset(&zero, 0, sizeof zero);
	assert_int_equal(channel_send(a, MSG_CHILD, NULL, NULL, 0, -1), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
	assert_memory_equal(&msg.u.CHILD, &zero, sizeof zero);
}

static void
what_its_row_forbids_is_not_sent(void **state)
{
	char tail[PROTO_MESSAGE_MAX] = { 0 };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		int fd = row->fds > 0 ? a : -1;

		assert_int_equal(
		    channel_send(a, row->type, NULL, tail, row->tail + 1, fd),
		    -EINVAL);
		assert_int_equal(
		    channel_send(a, row->type, NULL, NULL, 0, fd < 0 ? a : -1),
		    -EINVAL);
	}
	assert_int_equal(
	    channel_send(a, (enum msg_type)0, NULL, NULL, 0, -1), -EINVAL);
	assert_int_equal(
	    channel_send(a, (enum msg_type)31, NULL, NULL, 0, -1), -EINVAL);
	assert_int_equal(
	    channel_send(a, (enum msg_type)9999, NULL, NULL, 0, -1), -EINVAL);
	assert_int_equal(channel_receive(b, &msg), -EAGAIN);
}

static void
a_packet_of_another_size_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		size_t size = 8 + row->body;

		send_raw(wire(row->type, 0), size - 1, row->fds);
		REFUSED();
		send_raw(wire(row->type, 0), size + 1, row->fds);
		REFUSED();
		send_raw(wire(row->type, 1), size, row->fds);
		REFUSED();
		send_raw(wire(row->type, row->tail + 1), size + row->tail + 1,
		    row->fds);
		REFUSED();
		send_raw(wire(row->type, UINT32_MAX), size, row->fds);
		REFUSED();
		if (row->tail > 0) {
			send_raw(wire(row->type, row->tail),
			    size + row->tail - 1, row->fds);
			REFUSED();
		}
	}
}

static void
a_packet_that_is_no_message_is_refused(void **state)
{
	struct wire *w;
	char big[PROTO_MESSAGE_MAX + 100] = { 0 };

	(void)state;
	for (size_t size = 1; size < 8; size++) {
		send_raw(wire(MSG_READY, 0), size, 0);
		REFUSED();
	}
	send_raw(wire(0, 0), 16, 0);
	REFUSED();
	send_raw(wire(31, 0), 16, 0); /* a gap between the ranges */
	REFUSED();
	send_raw(wire(65535, 0), 16, 0);
	REFUSED();
	w = wire(MSG_READY, 0);
	w->version = PROTO_VERSION + 1;
	send_raw(w, 16, 0);
	REFUSED();
	memcpy(big, wire(MSG_READY, 0), 16);
	send_raw(big, sizeof big, 0);
	REFUSED();
	/* and the next good one is taken */
	assert_int_equal(channel_send(a, MSG_READY, NULL, NULL, 0, -1), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
}

static void
descriptors_of_what_is_refused_are_closed(void **state)
{
	int before = open_fds();

	(void)state;
	send_raw(wire(MSG_READY, 0), 16, 1); /* none allowed */
	REFUSED();
	send_raw(wire(MSG_READY, 0), 16, 5);
	REFUSED();
	send_raw(wire(MSG_BOOK, 0), 8 + sizeof(struct msg_book), 0); /* none */
	REFUSED();
	send_raw(wire(MSG_BOOK, 0), 8 + sizeof(struct msg_book), 2); /* two */
	REFUSED();
	send_raw(wire(MSG_BOOK, 0), 8 + sizeof(struct msg_book), 64);
	REFUSED();
	send_raw(wire(MSG_BOOK, 0), 7, 1);
	REFUSED();
	send_raw("", 0, 1);
	REFUSED();
	send_raw(wire(65535, 0), 100, 3);
	REFUSED();
	assert_int_equal(open_fds(), before);
}

static void
a_name_must_end(void **state)
{
	static const struct {
		unsigned type;
		size_t at;
		size_t body;
		int fds;
	} names[] = {

#define NAME(type, body, fds)                                                  \
	{ MSG_##type, offsetof(struct msg_##body, name),                       \
		sizeof(struct msg_##body), fds }
		NAME(CHILD, child, 0),
		NAME(EXITED, child, 0),
		NAME(KEPT, name, 1),
		NAME(KEEP, name, 1),
		NAME(DROP, name, 0),
		NAME(PIPE_KEEP, name, 1),
		NAME(LAUNCH, launch, 0),
		NAME(ADOPT, adopt, 0),
		NAME(PIPE, pipe, 1),
		NAME(PIPE_DROP, pipe, 0),
		NAME(SINK, sink, 0),
		NAME(SINK_DROP, name, 0),
		NAME(TAIL, tail, 0),
		NAME(TAIL_IS, tail, 0),
		NAME(SINK_STATE, sinkstate, 0),
		NAME(ORPHAN_PIPE, name, 1),
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		struct wire *w = wire(names[i].type, 0);

		memset(w->rest + names[i].at, 'n', PROTO_NAME);
		send_raw(w, 8 + names[i].body, names[i].fds);
		REFUSED();
		w->rest[names[i].at + PROTO_NAME - 1] = '\0';
		send_raw(w, 8 + names[i].body, names[i].fds);
		assert_int_equal(channel_receive(b, &msg), 1);
		if (msg.fd >= 0)
			close(msg.fd);
	}
}

static void
a_tail_that_is_text_must_end(void **state)
{
	(void)state;
	assert_int_equal(channel_send(a, MSG_HOME, NULL, "/run/x", 6, -1), 0);
	REFUSED();
	assert_int_equal(channel_send(a, MSG_HOME, NULL, "/run/x", 7, -1), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
	assert_string_equal(msg.tail, "/run/x");
	assert_int_equal(channel_send(a, MSG_SINK, NULL, "/log", 4, -1), 0);
	REFUSED();
	assert_int_equal(channel_send(a, MSG_SINK, NULL, NULL, 0, -1), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
	assert_int_equal(msg.tail_size, 0);
	assert_int_equal(
	    channel_send(a, MSG_SINK_STATE, NULL, "bad", 3, -1), 0);
	REFUSED();
	/* last lines are bytes, with or without an end */
	assert_int_equal(channel_send(a, MSG_TAIL_IS, NULL, "bad", 3, -1), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
}

static void
a_gone_peer_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(channel_send(a, MSG_READY, NULL, NULL, 0, -1), 0);
	close(a);
	assert_int_equal(channel_receive(b, &msg), 1);
	assert_int_equal(channel_receive(b, &msg), 0);
	assert_int_equal(channel_send(b, MSG_READY, NULL, NULL, 0, -1), -EPIPE);
	a = -1;
}

static void
a_full_channel_is_not_waited_for(void **state)
{
	int sent = 0, got = 0;

	(void)state;
	while (channel_send(a, MSG_CHILD, NULL, NULL, 0, -1) == 0)
		sent++;
	assert_int_equal(
	    channel_send(a, MSG_CHILD, NULL, NULL, 0, -1), -EAGAIN);
	assert_true(sent > 100);
	while (channel_receive(b, &msg) == 1)
		got++;
	assert_int_equal(got, sent);
	assert_int_equal(channel_send(a, MSG_CHILD, NULL, NULL, 0, -1), 0);
}

static void
no_room_for_a_descriptor_is_not_the_peers_fault(void **state)
{
	struct rlimit old, none;
	int r;

	(void)state;
	assert_int_equal(channel_send(a, MSG_KEEP, NULL, NULL, 0, a), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = channel_receive(b, &msg);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(msg.fd, -1);
	assert_int_equal(channel_send(a, MSG_KEEP, NULL, NULL, 0, a), 0);
	assert_int_equal(channel_receive(b, &msg), 1);
	close(msg.fd);
}

static void
an_inherited_end_is_made_fit(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	assert_int_equal(channel_setup(fd[0]), 0);
	assert_int_equal(fcntl(fd[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(channel_receive(fd[0], &msg), -EAGAIN);
	close(fd[0]);
	assert_int_equal(channel_setup(fd[0]), -EBADF);
	close(fd[1]);
	assert_int_equal(channel_receive(fd[1], &msg), -EBADF);
	assert_int_equal(msg.fd, -1);
}

static void
names_and_words_have_no_gaps(void **state)
{
	(void)state;
	assert_string_equal(msg_name(0), "?");
	assert_string_equal(msg_name(31), "?");
	assert_string_equal(msg_name(UINT32_MAX), "?");
	assert_int_equal(channel_body_size(31), 0);
	for (int i = 0; i < STAGE_COUNT; i++)
		assert_true(strlen(stage_words(i)) > 3);
	assert_string_equal(stage_words(-1), "?");
	assert_string_equal(stage_words(STAGE_COUNT), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_row_travels),
		TEST(a_missing_body_is_all_zero),
		TEST(what_its_row_forbids_is_not_sent),
		TEST(a_packet_of_another_size_is_refused),
		TEST(a_packet_that_is_no_message_is_refused),
		TEST(descriptors_of_what_is_refused_are_closed),
		TEST(a_name_must_end),
		TEST(a_tail_that_is_text_must_end),
		TEST(a_gone_peer_is_told_apart),
		TEST(a_full_channel_is_not_waited_for),
		TEST(no_room_for_a_descriptor_is_not_the_peers_fault),
		TEST(an_inherited_end_is_made_fit),
		TEST(names_and_words_have_no_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
