/*
 * The guardian replaced by the program on disk, strangers taken over, and
 * descriptors that outlive master and logger.
 */
#include "tests/unit/guardian_rig.h"

static uint64_t
shell(const char *script)
{
	struct rig_spec s = { .argv = { "/bin/sh", "-c", script, "worker" },
		.envp = { "PATH=/usr/bin:/bin" },
		.umask = BOOK_NO_UMASK };
	uint64_t at;

	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	return at;
}

/* The read end the logger has got for the stream. */
static int
logger_pipe(const char *name)
{
	static struct msg m;

	for (;;) {
		rig_receive_from(rig.logger, &m);
		if (m.type == MSG_PIPE && strcmp(m.u.PIPE.name, name) == 0)
			return m.fd;
		if (m.fd >= 0)
			close(m.fd);
	}
}

static void
expect_text(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[256];
	size_t n = 0;

	while (n < strlen(text)) {
		ssize_t more;

		assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
		more = read(fd, got + n, sizeof got - 1 - n);
		if (more == 0) /* between two workers nobody has it open */
			(void)poll(NULL, 0, 1);
		assert_true(more >= 0);
		n += (size_t)more;
	}
	got[n] = '\0';
	assert_string_equal(got, text);
}

static pid_t
parent_of(pid_t pid)
{
	char path[64], text[512];
	int fd, ppid = 0;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof text - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(sscanf(strrchr(text, ')') + 1, " %*c %d", &ppid), 1);
	return ppid;
}

static void
upgrade_keeps_pid_pipe_and_parent(void **state)
{
	static struct msg m;
	struct msg_name name = { "memory" };
	struct msg_child rows[4];
	pid_t guardian, worker, old_master, old_logger;
	uint64_t run;
	int pipe_fd;

	(void)state;
	rig_start();
	guardian = rig.pid;
	run = rig.hello.run;
	rig_send(MSG_KEEP, &name, rig.listener);
	rig_launch(1,
	    shell("trap 'echo still here' USR1; echo ready; "
		  "while :; do sleep 1000 & wait; done"),
	    "a:0", LAUNCH_OUT_PIPE);
	rig_until(MSG_LAUNCHED, &m);
	worker = m.u.LAUNCHED.pid;
	pipe_fd = logger_pipe("a:0");
	expect_text(pipe_fd, "ready\n");
	close(pipe_fd);
	rig_launch(2, shell("exit 5"), "b:0", LAUNCH_OUT_NULL);
	rig_until(MSG_EXITED, &m); /* not acknowledged */
	old_master = rig.master_pid;
	old_logger = rig.logger_pid;
	rig_send(MSG_UPGRADE, NULL, -1);
	while (rig.master_pid == old_master || rig.logger_pid == old_logger)
		rig_accept_one();
	assert_int_equal(kill(old_master, 0), -1);
	assert_int_equal(rig_handover(rows, 4), 2);
	assert_int_equal(rig.hello.guardian_pid, guardian);
	assert_int_equal(rig.hello.masters, 2);
	assert_int_equal(rig.hello.first, 0);
	assert_true(rig.hello.run == run);
	assert_int_equal(rows[0].pid, worker);
	assert_int_equal(rows[0].state, CHILD_ALIVE);
	assert_int_equal(rows[1].status, 5);
	assert_int_equal(parent_of(worker), guardian);
	/* The same pipe, and its end is noticed by the same parent. */
	pipe_fd = logger_pipe("a:0");
	kill(worker, SIGUSR1);
	expect_text(pipe_fd, "still here\n");
	close(pipe_fd);
	rig_kill(rows[0].slot, rows[0].gen, SIGKILL);
	rig_until(MSG_EXITED, &m);
	assert_int_equal(m.u.EXITED.pid, worker);
	assert_int_equal(m.u.EXITED.status, SIGKILL);
	rig_launch(3, 0, "a:0", LAUNCH_OUT_PIPE);
	rig_until(MSG_NOT_LAUNCHED, &m); /* the book went with its master */
	rig_launch(3, shell("exit 0"), "a:0", LAUNCH_OUT_PIPE);
	rig_until(MSG_EXITED, &m);
	rig_quit(0);
}

static void
upgrade_to_nothing_changes_nothing(void **state)
{
	static struct msg m;
	char from[200], to[200];
	pid_t old_master;

	(void)state;
	rig_start();
	old_master = rig.master_pid;
	rig_in_dir(from, sizeof from, "libexec/supervisord/master");
	rig_in_dir(to, sizeof to, "elsewhere");
	assert_int_equal(rename(from, to), 0);
	rig_send(MSG_UPGRADE, NULL, -1);
	rig_until(MSG_NOT_UPGRADED, &m);
	assert_int_equal(m.u.NOT_UPGRADED.error, ENOENT);
	assert_int_equal(rename(to, from), 0);
	/* There, executable, and no program at all. */
	rig_in_dir(from, sizeof from, "supervisord");
	assert_int_equal(unlink(from), 0);
	rig_shell("cp /etc/passwd", from, "");
	rig_shell("chmod 755", from, "");
	rig_send(MSG_UPGRADE, NULL, -1);
	rig_until(MSG_NOT_UPGRADED, &m);
	assert_int_equal(m.u.NOT_UPGRADED.error, ENOEXEC);
	assert_int_equal(old_master, rig.master_pid);
	rig_launch(1, shell("exit 4"), "a:0", LAUNCH_OUT_NULL);
	rig_until(MSG_EXITED, &m);
	assert_int_equal(m.u.EXITED.status, 4);
	rig_quit(0);
}

static uint64_t
start_ticks(pid_t pid)
{
	char path[64], text[1024], *at;
	int fd;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof text - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; field < 22; field++)
		at = strchr(at + 1, ' ');
	return strtoull(at, NULL, 10);
}

static void
stranger_is_adopted_if_it_is_the_one(void **state)
{
	static struct msg m;
	struct msg_adopt adopt = { .cookie = 9, .name = "a:0" };
	pid_t stranger;

	(void)state;
	rig_start();
	stranger = fork();
	if (stranger == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	adopt.pid = stranger;
	adopt.start_ticks = start_ticks(stranger) + 1;
	rig_send(MSG_ADOPT, &adopt, -1);
	rig_until(MSG_NOT_LAUNCHED, &m);
	assert_int_equal(m.u.NOT_LAUNCHED.cookie, 9);
	assert_int_equal(m.u.NOT_LAUNCHED.error, ESRCH);
	adopt.start_ticks--;
	rig_send(MSG_ADOPT, &adopt, -1);
	rig_until(MSG_LAUNCHED, &m);
	assert_int_equal(m.u.LAUNCHED.pid, stranger);
	assert_true(m.u.LAUNCHED.started_mono < clock_mono());
	assert_true(clock_mono() - m.u.LAUNCHED.started_mono < 60 * NS_PER_SEC);
	/* Twice is one too many. */
	rig_send(MSG_ADOPT, &adopt, -1);
	rig_until(MSG_NOT_LAUNCHED, &m);
	/* An upgrade goes on watching it. */
	rig_send(MSG_UPGRADE, NULL, -1);
	rig_accept_master();
	while (rig.logger_pid == 0)
		rig_accept_one();
	assert_int_equal(rig_handover(NULL, 0), 1);
	rig_kill(0, 1, SIGTERM);
	rig_until(MSG_EXITED, &m);
	assert_int_equal(m.u.EXITED.pid, stranger);
	assert_int_equal(m.u.EXITED.flags, CHILD_ADOPTED);
	assert_int_equal(m.u.EXITED.code, 0);
	assert_int_equal(waitpid(stranger, NULL, 0), stranger);
}

static void
pipes_outlive_logger_and_worker(void **state)
{
	static struct msg m;
	struct msg_name name = { "a:0" };
	pid_t old_logger;
	int fd;

	(void)state;
	rig_start();
	rig_launch(1, shell("echo one"), "a:0", LAUNCH_OUT_PIPE);
	rig_until(MSG_EXITED, &m);
	fd = logger_pipe("a:0");
	old_logger = rig.logger_pid;
	kill(old_logger, SIGKILL); /* nothing was read */
	while (rig.logger_pid == old_logger)
		rig_accept_one();
	close(fd);
	rig_until(MSG_LOGGER_UP, &m);
	if (m.u.LOGGER_UP.pid == old_logger)
		rig_until(MSG_LOGGER_UP, &m);
	assert_int_equal(m.u.LOGGER_UP.pid, rig.logger_pid);
	fd = logger_pipe("a:0");
	expect_text(fd, "one\n");
	rig_launch(1, shell("echo two"), "a:0", LAUNCH_OUT_PIPE);
	expect_text(fd, "two\n");
	rig_until(MSG_EXITED, &m);
	rig_send(MSG_DROP, &name, -1);
	do {
		rig_receive_from(rig.logger, &m);
	} while (m.type != MSG_PIPE_DROP);
	assert_string_equal(m.u.PIPE_DROP.name, "a:0");
	/* The same name is a new pipe. */
	rig_launch(1, shell("echo three"), "a:0", LAUNCH_OUT_PIPE);
	close(fd);
	fd = logger_pipe("a:0");
	assert_true(m.u.PIPE.id > 0);
	expect_text(fd, "three\n");
	close(fd);
	rig_until(MSG_EXITED, &m);
	rig_quit(0);
}

static void
peer_goes_to_the_logger(void **state)
{
	static struct msg m;
	int pair[2];

	(void)state;
	rig_start();
	assert_int_equal(channel_pair(pair), 0);
	rig_send(MSG_LOGGER_PEER, NULL, pair[1]);
	close(pair[1]);
	do {
		rig_receive_from(rig.logger, &m);
	} while (m.type != MSG_PEER);
	assert_int_equal(channel_send(m.fd, MSG_REOPEN, NULL, NULL, 0, -1), 0);
	close(m.fd);
	rig_receive_from(pair[0], &m);
	assert_int_equal(m.type, MSG_REOPEN);
	close(pair[0]);
	rig_quit(0);
}

static void
log_goes_where_it_is_told(void **state)
{
	struct msg_logto to = { 3, 1 };
	struct pollfd p = { .events = POLLIN };
	char text[512];
	int pipes[2];
	ssize_t n;

	(void)state;
	rig_start();
	assert_int_equal(pipe(pipes), 0);
	rig_send(MSG_LOG_TO, &to, pipes[1]);
	close(pipes[1]);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	rig_handover(NULL, 0);
	p.fd = pipes[0];
	assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	n = read(pipes[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "\"the master was killed by SIGKILL\""));
	close(pipes[0]);
	rig_quit(0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    upgrade_keeps_pid_pipe_and_parent, rig_teardown),
		cmocka_unit_test_teardown(
		    upgrade_to_nothing_changes_nothing, rig_teardown),
		cmocka_unit_test_teardown(
		    stranger_is_adopted_if_it_is_the_one, rig_teardown),
		cmocka_unit_test_teardown(
		    pipes_outlive_logger_and_worker, rig_teardown),
		cmocka_unit_test_teardown(
		    peer_goes_to_the_logger, rig_teardown),
		cmocka_unit_test_teardown(
		    log_goes_where_it_is_told, rig_teardown),
	};

	(void)argc;
	rig_main(argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
