/*
 * The broker as the guardian sees it: started while it is wanted, told of its
 * descriptors and of the task sockets, and followed by another one. And what
 * a hybrid worker or one with listening sockets gets.
 */
#include "tests/unit/guardian_rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>

#include "supervisord/proto/wire.h"

/* A worker that says back what it is told, word by word, on WORKER_FD. */
#define ECHOES "while read word <&3; do echo \"$word back\" >&3; done"

static uint64_t
shell(const char *script, const char *socket)
{
	struct rig_spec s = { .argv = { "/bin/sh", "-c", script, "worker" },
		.envp = { "PATH=/usr/bin:/bin", "LISTEN_PID=\x02" },
		.sockets = { socket },
		.umask = BOOK_NO_UMASK };
	uint64_t at;

	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	return at;
}

static void
want_broker(uint32_t wanted)
{
	struct msg_flag m = { wanted, 0 };

	rig_send(MSG_BROKER_WANTED, &m, -1);
}

static void
start_with_broker(void)
{
	static struct msg m;

	rig_start();
	want_broker(1);
	rig_accept_broker();
	rig_until(MSG_BROKER_UP, &m);
	assert_int_equal(m.u.BROKER_UP.pid, rig.broker_pid);
}

static void
next_for_broker(struct msg *m, enum msg_type type)
{
	rig_receive_from(rig.broker, m);
	assert_string_equal(msg_name(m->type), msg_name(type));
}

static void
from_broker(enum msg_type type, const void *body, int fd)
{
	assert_int_equal(channel_send(rig.broker, type, body, NULL, 0, fd), 0);
}

static void
replace_broker(void)
{
	kill(rig.broker_pid, SIGKILL);
	rig_accept_broker();
}

/* As rig_quit, with a broker. */
static void
quit_with_broker(void)
{
	static struct msg m;
	struct msg_quit quit = { 0, 0 };

	rig_send(MSG_QUIT, &quit, -1);
	do {
		rig_receive_from(rig.broker, &m);
		if (m.fd >= 0)
			close(m.fd);
	} while (m.type != MSG_FINISH);
	do {
		rig_receive_from(rig.logger, &m);
		if (m.fd >= 0)
			close(m.fd);
	} while (m.type != MSG_FINISH);
	kill(rig.logger_pid, SIGKILL);
	assert_int_equal(waitpid(rig.pid, NULL, WNOHANG), 0);
	kill(rig.broker_pid, SIGKILL);
	assert_int_equal(rig_wait(), 0);
	rig_close();
}

static unsigned
guardian_fds(void)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)rig.pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static struct msg_launched
launch_hybrid(uint64_t spec, uint32_t threads)
{
	static struct msg m;
	struct msg_launch l = { .cookie = 3,
		.book = 1,
		.spec = spec,
		.threads = threads,
		.name = "hash:0" };

	rig_send(MSG_LAUNCH, &l, -1);
	rig_until(MSG_LAUNCHED, &m);
	return m.u.LAUNCHED;
}

/* The next two: the socket, and the memory of that many slots. */
static void
take_channel(const struct msg_launched *l, uint32_t threads, int fd[2])
{
	static struct msg m;
	struct wire_slots *slots;
	struct stat st;

	next_for_broker(&m, MSG_CHANNEL);
	assert_int_equal(m.u.CHANNEL.slot, l->slot);
	assert_int_equal(m.u.CHANNEL.gen, l->gen);
	assert_int_equal(m.u.CHANNEL.pid, l->pid);
	assert_int_equal(m.u.CHANNEL.threads, threads);
	assert_true(m.u.CHANNEL.started_mono == l->started_mono);
	assert_string_equal(m.u.CHANNEL.name, "hash:0");
	fd[0] = m.fd;
	assert_int_not_equal(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0);
	next_for_broker(&m, MSG_CHANNEL_SLOTS);
	assert_int_equal(m.u.CHANNEL_SLOTS.slot, l->slot);
	fd[1] = m.fd;
	assert_int_equal(fstat(fd[1], &st), 0);
	assert_int_equal(st.st_size, wire_slots_size(threads));
	assert_int_equal(ftruncate(fd[1], 0), -1);
	assert_int_equal(fcntl(fd[1], F_ADD_SEALS, F_SEAL_WRITE), -1);
	slots = mmap(NULL, wire_slots_size(threads), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd[1], 0);
	assert_ptr_not_equal(slots, MAP_FAILED);
	assert_int_equal(slots->magic, WIRE_SLOTS_MAGIC);
	assert_int_equal(slots->threads, threads);
	munmap(slots, wire_slots_size(threads));
}

static void
expect(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[256];
	size_t n = 0;

	while (n < strlen(text)) {
		ssize_t more;

		assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
		more = read(fd, got + n, sizeof got - 1 - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void
broker_runs_while_it_is_wanted(void **state)
{
	static struct msg m;
	char bye = 0;
	pid_t first;

	(void)state;
	start_with_broker();
	first = rig.broker_pid;
	next_for_broker(&m, MSG_BROKER_TOLD);
	want_broker(1); /* that changes nothing */
	replace_broker();
	rig_until(MSG_BROKER_UP, &m);
	assert_int_not_equal(m.u.BROKER_UP.pid, first);
	assert_int_equal(m.u.BROKER_UP.pid, rig.broker_pid);
	next_for_broker(&m, MSG_BROKER_TOLD);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	rig_handover(NULL, 0);
	rig_until(MSG_BROKER_UP, &m);
	assert_int_equal(m.u.BROKER_UP.pid, rig.broker_pid);
	/* It ends, and only then another one takes its place. */
	want_broker(0);
	next_for_broker(&m, MSG_FINISH);
	want_broker(1);
	assert_int_equal(write(rig_broker_sock, &bye, 1), 1);
	rig_accept_broker();
	rig_until(MSG_BROKER_UP, &m);
	next_for_broker(&m, MSG_BROKER_TOLD);
	want_broker(0);
	next_for_broker(&m, MSG_FINISH);
	assert_int_equal(write(rig_broker_sock, &bye, 1), 1);
	/* Gone for good: a new master is not told of any. */
	while (kill(rig.broker_pid, 0) == 0)
		(void)poll(NULL, 0, 1);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	rig_handover(NULL, 0);
	rig_until(MSG_LOGGER_UP, &m);
	rig_launch(1, shell("exit 6", NULL), "a:0", LAUNCH_OUT_NULL);
	rig_receive(&m);
	assert_int_equal(m.type, MSG_LAUNCHED);
	rig_until(MSG_EXITED, &m);
	rig_quit(0);
}

static void
shutdown_waits_for_the_broker(void **state)
{
	(void)state;
	start_with_broker();
	quit_with_broker();
}

static void
kept_descriptors_reach_every_broker(void **state)
{
	static struct msg m;
	struct msg_name config = { "broker/config" }, mine = { "broker/mine" };
	struct msg_name other = { "other" };
	bool seen[2] = { false, false };
	pid_t old;

	(void)state;
	rig_start();
	rig_send(MSG_KEEP, &config, rig.listener);
	rig_send(MSG_KEEP, &other, rig.listener);
	want_broker(1);
	rig_accept_broker();
	next_for_broker(&m, MSG_BROKER_FD);
	assert_string_equal(m.u.BROKER_FD.name, "broker/config");
	close(m.fd);
	next_for_broker(&m, MSG_BROKER_TOLD);
	from_broker(MSG_BROKER_KEEP, &mine, rig.listener);
	rig_send(MSG_KEEP, &config, rig.listener); /* a new one */
	next_for_broker(&m, MSG_BROKER_FD);
	assert_string_equal(m.u.BROKER_FD.name, "broker/config");
	close(m.fd);
	replace_broker();
	for (int i = 0; i < 2; i++) {
		next_for_broker(&m, MSG_BROKER_FD);
		close(m.fd);
		seen[strcmp(m.u.BROKER_FD.name, "broker/mine") == 0] = true;
	}
	assert_true(seen[0] && seen[1]);
	next_for_broker(&m, MSG_BROKER_TOLD);
	from_broker(MSG_BROKER_DROP, &mine, -1);
	replace_broker();
	next_for_broker(&m, MSG_BROKER_FD);
	assert_string_equal(m.u.BROKER_FD.name, "broker/config");
	close(m.fd);
	next_for_broker(&m, MSG_BROKER_TOLD);
	/* It may not touch what is another's. */
	old = rig.broker_pid;
	from_broker(MSG_BROKER_DROP, &other, -1);
	rig_accept_broker();
	assert_int_equal(kill(old, 0), -1);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	do {
		rig_receive(&m);
		if (m.type == MSG_KEPT)
			close(m.fd);
	} while (m.type != MSG_KEPT || strcmp(m.u.KEPT.name, other.name) != 0);
	rig_until(MSG_HANDED_OVER, &m);
	quit_with_broker();
}

static void
peer_comes_behind_the_rest(void **state)
{
	static struct msg m;
	int pair[2];

	(void)state;
	start_with_broker();
	assert_int_equal(channel_pair(pair), 0);
	rig_send(MSG_BROKER_PEER, NULL, pair[1]);
	close(pair[1]);
	next_for_broker(&m, MSG_BROKER_TOLD);
	next_for_broker(&m, MSG_PEER);
	assert_int_equal(channel_send(m.fd, MSG_REOPEN, NULL, NULL, 0, -1), 0);
	close(m.fd);
	rig_receive_from(pair[0], &m);
	assert_int_equal(m.type, MSG_REOPEN);
	close(pair[0]);
	quit_with_broker();
}

static void
task_socket_outlives_brokers(void **state)
{
	static struct msg m;
	struct msg_launched l;
	struct msg_slot done;
	struct msg_child rows[2];
	unsigned before;
	int fd[2];

	(void)state;
	start_with_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	before = guardian_fds();
	l = launch_hybrid(shell(ECHOES, NULL), 4);
	take_channel(&l, 4, fd);
	say(fd[0], "one\n");
	expect(fd[0], "one back\n");
	say(fd[0], "two\n");
	close(fd[0]);
	close(fd[1]);
	replace_broker();
	take_channel(&l, 4, fd);
	next_for_broker(&m, MSG_BROKER_TOLD);
	expect(fd[0], "two back\n");
	/* Its last words and its end wait for whichever broker comes. */
	say(fd[0], "three\n");
	(void)poll(
	    &(struct pollfd){ .fd = fd[0], .events = POLLIN }, 1, RIG_PATIENCE);
	rig_kill(l.slot, l.gen, SIGKILL);
	rig_until(MSG_EXITED, &m);
	rig_ack(&m.u.EXITED);
	next_for_broker(&m, MSG_CHANNEL_EXIT);
	assert_int_equal(m.u.CHANNEL_EXIT.pid, l.pid);
	assert_int_equal(m.u.CHANNEL_EXIT.status, SIGKILL);
	close(fd[0]);
	close(fd[1]);
	replace_broker();
	take_channel(&l, 4, fd);
	next_for_broker(&m, MSG_CHANNEL_EXIT);
	next_for_broker(&m, MSG_BROKER_TOLD);
	expect(fd[0], "three back\n");
	assert_int_equal(read(fd[0], &m, 1), 0);
	close(fd[0]);
	close(fd[1]);
	/* The master has nothing to do with it any more. */
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(rows, 2), 0);
	done = (struct msg_slot){ l.slot, l.gen };
	from_broker(MSG_CHANNEL_DONE, &done, -1);
	from_broker(MSG_CHANNEL_DONE, &done, -1); /* twice is no harm */
	replace_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	assert_int_equal(guardian_fds(), before);
	l = launch_hybrid(shell(ECHOES, NULL), 1);
	assert_int_equal(l.slot, done.slot);
	assert_int_equal(l.gen, done.gen + 1);
	take_channel(&l, 1, fd);
	close(fd[0]);
	close(fd[1]);
	quit_with_broker();
}

static void
slot_waits_for_both_master_and_broker(void **state)
{
	static struct msg m;
	struct msg_launched l;
	struct msg_slot done;
	struct msg_child exited;
	int fd[2];

	(void)state;
	start_with_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	l = launch_hybrid(shell("exit 1", NULL), 2);
	take_channel(&l, 2, fd);
	next_for_broker(&m, MSG_CHANNEL_EXIT);
	done = (struct msg_slot){ l.slot, l.gen };
	from_broker(MSG_CHANNEL_DONE, &done, -1);
	rig_until(MSG_EXITED, &m);
	exited = m.u.EXITED;
	replace_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(&exited, 1), 1);
	assert_int_equal(exited.status, 1);
	rig_ack(&exited);
	l = launch_hybrid(shell("exit 1", NULL), 2);
	assert_int_equal(l.slot, exited.slot);
	close(fd[0]);
	close(fd[1]);
	quit_with_broker();
}

static void
without_broker_it_ends_with_the_process(void **state)
{
	static struct msg m;
	unsigned before;
	struct msg_launched l;
	struct msg_launch bad = { .cookie = 8,
		.book = 1,
		.threads = WIRE_THREADS_MAX + 1,
		.name = "hash:0" };

	(void)state;
	rig_start();
	bad.spec = shell("exit 0", NULL);
	rig_send(MSG_LAUNCH, &bad, -1);
	rig_until(MSG_NOT_LAUNCHED, &m); /* it has closed the book by now */
	before = guardian_fds();
	l = launch_hybrid(bad.spec, 1);
	rig_until(MSG_EXITED, &m);
	rig_ack(&m.u.EXITED);
	rig_send(MSG_LAUNCH, &bad, -1);
	rig_until(MSG_NOT_LAUNCHED, &m);
	assert_int_equal(m.u.NOT_LAUNCHED.stage, STAGE_CHANNEL);
	assert_int_equal(m.u.NOT_LAUNCHED.error, EINVAL);
	assert_int_equal(guardian_fds(), before);
	/* A broker that comes later is told of what lives. */
	l = launch_hybrid(shell(ECHOES, NULL), 3);
	want_broker(1);
	rig_accept_broker();
	next_for_broker(&m, MSG_CHANNEL);
	assert_int_equal(m.u.CHANNEL.pid, l.pid);
	close(m.fd);
	next_for_broker(&m, MSG_CHANNEL_SLOTS);
	close(m.fd);
	/* One that is not wanted any more leaves nothing to wait for it. */
	rig_kill(l.slot, l.gen, SIGKILL);
	rig_until(MSG_EXITED, &m);
	rig_ack(&m.u.EXITED);
	want_broker(0);
	do {
		rig_receive_from(rig.broker, &m);
	} while (m.type != MSG_FINISH);
	kill(rig.broker_pid, SIGKILL);
	while (guardian_fds() != before)
		(void)poll(NULL, 0, 1);
	rig_quit(0);
}

/* A guardian with few descriptors, and a broker that never is done. */
static void
no_room_costs_what_ended_ones_wrote(void **state)
{
	static struct msg m;
	struct msg_launch l = {
		.cookie = 3, .book = 1, .threads = 1, .name = "hash:0"
	};
	unsigned told = 0;

	(void)state;
	rig_start_as(128, 0, 0);
	l.spec = shell("exit 0", NULL);
	want_broker(1);
	rig_accept_broker();
	for (int i = 0; i < 200; i++) {
		rig_send(MSG_LAUNCH, &l, -1);
		do {
			rig_receive(&m);
		} while (m.type != MSG_LAUNCHED && m.type != MSG_NOT_LAUNCHED);
		assert_int_equal(m.type, MSG_LAUNCHED);
		rig_until(MSG_EXITED, &m);
		rig_ack(&m.u.EXITED);
		while (told <= (unsigned)i) {
			rig_receive_from(rig.broker, &m);
			if (m.fd >= 0)
				close(m.fd);
			told += m.type == MSG_CHANNEL_EXIT;
		}
	}
	quit_with_broker();
}

static void
upgrade_keeps_task_sockets(void **state)
{
	static struct msg m;
	struct msg_launched l;
	struct msg_name mine = { "broker/flights" };
	struct msg_child rows[2];
	pid_t old_master, old_logger, old_broker;
	int fd[2];

	(void)state;
	start_with_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	l = launch_hybrid(shell(ECHOES, NULL), 4);
	take_channel(&l, 4, fd);
	say(fd[0], "one\n");
	close(fd[0]);
	close(fd[1]);
	old_master = rig.master_pid;
	old_logger = rig.logger_pid;
	old_broker = rig.broker_pid;
	/* What the old one has sent by now counts, read or not. */
	kill(rig.pid, SIGSTOP);
	rig_send(MSG_UPGRADE, NULL, -1);
	from_broker(MSG_BROKER_KEEP, &mine, rig.listener);
	kill(rig.pid, SIGCONT);
	while (rig.master_pid == old_master || rig.logger_pid == old_logger ||
	       rig.broker_pid == old_broker)
		rig_accept_one();
	assert_int_equal(rig_handover(rows, 2), 1);
	assert_int_equal(rows[0].pid, l.pid);
	next_for_broker(&m, MSG_BROKER_FD);
	assert_string_equal(m.u.BROKER_FD.name, "broker/flights");
	close(m.fd);
	take_channel(&l, 4, fd);
	next_for_broker(&m, MSG_BROKER_TOLD);
	expect(fd[0], "one back\n");
	say(fd[0], "two\n");
	expect(fd[0], "two back\n");
	close(fd[0]);
	close(fd[1]);
	rig_kill(l.slot, l.gen, SIGKILL);
	next_for_broker(&m, MSG_CHANNEL_EXIT);
	quit_with_broker();
}

static void
listening_sockets_come_first(void **state)
{
	static struct msg m;
	struct msg_name name = { "socket/http" };
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), hand[2];
	struct msg_launched l;
	struct msg_child rows[1];
	char text[128];
	struct stat st;
	uint64_t spec;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	start_with_broker();
	next_for_broker(&m, MSG_BROKER_TOLD);
	spec = shell("test $LISTEN_PID = $$ && readlink /proc/$$/fd/3 >&4;"
		     "cat <&5 | head -c 4 | od -An -tx4 >&4; cat <&4",
	    "http");
	rig_launch(1, spec, "web:0", LAUNCH_OUT_NULL);
	rig_until(MSG_NOT_LAUNCHED, &m);
	assert_int_equal(m.u.NOT_LAUNCHED.stage, STAGE_SOCKETS);
	assert_int_equal(m.u.NOT_LAUNCHED.error, ENOENT);
	rig_send(MSG_KEEP, &name, fd);
	kill(rig.master_pid, SIGKILL); /* it is kept over any master */
	rig_accept_master();
	rig_handover(rows, 1);
	rig_send_book(1);
	l = launch_hybrid(spec, 4);
	take_channel(&l, 4, hand);
	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof text, "socket:[%llu]\n %08x\n",
	    (unsigned long long)st.st_ino, WIRE_SLOTS_MAGIC);
	expect(hand[0], text);
	close(hand[0]);
	close(hand[1]);
	close(fd);
	quit_with_broker();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    broker_runs_while_it_is_wanted, rig_teardown),
		cmocka_unit_test_teardown(
		    shutdown_waits_for_the_broker, rig_teardown),
		cmocka_unit_test_teardown(
		    kept_descriptors_reach_every_broker, rig_teardown),
		cmocka_unit_test_teardown(
		    peer_comes_behind_the_rest, rig_teardown),
		cmocka_unit_test_teardown(
		    task_socket_outlives_brokers, rig_teardown),
		cmocka_unit_test_teardown(
		    slot_waits_for_both_master_and_broker, rig_teardown),
		cmocka_unit_test_teardown(
		    without_broker_it_ends_with_the_process, rig_teardown),
		cmocka_unit_test_teardown(
		    no_room_costs_what_ended_ones_wrote, rig_teardown),
		cmocka_unit_test_teardown(
		    upgrade_keeps_task_sockets, rig_teardown),
		cmocka_unit_test_teardown(
		    listening_sockets_come_first, rig_teardown),
	};

	(void)argc;
	rig_main(argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
