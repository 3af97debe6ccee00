/*
 * Long random lives of a fleet on a made-up clock. A small model of the machine
 * (processes that start, end, ignore TERM, leave descendants; a machine with no
 * room) answers what policy asks for; after every input the invariants hold,
 * and whenever users leave an instance alone for long enough it is where they
 * wanted it.
 *
 *     sim_fleet [SEED [LIVES]]
 */

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/master/policy/life.h"

#define STEPS 2000

/* The machine's side of one instance. */
struct body {
	bool launching, exists, termed, killed, stubborn;
	int left;         /* descendants it left behind */
	bool asked_empty; /* IN_EMPTY is owed once left is 0 */
};

struct world {
	struct life life;
	struct rules rules;
	struct body body;
	int64_t now;
	uint64_t random;
	unsigned seed, step;
	const char *last;
};

static uint32_t
dice(struct world *w, uint32_t sides)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 32) % sides;
}

static void
broken(const struct world *w, const char *what)
{
	printf("not ok: seed %u, step %u, after %s: %s (state %s, wanted %d, "
	       "launching %d, alive %d, deadline %lld)\n",
	    w->seed, w->step, w->last, what, life_state_names[w->life.state],
	    w->life.wanted, w->life.launching, w->life.alive,
	    (long long)w->life.deadline);
	exit(1);
}

#define HOLDS(w, what)                                                         \
	do {                                                                   \
		if (!(what))                                                   \
			broken(w, #what);                                      \
	} while (0)

static void
check(const struct world *w)
{
	const struct life *l = &w->life;

	HOLDS(w, l->surprises == 0);
	HOLDS(w, l->alive == w->body.exists);
	HOLDS(w, l->launching == w->body.launching);
	HOLDS(w, !(l->alive && l->launching));
	HOLDS(w, l->step < w->rules.stop_count);
	HOLDS(w, l->state != ST_RUNNING || l->alive);
	HOLDS(w, l->state != ST_STARTING || l->alive || l->launching);
	HOLDS(w,
	    l->state != ST_STOPPING || l->alive || l->launching || l->leaving);
	HOLDS(w, !life_is_down(l) || l->deadline == 0);
	HOLDS(w, l->state != ST_BACKOFF || l->deadline != 0);
	HOLDS(w, (l->state != ST_BACKOFF && l->state != ST_WAITING &&
		     !life_is_down(l)) ||
		     (!l->alive && !l->launching));
	/* What nobody wants is down or on its way there. */
	HOLDS(w, l->wanted || life_is_down(l) || l->state == ST_STOPPING ||
		     l->finishing);
	HOLDS(w, !l->finishing || l->state == ST_RUNNING);
}

static void give(
    struct world *w, enum life_input_kind kind, bool success, bool no_exec);

static void
obey(struct world *w, const struct life_output *out)
{
	struct body *b = &w->body;

	if (out->actions & LIFE_LAUNCH) {
		HOLDS(w, !b->launching && !b->exists);
		b->launching = true;
	}
	if (out->actions & LIFE_SIGNAL) {
		HOLDS(w, b->exists);
		b->termed = true;
		b->killed |= out->signo == SIGKILL;
	}
	if (out->actions & LIFE_TREE) {
		HOLDS(w, !b->exists);
		b->asked_empty = true;
		if (out->tree_signo == SIGKILL || dice(w, 2))
			b->left = 0;
	}
	if (out->actions & LIFE_TREE_KILL)
		b->left = 0;
}

static void
give(struct world *w, enum life_input_kind kind, bool success, bool no_exec)
{
	static const char *const names[] = { "up", "down", "bounce", "finish",
		"finished", "turn", "spawned", "not spawned", "exit", "empty",
		"ready", "heard", "timer" };
	_Static_assert(N_ELEMENTS(names) == IN_TIMER + 1, "one name each");
	struct life_input in = {
		.kind = kind,
		.now = w->now,
		.turn = dice(w, 8) != 0,
		.dice = dice(w, 1000) / 1000.,
		.success = success,
		.no_exec = no_exec,
		.hard = kind == IN_BOUNCE && dice(w, 4) == 0,
		.leave = kind == IN_FINISH && dice(w, 2) == 0,
	};
	struct life_output out;

	w->last = names[kind];
	life_step(&w->life, &w->rules, &in, &out);
	obey(w, &out);
	check(w);
}

static void
end_process(struct world *w, bool no_exec)
{
	struct body *b = &w->body;

	b->exists = b->termed = b->killed = false;
	b->left = no_exec ? 0 : (int)dice(w, 3);
	give(w, IN_EXIT, dice(w, 2) != 0, no_exec);
}

/* What the machine does when nobody asks. calm: only what it was asked for. */
static void
machine_moves(struct world *w, bool calm)
{
	struct body *b = &w->body;

	if (b->launching && dice(w, 2)) {
		b->launching = false;
		if (!calm && dice(w, 6) == 0) {
			give(w, IN_NOT_SPAWNED, false, false);
			return;
		}
		b->exists = true;
		b->stubborn = dice(w, 3) == 0;
		b->left = 0;
		give(w, IN_SPAWNED, false, false);
	} else if (b->exists && (b->killed || (b->termed && !b->stubborn))) {
		end_process(w, false);
	} else if (b->exists && !calm && dice(w, 10) == 0) {
		end_process(w, dice(w, 5) == 0);
	} else if (b->exists && dice(w, 12) == 0) {
		give(w, IN_READY, false, false);
	} else if (w->life.finishing && dice(w, 4) == 0) {
		give(w, IN_FINISHED, false, false);
	} else if (b->asked_empty && b->left == 0) {
		b->asked_empty = false;
		give(w, IN_EMPTY, false, false);
	} else if (w->life.state == ST_WAITING) {
		give(w, IN_TURN, false, false);
	}
}

static void
time_passes(struct world *w)
{
	int64_t most[] = { 10 * NS_PER_MS, NS_PER_SEC, 60 * NS_PER_SEC };

	w->now += (int64_t)dice(w, 1000) * most[dice(w, 3)] / 1000;
	if (w->life.deadline != 0 && w->now >= w->life.deadline)
		give(w, IN_TIMER, false, false);
}

static void
user_moves(struct world *w)
{
	static const enum life_input_kind kinds[] = { IN_WANT_UP, IN_WANT_DOWN,
		IN_BOUNCE, IN_FINISH };

	give(w, kinds[dice(w, 4)], false, false);
}

static void
rules_change(struct world *w)
{
	struct rules *r = &w->rules;
	struct life_output out;

	r->restart = (enum restart_mode)dice(w, 3);
	r->start_seconds = (int64_t)dice(w, 3) * NS_PER_SEC;
	r->start_retries = (int)dice(w, 5) - 1;
	r->backoff = (struct backoff){ 100 * NS_PER_MS, 30 * NS_PER_SEC,
		(int64_t)dice(w, 20) * NS_PER_SEC, 1.0 + dice(w, 20) / 10.,
		dice(w, 10) / 10. };
	r->stop_count = 1 + dice(w, 4);
	for (unsigned i = 0; i + 1 < r->stop_count; i++)
		r->stop[i] = (struct stop_step){ SIGTERM,
			(1 + dice(w, 10)) * NS_PER_SEC };
	r->stop[r->stop_count - 1] = (struct stop_step){ SIGKILL, 0 };
	r->scope = (enum stop_scope)dice(w, 3);
	w->last = "new rules";
	life_rules_changed(&w->life, r, w->now, &out);
	obey(w, &out);
	check(w);
}

/* Left alone, on a machine that does as it is asked, it comes to rest where it
 * is wanted. */
static void
comes_to_rest(struct world *w)
{
	const struct life *l = &w->life;

	for (int i = 0; i < 400; i++) {
		machine_moves(w, true);
		w->now += NS_PER_SEC;
		if (l->deadline != 0 && w->now >= l->deadline)
			give(w, IN_TIMER, false, false);
	}
	w->last = "a long calm";
	if (l->wanted)
		HOLDS(w, l->state == ST_RUNNING || l->state == ST_FATAL ||
			     l->state == ST_EXITED);
	else
		HOLDS(w, life_is_down(l));
}

static void
live(unsigned seed)
{
	struct world w = { .seed = seed,
		.now = 1000 * NS_PER_SEC,
		.random = 0x9e3779b97f4a7c15ULL * (seed + 1) };

	life_init(&w.life, w.now);
	rules_change(&w);
	for (w.step = 0; w.step < STEPS; w.step++) {
		uint32_t what = dice(&w, 100);

		if (what < 50)
			machine_moves(&w, false);
		else if (what < 85)
			time_passes(&w);
		else if (what < 97)
			user_moves(&w);
		else if (what < 99)
			rules_change(&w);
		else
			comes_to_rest(&w);
	}
}

int
main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10)
				 : (unsigned)time(NULL);
	unsigned lives = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 500;

	printf("seed %u, %u lives of %d steps\n", seed, lives, STEPS);
	for (unsigned i = 0; i < lives; i++)
		live(seed + i);
	printf("ok\n");
	return 0;
}
