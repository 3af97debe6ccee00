#include "supervisord/master/policy/life.h"

#include <signal.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/util.h"

const char *const life_state_names[ST_COUNT] = {
#define STATE(NAME, code) [ST_##NAME] = #NAME,
#include "supervisord/master/policy/states.def"
#undef STATE
};

const int life_state_codes[ST_COUNT] = {
#define STATE(NAME, code) [ST_##NAME] = (code),
#include "supervisord/master/policy/states.def"
#undef STATE
};

const char *const life_event_names[ON_COUNT] = {
	[ON_UP] = "up",
	[ON_WAIT] = "wait",
	[ON_DOWN] = "down",
	[ON_SPAWNED] = "spawned",
	[ON_NOT_SPAWNED] = "not spawned",
	[ON_STARTED] = "started",
	[ON_FAILED] = "failed",
	[ON_GAVE_UP] = "gave up",
	[ON_EXIT_AGAIN] = "exit, again",
	[ON_EXIT_LATER] = "exit, later",
	[ON_EXIT_DONE] = "exit, done",
	[ON_GONE] = "gone",
	[ON_GONE_LEAVING] = "gone, leaving",
	[ON_EMPTY] = "empty",
	[ON_TIMER] = "timer",
};

/* One step in progress. */
struct step {
	struct life *life;
	const struct rules *rules;
	const struct life_input *in;
	struct life_output *out;
};

/* --- what rows do; none of them writes the state ------------------------- */

static void
set_deadline(struct step *s, int64_t deadline)
{
	if (s->life->deadline == deadline)
		return;
	s->life->deadline = deadline;
	s->out->actions |= LIFE_TIMER;
}

static void
nothing(struct step *s)
{
	set_deadline(s, 0);
}

static void
launch(struct step *s)
{
	s->life->launching = 1;
	s->life->kick = 0;
	s->life->leaving = 0;
	set_deadline(s, 0);
	s->out->actions |= LIFE_LAUNCH;
}

static void
launch_again(struct step *s)
{
	s->life->restarts++;
	s->life->level = 0;
	launch(s);
}

static void
relaunch(struct step *s)
{
	s->life->restarts++;
	launch(s);
}

static void
await_start(struct step *s)
{
	if (!s->rules->announces)
		set_deadline(s, s->in->now + s->rules->start_seconds);
	else if (s->rules->start_timeout > 0)
		set_deadline(s, s->in->now + s->rules->start_timeout);
	else
		set_deadline(s, 0);
}

/* It is killed, and that is its failed start. */
static void
too_late(struct step *s)
{
	set_deadline(s, 0);
	if (s->in->deaf)
		return; /* IN_HEARD gives it its time again */
	s->out->actions |= LIFE_SIGNAL;
	s->out->signo = SIGKILL;
}

/* A delay d of the ladder initial, initial * factor, ... max, times 1 +-
 * jitter. */
static void
delay(struct step *s)
{
	const struct backoff *b = &s->rules->backoff;
	double d = (double)b->initial;

	for (uint32_t i = 0; i < s->life->level && d < (double)b->max; i++)
		d *= b->factor;
	d = MIN_OF(d, (double)b->max);
	d *= 1.0 + b->jitter * (2.0 * s->in->dice - 1.0);
	s->life->level++;
	s->out->delay = (int64_t)d;
	/* Never 0: that would mean no deadline at all. */
	set_deadline(s, s->in->now + MAX_OF(s->out->delay, 1));
}

static void
fail(struct step *s)
{
	s->life->failures++;
	delay(s);
}

static void
give_up(struct step *s)
{
	s->life->failures++;
	nothing(s);
}

static void
signal_step(struct step *s)
{
	const struct stop_step *rung = &s->rules->stop[s->life->step];

	if (s->life->alive) {
		s->out->actions |= LIFE_SIGNAL;
		s->out->signo = rung->signo;
	} else if (s->life->leaving) {
		s->out->actions |= LIFE_TREE;
		s->out->tree_signo = rung->signo;
	}
	set_deadline(s, rung->wait > 0 ? s->in->now + rung->wait : 0);
}

static void
stop(struct step *s)
{
	s->life->step = s->in->hard ? (uint8_t)(s->rules->stop_count - 1) : 0;
	s->life->leaving = 0;
	s->life->kick = 0;
	if (s->life->launching)
		set_deadline(s, 0); /* the signal goes out when it has a pid */
	else
		signal_step(s);
}

static void
next_rung(struct step *s)
{
	if (s->life->step + 1U < s->rules->stop_count)
		s->life->step++;
	signal_step(s);
}

/* The rung it is on is what its descendants get, and what is left of its time;
 * KILL where no time was left, whatever the rungs are by now. */
static void
end_tree(struct step *s)
{
	s->life->leaving = 1;
	s->out->actions |= LIFE_TREE;
	s->out->tree_signo = s->life->deadline != 0
				 ? s->rules->stop[s->life->step].signo
				 : SIGKILL;
}

/* Timers that have nothing more to say are stopped by this, too. */
static void
stopped(struct step *s)
{
	s->life->leaving = 0;
	s->life->finishing = 0;
	s->life->step = 0;
	s->life->failures = 0;
	s->life->level = 0;
	set_deadline(s, 0);
}

/* --- the table ------------------------------------------------------------ */

#define IS(state) (1U << ST_##state)
#define SAME      ST_COUNT

struct row {
	unsigned states;
	enum life_event event;
	void (*action)(struct step *s);
	enum life_state next;
};

/* clang-format off */
static const struct row rows[] = {
	/* states                                      event            action        next */
	{ IS(STOPPED) | IS(EXITED) | IS(FATAL) | IS(UNKNOWN) | IS(WAITING),
	                                               ON_UP,           launch,       ST_STARTING },
	{ IS(BACKOFF),                                 ON_UP,           relaunch,     ST_STARTING },
	{ IS(STOPPED) | IS(EXITED) | IS(FATAL) | IS(UNKNOWN) | IS(BACKOFF),
	                                               ON_WAIT,         nothing,      ST_WAITING },
	{ IS(WAITING) | IS(BACKOFF),                   ON_DOWN,         stopped,      ST_STOPPED },
	{ IS(STARTING) | IS(RUNNING),                  ON_DOWN,         stop,         ST_STOPPING },

	{ IS(STARTING),                                ON_SPAWNED,      await_start,  SAME },
	{ IS(STARTING),                                ON_NOT_SPAWNED,  delay,        ST_BACKOFF },
	{ IS(STARTING),                                ON_STARTED,      nothing,      ST_RUNNING },
	{ IS(STARTING),                                ON_TIMER,        too_late,     SAME },
	{ IS(STARTING) | IS(RUNNING),                  ON_FAILED,       fail,         ST_BACKOFF },
	{ IS(STARTING) | IS(RUNNING),                  ON_GAVE_UP,      give_up,      ST_FATAL },

	{ IS(RUNNING),                                 ON_EXIT_AGAIN,   launch_again, ST_STARTING },
	{ IS(RUNNING),                                 ON_EXIT_LATER,   delay,        ST_BACKOFF },
	{ IS(RUNNING),                                 ON_EXIT_DONE,    nothing,      ST_EXITED },
	{ IS(RUNNING),                                 ON_GONE,         stopped,      ST_STOPPED },

	{ IS(STOPPING),                                ON_SPAWNED,      signal_step,  SAME },
	{ IS(STOPPING),                                ON_NOT_SPAWNED,  stopped,      ST_STOPPED },
	{ IS(STOPPING),                                ON_TIMER,        next_rung,    SAME },
	{ IS(STOPPING),                                ON_GONE,         stopped,      ST_STOPPED },
	{ IS(STOPPING),                                ON_GONE_LEAVING, end_tree,     SAME },
	{ IS(STOPPING),                                ON_EMPTY,        stopped,      ST_STOPPED },
};

/* clang-format on */

static const struct row *
row_for(enum life_state state, enum life_event event)
{
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		if (rows[i].event == event && (rows[i].states & 1U << state))
			return &rows[i];
	}
	return NULL;
}

bool
life_has_row(
    enum life_state state, enum life_event event, enum life_state *ret_next)
{
	const struct row *row = row_for(state, event);

	if (row == NULL)
		return false;
	if (ret_next != NULL)
		*ret_next = row->next == SAME ? state : row->next;
	return true;
}

/* The one place where a state is written. */
static void
interpret(struct step *s, enum life_event event)
{
	const struct row *row = row_for(s->life->state, event);
	struct life_change *change;

	if (row == NULL) {
		s->life->surprises++;
		return;
	}
	row->action(s);
	if (row->next == SAME || row->next == s->life->state)
		return;
	if (s->out->count < LIFE_CHANGES) {
		change = &s->out->changes[s->out->count++];
		change->from = s->life->state;
		change->to = row->next;
		change->event = event;
	}
	s->life->state = (uint8_t)row->next;
	s->life->since = s->in->now;
}

/* --- from inputs to events ------------------------------------------------ */

/* What an exit means, given the state it was in and how it went. */
static enum life_event
judge_exit(struct step *s)
{
	const struct rules *r = s->rules;
	struct life *life = s->life;
	int64_t lived = s->in->now - life->started;
	bool failed_start = life->state == ST_STARTING || s->in->no_exec;

	if (life->state == ST_STOPPING) {
		bool tree = r->scope == SCOPE_TREE && !s->in->no_tree &&
			    !s->in->no_exec;
		return tree ? ON_GONE_LEAVING : ON_GONE;
	}
	/* It was to end anyhow. */
	if (life->finishing)
		return ON_GONE;
	if (failed_start) {
		/* start_retries tries after the first one. */
		if (r->start_retries >= 0 &&
		    life->failures >= (uint32_t)r->start_retries)
			return ON_GAVE_UP;
		return ON_FAILED;
	}
	life->failures = 0;
	if (lived >= r->backoff.reset_after)
		life->level = 0;
	if (r->restart == RESTART_NEVER ||
	    (r->restart == RESTART_ON_FAILURE && s->in->success))
		return ON_EXIT_DONE;
	return lived >= r->backoff.reset_after ? ON_EXIT_AGAIN : ON_EXIT_LATER;
}

static void
exited(struct step *s)
{
	bool tree =
	    s->rules->scope == SCOPE_TREE && !s->in->no_tree && !s->in->no_exec;
	enum life_event event = judge_exit(s);

	s->life->alive = 0;
	if (s->life->state != ST_STOPPING && tree)
		s->out->actions |= LIFE_TREE_KILL;
	interpret(s, event);
}

/* A deadline means another thing in each state. */
static void
timer(struct step *s)
{
	if (s->life->deadline == 0 || s->in->now < s->life->deadline)
		return;
	if (s->life->state == ST_BACKOFF)
		interpret(s, s->in->turn ? ON_UP : ON_WAIT);
	else if (s->life->state == ST_STARTING && !s->rules->announces)
		interpret(s, ON_STARTED);
	else
		interpret(s, ON_TIMER);
}

/* A wish that comes meanwhile does not wait for its tasks. */
static void
finish(struct step *s)
{
	struct life *life = s->life;

	if (s->in->leave) {
		life->wanted = 0;
		life->kick = 0;
		life->bounce = 0;
	} else if (!life->finishing) {
		life->bounce = 1;
	}
	if (life->state != ST_RUNNING || life->finishing)
		return;
	life->finishing = 1;
	s->out->actions |= LIFE_FINISH;
}

/* Raises UP or DOWN until wanted and actual agree or something has to end. */
static void
settle(struct step *s)
{
	struct life *life = s->life;

	switch ((enum life_state)life->state) {
	case ST_WAITING:
	case ST_BACKOFF:
	case ST_STARTING:
	case ST_RUNNING:
		if (life->finishing)
			break;
		if (!life->wanted) {
			interpret(s, ON_DOWN);
		} else if (life->bounce && life->state == ST_WAITING) {
			life->bounce = 0; /* it is down already */
		} else if (life->bounce && life->state != ST_WAITING &&
			   life->state != ST_BACKOFF) {
			interpret(s, ON_DOWN);
		} else if (life->state == ST_BACKOFF &&
			   (life->kick || life->bounce)) {
			life->bounce = 0;
			interpret(s, s->in->turn ? ON_UP : ON_WAIT);
		}
		break;
	case ST_STOPPED:
	case ST_EXITED:
	case ST_FATAL:
	case ST_UNKNOWN:
		life->bounce = 0;
		if (life->wanted && (life->kick || life->state == ST_STOPPED)) {
			life->kick = 0;
			interpret(s, s->in->turn ? ON_UP : ON_WAIT);
		}
		break;
	case ST_STOPPING:
	case ST_COUNT:
		break;
	}
}

static void
feed(struct step *s)
{
	struct life *life = s->life;
	bool leaving;

	switch (s->in->kind) {
	case IN_WANT_UP:
		if (life->finishing && !life->wanted) {
			life->finishing = 0;
			s->out->actions |= LIFE_FINISH;
		}
		life->wanted = 1;
		/* A start is also a pardon: failures are counted anew. */
		if (life->state != ST_STARTING && life->state != ST_RUNNING) {
			life->kick = 1;
			life->failures = 0;
			life->level = 0;
		}
		break;
	case IN_WANT_DOWN:
		life->finishing = 0;
		life->wanted = 0;
		life->kick = 0;
		life->bounce = 0;
		break;
	case IN_BOUNCE:
		leaving = life->finishing && !life->wanted;
		life->finishing = 0;
		if (leaving)
			break; /* not to come back */
		life->wanted = 1;
		life->bounce = 1;
		life->kick = 1;
		life->failures = 0;
		life->level = 0;
		break;
	case IN_FINISH:
		finish(s);
		break;
	case IN_FINISHED:
		life->finishing = 0;
		break;
	case IN_TURN:
		if (life->state == ST_WAITING && life->wanted)
			interpret(s, ON_UP);
		break;
	case IN_SPAWNED:
		life->launching = 0;
		life->alive = 1;
		life->started = s->in->now;
		interpret(s, ON_SPAWNED);
		if (life->state == ST_STARTING && !s->rules->announces &&
		    s->rules->start_seconds == 0)
			interpret(s, ON_STARTED);
		break;
	case IN_NOT_SPAWNED:
		life->launching = 0;
		interpret(s, ON_NOT_SPAWNED);
		break;
	case IN_EXIT:
		exited(s);
		break;
	case IN_EMPTY:
		/* A late answer to a question of an earlier stop is no event.
		 */
		if (life->state == ST_STOPPING && life->leaving)
			interpret(s, ON_EMPTY);
		break;
	case IN_READY:
		if (life->state == ST_STARTING && life->alive)
			interpret(s, ON_STARTED);
		break;
	case IN_HEARD:
		if (life->state == ST_STARTING && life->alive &&
		    s->rules->announces)
			await_start(s);
		break;
	case IN_TIMER:
		timer(s);
		break;
	}
}

void
life_init(struct life *life, int64_t now)
{
	memset(life, 0, sizeof *life);
	life->state = ST_STOPPED;
	life->since = now;
}

void
life_step(struct life *life, const struct rules *rules,
    const struct life_input *in, struct life_output *out)
{
	struct step s = { life, rules, in, out };

	memset(out, 0, sizeof *out);
	feed(&s);
	settle(&s);
}

void
life_rules_changed(struct life *life, const struct rules *rules, int64_t now,
    struct life_output *out)
{
	struct life_input in = { .kind = IN_TIMER, .now = now, .turn = true };
	struct step s = { life, rules, &in, out };

	memset(out, 0, sizeof *out);
	if (life->step >= rules->stop_count)
		life->step = (uint8_t)(rules->stop_count - 1);
	if (life->state == ST_STARTING && life->alive && rules->announces) {
		await_start(&s);
	} else if (life->state == ST_STARTING && life->alive) {
		set_deadline(
		    &s, MAX_OF(life->started + rules->start_seconds, 1));
	} else if (life->state == ST_STOPPING && life->deadline != 0) {
		const struct stop_step *rung = &rules->stop[life->step];

		/* No deadline means that KILL has gone out. */
		if (rung->wait > 0)
			set_deadline(&s, now + rung->wait);
		else
			signal_step(&s);
	}
}

void
life_adopt(struct life *life, const struct rules *rules, int64_t started,
    int64_t now, struct life_output *out)
{
	struct life_input in = { .kind = IN_TIMER, .now = now, .turn = true };
	struct step s = { life, rules, &in, out };

	memset(out, 0, sizeof *out);
	life->launching = 0;
	life->alive = 1;
	life->started = started;
	life->step = 0;
	life->leaving = 0;
	life->finishing = 0;
	out->changes[0].from = life->state;
	out->changes[0].to = ST_RUNNING;
	out->changes[0].event = ON_STARTED;
	out->count = life->state == ST_RUNNING ? 0 : 1;
	life->state = ST_RUNNING;
	life->since = started;
	set_deadline(&s, 0);
	settle(&s);
}

bool
life_is_down(const struct life *life)
{
	return (life->state == ST_STOPPED || life->state == ST_EXITED ||
		   life->state == ST_FATAL) &&
	       !life->alive && !life->launching;
}
