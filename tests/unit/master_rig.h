#ifndef MASTER_RIG_H
#define MASTER_RIG_H

/*
 * A master without its main(): the fleet is put together by hand, the guardian
 * is the other end of a socket pair, the store is in memory. A master that is
 * "killed" leaves the shared memory behind, as a real one does. Masters are
 * kept until the test program ends, so that nothing of them is a leak.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/master/adopt.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/handover.h"
#include "supervisord/master/master.h"
#include "supervisord/master/record.h"
#include "supervisord/master/reload.h"
#include "supervisord/master/shutdown.h"
#include "supervisord/master/sockets.h"

#define RIG_WORKERS  4
#define RIG_MASTERS  64
#define RIG_CHILDREN 8
#define RIG_SOCKETS  4

struct rig {
	struct master *m;
	int guardian; /* its end */
	int memory;
	struct fleet fleet;
	struct worker workers[RIG_WORKERS];
	struct worker *list[RIG_WORKERS];
	char names[RIG_WORKERS][PROTO_NAME];
	/* what the guardian keeps of "socket/...", with descriptors */
	struct kept_socket kept[RIG_SOCKETS];
	size_t kept_count;
	struct msg_child children[RIG_CHILDREN];
	size_t count;
};

static struct master *rig_masters[RIG_MASTERS];
static unsigned rig_used;

static char *rig_argv[] = { (char[]){ "/bin/true" }, NULL };
static char rig_run_dir[] = "/nonexistent";
static char *rig_environ[] = { (char[]){ "PATH=/bin" }, NULL };

/* A worker with usual rules; its fields may be changed before rig_start. */
static inline struct worker *
rig_worker(struct rig *r, const char *name, unsigned processes)
{
	struct worker *w = &r->workers[r->fleet.count];

	*w = (struct worker){ .processes = processes,
		.argv = rig_argv,
		.umask = FLEET_NO_UMASK,
		.environment = rig_environ,
		.out = { .kind = OUTPUT_NULL },
		.err = { .kind = OUTPUT_STDOUT },
		.rules = { .autostart = true,
		    .start_seconds = NS_PER_SEC,
		    .start_retries = 5,
		    .exit_codes_count = 1,
		    .backoff = { 100 * NS_PER_MS, NS_PER_SEC, NS_PER_SEC, 2.0,
			0.0 },
		    .stop = { { SIGTERM, 10 * NS_PER_SEC }, { SIGKILL, 0 } },
		    .stop_count = 2,
		    .scope = SCOPE_TREE } };
	snprintf(r->names[r->fleet.count], PROTO_NAME, "%s", name);
	w->name = r->names[r->fleet.count];
	r->list[r->fleet.count++] = w;
	return w;
}

static inline void
rig_init(struct rig *r)
{
	memset(r, 0, sizeof *r);
	r->memory = r->guardian = -1;
	r->fleet.workers = r->list;
	r->fleet.settings.run_dir = rig_run_dir;
	r->fleet.settings.shutdown_timeout = 90 * NS_PER_SEC;
	r->fleet.settings.log_level = LOG_LEVEL_ERROR;
	log_setup(LOG_LEVEL_ERROR, false, -1);
}

static inline void
rig_ignore(void *arg, struct msg *msg)
{
	(void)arg;
	if (msg->fd >= 0)
		close(msg->fd);
}

static inline void
rig_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

/* A master over the memory there is, and the children the guardian knows. */
static inline void
rig_start(struct rig *r)
{
	struct master *m = calloc(1, sizeof *m);
	struct handover h = { .children = r->children, .count = r->count };
	bool fresh, clean = true;
	int pair[2], fd;

	h.sockets = calloc(RIG_SOCKETS, sizeof *h.sockets);
	assert_non_null(h.sockets);
	h.sockets_count = r->kept_count;
	for (size_t i = 0; i < r->kept_count; i++) {
		h.sockets[i] = r->kept[i];
		h.sockets[i].fd = dup(r->kept[i].fd);
	}

	assert_true(rig_used < RIG_MASTERS);
	assert_non_null(m);
	rig_masters[rig_used++] = m;
	r->m = m;
	m->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	assert_true(m->loop != NULL && crew_init(&m->crew));
	assert_int_equal(channel_pair(pair), 0);
	r->guardian = pair[1];
	peer_init(&m->guardian, m->loop, rig_ignore, rig_gone, m);
	peer_connect(&m->guardian, pair[0]);
	m->logger.fd = -1;
	m->hello.first = r->memory < 0;
	m->hello.run = 1;
	shutdown_init(m);
	m->fleet = &r->fleet;
	m->memory = memory_open(r->memory, &fd, &fresh);
	assert_non_null(m->memory);
	if (r->memory < 0)
		r->memory = fd;
	assert_true(record_open(m, &clean));
	snprintf(m->libexec, sizeof m->libexec, "/libexec");
	assert_int_equal(sockets_start(m, &h), 0);
	assert_int_equal(reload_init(m), 0);
	assert_int_equal(reload_first(m), 0);
	m->phase = PHASE_STARTING;
	adopt_all(m, &h, fresh, true);
	free(h.sockets);
	m->phase = PHASE_RUNNING;
	shutdown_resume(m);
}

/* kill -9: memory and children are all that is left. */
static inline void
rig_kill(struct rig *r)
{
	state_close(r->m->state, 0);
	close(r->guardian);
	peer_close(&r->m->guardian);
}

/* The next message to the guardian that is not about books and descriptors; its
 * type, or 0 when there is none. */
static inline unsigned
rig_next(struct rig *r, struct msg *msg)
{
	while (channel_receive(r->guardian, msg) == 1) {
		if (msg->fd >= 0)
			close(msg->fd);
		if (msg->type != MSG_BOOK && msg->type != MSG_BOOK_DROP &&
		    msg->type != MSG_KEEP && msg->type != MSG_DROP &&
		    msg->type != MSG_ACK &&
		    (msg->type != MSG_BROKER_WANTED ||
			msg->u.BROKER_WANTED.value != 0))
			return msg->type;
	}
	return 0;
}

static inline struct instance *
rig_find(struct rig *r, const char *name)
{
	return crew_find(&r->m->crew, name);
}

static inline int
rig_state(struct rig *r, const char *name)
{
	struct instance *it = rig_find(r, name);

	return it != NULL ? it->row->life.state : -1;
}

/* The guardian has launched what was asked for. */
static inline struct msg_child *
rig_launched(struct rig *r, const struct msg *launch, uint32_t slot)
{
	struct msg_child *c = &r->children[r->count++];
	struct msg_launched l = { .cookie = launch->u.LAUNCH.cookie,
		.slot = slot,
		.gen = 1,
		.pid = (int32_t)(1000000 + slot),
		.started_mono = clock_mono(),
		.tag = 7000 + slot };

	assert_true(r->count <= RIG_CHILDREN);
	*c = (struct msg_child){ .slot = slot,
		.gen = 1,
		.pid = l.pid,
		.state = CHILD_ALIVE,
		.started_mono = l.started_mono,
		.tag = l.tag };
	memcpy(c->name, launch->u.LAUNCH.name, sizeof c->name);
	drive_launched(r->m, &l);
	return c;
}

static inline void
rig_exits(struct msg_child *c, int code, int status)
{
	c->state = CHILD_EXITED;
	c->code = code;
	c->status = status;
	c->ended_mono = clock_mono();
}

/* No count is off, whatever has happened. */
static inline void
rig_check(struct rig *r)
{
	unsigned count = 0, down = 0, starting = 0;
	struct team *team, *tmp;
	struct instance *it;
	unsigned i;

	CREW_FOREACH(&r->m->crew, team, tmp, i, it)
	{
		count++;
		down += life_is_down(&it->row->life);
		starting += it->row->life.state == ST_STARTING;
		assert_ptr_equal(crew_by_id(&r->m->crew, it->id), it);
		assert_true(list_linked(&it->queue) ==
			    (it->row->life.state == ST_WAITING));
		assert_true((ev_is_active(&it->timer) != 0) ==
			    (it->row->life.deadline != 0));
		if (it->row->life.alive)
			assert_ptr_equal(crew_by_slot(&r->m->crew,
					     it->row->slot, it->row->gen),
			    it);
	}
	assert_int_equal(r->m->crew.count, count);
	assert_int_equal(r->m->crew.down, down);
	assert_int_equal(r->m->crew.starting, starting);
}

#endif
