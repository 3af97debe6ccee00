/*
 * A whole guardian, with this test as its master: launch, exits, keeps, the
 * ends of master and logger.
 */
#include "tests/unit/guardian_rig.h"

#include <sys/pidfd.h>

static uint64_t
one_command(const char *const *argv)
{
	struct rig_spec s = { .umask = BOOK_NO_UMASK, .path = "/usr/bin:/bin" };
	uint64_t at;

	for (int i = 0; argv[i] != NULL; i++)
		s.argv[i] = argv[i];
	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	return at;
}

#define COMMAND(...) one_command((const char *const[]){ __VA_ARGS__, NULL })

/* Launches and waits for the end. */
static struct msg_child
launch_to_end(uint64_t spec, unsigned out)
{
	static struct msg m;

	rig_launch(7, spec, "web:7", out);
	rig_until(MSG_LAUNCHED, &m);
	assert_int_equal(m.u.LAUNCHED.cookie, 7);
	rig_until(MSG_EXITED, &m);
	rig_ack(&m.u.EXITED);
	return m.u.EXITED;
}

static void
exit_is_told_with_status(void **state)
{
	struct msg_child c;

	(void)state;
	rig_start();
	assert_int_equal(rig.hello.first, 1);
	assert_int_equal(rig.hello.masters, 1);
	c = launch_to_end(COMMAND("sh", "-c", "exit 42"), LAUNCH_OUT_NULL);
	assert_int_equal(c.state, CHILD_EXITED);
	assert_int_equal(c.code, CLD_EXITED);
	assert_int_equal(c.status, 42);
	assert_string_equal(c.name, "web:7");
	assert_true(c.ended_mono >= c.started_mono);
	assert_true(c.maxrss_kb > 0);
	c = launch_to_end(COMMAND("sh", "-c", "kill -9 $$"), LAUNCH_OUT_NULL);
	assert_int_equal(c.code, CLD_KILLED);
	assert_int_equal(c.status, SIGKILL);
	rig_quit(3);
}

static void
failure_is_told_with_stage(void **state)
{
	struct rig_spec away = { .argv = { "/bin/true" },
		.directory = "/no/such/folder",
		.umask = BOOK_NO_UMASK };
	struct msg_child c;
	uint64_t at;

	(void)state;
	rig_start();
	c = launch_to_end(COMMAND("/no/such/program"), LAUNCH_OUT_NULL);
	assert_int_equal(c.flags, CHILD_NO_EXEC);
	assert_int_equal(c.stage, STAGE_EXEC);
	assert_int_equal(c.error, ENOENT);
	c = launch_to_end(COMMAND("no-such-program"), LAUNCH_OUT_NULL);
	assert_int_equal(c.error, ENOENT);
	c = launch_to_end(COMMAND("/etc/passwd"), LAUNCH_OUT_NULL);
	assert_int_equal(c.error, EACCES);
	c = launch_to_end(COMMAND("/usr"), LAUNCH_OUT_NULL);
	assert_int_equal(c.error, EISDIR);
	rig_book_begin();
	at = rig_book_spec(&away);
	rig_send_book(1);
	c = launch_to_end(at, LAUNCH_OUT_NULL);
	assert_int_equal(c.stage, STAGE_DIRECTORY);
	assert_int_equal(c.error, ENOENT);
	c = launch_to_end(at + 4, LAUNCH_OUT_NULL);
	assert_int_equal(c.stage, STAGE_SPEC);
	assert_int_equal(c.error, EPROTO);
	rig_quit(0);
}

/* What the worker writes, read from the pipe that the logger was given. */
static void
read_pipe(const char *name, char *text, size_t size)
{
	static struct msg m;
	struct pollfd p = { .events = POLLIN };
	size_t n = 0;

	do {
		rig_receive_from(rig.logger, &m);
	} while (m.type != MSG_PIPE || strcmp(m.u.PIPE.name, name) != 0);
	p.fd = m.fd;
	for (;;) {
		ssize_t got;

		assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
		got = read(m.fd, text + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	close(m.fd);
}

static void
worker_gets_its_surroundings(void **state)
{
	struct rig_spec s = {
		.argv = { "sh", "-c",
		    "echo $0 $NAME; umask; pwd; ulimit -n; "
		    "ls /proc/self/fd | wc -l; "
		    "grep -c 'SigBlk:.*[1-9a-f]' /proc/self/status;"
		    "ps -o sid= -p $$ | grep -c $$; echo err >&2",
		    "web:\x01" },
		.envp = { "NAME=[\x01]" },
		.directory = "/usr",
		.path = "/nowhere:/usr/bin:/bin",
		.umask = 027
	};
	char text[512], expected[256];
	struct rlimit limit;
	uint64_t at;

	(void)state;
	rig_start();
	rig_book_begin();
	at = rig_book_spec(&s);
	rig_send_book(1);
	launch_to_end(at, LAUNCH_OUT_PIPE);
	read_pipe("web:7", text, sizeof text);
	getrlimit(RLIMIT_NOFILE, &limit);
	/* ls: 0, 1, 2 and the folder itself */
	snprintf(expected, sizeof expected,
	    "web:7 [7]\n0027\n/usr\n%llu\n4\n0\n1\nerr\n",
	    (unsigned long long)limit.rlim_cur);
	assert_string_equal(text, expected);
	rig_quit(0);
}

static void
new_master_is_told_everything(void **state)
{
	static struct msg m;
	struct msg_child rows[4];
	struct msg_name name = { "config" };
	pid_t pid;
	uint64_t at;

	(void)state;
	rig_start();
	rig_send(MSG_KEEP, &name, rig.listener);
	at = COMMAND("sleep", "1000");
	rig_launch(1, at, "a:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	pid = m.u.LAUNCHED.pid;
	rig_launch(2, at, "b:0", LAUNCH_OUT_NULL);
	rig_until(MSG_LAUNCHED, &m);
	rig_kill(m.u.LAUNCHED.slot, m.u.LAUNCHED.gen, SIGTERM);
	rig_until(MSG_EXITED, &m); /* and no ACK */
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(rows, 4), 2);
	assert_int_equal(rig.hello.first, 0);
	assert_int_equal(rig.hello.masters, 2);
	assert_int_equal(rig.hello.last_status, SIGKILL);
	assert_int_equal(rows[0].pid, pid);
	assert_int_equal(rows[0].state, CHILD_ALIVE);
	assert_string_equal(rows[0].name, "a:0");
	assert_int_equal(rows[1].state, CHILD_EXITED);
	assert_int_equal(rows[1].status, SIGTERM);
	rig_ack(&rows[1]);
	kill(rig.master_pid, SIGKILL);
	rig_accept_master();
	assert_int_equal(rig_handover(rows, 4), 1);
	rig_quit(0);
	assert_int_equal(kill(pid, 0), -1);
}

static void
master_that_exits_before_ready_ends_it(void **state)
{
	char status = 2;
	static struct msg m;

	(void)state;
	if (rig.listener < 0)
		rig_lay_out();
	rig.pid = fork();
	if (rig.pid == 0) {
		char path[200];

		rig_in_dir(path, sizeof path, "supervisord");
		execl(path, "supervisord", (char *)NULL);
		_exit(1);
	}
	rig.master_pid = rig.logger_pid = 0;
	while (rig.master_pid == 0 || rig.logger_pid == 0)
		rig_accept_one();
	assert_int_equal(write(rig_master_sock, &status, 1), 1);
	rig_receive_from(rig.logger, &m);
	assert_int_equal(m.type, MSG_FINISH);
	kill(rig.logger_pid, SIGKILL);
	assert_int_equal(rig_wait(), 2);
	rig_close();
}

static void
daemon_returns_once_a_master_is_ready(void **state)
{
	struct msg_quit quit = { 0, 0 };
	struct pollfd p = { .events = POLLIN };
	static struct msg m;
	int status;

	(void)state;
	if (rig.listener < 0)
		rig_lay_out();
	rig.pid = fork();
	if (rig.pid == 0) {
		char path[200];

		rig_in_dir(path, sizeof path, "supervisord");
		execl(path, "supervisord", "--daemon", (char *)NULL);
		_exit(1);
	}
	rig.master_pid = rig.logger_pid = 0;
	while (rig.master_pid == 0 || rig.logger_pid == 0)
		rig_accept_one();
	assert_int_equal(waitpid(rig.pid, &status, WNOHANG), 0);
	rig_handover(NULL, 0);
	assert_int_not_equal(rig.hello.guardian_pid, rig.pid);
	assert_int_equal(rig_wait(), 0);
	p.fd = pidfd_open((pid_t)rig.hello.guardian_pid, 0);
	assert_true(p.fd >= 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	rig_send(MSG_QUIT, &quit, -1);
	do {
		rig_receive_from(rig.logger, &m);
	} while (m.type != MSG_FINISH);
	kill(rig.logger_pid, SIGKILL);
	assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	close(p.fd);
	rig_close();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    exit_is_told_with_status, rig_teardown),
		cmocka_unit_test_teardown(
		    failure_is_told_with_stage, rig_teardown),
		cmocka_unit_test_teardown(
		    worker_gets_its_surroundings, rig_teardown),
		cmocka_unit_test_teardown(
		    new_master_is_told_everything, rig_teardown),
		cmocka_unit_test_teardown(
		    master_that_exits_before_ready_ends_it, rig_teardown),
		cmocka_unit_test_teardown(
		    daemon_returns_once_a_master_is_ready, rig_teardown),
	};

	(void)argc;
	rig_main(argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
