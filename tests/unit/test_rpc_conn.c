/*
 * The connections of a socket, with a server that echoes lines: who is let in,
 * who is not read from, who is closed and when.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/rpc/conn.h"
#include "supervisord/rpc/listen.h"

#define MOST 3

struct client {
	struct conn conn;
	unsigned lines;
};

static struct conns conns;
static ev_prepare turn;
static char folder[64], path[96];
static unsigned abandoned;
static struct access allowed;
/* "defer" is answered when the test says so. */
static struct conn *deferred[4];
static unsigned deferred_count;

static void
init(struct conn *c)
{
	assert_int_equal(((struct client *)c)->lines, 0);
}

/* "big" is answered with 3 MiB, "listen" makes a subscriber. */
static void
line(struct conn *c, const char *text, size_t size)
{
	struct buf b;

	((struct client *)c)->lines++;
	if (size == 5 && memcmp(text, "defer", 5) == 0) {
		conn_began(c);
		deferred[deferred_count++] = c;
		return;
	}
	if (size == 6 && memcmp(text, "listen", 6) == 0)
		c->listens = true;
	buf_init(&b);
	buf_add(&b, text, size);
	if (size == 3 && memcmp(text, "big", 3) == 0) {
		assert_true(buf_reserve(&b, 3 << 20));
		memset(b.data + b.size, 'x', 3 << 20);
		b.size += 3 << 20;
	}
	conn_put_line(c, &b);
	buf_done(&b);
}

static size_t
take(struct conn *c, const char *data, size_t size)
{
	return conn_take_lines(c, data, size, line);
}

static void
abandon(struct conn *c)
{
	abandoned += c->requests;
}

static const struct access *
access_now(struct conns *of)
{
	(void)of;
	return &allowed;
}

static const struct conn_server server = { "test", sizeof(struct client), MOST,
	init, take, abandon, access_now };

static void
turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
	conns_turn(&conns);
}

static int
start(void **state)
{
	int fd;

	(void)state;
	log_setup(LOG_LEVEL_ERROR, false, -1);
	abandoned = deferred_count = 0;
	snprintf(folder, sizeof folder, "/tmp/svconnXXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/s", folder);
	fd = socket_listen(path, 0640, (gid_t)-1);
	assert_true(fd >= 0);
	assert_int_equal(conns_init(&conns, &server, ev_default_loop(0)), 0);
	conns_listen(&conns, fd);
	ev_prepare_init(&turn, turn_ends);
	ev_prepare_start(conns.loop, &turn);
	return 0;
}

static void
run(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(conns.loop, EVRUN_NOWAIT);
}

static int
end(void **state)
{
	(void)state;
	conns_done(&conns);
	assert_int_equal(conns.count, 0);
	ev_prepare_stop(conns.loop, &turn);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void
join(int fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	run();
}

static int
client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	join(fd);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	run();
}

/* What is there; "closed" when the connection has ended. */
static const char *
hear(int fd)
{
	static char text[4096];
	ssize_t n;

	run();
	n = recv(fd, text, sizeof text - 1, 0);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return "closed";
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* How many bytes come until nothing more does. */
static size_t
swallow(int fd)
{
	static char bytes[65536];
	size_t all = 0;

	for (int idle = 0; idle < 3;) {
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);

		if (n > 0) {
			all += (size_t)n;
			idle = 0;
		} else {
			idle++;
			run();
		}
	}
	return all;
}

static struct client *
newest(void)
{
	return (struct client *)LIST_ENTRY(conns.all.prev, struct conn, link);
}

/* --- the socket ----------------------------------------------------------- */

static void
a_socket_has_its_mode_and_replaces_a_stale_one(void **state)
{
	char deep[256];
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(socket_mode(path, 0600, (gid_t)-1), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fd = socket_listen(path, 0666, (gid_t)-1);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	conns_listen(&conns, fd);
	fd = client();
	say(fd, "a\n");
	assert_string_equal(hear(fd), "a\n");
	close(fd);
	memset(deep, 'd', sizeof deep - 1);
	deep[sizeof deep - 1] = '\0';
	assert_int_equal(socket_listen(deep, 0666, (gid_t)-1), -ENAMETOOLONG);
	assert_int_equal(
	    socket_listen("/nowhere/at/all", 0666, (gid_t)-1), -ENOENT);
}

static void
rights_are_numbers(void **state)
{
	uid_t users[] = { 1001 };
	gid_t groups[] = { 77 }, lookers[] = { 42 };
	gid_t both[] = { 5, 77 }, looks[] = { 42 };
	struct access a = { { users, groups, 1, 1 }, { NULL, lookers, 0, 1 } };
	struct who who = { 0 };

	(void)state;
	access_of(&a, 0, NULL, 0, &who);
	assert_true(who.may_look && who.may_change && who.trusted);
	access_of(NULL, geteuid(), NULL, 0, &who);
	assert_true(who.may_look && who.may_change && who.trusted);
	access_of(&a, 1001, NULL, 0, &who);
	assert_true(who.may_look && who.may_change && !who.trusted);
	access_of(&a, 1002, both, 2, &who);
	assert_true(who.may_look && who.may_change);
	access_of(&a, 1002, looks, 1, &who);
	assert_true(who.may_look && !who.may_change);
	access_of(&a, 1002, both, 1, &who);
	assert_false(who.may_look || who.may_change);
	access_of(NULL, 1002, both, 1, &who);
	assert_false(who.may_look || who.may_change);
}

/* --- who is let in -------------------------------------------------------- */

static void
the_longest_idle_makes_room_unless_it_waits_or_listens(void **state)
{
	int fd[MOST + 2];

	(void)state;
	for (int i = 0; i < MOST; i++)
		fd[i] = client();
	say(fd[0], "defer\n");
	say(fd[1], "listen\n");
	assert_string_equal(hear(fd[1]), "listen\n");
	fd[3] = client();
	assert_string_equal(hear(fd[2]), "closed");
	say(fd[3], "defer\n");
	/* Nobody is idle. */
	fd[4] = client();
	assert_string_equal(hear(fd[4]), "closed");
	assert_int_equal(conns.count, MOST);
	for (int i = 0; i < MOST + 2; i++)
		close(fd[i]);
	run();
	/* Who listened is gone as well, though nothing was sent to him. */
	assert_int_equal(conns.count, 0);
	assert_int_equal(abandoned, 2);
}

static void
without_descriptors_it_waits_and_takes_no_time(void **state)
{
	struct rlimit all, none;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = all;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	join(fd);
	run();
	assert_false(ev_is_active(&conns.io));
	setrlimit(RLIMIT_NOFILE, &all);
	while (!ev_is_active(&conns.io))
		ev_run(conns.loop, EVRUN_ONCE);
	say(fd, "a\n");
	assert_string_equal(hear(fd), "a\n");
	close(fd);
}

/* --- lines ---------------------------------------------------------------- */

static void
lines_come_in_any_pieces(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "a");
	assert_string_equal(hear(fd), "");
	say(fd, "b\n \t\r\n\nc\nd");
	assert_string_equal(hear(fd), "ab\nc\n");
	assert_int_equal(newest()->lines, 2);
	say(fd, "\n");
	assert_string_equal(hear(fd), "d\n");
	close(fd);
}

static void
a_line_without_end_is_refused(void **state)
{
	static char xs[65536];
	int fd = client();

	(void)state;
	memset(xs, 'x', sizeof xs);
	for (size_t sent = 0; sent <= CONN_LINE; run()) {
		ssize_t n = send(fd, xs, sizeof xs, MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
	}
	assert_non_null(strstr(hear(fd), "one line of at most 1 MiB"));
	assert_string_equal(hear(fd), "closed");
	close(fd);
}

static void
who_does_not_read_is_not_read_from(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "big\na\nb\n");
	assert_int_equal(newest()->lines, 1);
	assert_true(newest()->conn.held);
	assert_int_equal(swallow(fd), 3 + (3 << 20) + 1 + 4);
	assert_int_equal(newest()->lines, 3);
	close(fd);
}

static void
what_nobody_reads_has_a_limit(void **state)
{
	int fd = client();
	struct buf b;

	(void)state;
	say(fd, "listen\n");
	buf_init(&b);
	assert_true(buf_reserve(&b, 8 << 20));
	memset(b.data, 'x', 8 << 20);
	b.size = 8 << 20;
	for (int i = 0; i < 8; i++)
		conn_put_line(&newest()->conn, &b);
	run();
	assert_int_equal(conns.count, 1);
	conn_put_line(&newest()->conn, &b);
	run();
	assert_int_equal(conns.count, 0);
	buf_done(&b);
	close(fd);
}

/* --- the end -------------------------------------------------------------- */

static void
who_shuts_his_side_is_still_answered(void **state)
{
	struct buf b;
	int fd = client();

	(void)state;
	say(fd, "defer\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	run();
	assert_int_equal(conns.count, 1);
	buf_init(&b);
	buf_str(&b, "late");
	conn_put_line(deferred[0], &b);
	conn_answered(deferred[0]);
	buf_done(&b);
	assert_string_equal(hear(fd), "late\n");
	assert_string_equal(hear(fd), "closed");
	assert_int_equal(conns.count, 0);
	close(fd);
}

static void
what_is_finished_is_sent_first(void **state)
{
	int fd = client();
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_str(&b, "bye");
	conn_put_line(&newest()->conn, &b);
	conn_finish(&newest()->conn);
	buf_done(&b);
	send(fd, "a\n", 2, MSG_NOSIGNAL);
	assert_string_equal(hear(fd), "bye\n");
	assert_string_equal(hear(fd), "closed");
	close(fd);
}

static void
no_memory_for_an_answer_ends_it(void **state)
{
	int fd = client();
	struct buf b;

	(void)state;
	buf_init(&b);
	b.failed = true;
	conn_put_line(&newest()->conn, &b);
	assert_int_equal(conns.count, 1); /* not before the turn ends */
	assert_string_equal(hear(fd), "closed");
	assert_int_equal(conns.count, 0);
	close(fd);
	/* The same where there was none for what is to be sent. */
	fd = client();
	newest()->conn.out.failed = true;
	conn_push(&newest()->conn);
	assert_string_equal(hear(fd), "closed");
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_socket_has_its_mode_and_replaces_a_stale_one),
		cmocka_unit_test(rights_are_numbers),
		TEST(the_longest_idle_makes_room_unless_it_waits_or_listens),
		TEST(without_descriptors_it_waits_and_takes_no_time),
		TEST(lines_come_in_any_pieces),
		TEST(a_line_without_end_is_refused),
		TEST(who_does_not_read_is_not_read_from),
		TEST(what_nobody_reads_has_a_limit),
		TEST(who_shuts_his_side_is_still_answered),
		TEST(what_is_finished_is_sent_first),
		TEST(no_memory_for_an_answer_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
