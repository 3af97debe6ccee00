/*
 * A whole guardian under load and in want: thousands of children at once, what
 * they leave behind, no descriptors, no processes, and a master that sends
 * rubbish.
 */
#include "tests/unit/guardian_rig.h"

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
	struct pollfd p;
	int pipes[2];
	char byte;

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
	assert_int_equal(pipe(pipes), 0);
	rig_launch(1, shell(script), "d:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	tree.slot = m.u.LAUNCHED.slot;
	tree.gen = m.u.LAUNCHED.gen;
	rig_until(MSG_EXITED, &m);
	rig_ack(&m.u.EXITED);
	/* Both sleeps have been started once a TREE 0 would not be empty. */
	p.fd = pipes[0];
	for (int i = 0; i < 1000 && count_processes(word) < 3; i++)
		(void)poll(&p, 0, 10);
	assert_true(count_processes(word) >= 3);
	tree.slot++; /* nobody's: answered, and kills nobody */
	rig_send(MSG_TREE, &tree, -1);
	rig_until(MSG_TREE_EMPTY, &m);
	assert_true(count_processes(word) >= 3);
	tree.slot--;
	rig_send(MSG_TREE, &tree, -1);
	rig_quit(0);
	assert_int_equal(count_processes(word), 0);
	(void)byte;
	close(pipes[0]);
	close(pipes[1]);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(none_of_many_exits_is_lost,
		    rig_teardown),
		cmocka_unit_test_teardown(tree_leaves_no_daemon_behind,
		    rig_teardown),
	};

	(void)argc;
	rig_main(argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
