/*
 * The master: config, policy, state and the control socket, on one libev loop.
 * It may be killed at any moment: what lives is known to the guardian, what is
 * wanted is in memory the guardian keeps, what has happened is in the store.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/fleet.h"
#include "config/load.h"
#include "state/state.h"
#include "supervisord/base/log.h"
#include "supervisord/base/process.h"
#include "supervisord/base/util.h"
#include "supervisord/master/access.h"
#include "supervisord/master/adopt.h"
#include "supervisord/master/amend.h"
#include "supervisord/master/control.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/handover.h"
#include "supervisord/master/lock.h"
#include "supervisord/master/master.h"
#include "supervisord/master/options.h"
#include "supervisord/master/probe.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/reload.h"
#include "supervisord/master/shutdown.h"
#include "supervisord/master/sockets.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/to_broker.h"
#include "supervisord/proto/ev_memory.h"

#define CHANNEL_FD 3

extern char **environ;

/* --- without a daemon: --check, --print-run-dir --------------------------- */

static struct fleet *
load_or_complain(const char *path, bool pid1, struct buf *snapshot)
{
	struct load load = { .path = path, .pid1 = pid1, .environ = environ };
	struct fleet *fleet = NULL;
	struct buf errors;
	int r;

	buf_init(&errors);
	r = load_fleet(&load, &fleet, snapshot, &errors);
	if (r < 0 && errors.size > 0)
		fputs(errors.data, stderr);
	else if (r < 0)
		fprintf(stderr, "supervisord: %s: %s\n", path, strerror(-r));
	buf_done(&errors);
	return r < 0 ? NULL : fleet;
}

static int
check(const struct options *o)
{
	char path[PATH_MAX];
	struct fleet *fleet;
	size_t instances = 0;

	if (options_config_path(o, path, sizeof path) != 0)
		return 2;
	fleet = load_or_complain(path, getpid() == 1, NULL);
	if (fleet == NULL)
		return 2;
	for (size_t i = 0; i < fleet->count; i++)
		instances += fleet->workers[i]->processes;
	if (o->print_run_dir)
		puts(fleet->settings.run_dir);
	else
		printf("%s: valid: %zu worker%s, %zu instance%s\n", path,
		    fleet->count, fleet->count == 1 ? "" : "s", instances,
		    instances == 1 ? "" : "s");
	fleet_free(fleet);
	return 0;
}

/* --- news from the guardian ----------------------------------------------- */

static void
got_signal(struct master *m, const struct msg_signal *s)
{
	char command[64];
	struct actor by = { .uid = (int64_t)s->sender_uid,
		.pid = s->sender_pid,
		.command = command };

	snprintf(command, sizeof command, "signal %s", strsignal(s->signo));
	switch (s->signo) {
	case SIGTERM:
	case SIGINT:
		/* The first is told again to each new master. */
		if (m->phase != PHASE_STOPPING || s->count > 1)
			shutdown_begin(m, 0, s->count > 1, &by);
		break;
	case SIGQUIT:
		shutdown_begin(m, 0, true, &by);
		break;
	case SIGHUP:
		reload_start(m, NULL, false, false);
		break;
	case SIGUSR2:
		streams_reopen(m);
		break;
	default:
		log_debug("signal %d: nothing to do", s->signo);
	}
}

static void
from_guardian(void *arg, struct msg *msg)
{
	struct master *m = arg;

	switch ((enum msg_type)msg->type) {
	case MSG_LAUNCHED:
		if (probe_is_cookie(msg->u.LAUNCHED.cookie))
			probe_launched(m, &msg->u.LAUNCHED);
		else
			drive_launched(m, &msg->u.LAUNCHED);
		break;
	case MSG_NOT_LAUNCHED:
		if (probe_is_cookie(msg->u.NOT_LAUNCHED.cookie))
			probe_not_launched(m, &msg->u.NOT_LAUNCHED);
		else
			drive_not_launched(m, &msg->u.NOT_LAUNCHED);
		break;
	case MSG_EXITED:
		if (probe_is_name(msg->u.EXITED.name))
			probe_exited(m, &msg->u.EXITED);
		else
			drive_exited(m, &msg->u.EXITED);
		break;
	case MSG_TREE_EMPTY:
		drive_empty(m, msg->u.TREE_EMPTY.slot, msg->u.TREE_EMPTY.gen);
		break;
	case MSG_SIGNALLED:
		got_signal(m, &msg->u.SIGNALLED);
		break;
	case MSG_LOGGER_UP:
		streams_connect(m, msg->u.LOGGER_UP.pid);
		break;
	case MSG_BROKER_UP:
		to_broker_connect(m, msg->u.BROKER_UP.pid);
		break;
	case MSG_NOT_UPGRADED:
		snprintf(m->upgrade_error, sizeof m->upgrade_error,
		    "the upgrade failed: %s; all is as before",
		    strerror(msg->u.NOT_UPGRADED.error));
		log_error("%s", m->upgrade_error);
		record_event(m, NULL, "upgrade", m->upgrade_error, &nobody);
		break;
	default:
		log_error(
		    "unexpected %s from the guardian", msg_name(msg->type));
	}
	if (msg->fd >= 0)
		close(msg->fd);
}

/* Nobody is left who could launch or reap. The next supervisord takes over what
 * lives; the store must be free for it. */
static void
guardian_gone(void *arg, const char *why)
{
	struct master *m = arg;

	log_error(
	    "the guardian is gone (%s): the master ends, instances live on",
	    why);
	if (m->state != NULL)
		record_close(m, false, "the guardian was killed");
	_exit(1);
}

/* --- start ---------------------------------------------------------------- */

/* The programs of supervisord's own lie beside this one, which may have been
 * replaced meanwhile. */
static int
find_libexec(struct master *m)
{
	ssize_t n =
	    readlink("/proc/self/exe", m->libexec, sizeof m->libexec - 1);
	char *slash;

	m->libexec[MAX_OF(n, 0)] = '\0';
	slash = strrchr(m->libexec, '/');
	if (slash == NULL)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

/* What the master before has run; NULL: it can't be used (any more). */
static struct fleet *
load_kept(struct master *m, int fd, struct buf *snapshot)
{
	struct load load = { .path = m->config_path,
		.pid1 = m->hello.pid1 != 0,
		.environ = environ };
	struct fleet *fleet = NULL;
	struct buf errors;
	struct stat st;
	const char *text, *end;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return NULL;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	/* reload_keep_snapshot: the path, a NUL, the snapshot. */
	text = map;
	end = memchr(text, '\0', (size_t)st.st_size);
	if (end == NULL || (size_t)(end - text) >= sizeof m->config_path) {
		munmap(map, (size_t)st.st_size);
		return NULL;
	}
	memcpy(m->config_path, text, (size_t)(end - text) + 1);
	load.from = end + 1;
	load.from_size = (size_t)st.st_size - (size_t)(end + 1 - text);
	buf_init(&errors);
	if (load_fleet(&load, &fleet, NULL, &errors) < 0)
		log_error("the config that was running can't be read again: %s",
		    errors.size > 0 ? errors.data : "out of memory");
	else
		buf_add(snapshot, load.from, load.from_size);
	buf_done(&errors);
	munmap(map, (size_t)st.st_size);
	return fleet;
}

/* supervisord's own log into a file goes by a pipe and the logger, too. */
static void
open_own_log(struct master *m, int kept)
{
	static const struct msg_name stream = { "supervisord" };
	const struct settings *s = &m->fleet->settings;
	struct msg_logto to = { (uint32_t)s->log_level, s->log_json };
	int fds[2];

	if (s->log_file == NULL) {
		log_setup((enum log_level)s->log_level, s->log_json, -1);
		return;
	}
	if (kept < 0) {
		if (pipe2(fds, O_CLOEXEC) < 0) {
			log_warn("no pipe for the log: %s", strerror(errno));
			return;
		}
		peer_send(
		    &m->guardian, MSG_PIPE_KEEP, &stream, NULL, 0, fds[0]);
		close(fds[0]);
		kept = fds[1];
		(void)fcntl(kept, F_SETFL, O_NONBLOCK);
	}
	peer_send(&m->guardian, MSG_LOG_TO, &to, NULL, 0, kept);
	log_setup((enum log_level)s->log_level, s->log_json, kept);
}

static bool
make_folders(const struct settings *s)
{
	int r = lock_make_dir(s->run_dir, 0755);

	if (r < 0) {
		log_error("master.run_dir: can't make %s: %s", s->run_dir,
		    strerror(-r));
		return false;
	}
	if (s->state_dir == NULL)
		return true;
	r = lock_make_dir(s->state_dir, 0750);
	if (r < 0)
		log_warn("master.state_dir: can't make %s: %s", s->state_dir,
		    strerror(-r));
	return true;
}

static int
open_memory(struct master *m, int kept, bool *ret_fresh)
{
	static const struct msg_name name = { "memory" };
	int fd;

	m->memory = memory_open(kept, &fd, ret_fresh);
	if (m->memory == NULL) {
		log_error("no memory");
		return -ENOMEM;
	}
	if (fd >= 0) {
		peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, fd);
		close(fd);
	}
	return 0;
}

/* 0, or the exit status of a start that is refused. */
static int
start(struct master *m, const struct options *o)
{
	struct handover h;
	struct buf snapshot;
	bool fresh, stopping, from_disk, clean = true;
	int status, r = handover_read(m, &h);

	if (r < 0) {
		log_error("the guardian's handover failed: %s", strerror(-r));
		return 1;
	}
	buf_init(&snapshot);
	m->fleet = load_kept(m, h.config, &snapshot);
	from_disk = m->fleet == NULL;
	if (from_disk) {
		r = options_config_path(
		    o, m->config_path, sizeof m->config_path);
		if (r != 0)
			return r;
		m->fleet = load_or_complain(
		    m->config_path, m->hello.pid1 != 0, &snapshot);
	}
	if (m->fleet == NULL)
		return 2;
	if (!make_folders(&m->fleet->settings) || !lock_take(m, h.lock))
		return 1;
	open_own_log(m, h.log);
	m->access = access_new(&m->fleet->settings);
	procfs_boot_id(m->boot_id, sizeof m->boot_id);
	if (m->access == NULL || open_memory(m, h.memory, &fresh) < 0 ||
	    !record_open(m, &clean))
		return 1;
	if (from_disk || m->hello.first)
		reload_keep_snapshot(m, &snapshot);
	buf_done(&snapshot);
	if (sockets_start(m, &h) < 0)
		return 1;
	r = control_open(m, h.control);
	if (r < 0) {
		log_error("can't listen on %s/control.sock: %s",
		    m->fleet->settings.run_dir, strerror(-r));
		return 1;
	}
	if (reload_init(m) < 0 || (r = reload_first(m)) < 0) {
		log_error("can't prepare launches: %s",
		    strerror(r < 0 ? -r : ENOMEM));
		return 1;
	}
	stopping = memory_is_stopping(m->memory, &status);
	m->phase = stopping ? PHASE_STOPPING : PHASE_STARTING;
	adopt_all(m, &h, fresh, clean);
	handover_done(&h);
	m->phase = PHASE_RUNNING;
	peer_send(&m->guardian, MSG_READY, NULL, NULL, 0, -1);
	if (m->hello.first)
		log_info("supervisord " VERSION
			 " runs, %u instances, config %s",
		    m->crew.count, m->config_path);
	else
		log_warn("master %u took over %u instances", m->hello.masters,
		    m->crew.count);
	shutdown_resume(m);
	return 0;
}

/* Once a turn, before the loop sleeps: what was put may be committed. */
static void
turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct master *m = w->data;

	(void)loop;
	(void)events;
	if (m->state != NULL)
		state_flush(m->state);
	shutdown_turn(m);
}

static int
serve(const struct options *o)
{
	static struct master m;
	ev_prepare turn;
	int r;

	process_setup();
	ev_memory_setup();
	srand48(time(NULL) ^ getpid());
	m.loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (m.loop == NULL || !crew_init(&m.crew)) {
		log_error("can't start: %s", strerror(errno));
		return 1;
	}
	m.logger.fd = -1;
	if (find_libexec(&m) < 0)
		log_warn("no /proc: modules can't be run");
	r = channel_setup(CHANNEL_FD);
	if (r < 0) {
		fprintf(stderr,
		    "master: this program is started by supervisord, not by "
		    "hand\n");
		return 2;
	}
	peer_init(&m.guardian, m.loop, from_guardian, guardian_gone, &m);
	m.guardian.reads = true;
	peer_connect(&m.guardian, CHANNEL_FD);
	shutdown_init(&m);
	amend_init(&m);
	r = start(&m, o);
	if (r != 0)
		return r;
	ev_prepare_init(&turn, turn_ends);
	turn.data = &m;
	ev_prepare_start(m.loop, &turn);
	ev_run(m.loop, 0);

	/* Clients see the end of their connection when this process ends,
	 * which is when the guardian has ended everything else. */
	for (;;) {
		struct msg msg;

		if (m.guardian.fd < 0 || peer_wait(&m.guardian, &msg) <= 0)
			return 0;
		if (msg.fd >= 0)
			close(msg.fd);
	}
}

int
main(int argc, char **argv)
{
	struct options o;

	log_init("master");
	if (options_parse(&o, argc, argv) != 0)
		return 2;
	if (o.version) {
		puts("supervisord " VERSION);
		return 0;
	}
	if (o.check || o.print_run_dir)
		return check(&o);
	return serve(&o);
}
