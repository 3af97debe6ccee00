/* A channel that is full: what waits keeps its order and its descriptors. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/proto/peer.h"

struct ends {
	struct ev_loop *loop;
	struct peer peer;
	int other;
	unsigned received, gone;
};

static void
receive(void *arg, struct msg *msg)
{
	struct ends *e = arg;

	e->received++;
	if (msg->fd >= 0)
		close(msg->fd);
}

static void
gone(void *arg, const char *why)
{
	struct ends *e = arg;

	(void)why;
	e->gone++;
}

static void
begin(struct ends *e)
{
	int pair[2];

	memset(e, 0, sizeof *e);
	e->loop = ev_loop_new(EVFLAG_NOENV);
	assert_int_equal(channel_pair(pair), 0);
	peer_init(&e->peer, e->loop, receive, gone, e);
	peer_connect(&e->peer, pair[0]);
	e->other = pair[1];
}

static void
end(struct ends *e)
{
	peer_close(&e->peer);
	close(e->other);
	ev_loop_destroy(e->loop);
}

/* Sends numbered messages until so many wait; how many were sent. */
static uint32_t
fill(struct ends *e, size_t waiting)
{
	uint32_t n = 0, over = 0;

	while (over < waiting) {
		struct msg_slot ack = { .slot = n++ };

		peer_send(&e->peer, MSG_ACK, &ack, NULL, 0, -1);
		over += e->peer.outbox.size > 0;
	}
	return n;
}

static void
what_waits_keeps_its_order(void **state)
{
	struct msg_slot last = { .slot = 0xffffffffU };
	uint32_t n, i = 0;
	struct ends e;
	struct msg msg;
	int r;

	(void)state;
	begin(&e);
	n = fill(&e, 1000);
	peer_send(&e.peer, MSG_ACK, &last, NULL, 0, -1);
	while (i <= n) {
		r = channel_receive(e.other, &msg);
		if (r == -EAGAIN) {
			ev_run(e.loop, EVRUN_NOWAIT);
			continue;
		}
		assert_int_equal(r, 1);
		assert_int_equal(msg.u.ACK.slot, i == n ? 0xffffffffU : i);
		i++;
	}
	assert_int_equal(e.peer.outbox.size, 0);
	end(&e);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
a_descriptor_that_waits_is_the_senders_no_more(void **state)
{
	static const struct msg_name name = { "config" };
	struct stat sent, got;
	unsigned before;
	struct ends e;
	struct msg msg;
	int fd, r;

	(void)state;
	begin(&e);
	before = open_fds();
	fill(&e, 1);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fstat(fd, &sent);
	peer_send(&e.peer, MSG_KEEP, &name, NULL, 0, fd);
	close(fd);
	assert_int_equal(open_fds(), before + 1);
	do {
		r = channel_receive(e.other, &msg);
		if (r == -EAGAIN)
			ev_run(e.loop, EVRUN_NOWAIT);
	} while (r == -EAGAIN || msg.type != MSG_KEEP);
	assert_string_equal(msg.u.KEEP.name, "config");
	fstat(msg.fd, &got);
	assert_int_equal(sent.st_rdev, got.st_rdev);
	close(msg.fd);
	assert_int_equal(open_fds(), before);
	end(&e);
}

static void
what_waits_is_forgotten_with_the_peer(void **state)
{
	static const struct msg_name name = { "config" };
	unsigned before;
	struct ends e;

	(void)state;
	before = open_fds();
	begin(&e);
	fill(&e, 1);
	peer_send(&e.peer, MSG_KEEP, &name, NULL, 0, 0);
	end(&e);
	assert_int_equal(open_fds(), before);
	peer_send(&e.peer, MSG_READY, NULL, NULL, 0, -1); /* to nobody */
}

/* At the end the loop does not run any more. */
static void
waiting_for_an_answer_sends_what_waits(void **state)
{
	struct msg_quit quit = { .status = 3 };
	struct ends e;
	struct msg msg;
	pid_t child;
	int r = 1;

	(void)state;
	begin(&e);
	fill(&e, 10);
	peer_send(&e.peer, MSG_QUIT, &quit, NULL, 0, -1);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(e.peer.fd);
		while (r == 1 || r == -EAGAIN) {
			r = channel_receive(e.other, &msg);
			if (r == 1 && msg.type == MSG_QUIT)
				break;
		}
		if (r == 1)
			channel_send(
			    e.other, MSG_HANDED_OVER, NULL, NULL, 0, -1);
		_exit(0);
	}
	close(e.other);
	alarm(20);
	assert_int_equal(peer_wait(&e.peer, &msg), 1);
	alarm(0);
	assert_int_equal(msg.type, MSG_HANDED_OVER);
	end(&e);
}

/* The descriptor can't be kept until there is room. */
static void
one_that_reads_is_waited_for(void **state)
{
	static const struct msg_name name = { "config" };
	struct rlimit before, none;
	uint32_t n, i = 0;
	struct ends e;
	struct msg msg;
	int status, r = 1;
	pid_t child;

	(void)state;
	begin(&e);
	n = fill(&e, 100);
	e.peer.reads = true;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(20);
		while (r == 1 || r == -EAGAIN) {
			r = channel_receive(e.other, &msg);
			if (r == 1 && msg.type == MSG_KEEP)
				break;
			i += r == 1 && msg.u.ACK.slot == i;
		}
		_exit(r == 1 && i == n && msg.fd >= 0 ? 0 : 1);
	}
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){ 0, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	peer_send(&e.peer, MSG_KEEP, &name, NULL, 0, e.other);
	setrlimit(RLIMIT_NOFILE, &before);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(e.peer.outbox.size, 0);
	end(&e);
}

static void
a_peer_that_closes_is_gone_once(void **state)
{
	struct ends e;

	(void)state;
	begin(&e);
	channel_send(e.other, MSG_HANDED_OVER, NULL, NULL, 0, -1);
	shutdown(e.other, 2);
	for (int i = 0; i < 3; i++)
		ev_run(e.loop, EVRUN_NOWAIT);
	assert_int_equal(e.received, 1);
	assert_int_equal(e.gone, 1);
	assert_int_equal(e.peer.fd, -1);
	end(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_keeps_its_order),
		cmocka_unit_test(
		    a_descriptor_that_waits_is_the_senders_no_more),
		cmocka_unit_test(what_waits_is_forgotten_with_the_peer),
		cmocka_unit_test(waiting_for_an_answer_sends_what_waits),
		cmocka_unit_test(one_that_reads_is_waited_for),
		cmocka_unit_test(a_peer_that_closes_is_gone_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
