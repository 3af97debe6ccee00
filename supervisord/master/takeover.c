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
#include "supervisord/base/log.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/teams.h"
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
 * so too, but started later. Anybody can claim that much, so it must be run by
 * our own user as well.
 */
static void
look_at(int pid, void *arg)
{
	char name[PROTO_NAME], mark[sizeof socket_mark];
	struct found *f, *old;

	(void)arg;
	if (!procfs_is_session_leader(pid) || !procfs_is_ours(pid) ||
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
takeover_begin(struct master *m, bool clean)
{
	if (!clean)
		log_warn("supervisord did not end in order the last time: "
			 "looking for instances that live on");
	snprintf(socket_mark, sizeof socket_mark, "%s/control.sock",
	    m->fleet->settings.run_dir);
	meet_old_logger(m);
	procfs_each(look_at, NULL);
}

bool
takeover_try(struct master *m, struct instance *it)
{
	struct memory_row *row = it->row;
	const struct state_saved *saved;
	bool known = state_saved_instance(m->state, it->row->name, &saved);
	struct found *f;

	if (known && saved->pid > 0 && saved->boot_id != NULL &&
	    strcmp(saved->boot_id, m->boot_id) == 0 &&
	    saved->start_ticks != 0 &&
	    procfs_start_ticks(saved->pid) == saved->start_ticks) {
		row->pid = saved->pid;
		row->start_ticks = saved->start_ticks;
	} else {
		HASH_FIND_STR(all_found, row->name, f);
		if (f == NULL)
			return false;
		row->pid = f->pid;
		row->start_ticks = f->ticks;
	}
	memory_begin(m->memory, row);
	/* A shutdown's word is not a user's. */
	row->life.wanted = !it->doomed && (!known || saved->wanted_up ||
					      !saved->wanted_by_user);
	row->by_user = known && saved->wanted_by_user;
	if (known)
		row->life.restarts = (uint64_t)saved->restarts;
	drive_adopting(m, it);
	takeover_ask(m, it);
	return true;
}

void
takeover_ask(struct master *m, const struct instance *it)
{
	struct msg_adopt msg = { .cookie = it->id,
		.pid = it->row->pid,
		.start_ticks = it->row->start_ticks };

	memcpy(msg.name, it->row->name, sizeof msg.name);
	peer_send(&m->guardian, MSG_ADOPT, &msg, NULL, 0, -1);
}

/* Of workers that have left the config meanwhile, or of a larger number: taken
 * over to be ended. */
static void
take_stray(struct master *m, const struct found *f)
{
	char worker[PROTO_NAME];
	struct instance *it;
	struct team *team;
	unsigned index;

	if (!crew_split(f->name, worker, &index) ||
	    crew_find(&m->crew, f->name) != NULL)
		return;
	team = team_leftover(m, worker);
	it = team != NULL ? crew_add(m, team, index, NULL) : NULL;
	if (it == NULL)
		return;
	it->doomed = true;
	if (!takeover_try(m, it))
		log_error(
		    "%s: process %d can't be taken over", f->name, f->pid);
}

void
takeover_end(struct master *m)
{
	struct found *f, *tmp;

	HASH_ITER(hh, all_found, f, tmp)
	{
		/* cppcheck-suppress uninitvar */
		take_stray(m, f);
		/* cppcheck-suppress uninitvar */
		HASH_DEL(all_found, f);
		free(f);
	}
}
