#include "supervisord/master/shutdown.h"

#include <signal.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/master/control.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/master/record.h"
#include "supervisord/master/sockets.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/teams.h"

/* The longest wait for a logger that is being started again. */
#define LOGGER_SECONDS 5.

static void
quit(struct master *m)
{
	struct msg_quit msg = { .status = m->exit_status };

	ev_timer_stop(m->loop, &m->finish_timer);
	log_info("all instances are down; supervisord ends with status %d",
	    m->exit_status);
	record_event(m, NULL, "shutdown", "done", &nobody);
	record_close(m, true, "shutdown");
	control_unlink(m);
	sockets_unlink(m);
	peer_send(&m->guardian, MSG_QUIT, &msg, NULL, 0, -1);
	ev_break(m->loop, EVBREAK_ALL);
}

static void
quit_anyway(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct master *m = timer->data;

	(void)loop;
	(void)events;
	log_warn("no logger within %g s: what is left in log pipes is lost",
	    LOGGER_SECONDS);
	quit(m);
}

/*
 * All are down. What they wrote last may still be in their pipes: the end waits
 * for a logger that knows where everything goes. Called once a turn of the
 * loop, and so not from within the news of the last exit, which is still to be
 * recorded.
 */
void
shutdown_turn(struct master *m)
{
	if (!m->finishing)
		return;
	if (m->logger_knows) {
		quit(m);
		return;
	}
	if (!ev_is_active(&m->finish_timer))
		ev_timer_start(m->loop, &m->finish_timer);
	streams_ask_settled(m);
}

static void
kill_all(struct master *m)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i, n = 0;

	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		if (life_is_down(&it->row->life))
			continue;
		n++;
		drive_kill(m, it);
	}
	if (n > 0)
		log_warn("%u instances were still up: killed", n);
}

static void
too_long(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct master *m = timer->data;

	(void)loop;
	(void)events;
	if (m->finishing)
		return;
	log_warn("shutdown_timeout has passed");
	kill_all(m);
}

void
shutdown_init(struct master *m)
{
	ev_init(&m->shutdown_timer, too_long);
	m->shutdown_timer.data = m;
	ev_timer_init(&m->finish_timer, quit_anyway, LOGGER_SECONDS, 0.);
	m->finish_timer.data = m;
}

void
shutdown_look(struct master *m)
{
	if (m->phase == PHASE_STOPPING && m->crew.down == m->crew.count)
		m->finishing = true;
}

void
shutdown_begin(
    struct master *m, int status, bool at_once, const struct actor *by)
{
	int64_t timeout = m->fleet->settings.shutdown_timeout;
	struct team *team, *tmp, *prev, *last = NULL;

	if (m->phase == PHASE_STOPPING) {
		kill_all(m);
		return;
	}
	m->phase = PHASE_STOPPING;
	m->exit_status = status;
	memory_set_stopping(m->memory, status);
	log_info("shutting down %u instances%s", m->crew.count,
	    at_once ? " at once" : "");
	record_event(m, NULL, "shutdown", at_once ? "at once" : "in order", by);
	ev_now_update(m->loop);
	ev_timer_set(
	    &m->shutdown_timer, (double)timeout / (double)NS_PER_SEC, 0.);
	ev_timer_start(m->loop, &m->shutdown_timer);
	HASH_ITER(hh, m->crew.teams, team, tmp)
	last = team;
	/* The last started goes first. */
	for (team = last; team != NULL; team = prev) {
		prev = team->hh.prev;
		team->members++; /* pinned: it may go with its last instance */
		for (unsigned i = team->room; i > 0; i--) {
			if (team->instances[i - 1] != NULL)
				drive_down(m, team->instances[i - 1], by);
		}
		team->members--;
		team_instance_gone(m, team);
	}
	if (at_once)
		kill_all(m);
	shutdown_look(m);
}

/* All its instances have ended, and none will be started again by itself. */
static bool
has_ended(const struct team *team)
{
	for (unsigned i = 0; i < team->room; i++) {
		const struct instance *it = team->instances[i];

		if (it != NULL && it->row->life.state != ST_EXITED &&
		    it->row->life.state != ST_FATAL)
			return false;
	}
	return true;
}

/* exit_with: was it the last of its team? */
static void
essential_is_down(struct master *m, const struct instance *it)
{
	const char *essential = m->fleet->settings.exit_with;

	if (essential == NULL || strcmp(it->team->name, essential) != 0 ||
	    !has_ended(it->team))
		return;
	log_info(
	    "%s has ended (exit_with): supervisord ends with it", essential);
	shutdown_begin(m, exit_status_of(&it->row->exit), false, &nobody);
}

void
shutdown_one_is_down(struct master *m, const struct instance *it)
{
	if (m->phase == PHASE_STOPPING)
		shutdown_look(m);
	/* While the fleet is being put together, shutdown_resume looks. */
	if (m->phase == PHASE_RUNNING)
		essential_is_down(m, it);
}

void
shutdown_resume(struct master *m)
{
	const char *essential = m->fleet->settings.exit_with;
	const struct team *team =
	    essential != NULL ? crew_team(&m->crew, essential) : NULL;
	const struct instance *it, *last = NULL;
	int status;

	m->finishing = false;
	if (memory_is_stopping(m->memory, &status)) {
		shutdown_begin(m, status, false, &nobody);
		return;
	}
	for (unsigned i = 0; team != NULL && i < team->room; i++) {
		it = team->instances[i];
		if (it != NULL && (last == NULL || it->row->exit.at_ms >=
						       last->row->exit.at_ms))
			last = it;
	}
	if (last != NULL)
		essential_is_down(m, last);
}
