/* What becomes of a task that comes back from its hand. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/core_int.h"

static void
set_text(char **to, const char *text)
{
	free(*to);
	*to = text != NULL ? strdup(text) : NULL;
}

/* Its row may be freed by this. changed: the store must hear of it even if it
 * does not know that the task ran. */
static void
queue_again(struct task *t, bool changed)
{
	if (t->lost) {
		task_forget(t);
		return;
	}
	task_move(t, TASK_QUEUED);
	t->ready_mono = t->pool->broker->core->mono;
	t->unsure = t->begun = false;
	if (t->claimed || changed)
		put_update(t);
	window_push(t);
}

static void
queue_later(struct task *t, int64_t delay_ms)
{
	struct core *c = t->pool->broker->core;

	t->row.due_ms = c->wall_ms + delay_ms;
	if (t->lost) {
		task_forget(t);
		return;
	}
	if (t->fleeting) {
		if (due_fleeting(t)) {
			task_move(t, TASK_SCHEDULED);
			return;
		}
	} else if (delay_ms > 0) {
		task_move(t, TASK_SCHEDULED);
		if (put_update(t)) {
			if (!id_shared(t->row.id))
				due_note(c, t->row.due_ms);
			return;
		}
	}
	queue_again(t, true);
}

static void
took(struct task *t)
{
	struct pool *p = t->pool;
	int64_t now = p->broker->core->mono;
	int64_t ns = now - t->sent_mono;

	if (t->behind && t->hand != NULL) {
		/* It waited within its process, for about as long as that
		 * needs for one answer after the other. */
		ns = now - MAX_OF(t->sent_mono, t->hand->answered);
		ns *= t->hand->threads;
	}
	p->slow = false;
	meter_took(&p->meter, METER_RUN, ns / 1000, now);
	if (p->run_us < 0)
		p->run_us = (double)ns / 1000.;
	else
		p->run_us += ((double)ns / 1000. - p->run_us) / 16.;
}

void
core_done(struct broker *b, struct task *t, struct body *result, bool json)
{
	core_clocks(b->core);
	if (!t->unsure)
		took(t);
	task_leave(t);
	set_text(&t->row.error, NULL);
	set_text(&t->row.words, NULL);
	put_end(t, TASK_DONE, result, json);
}

/* A failure that counts: another try, later, or the end. */
static void
charge(struct task *t, bool for_good)
{
	struct core *c = t->pool->broker->core;

	t->row.failures++;
	if (for_good || (t->row.retries >= 0 &&
			    t->row.failures > (uint32_t)t->row.retries)) {
		put_end(t, TASK_FAILED, NULL, false);
		return;
	}
	queue_later(t,
	    retry_delay_ms(&t->pool->config, t->row.failures, core_random(c)));
}

void
core_failed(struct broker *b, struct task *t, const char *why, bool for_good)
{
	bool cancelled = t->cancelling;
	char text[512];

	core_clocks(b->core);
	if (!t->unsure)
		took(t);
	if (t->overrun && !cancelled) {
		snprintf(text, sizeof(text),
		    "it ran longer than its timeout of %g s: %s",
		    (double)t->row.timeout_ms / 1000., why);
		why = text;
	}
	task_leave(t);
	set_text(&t->row.error, why);
	if (cancelled)
		put_end(t, TASK_CANCELLED, NULL, false);
	else
		charge(t, for_good);
}

void
core_begun(struct broker *b, struct task *t, uint16_t thread)
{
	(void)b;
	t->begun = true;
	t->thread = thread;
}

void
core_progress(
    struct broker *b, struct task *t, uint32_t share, const char *text)
{
	core_clocks(b->core);
	t->share = share;
	set_text(&t->progress, text);
	waits_progress(t);
}

/* Never begun: as if it had not been given. */
static void
unbegun(struct task *t)
{
	bool cancelled = t->cancelling;

	task_leave(t);
	if (t->row.attempts > 0)
		t->row.attempts--;
	if (cancelled) {
		set_text(&t->row.error, "cancelled before it began");
		put_end(t, TASK_CANCELLED, NULL, false);
		return;
	}
	queue_again(t, false);
}

void
core_returned(struct broker *b, struct task *t)
{
	core_clocks(b->core);
	unbegun(t);
}

/* Too many tasks crash: that is not the tasks' fault. */
static void
storm(struct pool *p, uint64_t id)
{
	struct core *c = p->broker->core;
	int64_t pause = storm_crash(&p->storm, id, c->mono);

	if (pause == 0)
		return;
	p->storm_until = c->mono + pause;
	snprintf(p->paused_words, sizeof(p->paused_words),
	    "%d different tasks crashed it within a minute: it rests for "
	    "%" PRId64 " s",
	    STORM_TASKS, (int64_t)(pause / NS_PER_SEC));
	broker_event(p->broker, p->config.name, "queue", "%s", p->paused_words);
	log_warn("%s: %s", p->config.name, p->paused_words);
	core_wake(c, p->storm_until);
}

/* Those that others may have crashed are not counted for it, yet who counts
 * along wants to find them. */
static void
deaths(const struct task_row *row, char *out, size_t size)
{
	char beside[64] = "";

	if (row->victims > 0)
		snprintf(beside, sizeof(beside),
		    ", and ran with others when %u more ended", row->victims);
	snprintf(out, size, "it crashed its process %u time%s%s", row->crashes,
	    row->crashes == 1 ? "" : "s", beside);
}

static void
guilty(struct task *t, uint32_t threads, const char *words)
{
	struct pool *p = t->pool;
	uint32_t most = p->config.max_crashes;
	char text[160];

	/* Alone in a process of several threads, there is no other suspect. */
	if (t->alone && threads > 1 && most > 2)
		most = 2;
	t->row.crashes++;
	p->crashed++;
	set_text(&t->row.words, words);
	storm(p, t->row.id);
	if (most > 0 && t->row.crashes >= most) {
		deaths(&t->row, text, sizeof(text));
		set_text(&t->row.error, text);
		broker_event(p->broker, p->config.name, "task",
		    "task %llu (%s) is dead: %s%s%.*s",
		    (unsigned long long)t->row.id,
		    t->row.func != NULL ? t->row.func : "", text,
		    words != NULL ? ": " : "",
		    words != NULL ? (int)strcspn(words, "\n") : 0,
		    words != NULL ? words : "");
		put_end(t, TASK_DEAD, NULL, false);
		return;
	}
	set_text(&t->row.error, "it crashed its process");
	t->alone = true;
	queue_again(t, true);
}

static void
overrun(struct task *t, const char *words)
{
	char text[128];

	snprintf(text, sizeof(text),
	    "it ran longer than its timeout of %g s and had to be killed",
	    (double)t->row.timeout_ms / 1000.);
	set_text(&t->row.error, text);
	set_text(&t->row.words, words);
	charge(t, false);
}

void
core_lost(struct broker *b, struct task *t, enum lost why, const char *words)
{
	uint32_t threads = t->hand != NULL ? t->hand->threads : 1;
	bool cancelled = t->cancelling || why == LOST_CANCELLED;

	core_clocks(b->core);
	if (why == LOST_UNBEGUN) {
		unbegun(t);
		return;
	}
	task_leave(t);
	if (cancelled) {
		set_text(&t->row.error, "cancelled; its process was ended");
		put_end(t, TASK_CANCELLED, NULL, false);
		return;
	}
	switch (why) {
	case LOST_GUILTY:
		guilty(t, threads, words);
		return;
	case LOST_OVERRUN:
		overrun(t, words);
		return;
	case LOST_SUSPECT:
	case LOST_VICTIM:
		t->row.victims++;
		/* Again and again with it, and it may be the cause. */
		if (why == LOST_SUSPECT || t->row.victims >= 2)
			t->alone = true;
		set_text(&t->row.words, words);
		queue_again(t, true);
		return;
	case LOST_STOPPED:
	case LOST_UNBEGUN:
	case LOST_CANCELLED:
		queue_again(t, true);
		return;
	}
}
