#include "supervisord/master/amend.h"

#include "supervisord/master/autoscale.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/teams.h"
#include "supervisord/master/to_broker.h"

#define AGAIN_SECONDS 1.

/* Each of these does nothing where nothing is missing. */
static void
amend(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct master *m = timer->data;
	struct team *team, *tmp;

	(void)loop;
	(void)events;
	if (m->phase != PHASE_RUNNING)
		return;
	to_broker_configure(m);
	HASH_ITER(hh, m->crew.teams, team, tmp)
	{
		if (team->doomed)
			continue;
		team_resize(m, team, team->wanted, &nobody, NULL);
		if (team->scaler == NULL)
			autoscale_settings(m, team);
	}
	drive_grant_turns(m);
}

void
amend_init(struct master *m)
{
	ev_timer_init(&m->amend, amend, AGAIN_SECONDS, 0.);
	m->amend.data = m;
}

void
amend_later(struct master *m)
{
	if (ev_is_active(&m->amend))
		return;
	ev_timer_set(&m->amend, AGAIN_SECONDS, 0.);
	ev_timer_start(m->loop, &m->amend);
}
