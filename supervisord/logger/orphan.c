#include "supervisord/logger/orphan.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/peers.h"
#include "supervisord/logger/stream.h"
#include "supervisord/proto/channel.h"

#define PATIENCE (10 * NS_PER_SEC) /* with an heir that does not read */

static bool orphaned, done, all_sent, bind_failed;
static int listener = -1, heir = -1;
static size_t sent;
static int64_t give_up;

void
orphan_begin(void)
{
	orphaned = true;
	log_warn("the guardian is gone; output is still written");
	stream_orphaned();
}

bool
orphan_done(void)
{
	return done;
}

bool
orphan_silent(void)
{
	return heir >= 0;
}

int
orphan_fd(void)
{
	return heir >= 0 ? heir : listener;
}

short
orphan_events(void)
{
	return heir >= 0 && !all_sent ? POLLIN | POLLOUT : POLLIN;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, r = 0;

	if (strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4) < 0)
		r = -errno;
	umask(mask);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static void
settle(void)
{
	int fd;

	if (listener >= 0 || bind_failed || peers_home() == NULL)
		return;
	fd = listen_at(peers_home());
	if (fd < 0) {
		bind_failed = true;
		log_error("a new supervisord can't find this logger: %s: %s",
		    peers_home(), strerror(-fd));
		return;
	}
	listener = fd;
}

static void
welcome(void)
{
	struct ucred who;
	socklen_t size = sizeof who;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 ||
	    (who.uid != 0 && who.uid != geteuid())) {
		log_warn("a stranger at %s was turned away", peers_home());
		close(fd);
		return;
	}
	(void)channel_setup(fd);
	heir = fd;
	sent = 0;
	all_sent = false;
	give_up = clock_mono() + PATIENCE;
}

static void
go_on_reading(void)
{
	log_warn("the new supervisord went away; output is still written");
	close(heir);
	heir = -1;
	stream_orphaned();
}

static int
hand_over(struct pipe *p)
{
	struct msg_name m = { 0 };
	int r;

	memcpy(m.name, p->stream->name, sizeof m.name);
	r = channel_send(heir, MSG_ORPHAN_PIPE, &m, NULL, 0, p->fd);
	if (r == 0) {
		sent++;
		give_up = clock_mono() + PATIENCE;
	}
	return r;
}

static void
send_rest(void)
{
	int r = stream_each_pipe(sent, hand_over);

	if (r == 0)
		r = channel_send(heir, MSG_ORPHAN_END, NULL, NULL, 0, -1);
	if (r == 0)
		all_sent = true;
	else if (r != -EAGAIN || clock_mono() >= give_up)
		go_on_reading();
}

int64_t
orphan_deadline(void)
{
	return heir >= 0 && !all_sent ? give_up : INT64_MAX;
}

void
orphan_end(void)
{
	if (listener >= 0)
		(void)unlink(peers_home());
}

/* The heir says nothing: it reads, and hangs up when it has all. */
static void
await_end(void)
{
	struct msg m;
	int r = channel_receive(heir, &m);

	if (r == -EAGAIN)
		return;
	if (r == 0 && all_sent) {
		done = true;
		return;
	}
	if (r > 0 && m.fd >= 0)
		close(m.fd);
	/* ECONNRESET: it has gone with messages unread. */
	go_on_reading();
}

void
orphan_serve(void)
{
	if (!orphaned || done)
		return;
	settle();
	if (heir < 0) {
		if (listener >= 0)
			welcome();
		if (heir < 0) {
			done = stream_pipes() == 0;
			return;
		}
	}
	await_end();
	if (heir >= 0 && !all_sent && !done)
		send_rest();
}
