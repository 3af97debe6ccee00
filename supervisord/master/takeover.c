#include "supervisord/master/takeover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/proto/channel.h"

/* How long the orphaned logger may take for the next pipe. */
#define ORPHAN_WAIT_MS 2000

/* A process that carries the marks of one of our instances. */
struct found {
	char name[PROTO_NAME];
	int pid;
	uint64_t ticks;
	UT_hash_handle hh;
};

static struct found *all_found;
static char socket_mark[256];

/*
 * The store may not have heard of the last launches before the crash, so each
 * process is looked at as well: an instance leads a session and carries our
 * control socket and its name in its environment. Daemonised descendants may do
 * so too, but started later.
 */
static void
look_at(int pid, void *arg)
{
	char name[PROTO_NAME], mark[sizeof socket_mark];
	struct found *f, *old;

	(void)arg;
	if (!procfs_is_session_leader(pid) ||
	    !procfs_environ(pid, "SUPERVISOR_SOCKET", mark, sizeof mark) ||
	    strcmp(mark, socket_mark) != 0 ||
	    !procfs_environ(pid, "SUPERVISOR_INSTANCE", name, sizeof name))
		return;
	f = calloc(1, sizeof *f);
	if (f == NULL)
		return;
	memcpy(f->name, name, sizeof f->name);
	f->pid = pid;
	f->ticks = procfs_start_ticks(pid);
	HASH_FIND_STR(all_found, name, old);
	if (f->ticks == 0 || (old != NULL && old->ticks <= f->ticks)) {
		free(f);
		return;
	}
	if (old != NULL) {
		HASH_DEL(all_found, old);
		free(old);
	}
	HASH_ADD_STR(all_found, name, f);
	if (f->hh.tbl == NULL)
		free(f);
}

/* The next message, or what channel_receive says; -ETIMEDOUT. */
static int
next_message(int fd, struct msg *msg)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int r = channel_receive(fd, msg);

		if (r != -EAGAIN)
			return r;
		r = poll(&p, 1, ORPHAN_WAIT_MS);
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* Each pipe goes to the guardian, which keeps it and gives it to its logger. */
static void
get_pipes(struct master *m, int fd)
{
	unsigned n = 0;
	struct msg msg;
	int r;

	while ((r = next_message(fd, &msg)) == 1) {
		if (msg.type == MSG_ORPHAN_PIPE) {
			peer_send(&m->guardian, MSG_PIPE_KEEP,
			    &msg.u.ORPHAN_PIPE, NULL, 0, msg.fd);
			n++;
		}
		if (msg.fd >= 0)
			close(msg.fd);
		if (msg.type == MSG_ORPHAN_END)
			break;
	}
	if (r != 1)
		log_warn("the logger left over by the crash broke off: %s",
		    r == 0 ? "closed" : strerror(-r));
	log_info("%u log pipes were got back from the logger of before", n);
}

static void
meet_old_logger(struct master *m)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, n = snprintf(address.sun_path, sizeof address.sun_path,
		    "%s/logger.sock", m->fleet->settings.run_dir);

	if (n < 0 || (size_t)n >= sizeof address.sun_path)
		return;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* A local connect is immediate, or refused. */
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		get_pipes(m, fd);
	close(fd);
	unlink(address.sun_path);
}

void
takeover_begin(struct master *m)
{
	log_warn("supervisord did not end in order the last time: looking for "
		 "instances that live on");
	snprintf(socket_mark, sizeof socket_mark, "%s/control.sock",
	    m->fleet->settings.run_dir);
	meet_old_logger(m);
	procfs_each(look_at, NULL);
}

bool
takeover_try(struct master *m, struct instance *it)
{
	struct msg_adopt msg = { .cookie = it->id };
	const struct state_saved *saved;
	bool known = state_saved_instance(m->state, it->row->name, &saved);
	struct found *f;

	if (known && saved->pid > 0 && saved->boot_id != NULL &&
	    strcmp(saved->boot_id, m->boot_id) == 0 &&
	    saved->start_ticks != 0 &&
	    procfs_start_ticks(saved->pid) == saved->start_ticks) {
		msg.pid = saved->pid;
		msg.start_ticks = saved->start_ticks;
		it->row->started_ms = saved->started_ms;
	} else {
		HASH_FIND_STR(all_found, it->row->name, f);
		if (f == NULL)
			return false;
		msg.pid = f->pid;
		msg.start_ticks = f->ticks;
		it->row->started_ms = clock_wall_ms();
	}
	it->row->life.wanted = !known || saved->wanted_up;
	it->row->by_user = known && saved->wanted_by_user;
	if (known)
		it->row->life.restarts = (uint64_t)saved->restarts;
	it->row->pid = msg.pid;
	it->row->start_ticks = msg.start_ticks;
	memcpy(msg.name, it->row->name, sizeof msg.name);
	it->adopting = true;
	peer_send(&m->guardian, MSG_ADOPT, &msg, NULL, 0, -1);
	return true;
}

void
takeover_end(struct master *m)
{
	struct found *f, *tmp;

	(void)m;
	HASH_ITER(hh, all_found, f, tmp)
	{
		HASH_DEL(all_found, f);
		free(f);
	}
}
