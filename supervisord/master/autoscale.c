#include "supervisord/master/autoscale.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/master/amend.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/master.h"
#include "supervisord/master/policy/autoscale.h"
#include "supervisord/master/probe.h"
#include "supervisord/master/procfs.h"
#include "supervisord/master/record.h"
#include "supervisord/master/teams.h"

struct scaler {
	struct master *m;
	struct team *team;
	ev_timer timer;
	struct scaling scaling;
	struct probe *probe; /* the command, while it runs */
	int64_t looked;      /* cpu: the last look, mono ns; 0: none yet */
	char *failure;       /* the command's; NULL: it works */
};

/* --- carrying it out ------------------------------------------------------ */

void
autoscale_to(
    struct master *m, struct team *team, unsigned count, const char *why)
{
	static const struct actor by = { .uid = -1, .command = "autoscale" };
	char words[512];

	if (team->doomed || m->phase != PHASE_RUNNING ||
	    !team->worker->autoscale.on || count == team->wanted)
		return;
	if (!team_may_scale(m, team, count)) {
		log_warn("%s: no room for %u instances (at most %d in all)",
		    team->name, count, FLEET_INSTANCES);
		return;
	}
	snprintf(words, sizeof words, "autoscale: from %u to %u: %s",
	    team->wanted, count, why);
	log_info("%s: %s", team->name, words);
	record_event(m, team->name, "scale", words, &by);
	free(team->scale_why);
	team->scale_why = strdup(words);
	team->scale_at = clock_mono();
	team_scale(m, team, count, &by, NULL);
	drive_grant_turns(m);
}

void
autoscale_tell(const struct team *team, struct buf *b)
{
	const struct scaler *s = team->scaler;
	char ago[UNITS_TEXT];

	if (!team->worker->autoscale.on)
		return;
	if (team->scale_why != NULL) {
		int64_t ns = clock_mono() - team->scale_at;

		units_format_duration(
		    ns / NS_PER_SEC * NS_PER_SEC, ago, sizeof ago);
		buf_fmt(b, "%s, %s ago\n", team->scale_why, ago);
	}
	if (s != NULL && s->failure != NULL)
		buf_fmt(b, "autoscale: %s\n", s->failure);
}

/* There is nothing to follow where a user has stopped them all. */
static bool
any_wanted(const struct team *team)
{
	for (unsigned i = 0; i < MIN_OF(team->wanted, team->room); i++) {
		const struct instance *it = team->instances[i];

		if (it != NULL && !it->doomed && it->row->life.wanted)
			return true;
	}
	return false;
}

/* --- cpu ------------------------------------------------------------------ */

/* What it has used since the last look; -1: that is not known. */
static int64_t
used_since(struct instance *it)
{
	int64_t now = procfs_cpu(it->row->pid), used;

	used = it->cpu_pid == it->row->pid ? MAX_OF(now - it->cpu_used, 0) : -1;
	it->cpu_pid = it->row->pid;
	it->cpu_used = now;
	return used;
}

/* The mean over the instances, in percent of a core; < 0: not known yet. */
static double
measure(struct scaler *s, int64_t now)
{
	const struct team *team = s->team;
	int64_t wall = now - s->looked, sum = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < MIN_OF(team->wanted, team->room); i++) {
		struct instance *it = team->instances[i];
		int64_t used = -1;

		if (it != NULL && it->row->life.state == ST_RUNNING &&
		    it->row->life.alive)
			used = used_since(it);
		if (used < 0)
			continue;
		sum += used;
		n++;
	}
	if (s->looked == 0 || n == 0 || wall <= 0)
		n = 0;
	s->looked = now;
	return n > 0 ? 100. * (double)sum / (double)wall / n : -1.;
}

static void
follow_cpu(struct scaler *s, int64_t now)
{
	struct team *team = s->team;
	const struct autoscale *a = &team->worker->autoscale;
	double used = measure(s, now);
	unsigned count;
	char why[128];

	if (used < 0)
		return;
	count = scale_by_cpu(a, &s->scaling, team->wanted, used, now);
	snprintf(why, sizeof why,
	    count > team->wanted
		? "each uses %.0f%% of a core, more than %u%% (cpu)"
		: "each uses %.0f%% of a core, so one fewer is enough for %u%% "
		  "(cpu)",
	    used, a->cpu);
	autoscale_to(s->m, team, count, why);
}

/* --- a command ------------------------------------------------------------ */

static void failed(struct scaler *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Said once, until it works again. */
static void
failed(struct scaler *s, const char *fmt, ...)
{
	char why[512], words[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	snprintf(words, sizeof words, "its command %s; the number stays %u",
	    why, s->team->wanted);
	if (s->failure == NULL) {
		log_warn("%s: autoscale: %s", s->team->name, words);
		record_event(s->m, s->team->name, "scale", words, &nobody);
	}
	free(s->failure);
	s->failure = strdup(words);
}

static void
works(struct scaler *s)
{
	if (s->failure == NULL)
		return;
	free(s->failure);
	s->failure = NULL;
	log_info("%s: autoscale: its command works again", s->team->name);
	record_event(
	    s->m, s->team->name, "scale", "its command works again", &nobody);
}

static void
answered(void *arg, const struct probe_end *end)
{
	struct scaler *s = arg;
	struct team *team = s->team;
	const struct autoscale *a = &team->worker->autoscale;
	char why[128] = "its command says so";
	uint64_t number;
	unsigned count;

	s->probe = NULL;
	if (team->doomed || s->m->phase != PHASE_RUNNING)
		return;
	if (end->failure != NULL) {
		failed(s, "%s", end->failure);
		return;
	}
	if (!scale_parse(end->text, &number)) {
		failed(s, "printed \"%.*s\", which is not a number",
		    (int)MIN_OF(strcspn(end->text, "\n"), 60), end->text);
		return;
	}
	works(s);
	count =
	    scale_by_number(a, &s->scaling, team->wanted, number, clock_mono());
	if (number < a->min || number > a->max)
		snprintf(why, sizeof why, "its command says %llu, %s %u",
		    (unsigned long long)number,
		    number < a->min ? "but min is" : "but max is",
		    number < a->min ? a->min : a->max);
	if (any_wanted(team))
		autoscale_to(s->m, team, count, why);
}

static void
follow_command(struct scaler *s)
{
	struct probe_order order = {
		.worker = s->team->name,
		.spec = s->team->scaler_spec,
		.timeout = s->team->worker->autoscale.interval,
		.done = answered,
		.arg = s,
	};

	if (s->probe == NULL)
		s->probe = probe_start(s->m, &order);
}

/* --- looking -------------------------------------------------------------- */

static void
wait(struct scaler *s, int64_t ns)
{
	ev_now_update(s->m->loop);
	/* A little late rather than a little early, as a cooldown that is just
	 * over would wait for the next look. */
	ev_timer_set(&s->timer, (double)ns / (double)NS_PER_SEC + 0.0001, 0.);
	ev_timer_start(s->m->loop, &s->timer);
}

static void
look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct scaler *s = CONTAINER_OF(timer, struct scaler, timer);
	const struct autoscale *a = &s->team->worker->autoscale;

	(void)loop;
	(void)events;
	if (s->m->phase == PHASE_STOPPING)
		return;
	wait(s, a->interval);
	if (!any_wanted(s->team))
		s->looked = 0;
	else if (a->cpu > 0)
		follow_cpu(s, clock_mono());
	else
		follow_command(s);
}

void
autoscale_gone(struct team *team)
{
	struct scaler *s = team->scaler;

	if (s == NULL)
		return;
	if (s->probe != NULL)
		probe_abandon(s->probe);
	ev_timer_stop(s->m->loop, &s->timer);
	free(s->failure);
	free(s);
	team->scaler = NULL;
}

void
autoscale_settings(struct master *m, struct team *team)
{
	const struct autoscale *a = &team->worker->autoscale;
	struct scaler *s;

	/* A command that runs is the old settings'. */
	autoscale_gone(team);
	if (team->doomed || !a->on || autoscale_by_queue(a))
		return;
	s = team->scaler = calloc(1, sizeof *s);
	if (s == NULL) {
		log_error("%s: no memory for autoscale", team->name);
		amend_later(m);
		return;
	}
	s->m = m;
	s->team = team;
	ev_init(&s->timer, look);
	wait(s, 0);
}
