/*
 * A whole guardian under load and in want: thousands of children at once, what
 * they leave behind, no descriptors, no processes, and a master that sends
 * rubbish.
 */
#include "tests/unit/guardian_rig.h"
#include "tests/unit/skip.h"

#include <dirent.h>

static uint64_t
sleeper(void)
{
	struct rig_spec s = { .argv = { "/bin/sleep", "1000" },
		.umask = BOOK_NO_UMASK };
	uint64_t at;

	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	return at;
}

static uint64_t
shell(const char *script)
{
	struct rig_spec s = { .argv = { "/bin/sh", "-c", script },
		.envp = { "PATH=/usr/bin:/bin" },
		.umask = BOOK_NO_UMASK };
	uint64_t at;

	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	return at;
}

/* Sends without ever blocking on a guardian that waits for us to read. */
struct crowd {
	unsigned launched, exited;
	struct msg_launched *rows;
};

static void
read_news(struct crowd *c)
{
	static struct msg m;

	while (channel_receive(rig.master, &m) == 1) {
		if (m.type == MSG_LAUNCHED)
			c->rows[c->launched++] = m.u.LAUNCHED;
		if (m.type == MSG_EXITED)
			c->exited++;
		assert_int_not_equal(m.type, MSG_NOT_LAUNCHED);
	}
}

static void
wait_for_news(struct crowd *c, short more)
{
	struct pollfd p = { .fd = rig.master, .events = POLLIN | more };

	assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	read_news(c);
}

#define CROWD 3000

static void
none_of_many_exits_is_lost(void **state)
{
	static struct msg_launched rows[CROWD];
	struct crowd c = { 0, 0, rows };
	uint64_t at;

	(void)state;
	rig_start();
	at = sleeper();
	for (uint32_t i = 0; i < CROWD; i++) {
		struct msg_launch m = { .cookie = i, .book = 1, .spec = at };

		snprintf(m.name, sizeof m.name, "many:%u", i);
		while (channel_send(rig.master, MSG_LAUNCH, &m, NULL, 0, -1) ==
		       -EAGAIN)
			wait_for_news(&c, POLLOUT);
	}
	while (c.launched < CROWD)
		wait_for_news(&c, 0);
	/* The master does not read: nothing may be forgotten meanwhile. */
	for (uint32_t i = 0; i < CROWD; i++)
		kill(rows[i].pid, SIGKILL);
	while (c.exited < CROWD)
		wait_for_news(&c, 0);
	/* Not acknowledged, so a new master hears of them all. */
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(NULL, 0), CROWD);
	assert_int_equal(c.exited, CROWD);
	rig_quit(0);
}

/* Processes whose command line has the word. */
static unsigned
count_processes(const char *word)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	unsigned n = 0;

	while ((d = readdir(dir)) != NULL) {
		char path[300], text[512];
		ssize_t got;
		int fd;

		snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		got = read(fd, text, sizeof text - 1);
		close(fd);
		for (ssize_t i = 0; i < got; i++)
			text[i] = text[i] != '\0' ? text[i] : ' ';
		text[got > 0 ? got : 0] = '\0';
		if (strstr(text, word) != NULL)
			n++;
	}
	closedir(dir);
	return n;
}

static void
tree_leaves_no_daemon_behind(void **state)
{
	static struct msg m;
	char script[512], word[64];
	struct msg_tree tree = { 0, 0, SIGKILL, 1 };
	struct msg_child exited;

	(void)state;
	rig_start();
	snprintf(word, sizeof word, "sleep 98765%d", (int)getpid());
	/* Two daemons: own session, forked twice, no environment. The second
	 * is below the first, which ignores TERM. */
	snprintf(script, sizeof script,
	    "(env -i setsid sh -c 'trap : TERM; env -i setsid %s & "
	    "while :; do %s; done' "
	    "</dev/null >/dev/null 2>&1 &); exit 0",
	    word, word);
	rig_launch(1, shell(script), "d:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	tree.slot = m.u.LAUNCHED.slot;
	tree.gen = m.u.LAUNCHED.gen;
	rig_until(MSG_EXITED, &m);
	exited = m.u.EXITED;
	/* Whatever a daemon does, it does not tell us when: look for it. */
	for (int i = 0; i < 3000 && count_processes(word) < 3; i++)
		(void)poll(NULL, 0, 10);
	assert_true(count_processes(word) >= 3);
	tree.slot++; /* nobody's: answered, and kills nobody */
	rig_send(MSG_TREE, &tree, -1);
	rig_until(MSG_TREE_EMPTY, &m);
	assert_true(count_processes(word) >= 3);
	tree.slot--;
	rig_send(MSG_TREE, &tree, -1);
	rig_ack(&exited);
	rig_until(MSG_TREE_EMPTY, &m);
	assert_int_equal(m.u.TREE_EMPTY.slot, tree.slot);
	assert_int_equal(count_processes(word), 0);
	/* The slot was acknowledged, and is free now. */
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(NULL, 0), 0);
	rig_quit(0);
}

/* TERM goes to each descendant once, KILL to all that are left. */
static void
deaf_daemon_is_killed_in_the_end(void **state)
{
	static struct msg m;
	char script[256], word[64];
	struct msg_tree tree = { 0, 0, SIGTERM, 1 };

	(void)state;
	rig_start();
	snprintf(word, sizeof word, "sleep 87654%d", (int)getpid());
	snprintf(script, sizeof script,
	    "trap '' TERM; setsid %s </dev/null >/dev/null 2>&1 &", word);
	rig_launch(1, shell(script), "d:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	tree.slot = m.u.LAUNCHED.slot;
	tree.gen = m.u.LAUNCHED.gen;
	rig_until(MSG_EXITED, &m);
	for (int i = 0; i < 3000 && count_processes(word) < 1; i++)
		(void)poll(NULL, 0, 10);
	rig_send(MSG_TREE, &tree, -1);
	/* An exit of another tells that a scan has come and gone. */
	rig_launch(2, shell("exit 0"), "e:0", LAUNCH_OUT_NULL);
	rig_until(MSG_EXITED, &m);
	assert_int_equal(count_processes(word), 1);
	tree.signo = SIGKILL;
	rig_send(MSG_TREE, &tree, -1);
	rig_until(MSG_TREE_EMPTY, &m);
	assert_int_equal(count_processes(word), 0);
	rig_quit(0);
}

static void
orphans_die_with_the_guardian(void **state)
{
	static struct msg m;
	char script[256], word[64];

	(void)state;
	rig_start();
	snprintf(word, sizeof word, "sleep 76543%d", (int)getpid());
	snprintf(script, sizeof script,
	    "setsid sh -c '%s & %s; :' </dev/null >/dev/null 2>&1 &", word,
	    word);
	rig_launch(1, shell(script), "d:0", LAUNCH_OUT_NULL);
	rig_until(MSG_EXITED, &m);
	for (int i = 0; i < 3000 && count_processes(word) < 3; i++)
		(void)poll(NULL, 0, 10);
	rig_quit(0);
	assert_int_equal(count_processes(word), 0);
}

/* Descriptors run out, launches fail in words, and work again later. */
static void
no_descriptors_left_is_survived(void **state)
{
	static struct msg m;
	struct msg_name drop;
	uint64_t at;
	unsigned n = 0;

	(void)state;
	rig_start_as(100, 0, 0);
	at = shell("exit 0");
	do {
		snprintf(drop.name, sizeof drop.name, "full:%u", n++);
		rig_launch(n, at, drop.name, LAUNCH_OUT_PIPE);
		do {
			rig_receive(&m);
			if (m.type == MSG_EXITED)
				rig_ack(&m.u.EXITED);
		} while (m.type != MSG_EXITED && m.type != MSG_NOT_LAUNCHED);
		assert_true(n < 100);
	} while (m.type != MSG_NOT_LAUNCHED);
	assert_int_equal(m.u.NOT_LAUNCHED.stage, STAGE_PIPE);
	assert_int_equal(m.u.NOT_LAUNCHED.error, EMFILE);
	/* Without a pipe one more can run; with one given back, too. */
	rig_launch(1, at, "null:0", LAUNCH_OUT_NULL);
	rig_until(MSG_EXITED, &m);
	memset(&drop, 0, sizeof drop);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(drop.name, sizeof drop.name, "full:%u", i);
		rig_send(MSG_DROP, &drop, -1);
	}
	/* They go once the logger has been told, and are missed. */
	for (int i = 0; i == 0 || (i < 5 && m.type != MSG_EXITED); i++) {
		rig_launch(1, at, "late:0", LAUNCH_OUT_PIPE);
		do {
			rig_receive(&m);
		} while (m.type != MSG_EXITED && m.type != MSG_NOT_LAUNCHED);
	}
	assert_int_equal(m.type, MSG_EXITED);
	rig_quit(0);
}

/* Another user's limit on processes: root has none. */
static void
no_processes_left_is_survived(void **state)
{
	static struct msg m;
	struct msg_launched first = { 0 };
	uint64_t at;

	(void)state;
	if (getuid() != 0)
		SKIP_BECAUSE("only root may become another user");
	rig_start_as(0, 54321, 12);
	at = sleeper();
	for (uint32_t i = 0;; i++) {
		rig_launch(i, at, "many:0", LAUNCH_OUT_NULL);
		do {
			rig_receive(&m);
		} while (m.type != MSG_LAUNCHED && m.type != MSG_NOT_LAUNCHED);
		if (m.type == MSG_NOT_LAUNCHED)
			break;
		first = m.u.LAUNCHED;
		assert_true(i < 20);
	}
	assert_int_equal(m.u.NOT_LAUNCHED.stage, STAGE_FORK);
	assert_int_equal(m.u.NOT_LAUNCHED.error, EAGAIN);
	rig_kill(first.slot, first.gen, SIGKILL);
	rig_until(MSG_EXITED, &m);
	rig_launch(99, at, "again:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	assert_int_equal(m.u.LAUNCHED.cookie, 99);
	rig_quit(0);
}

/* Rubbish costs the sender its life, and nobody else anything. */
static void
master_that_sends_rubbish_is_replaced(void **state)
{
	static struct msg m;
	static char bytes[70000];
	const size_t sizes[] = { 1, 7, 8, 16, 96, 4096, 16384, 70000 };
	unsigned alive = 1;

	(void)state;
	rig_start();
	rig_launch(1, sleeper(), "a:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
		memset(bytes, (int)i * 37, sizeof bytes);
		assert_true(send(rig.master, bytes, sizes[i], 0) > 0);
		rig_accept_master();
		assert_int_equal(rig_handover(NULL, 0), alive);
	}
	/* A message of ours, but not a master's to send. */
	rig_send(MSG_TREE_EMPTY, NULL, -1);
	rig_accept_master();
	assert_int_equal(rig_handover(NULL, 0), alive);
	/* One that hangs up without ending is no use either. */
	shutdown(rig.master, SHUT_RDWR);
	rig_accept_master();
	assert_int_equal(rig_handover(NULL, 0), alive);
	rig_quit(0);
}

static void
signals_are_told_with_their_count(void **state)
{
	static struct msg m;

	(void)state;
	rig_start();
	kill(rig.pid, SIGHUP);
	rig_until(MSG_SIGNALLED, &m);
	assert_int_equal(m.u.SIGNALLED.signo, SIGHUP);
	assert_int_equal(m.u.SIGNALLED.count, 0);
	assert_int_equal(m.u.SIGNALLED.sender_pid, getpid());
	kill(rig.pid, SIGTERM);
	rig_until(MSG_SIGNALLED, &m);
	assert_int_equal(m.u.SIGNALLED.count, 1);
	/* While no master listens. */
	kill(rig.master_pid, SIGKILL);
	kill(rig.pid, SIGINT);
	rig_accept_master();
	rig_handover(NULL, 0);
	rig_until(MSG_SIGNALLED, &m);
	assert_int_equal(m.u.SIGNALLED.count, 2);
	rig_quit(0);
}

/* Asked twice, and the master does nothing: ten seconds, then it is over. */
static void
guardian_ends_alone_as_a_last_resort(void **state)
{
	static struct msg m;
	pid_t worker;

	(void)state;
	rig_start();
	rig_launch(1, sleeper(), "a:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	worker = m.u.LAUNCHED.pid;
	kill(rig.pid, SIGTERM);
	rig_until(MSG_SIGNALLED, &m);
	kill(rig.pid, SIGTERM);
	assert_int_equal(rig_wait(), 1);
	assert_int_equal(kill(worker, 0), -1);
	rig_close();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    none_of_many_exits_is_lost, rig_teardown),
		cmocka_unit_test_teardown(
		    tree_leaves_no_daemon_behind, rig_teardown),
		cmocka_unit_test_teardown(
		    deaf_daemon_is_killed_in_the_end, rig_teardown),
		cmocka_unit_test_teardown(
		    orphans_die_with_the_guardian, rig_teardown),
		cmocka_unit_test_teardown(
		    no_descriptors_left_is_survived, rig_teardown),
		cmocka_unit_test_teardown(
		    no_processes_left_is_survived, rig_teardown),
		cmocka_unit_test_teardown(
		    master_that_sends_rubbish_is_replaced, rig_teardown),
		cmocka_unit_test_teardown(
		    signals_are_told_with_their_count, rig_teardown),
		cmocka_unit_test_teardown(
		    guardian_ends_alone_as_a_last_resort, rig_teardown),
	};

	(void)argc;
	rig_main(argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
