#ifndef TESTS_GUARDIAN_RIG_H
#define TESTS_GUARDIAN_RIG_H

/*
 * A real guardian with a master, a logger and a broker that do nothing but pass
 * their channel on: the test itself speaks on it. The test's own program,
 * called by the name of "master", "logger" or "broker", is what the guardian
 * starts; rig_main sees to that. Header-only, for several test programs.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/proto/book.h"
#include "supervisord/proto/channel.h"
#include "supervisord/proto/stages.h"

#define RIG_PATIENCE 30000 /* ms; a sanitized build on a busy machine */

struct rig {
	char dir[64];
	char build[512]; /* where supervisord and tests/ are */
	int listener;
	pid_t pid;  /* the guardian's; 0: not running */
	int master; /* channels, -1 */
	int logger;
	int broker;
	pid_t master_pid, logger_pid, broker_pid;
	struct msg_hello hello;
};

static struct rig rig = {
	.listener = -1, .master = -1, .logger = -1, .broker = -1
};

/* A helper lives as long as these: one byte is its exit status. */
static int rig_master_sock = -1, rig_logger_sock = -1, rig_broker_sock = -1;

/* --- as the guardian's helper -------------------------------------------- */

static int
rig_pass_channel(const char *name)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	struct {
		char name[8];
		int pid;
	} me = { "", (int)getpid() };
	struct iovec iov = { &me, sizeof me };

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	struct cmsghdr *c;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET, 0), fd = 3;

	snprintf(me.name, sizeof me.name, "%s", name);
	snprintf(to.sun_path, sizeof to.sun_path, "%s", getenv("RIG_SOCKET"));
	memset(&control, 0, sizeof control);
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (connect(sock, (struct sockaddr *)&to, sizeof to) < 0 ||
	    sendmsg(sock, &m, 0) < 0)
		return 1;
	close(fd);
	/* The test says with which status to end; it may also kill. */
	if (read(sock, &me, 1) == 1)
		return me.name[0];
	return 0;
}

/* Returns only in the test itself. */
static inline void
rig_main(char **argv)
{
	if (strcmp(argv[0], "master") == 0 || strcmp(argv[0], "logger") == 0 ||
	    strcmp(argv[0], "broker") == 0)
		_exit(rig_pass_channel(argv[0]));
}

/* --- in the test --------------------------------------------------------- */

/* Takes the channel of a helper that the guardian has started. */
static inline void
rig_accept_one(void)
{
	struct {
		char name[8];
		int pid;
	} who;
	struct iovec iov = { &who, sizeof who };

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	struct pollfd p = { .fd = rig.listener, .events = POLLIN };
	int sock, fd;

	assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	sock = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(sock >= 0);
	assert_int_equal(recvmsg(sock, &m, MSG_CMSG_CLOEXEC), sizeof who);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	if (strcmp(who.name, "master") == 0) {
		if (rig.master >= 0)
			close(rig.master);
		if (rig_master_sock >= 0)
			close(rig_master_sock);
		rig_master_sock = sock;
		rig.master = fd;
		rig.master_pid = who.pid;
	} else if (strcmp(who.name, "broker") == 0) {
		if (rig.broker >= 0)
			close(rig.broker);
		if (rig_broker_sock >= 0)
			close(rig_broker_sock);
		rig_broker_sock = sock;
		rig.broker = fd;
		rig.broker_pid = who.pid;
	} else {
		if (rig.logger >= 0)
			close(rig.logger);
		rig.logger = fd;
		rig.logger_pid = who.pid;
		close(
		    dup(sock)); /* the socket stays open till the helper ends */
	}
}

static inline void
rig_receive_from(int sock, struct msg *m)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int got;

	for (;;) {
		got = channel_receive(sock, m);
		if (got != -EAGAIN)
			break;
		assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	}
	assert_int_equal(got, 1);
}

/* The next message for the master. */
static inline void
rig_receive(struct msg *m)
{
	rig_receive_from(rig.master, m);
}

static inline void
rig_send(enum msg_type type, const void *body, int fd)
{
	struct pollfd p = { .fd = rig.master, .events = POLLOUT };
	int error;

	while ((error = channel_send(rig.master, type, body, NULL, 0, fd)) ==
	       -EAGAIN)
		assert_int_equal(poll(&p, 1, RIG_PATIENCE), 1);
	assert_int_equal(error, 0);
}

/* The next message of that type; what comes before it is dropped. */
static inline void
rig_until(enum msg_type type, struct msg *m)
{
	do {
		rig_receive(m);
		if (m->type != type && m->fd >= 0)
			close(m->fd);
	} while (m->type != type);
}

static inline void
rig_in_dir(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", rig.dir, name);
}

static inline void
rig_shell(const char *command, const char *a, const char *b)
{
	char line[2048];

	snprintf(line, sizeof line, "%s %s %s", command, a, b);
	assert_int_equal(system(line), 0);
}

/* A temp folder laid out as build/ is, with helpers of our own. */
static inline void
rig_lay_out(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char self[512], path[700];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	assert_true(n > 0);
	self[n] = '\0';
	snprintf(rig.build, sizeof rig.build, "%s", self);
	*strrchr(rig.build, '/') = '\0';
	*strrchr(rig.build, '/') = '\0';
	snprintf(rig.dir, sizeof rig.dir, "/tmp/guardian-rig-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	chmod(rig.dir, 0755);
	rig_in_dir(path, sizeof path, "libexec/supervisord");
	rig_shell("mkdir -p", path, "");
	rig_in_dir(path, sizeof path, "libexec/supervisord/master");
	rig_shell("cp", self, path);
	rig_in_dir(path, sizeof path, "libexec/supervisord/logger");
	rig_shell("cp", self, path);
	rig_in_dir(path, sizeof path, "libexec/supervisord/broker");
	rig_shell("cp", self, path);
	snprintf(path, sizeof path, "%s/supervisord", rig.build);
	rig_shell("cp", path, rig.dir);
	rig_in_dir(at.sun_path, sizeof at.sun_path, "sock");
	rig.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(rig.listener, (struct sockaddr *)&at, sizeof at), 0);
	chmod(at.sun_path, 0777);
	assert_int_equal(listen(rig.listener, 16), 0);
	setenv("RIG_SOCKET", at.sun_path, 1);
}

/* A master that the guardian has started, up to HANDED_OVER; rows counted. */
static inline unsigned
rig_handover(struct msg_child *rows, unsigned max)
{
	static struct msg m;
	unsigned n = 0;

	rig_receive(&m);
	assert_int_equal(m.type, MSG_HELLO);
	rig.hello = m.u.HELLO;
	for (;;) {
		rig_receive(&m);
		if (m.type == MSG_HANDED_OVER)
			break;
		if (m.type == MSG_KEPT)
			close(m.fd);
		if (m.type == MSG_CHILD && n < max)
			rows[n] = m.u.CHILD;
		n += m.type == MSG_CHILD;
	}
	rig_send(MSG_READY, NULL, -1);
	return n;
}

static inline void
rig_accept_master(void)
{
	pid_t old = rig.master_pid;

	while (rig.master_pid == old)
		rig_accept_one();
}

static inline void
rig_accept_broker(void)
{
	pid_t old = rig.broker_pid;

	while (rig.broker_pid == old)
		rig_accept_one();
}

/* limit: RLIMIT_NOFILE of the guardian; uid: whose it is; 0: as it is. */
static inline void
rig_start_as(rlim_t limit, uid_t uid, rlim_t processes)
{
	char path[200];
	pid_t test = getpid();

	if (rig.listener < 0)
		rig_lay_out();
	rig_in_dir(path, sizeof path, "supervisord");
	rig.master_pid = rig.logger_pid = rig.broker_pid = 0;
	rig.pid = fork();
	if (rig.pid == 0) {
		struct rlimit files = { limit, limit };
		struct rlimit procs = { processes, processes };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != test)
			_exit(1);
		if (limit > 0)
			setrlimit(RLIMIT_NOFILE, &files);
		if (processes > 0)
			setrlimit(RLIMIT_NPROC, &procs);
		if (uid > 0 && setresuid(uid, uid, uid) < 0)
			_exit(1);
		execl(path, "supervisord", "-c", "none", (char *)NULL);
		_exit(1);
	}
	while (rig.master_pid == 0 || rig.logger_pid == 0)
		rig_accept_one();
	assert_int_equal(rig_handover(NULL, 0), 0);
}

static inline void
rig_start(void)
{
	rig_start_as(0, 0, 0);
}

/* Waits for the guardian's end; its exit status. */
static inline int
rig_wait(void)
{
	int status = 0;

	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	rig.pid = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline void
rig_close(void)
{
	close(rig.master);
	close(rig.logger);
	close(rig_master_sock);
	close(rig_logger_sock);
	close(rig.broker);
	close(rig_broker_sock);
	rig.master = rig.logger = rig_master_sock = rig_logger_sock = -1;
	rig.broker = rig_broker_sock = -1;
}

/* Ends the guardian as a master would; the logger ends when told to. */
static inline void
rig_quit(int status)
{
	struct msg_quit m = { status, 0 };
	static struct msg got;

	rig_send(MSG_QUIT, &m, -1);
	do {
		rig_receive_from(rig.logger, &got);
		if (got.fd >= 0)
			close(got.fd);
	} while (got.type != MSG_FINISH);
	kill(rig.logger_pid, SIGKILL);
	assert_int_equal(rig_wait(), status & 0xff);
	rig_close();
}

static inline int
rig_teardown(void **state)
{
	(void)state;
	if (rig.pid > 0) {
		kill(rig.pid, SIGKILL);
		waitpid(rig.pid, NULL, 0);
		rig_close();
		rig.pid = 0;
	}
	if (rig.listener >= 0) {
		close(rig.listener);
		rig.listener = -1;
		rig_shell("rm -rf", rig.dir, "");
	}
	return 0;
}

/* --- books --------------------------------------------------------------- */

struct rig_book {
	char data[65536];
	uint64_t size;
};

static struct rig_book rig_book;

static inline void
rig_book_begin(void)
{
	memset(&rig_book, 0, sizeof rig_book);
	rig_book.size = sizeof(struct book_head);
}

static inline uint32_t
rig_book_string(const char *s)
{
	uint32_t at = (uint32_t)rig_book.size;

	memcpy(rig_book.data + at, s, strlen(s) + 1);
	rig_book.size += strlen(s) + 1;
	if (strchr(s, BOOK_HOLE) != NULL)
		at |= BOOK_HOLES;
	return strchr(s, BOOK_PID) != NULL ? at | BOOK_PIDS : at;
}

struct rig_spec {
	const char *argv[16];
	const char *envp[16];
	const char *sockets[8];
	const char *directory, *path;
	uint32_t umask;
	uint32_t scratch; /* 0: computed */
};

/* Where the spec is. */
static inline uint64_t
rig_book_spec(const struct rig_spec *s)
{
	struct book_spec out = { .umask = s->umask };
	uint32_t refs[40], n = 0;
	uint64_t at, bytes = 0;

	for (; s->argv[out.argc] != NULL; out.argc++)
		refs[n++] = rig_book_string(s->argv[out.argc]);
	for (; s->envp[out.envc] != NULL; out.envc++)
		refs[n++] = rig_book_string(s->envp[out.envc]);
	for (; s->sockets[out.sockets] != NULL; out.sockets++)
		refs[n++] = rig_book_string(s->sockets[out.sockets]);
	if (s->directory != NULL)
		out.directory = rig_book_string(s->directory);
	if (s->path != NULL)
		out.path = rig_book_string(s->path);
	for (uint32_t i = 0; i < n; i++)
		bytes += strlen(rig_book.data +
				(refs[i] & ~(BOOK_HOLES | BOOK_PIDS))) +
			 32;
	out.scratch = s->scratch != 0 ? s->scratch : (uint32_t)bytes + 512;
	at = (rig_book.size + 7) & ~7ULL;
	memcpy(rig_book.data + at, &out, sizeof out);
	memcpy(rig_book.data + at + sizeof out, refs, n * sizeof refs[0]);
	rig_book.size = at + sizeof out + n * sizeof refs[0];
	return at;
}

static inline int
rig_book_fd(int seals)
{
	struct book_head *head = (void *)rig_book.data;
	int fd = memfd_create("book", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	*head = (struct book_head){ BOOK_MAGIC, PROTO_VERSION, rig_book.size };
	assert_int_equal(
	    write(fd, rig_book.data, rig_book.size), (ssize_t)rig_book.size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline void
rig_send_book(uint32_t id)
{
	struct msg_book m = { id, 0, rig_book.size };
	int fd = rig_book_fd(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);

	rig_send(MSG_BOOK, &m, fd);
	close(fd);
}

static inline void
rig_launch(uint32_t cookie, uint64_t spec, const char *name, unsigned out)
{
	struct msg_launch m = { .cookie = cookie,
		.book = 1,
		.spec = spec,
		.index = cookie,
		.out = (uint16_t)out,
		.err = out == LAUNCH_OUT_PIPE ? LAUNCH_OUT_STDOUT
					      : LAUNCH_OUT_NULL };

	snprintf(m.name, sizeof m.name, "%s", name);
	rig_send(MSG_LAUNCH, &m, -1);
}

static inline void
rig_ack(const struct msg_child *c)
{
	struct msg_slot m = { c->slot, c->gen };

	rig_send(MSG_ACK, &m, -1);
}

static inline void
rig_kill(uint32_t slot, uint32_t gen, int signo)
{
	struct msg_kill m = { slot, gen, signo, KILL_PROCESS };

	rig_send(MSG_KILL, &m, -1);
}

#endif
